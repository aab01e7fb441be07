//! Jobs of which more at once get more done, and others.

use std::{
    net::TcpStream,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Make,
    toy::{Peer, Running, WITHIN, expect, link, say, some, start},
};
use crate::Input;

const WORKERS: usize = 4;
const BATCH: usize = 200;

/// How long a job takes that is neither quick nor slow.
const WHILE: Duration = Duration::from_micros(80);

/// One at a time has it, in the order in which they came.
#[derive(Default)]
struct Turns {
    taken: AtomicUsize,
    now: Mutex<usize>,
    next: Condvar,
}

impl Turns {
    fn compute(&self) {
        let mine = self.taken.fetch_add(1, Ordering::SeqCst);
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = self.next.wait_while(now, |now| *now != mine).unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        while start.elapsed() < WHILE {
            std::hint::spin_loop();
        }
        *now += 1;
        self.next.notify_all();
    }
}

/// Jobs at once.
#[derive(Default)]
struct Seen {
    running: usize,
    most: usize,
}

struct Server {
    socket: TcpStream,
    seen: Arc<Mutex<Seen>>,
    running: Running,
}

impl Server {
    /// A job for each byte: it computes while no other does, or waits.
    fn start(make: Make) -> Self {
        let (peer, seen, turns) = (Peer::new(), Arc::<Mutex<Seen>>::default(), Arc::<Turns>::default());
        let jobs = Arc::clone(&seen);
        let running = start(
            make,
            WORKERS,
            vec![link(peer.port(), move |toy, input| {
                match input {
                    Input::Received(bytes) => {
                        for byte in bytes.iter().copied() {
                            let (seen, turns) = (Arc::clone(&jobs), Arc::clone(&turns));
                            toy.run(0, move |_| {
                                let look =
                                    |change: fn(&mut Seen)| change(&mut seen.lock().expect("no panic"));
                                look(|seen| {
                                    seen.running += 1;
                                    seen.most = seen.most.max(seen.running);
                                });
                                if byte == b'w' {
                                    thread::sleep(WHILE)
                                } else {
                                    turns.compute()
                                }
                                look(|seen| seen.running -= 1);
                                Some(vec![byte])
                            });
                        }
                    }
                    Input::Output(output) => toy.outbox.extend(output.bytes),
                    _ => {}
                }
                toy.drain();
            })],
        );
        Self { socket: peer.accept(), seen, running }
    }

    /// How many of a batch there were at once, at most.
    fn batch(&mut self, byte: u8) -> usize {
        let bytes = [byte; BATCH];
        say(&mut self.socket, &bytes);
        expect(&mut self.socket, &bytes);
        std::mem::take(&mut self.seen.lock().expect("no panic").most)
    }
}

/// Whatever a reactor learns of jobs that get no more done together: those that wait soon have all workers again.
pub fn jobs_that_wait_have_all_workers(make: Make) {
    let workers = make(some(WORKERS)).workers().get();
    let mut server = Server::start(make);
    for _ in 0..3 {
        (0..4).for_each(|_| assert!(server.batch(b'c') <= workers));
        let start = Instant::now();
        // Other things on the machine may make it late.
        while server.batch(b'w') < workers {
            assert!(start.elapsed() < 3 * WITHIN, "all workers at once, in time");
        }
    }
    server.running.stop();
}
