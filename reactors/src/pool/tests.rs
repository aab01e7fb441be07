//! What no scenario sees.

use std::{
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use super::*;

/// Workers take the times of what is not quick, whatever else the machine does meanwhile.
#[test]
fn the_crew_hears_of_jobs() {
    const JOBS: u64 = 200;
    let (pool, mailbox) = (Pool::default(), Mailbox(Arc::default()));
    let (running, done) = channel::<()>();
    let jobs = (0..JOBS).map(|id| {
        let running = running.clone();
        Job::new(id, move |_| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(80) {}
            drop(running);
            Some(Vec::new())
        })
    });
    pool.extend(jobs, &mailbox, None);
    drop(running);
    thread::scope(|scope| {
        let _close = pool.close_on_drop();
        (0..2).for_each(|_| drop(scope.spawn(|| pool.work())));
        // Ends with the last job.
        assert!(done.recv().is_err());
    });
    let queue = lock(&pool.queue);
    assert_eq!(queue.begun, JOBS);
    let cores = queue.crew.seen();
    assert!((0.001..3.0).contains(&cores), "{cores} cores of two workers");
}

/// A job that goes on for long is no reason for others to rest, however quick those are that come meanwhile.
#[test]
fn who_is_stuck_serves_nobody() {
    let mut queue = Queue::default();
    let quick = |queue: &mut Queue| {
        let (job, now) = (queue.begin(), Instant::now());
        queue.crew.took(now, now, None, Load { running: queue.running, waiting: 0 });
        queue.end(job);
    };
    (0..64).for_each(|_| quick(&mut queue));
    let slow = queue.begin();
    assert!(queue.is_served(), "it may be quick");
    queue.found_stuck();
    assert!(!queue.is_served());
    (0..64).for_each(|_| quick(&mut queue));
    assert!(queue.crew.one_is_enough() && !queue.is_served(), "nobody moves");
    let job = queue.begin();
    assert!(queue.is_served());
    // One more is stuck, and ends first.
    queue.found_stuck();
    queue.end(job);
    (0..64).for_each(|_| quick(&mut queue));
    assert!(!queue.is_served());
    queue.end(slow);
    assert_eq!((queue.running, queue.stuck), (0, 0));
    queue.begin();
    assert!(queue.is_served());
}

/// The end of a worker is no secret: everybody stops, and hears why.
#[test]
fn a_worker_that_panics_stops_all() {
    struct Fails;
    impl Drive for Fails {
        fn drive(&self) {
            panic!("on the worker's own account");
        }
    }
    let (pool, stop) = (Pool::default(), Stop::new());
    let (_, mailbox) = Mailbox::for_each(vec![()], &stop).remove(0);
    let driver: Arc<dyn Drive> = Arc::new(Fails);
    mailbox.driven_by(Arc::downgrade(&driver));
    let (sender, stopped) = channel();
    stop.on_stop(move || sender.send(()).unwrap());
    thread::scope(|scope| {
        let close = pool.close_on_drop();
        pool.staff(scope, NonZeroUsize::new(2).unwrap(), &stop, || ()).unwrap();
        // Nobody waits for outputs before there is somebody to wake.
        let cx = Context::from_waker(Waker::noop());
        assert!(mailbox.next(&cx, true).is_none());
        pool.extend([Job::new(0, |_| Some(Vec::new()))].into_iter(), &mailbox, None);
        stopped.recv().unwrap();
        // The other goes on with what is left.
        let (done, ended) = channel();
        let job = Job::new(1, move |_| {
            done.send(()).unwrap();
            Some(Vec::new())
        });
        pool.extend([job].into_iter(), &mailbox, None);
        ended.recv_timeout(Duration::from_secs(20)).unwrap();
        drop(close);
    });
    let why = pool.outcome().unwrap_err().to_string();
    assert_eq!(why, "a worker thread panicked: on the worker's own account");
}
