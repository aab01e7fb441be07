//! What no scenario sees.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::*;

/// Workers take the times of what is not quick, whatever else the machine does meanwhile.
#[test]
fn the_crew_hears_of_jobs() {
    const JOBS: u64 = 200;
    let (pool, mailbox) = (Pool::default(), Mailbox(Arc::default()));
    let done = Arc::new(());
    let jobs = (0..JOBS).map(|id| {
        let done = Arc::clone(&done);
        Job::new(id, move |_| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(80) {}
            drop(done);
            Some(Vec::new())
        })
    });
    pool.extend(jobs, &mailbox, None);
    thread::scope(|scope| {
        let _close = pool.close_on_drop();
        (0..2).for_each(|_| drop(scope.spawn(|| pool.work())));
        while Arc::strong_count(&done) > 1 {
            thread::sleep(LOOK);
        }
    });
    let queue = lock(&pool.queue);
    assert_eq!(queue.begun, JOBS);
    let cores = queue.crew.seen();
    assert!((0.001..3.0).contains(&cores), "{cores} cores of two workers");
}
