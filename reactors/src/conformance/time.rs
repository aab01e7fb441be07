//! Clocks while there is work.

use std::{
    io::{ErrorKind, Read},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use super::{
    Make,
    toy::{Peer, expect, gate, link, next, say, some, start, tell},
};
use crate::Input;

/// Timers come while all workers are busy; with an inline reactor they come when the job is done.
pub fn beats_while_every_worker_is_busy(make: Make) {
    const EVERY: Duration = Duration::from_millis(30);
    let peer = Peer::new();
    let (inline, workers) = (make(some(2)).inline(), make(some(2)).workers().get());
    let (open, wait) = gate();
    let (seen, news) = channel();
    let running = start(
        make,
        2,
        vec![link(peer.port(), move |toy, input| {
            match input {
                Input::Received(_) => {
                    for id in 0..workers as u64 {
                        let (wait, seen) = (wait.clone(), seen.clone());
                        toy.run(id, move |_| {
                            tell(&seen, ());
                            wait();
                            Some(Vec::new())
                        });
                    }
                    toy.until = Some(toy.now + EVERY);
                }
                Input::Timer => {
                    toy.outbox.push(b'.');
                    toy.until = Some(toy.now + EVERY);
                }
                _ => {}
            }
            toy.drain();
        })],
    );
    let mut socket = peer.accept();
    say(&mut socket, b"go");
    for _ in 0..workers {
        next(&news, "busy worker");
    }
    if inline {
        socket.set_read_timeout(Some(5 * EVERY)).expect("a socket");
        let silence = socket.read(&mut [0]).map_err(|error| error.kind());
        assert!(
            matches!(silence, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)),
            "an inline reactor that has time while a job runs need not be inline: {silence:?}"
        );
        socket.set_read_timeout(Some(super::toy::WITHIN)).expect("a socket");
        drop(open);
        expect(&mut socket, b"...");
    } else {
        expect(&mut socket, b"..........");
        drop(open);
    }
    running.stop();
}

/// When bytes and a timer are both there, the bytes come first: a peer that has spoken is not silent.
/// Once after a long job, and once after everything stood still.
pub fn bytes_come_before_the_clock(make: Make) {
    const SOON: Duration = Duration::from_millis(30);
    for job in [true, false] {
        let peer = Peer::new();
        let inline = make(some(1)).inline();
        let (open, wait) = gate();
        let (seen, news) = channel();
        let mut heard = 0;
        let running = start(
            make,
            1,
            vec![link(peer.port(), move |toy, input| {
                match input {
                    Input::Received(b"hold") => {
                        toy.until = Some(toy.now + SOON);
                        let (wait, seen) = (wait.clone(), seen.clone());
                        let hold = move || {
                            tell(&seen, ("held", 0));
                            wait();
                        };
                        if job {
                            toy.run(0, move |_| {
                                hold();
                                Some(Vec::new())
                            });
                        } else {
                            hold();
                        }
                    }
                    Input::Received(bytes) => {
                        heard += bytes.len();
                        tell(&seen, ("bytes", heard));
                    }
                    Input::Timer => tell(&seen, ("timer", heard)),
                    _ => {}
                }
                toy.drain();
            })],
        );
        let mut socket = peer.accept();
        say(&mut socket, b"hold");
        assert_eq!(next(&news, "hold").0, "held");
        if job && !inline {
            assert_eq!(next(&news, "timer while the job runs"), ("timer", 0));
            say(&mut socket, b"beat");
            assert_eq!(next(&news, "bytes while the job runs").0, "bytes");
            drop(open);
        } else {
            // Time itself: the timer is overdue when the link can hear again. In small pieces, so that no
            // reader has taken them all.
            for _ in 0..10 {
                say(&mut socket, b"beat");
                thread::sleep(SOON / 5);
            }
            drop(open);
            let heard = loop {
                if let ("timer", heard) = next(&news, "timer") {
                    break heard;
                }
            };
            assert_eq!(heard, 40, "bytes heard before the timer");
        }
        running.stop();
    }
}
