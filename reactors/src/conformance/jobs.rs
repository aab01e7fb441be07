//! Workers: how many, in which order, and what becomes of outputs.

use std::{
    io::Read,
    panic::resume_unwind,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use super::{
    Make,
    toy::{Peer, Toy, WITHIN, expect, gate, link, next, say, some, start, tell},
};
use crate::{End, Input, JOB_STACK};

/// Runs a job for each line, in lines of 8 bytes.
fn answer(toy: &mut Toy, partial: &mut Vec<u8>, bytes: &[u8]) {
    partial.extend(bytes);
    let whole = partial.len() / 8 * 8;
    for line in partial.drain(..whole).collect::<Vec<_>>().chunks(8) {
        let line = line.to_vec();
        toy.run(0, move |_| Some(line));
    }
}

/// Everything that was asked for before the stop is answered and sent, over several links.
pub fn drains_many_links_and_jobs(make: Make) {
    const LINKS: usize = 8;
    const LINES: usize = 500;
    let peer = Peer::new();
    let (heard, lines) = channel();
    let links = (0..LINKS).map(|_| {
        let (mut partial, heard, mut count) = (Vec::new(), heard.clone(), 0);
        link(peer.port(), move |toy, input| {
            match input {
                Input::Received(bytes) => {
                    count += bytes.len();
                    answer(toy, &mut partial, bytes);
                    if count == LINES * 8 {
                        tell(&heard, ());
                    }
                }
                Input::Output(output) => {
                    assert_eq!(output.end, Some(End::Done));
                    toy.outbox.extend(output.bytes);
                }
                _ => {}
            }
            toy.drain();
        })
    });
    let running = start(make, 4, links.collect());
    let mut sockets: Vec<_> = (0..LINKS).map(|_| peer.accept()).collect();
    for socket in &mut sockets {
        let lines: Vec<u8> = (0..LINES as u64).flat_map(u64::to_le_bytes).collect();
        say(socket, &lines);
    }
    for _ in 0..LINKS {
        next(&lines, "link that heard everything");
    }
    running.stop();
    for mut socket in sockets {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).expect("all replies, and then the end");
        let mut seen: Vec<_> = bytes.chunks(8).map(<[u8]>::to_vec).collect();
        seen.sort_by_key(|line| line.iter().rev().copied().collect::<Vec<_>>());
        let all: Vec<_> = (0..LINES as u64).map(|n| n.to_le_bytes().to_vec()).collect();
        assert!(seen == all, "{} replies for {LINES} lines", seen.len());
    }
}

/// Request and reply, many times over many links.
pub fn serves_a_hundred_links(make: Make) {
    const LINKS: usize = 100;
    let peer = Peer::new();
    let links = (0..LINKS).map(|_| {
        let mut partial = Vec::new();
        link(peer.port(), move |toy, input| {
            match input {
                Input::Received(bytes) => answer(toy, &mut partial, bytes),
                Input::Output(output) => toy.outbox.extend(output.bytes),
                _ => {}
            }
            toy.drain();
        })
    });
    let running = start(make, 4, links.collect());
    let mut sockets: Vec<_> = (0..LINKS).map(|_| peer.accept()).collect();
    for round in 0..5 {
        for (n, socket) in sockets.iter_mut().enumerate() {
            say(socket, format!("{round}-{n:06}").as_bytes());
        }
        for (n, socket) in sockets.iter_mut().enumerate() {
            expect(socket, format!("{round}-{n:06}").as_bytes());
        }
    }
    running.stop();
}

/// `workers()` is what there is: over all links no more, and no less.
pub fn never_more_jobs_than_workers(make: Make) {
    #[derive(Default)]
    struct Count {
        running: usize,
        most: usize,
    }
    let (peer, workers) = (Peer::new(), make(some(3)).workers().get());
    let count = Arc::new((Mutex::new(Count::default()), Condvar::new()));
    let links = (0..4).map(|_| {
        let count = Arc::clone(&count);
        link(peer.port(), move |toy, input| {
            if let Input::Connected = input {
                for id in 0..10 {
                    let count = Arc::clone(&count);
                    toy.run(id, move |_| {
                        let (count, changed) = &*count;
                        let mut now = count.lock().unwrap_or_else(PoisonError::into_inner);
                        now.running += 1;
                        now.most = now.most.max(now.running);
                        changed.notify_all();
                        // Nobody leaves before all are there.
                        let (mut now, _) = changed
                            .wait_timeout_while(now, WITHIN, |now| now.most < workers)
                            .unwrap_or_else(PoisonError::into_inner);
                        drop(now);
                        std::thread::yield_now();
                        now = count.lock().unwrap_or_else(PoisonError::into_inner);
                        now.running -= 1;
                        Some(Vec::new())
                    });
                }
            }
            if toy.jobs == 0 && matches!(input, Input::Output(_)) {
                toy.finish();
            }
        })
    });
    start(make, 3, links.collect()).finish();
    let count = count.0.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(count.most, workers, "jobs at once, for so many workers");
}

/// First asked, first run.
pub fn jobs_start_in_order(make: Make) {
    let peer = Peer::new();
    let (seen, news) = channel();
    let running = start(
        make,
        1,
        vec![link(peer.port(), move |toy, input| match input {
            Input::Connected => {
                for id in 0..100 {
                    let seen = seen.clone();
                    toy.run(id, move |_| {
                        tell(&seen, id);
                        Some(Vec::new())
                    });
                }
            }
            Input::Output(_) if toy.jobs == 0 => toy.finish(),
            _ => {}
        })],
    );
    for id in 0..100 {
        assert_eq!(next(&news, "job"), id);
    }
    running.finish();
}

/// A job that panics has failed, as has one that gives up; its worker goes on.
pub fn a_panic_is_one_last_output(make: Make) {
    let peer = Peer::new();
    let (seen, news) = channel();
    let running = start(
        make,
        2,
        vec![link(peer.port(), move |toy, input| match input {
            Input::Connected => {
                for id in 0..10 {
                    toy.run(id, |emit| {
                        emit(b"part".to_vec());
                        // Like `panic!`, but quiet.
                        resume_unwind(Box::new("on purpose"))
                    });
                }
                toy.run(10, |_| None);
                toy.run(11, |_| Some(b"fine".to_vec()));
            }
            Input::Output(output) => {
                tell(&seen, output);
                if toy.jobs == 0 {
                    toy.finish();
                }
            }
            _ => {}
        })],
    );
    running.finish();
    let outputs: Vec<_> = news.iter().collect();
    for id in 0..12 {
        let of: Vec<_> = outputs.iter().filter(|output| output.job == id).collect();
        let ends: Vec<_> = of.iter().map(|output| output.end).collect();
        match id {
            0..10 => assert_eq!(ends, [None, Some(End::Failed)]),
            10 => assert_eq!(ends, [Some(End::Failed)]),
            _ => assert_eq!((ends, &*of[0].bytes), (vec![Some(End::Done)], &b"fine"[..])),
        }
    }
}

/// Each part is on the wire before the job makes the next.
pub fn parts_arrive_while_the_job_runs(make: Make) {
    let peer = Peer::new();
    let (open, wait) = gate();
    let running = start(
        make,
        1,
        vec![link(peer.port(), move |toy, input| {
            match input {
                Input::Connected => {
                    let wait = wait.clone();
                    toy.run(0, move |emit| {
                        for n in 0..20 {
                            emit(vec![n]);
                            wait();
                        }
                        Some(b"end".to_vec())
                    });
                }
                Input::Output(output) => toy.outbox.extend(output.bytes),
                _ => {}
            }
            toy.drain();
        })],
    );
    let mut socket = peer.accept();
    for n in 0..20 {
        expect(&mut socket, &[n]);
        tell(&open, ());
    }
    expect(&mut socket, b"end");
    running.stop();
}

/// What a job has made is on the wire before the next job on the same worker has ended; for an inline reactor, which
/// may write what quick jobs gave together, at least when it has.
pub fn outputs_do_not_wait_for_the_next_job(make: Make) {
    let inline = make(some(1)).inline();
    // Another worker, where there is one, must not be what makes it work, nor what prevents it.
    for workers in [1, 3] {
        let peer = Peer::new();
        let (open, wait) = gate();
        let running = start(
            make,
            workers,
            vec![link(peer.port(), move |toy, input| {
                match input {
                    Input::Connected => {
                        // Many quick ones may have taught the reactor to expect another.
                        for _ in 0..1000 {
                            toy.run(0, |_| Some(b"quick".to_vec()));
                        }
                        let wait = wait.clone();
                        toy.run(1, move |_| {
                            wait();
                            Some(b"long!".to_vec())
                        });
                    }
                    Input::Output(output) => toy.outbox.extend(output.bytes),
                    _ => {}
                }
                toy.drain();
            })],
        );
        let mut socket = peer.accept();
        let mut open = Some(open).filter(|_| !inline);
        expect(&mut socket, &b"quick".repeat(1000));
        open.take();
        expect(&mut socket, b"long!");
        running.stop();
    }
}

/// Whatever a reactor does to save wake-ups while jobs are quick: when one of them is slow, the link still hears its
/// peer and its clock; and it hears nothing while it does not want to read.
pub fn quick_jobs_teach_nothing_wrong(make: Make) {
    const SOON: Duration = Duration::from_millis(20);
    let peer = Peer::new();
    let inline = make(some(1)).inline();
    let (open, wait) = gate();
    let (deaf, news) = channel();
    let links = (0..2).map(|_| {
        let (wait, deaf) = (wait.clone(), deaf.clone());
        link(peer.port(), move |toy, input| {
            match input {
                Input::Received(bytes) => {
                    assert!(toy.read, "received what was not asked for");
                    for byte in bytes.iter().copied() {
                        let wait = wait.clone();
                        match byte {
                            b'!' => toy.outbox.push(byte),
                            _ => toy.run(u64::from(byte), move |_| {
                                if byte == b'w' {
                                    wait();
                                }
                                Some(vec![byte])
                            }),
                        }
                        if byte == b'w' {
                            toy.until = Some(toy.now + SOON);
                        }
                    }
                }
                Input::Output(output) => {
                    // Not to hear of anything for a while.
                    if output.bytes == b"p" {
                        toy.read = false;
                        toy.deaf = Some(deaf.clone());
                        toy.until = Some(toy.now + SOON);
                    }
                    toy.outbox.extend(output.bytes);
                }
                Input::Timer if toy.read => toy.outbox.push(b'.'),
                Input::Timer => toy.read = true,
                _ => {}
            }
            toy.drain();
        })
    });
    let running = start(make, 3, links.collect());
    let mut sockets = [peer.accept(), peer.accept()];
    let [first, second] = &mut sockets;
    for _ in 0..5 {
        for n in 0..300 {
            say(first, b"q");
            expect(first, b"q");
            if n % 10 == 0 {
                say(second, b"qqq");
                expect(second, b"qqq");
            }
        }
        say(first, b"p");
        expect(first, b"p");
        // A turn that had begun before may still read.
        next(&news, "wait without reading");
        say(first, b"!q");
        expect(first, b"!q");
        for _ in 0..100 {
            say(first, b"q");
            expect(first, b"q");
        }
        say(first, b"w");
        if !inline {
            expect(first, b".");
            say(first, b"!!");
            expect(first, b"!!");
        }
        tell(&open, ());
        expect(first, if inline { b"w." } else { b"w" });
    }
    running.stop();
}

/// Workers that wait to hand over outputs to a link that ends are free for others.
pub fn a_finished_link_frees_its_workers(make: Make) {
    let peer = Peer::new();
    let (mut full, mut made) = (0, 0);
    let (seen, news): (Sender<usize>, _) = channel();
    let flood = link(peer.port(), move |toy, input| match input {
        Input::Connected => {
            for id in 0..4 {
                let seen = seen.clone();
                toy.run(id, move |emit| {
                    (0..100_000).for_each(|_| emit(vec![0; 16]));
                    tell(&seen, 0);
                    None
                });
            }
        }
        // Ends in the midst of the flood.
        Input::Output(_) => {
            full += 1;
            if full == 1000 {
                toy.finish();
            }
        }
        _ => {}
    });
    let other = link(peer.port(), move |toy, input| match input {
        Input::Received(_) => (0..10).for_each(|id| toy.run(id, |_| Some(b"done".to_vec()))),
        Input::Output(output) => {
            made += output.bytes.len();
            if made == 40 {
                toy.finish();
            }
        }
        _ => {}
    });
    let running = start(make, 2, vec![flood, other]);
    for mut socket in [peer.accept(), peer.accept()] {
        // One of them is the other's; the flood does not listen, or is gone.
        let _ = std::io::Write::write_all(&mut socket, b"go");
        std::mem::forget(socket);
    }
    running.finish();
    // All that had begun came to an end before `run` returned.
    let _ = news.try_iter().count();
}

/// A job may use its stack, where too little of it would end the whole process.
pub fn a_job_has_room_to_recurse(make: Make) {
    /// Goes deeper until a local variable is so far below `top`.
    fn recurse(top: usize, far: usize) -> usize {
        let frame = std::hint::black_box([0_u8; 4096]);
        let depth = top - frame.as_ptr().addr();
        if depth < far { recurse(top, far).max(depth) } else { depth }
    }
    let peer = Peer::new();
    let running = start(
        make,
        2,
        vec![link(peer.port(), move |toy, input| {
            match input {
                Input::Connected => toy.run(0, move |_| {
                    let top = std::hint::black_box([0_u8; 1]);
                    let far = JOB_STACK - 512 * 1024;
                    assert!(recurse(top.as_ptr().addr(), far) >= far);
                    Some(b"deep".to_vec())
                }),
                Input::Output(output) => toy.outbox.extend(output.bytes),
                _ => {}
            }
            toy.drain();
        })],
    );
    expect(&mut peer.accept(), b"deep");
    running.stop();
}

/// The link hears of it at once, or as soon as an inline job lets it, and may wait for the job.
pub fn stops_while_a_job_runs(make: Make) {
    let peer = Peer::new();
    let (open, wait) = gate();
    let (seen, news) = channel();
    let inline = make(some(1)).inline();
    let running = start(
        make,
        1,
        vec![link(peer.port(), move |toy, input| {
            match input {
                Input::Connected => {
                    let (wait, seen) = (wait.clone(), seen.clone());
                    toy.run(0, move |_| {
                        tell(&seen, "running");
                        wait();
                        Some(b"bye".to_vec())
                    });
                }
                Input::Stop => tell(&seen, "stop"),
                Input::Output(output) => toy.outbox.extend(output.bytes),
                _ => {}
            }
            toy.drain();
        })],
    );
    let mut socket = peer.accept();
    assert_eq!(next(&news, "start of the job"), "running");
    running.stop.stop();
    if !inline {
        assert_eq!(next(&news, "word of the stop while the job runs"), "stop");
    }
    drop(open);
    expect(&mut socket, b"bye");
    running.finish();
}
