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
