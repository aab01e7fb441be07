//! Bulk, slowness and fairness.

use std::{
    io::{ErrorKind, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use super::{
    Make,
    toy::{Peer, expect, gate, link, next, say, start, tell},
};
use crate::{Input, OUTBOX_HIGH_WATER};

/// More than all buffers between two sockets on one machine take.
const MUCH: usize = 64 * 1024 * 1024;

/// Nothing moves for so long: it has stalled.
const STALL: Duration = Duration::from_millis(300);

/// `read: false` closes the window: the peer's writes stall, and nothing is lost when reading goes on.
pub fn does_not_read_unasked(make: Make) {
    let peer = Peer::new();
    let (open, wait) = gate();
    let (seen, news) = channel();
    let running = start(
        make,
        1,
        vec![link(peer.port(), move |toy, input| {
            match input {
                Input::Connected => {
                    toy.read = false;
                    let wait = wait.clone();
                    toy.run(0, move |_| {
                        wait();
                        Some(Vec::new())
                    });
                }
                Input::Received(bytes) => {
                    assert!(toy.read, "received what was not asked for");
                    tell(&seen, bytes.len());
                }
                Input::Output(_) => toy.read = true,
                _ => {}
            }
            toy.drain();
        })],
    );
    let mut socket = peer.accept();
    socket.set_write_timeout(Some(STALL)).expect("a socket");
    let mut written = 0;
    loop {
        match socket.write(&[0; 64 * 1024]) {
            Ok(n) => written += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("the connection broke after {written} bytes: {error}"),
        }
        assert!(written < MUCH, "somebody reads");
    }
    drop(open);
    let mut received = 0;
    while received < written {
        received += next(&news, "rest of the bytes");
    }
    assert_eq!(received, written);
    running.stop();
}

/// 16 MiB there and back, with `read` turned off whenever the outbox is full.
pub fn carries_bulk_both_ways(make: Make) {
    const BULK: usize = 16 * 1024 * 1024;
    let peer = Peer::new();
    let running = start(
        make,
        1,
        vec![link(peer.port(), |toy, input| {
            if let Input::Received(bytes) = input {
                toy.outbox.extend(bytes);
            }
            toy.read = toy.outbox.len() < OUTBOX_HIGH_WATER;
            toy.drain();
        })],
    );
    let mut socket = peer.accept();
    let bulk: Arc<Vec<u8>> = Arc::new((0..BULK as u32 / 4).flat_map(u32::to_le_bytes).collect());
    let writer = thread::spawn({
        let (mut socket, bulk) = (socket.try_clone().expect("a socket"), Arc::clone(&bulk));
        move || say(&mut socket, &bulk)
    });
    let mut back = vec![0; BULK];
    socket.read_exact(&mut back).expect("everything comes back");
    assert!(back == *bulk, "what came back is something else");
    writer.join().expect("everything is written");
    running.stop();
}

/// A peer that does not read makes workers wait, not memory grow; what it says is heard all the same, and
/// nothing is lost once it reads.
pub fn a_slow_peer_slows_the_jobs(make: Make) {
    const SIZE: usize = 16 * 1024;
    const JOBS: usize = MUCH / SIZE;
    let peer = Peer::new();
    let done = Arc::new(AtomicUsize::new(0));
    let (made, outputs) = channel();
    let (seen, heard) = channel();
    let count = Arc::clone(&done);
    let running = start(
        make,
        2,
        vec![link(peer.port(), move |toy, input| {
            match input {
                Input::Connected => {
                    for n in 0..JOBS {
                        let (made, done) = (made.clone(), Arc::clone(&count));
                        toy.run(n as u64, move |_| {
                            done.fetch_add(1, Ordering::SeqCst);
                            tell(&made, ());
                            Some(vec![n as u8; SIZE])
                        });
                    }
                }
                Input::Received(_) => tell(&seen, ()),
                Input::Output(output) => {
                    assert!(toy.outbox.len() <= OUTBOX_HIGH_WATER, "an output for a full outbox");
                    toy.outbox.extend(output.bytes);
                }
                _ => {}
            }
            toy.drain();
        })],
    );
    let mut socket = peer.accept();
    next(&outputs, "job");
    loop {
        match outputs.recv_timeout(STALL) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => panic!("nobody waited for the peer"),
        }
    }
    assert!(done.load(Ordering::SeqCst) < JOBS, "nobody waited for the peer");
    say(&mut socket, b"still there?");
    next(&heard, "word of what the peer said");
    let mut bytes = vec![0; SIZE];
    for _ in 0..JOBS {
        socket.read_exact(&mut bytes).expect("all outputs come");
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "outputs are mixed up");
    }
    running.stop();
}

/// Peers that never pause do not keep a link from its round trips, with and without a job.
pub fn a_busy_link_leaves_room_for_a_quiet_one(make: Make) {
    const FLOODS: usize = 4;
    let (floods, quiet) = (Peer::new(), Peer::new());
    let mut links: Vec<_> = (0..FLOODS)
        .map(|_| {
            link(floods.port(), |toy, input| {
                if let Input::Received(bytes) = input {
                    // Some work per byte, so that there is always more to read.
                    assert!(bytes.iter().all(|byte| *byte == 0));
                }
                toy.drain();
            })
        })
        .collect();
    links.push(link(quiet.port(), |toy, input| {
        match input {
            Input::Received(b"j") => toy.run(0, |_| Some(b"j".to_vec())),
            Input::Received(bytes) => toy.outbox.extend(bytes),
            Input::Output(output) => toy.outbox.extend(output.bytes),
            _ => {}
        }
        toy.drain();
    }));
    let running = start(make, 1, links);
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..FLOODS)
        .map(|_| {
            let (mut socket, over) = (floods.accept(), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    say(&mut socket, &[0; 64 * 1024]);
                }
            })
        })
        .collect();
    let mut socket = quiet.accept();
    for _ in 0..50 {
        for word in [b"e", b"j"] {
            say(&mut socket, word);
            expect(&mut socket, word);
        }
    }
    over.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.join().expect("the link read everything");
    }
    running.stop();
}
