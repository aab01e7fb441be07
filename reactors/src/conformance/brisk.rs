//! What becomes of a link while quick jobs come and go, one after the other, and a reactor has made itself at home.

use std::{
    net::TcpStream,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use super::{
    Make,
    toy::{Peer, Running, Toy, WITHIN, expect, expect_end, gate, link, next, say, start, tell},
};
use crate::Input;

/// So many until a reactor believes it.
const QUICK: usize = 100;

/// And so often something else comes.
const TIMES: usize = 5;

/// More than goes out at once.
const MUCH: usize = 16 * 1024 * 1024;

/// A link that answers each byte by a job of its own, and knows some words.
struct Server {
    peer: Peer,
    socket: TcpStream,
    /// Told when the link no longer wants to read.
    deaf: Receiver<()>,
    running: Running,
}

impl Server {
    /// At `s` nothing is to be read until `wait` is over; `c` ends the connection for another; `t` and `T` are answered
    /// by the clock, soon or later; `m` has much for an answer.
    fn start(make: Make, wait: impl Fn() + Send + Clone + 'static) -> Self {
        let (peer, (sender, deaf)) = (Peer::new(), channel());
        let port = peer.port();
        let script = move |toy: &mut Toy, input: Input<'_>| {
            match input {
                Input::Received(bytes) => {
                    assert!(toy.read, "received what was not asked for");
                    for byte in bytes.iter().copied() {
                        match byte {
                            b'c' => toy.close(),
                            b't' => toy.until = Some(toy.now + Duration::from_micros(200)),
                            b'T' => toy.until = Some(toy.now + Duration::from_millis(5)),
                            b's' => {
                                (toy.read, toy.deaf) = (false, Some(sender.clone()));
                                let wait = wait.clone();
                                toy.run(0, move |_| {
                                    wait();
                                    Some(vec![byte])
                                });
                            }
                            b'm' => toy.run(0, move |_| Some(vec![byte; MUCH])),
                            _ => toy.run(0, move |_| Some(vec![byte])),
                        }
                    }
                }
                Input::Output(output) => {
                    toy.read |= output.bytes == b"s";
                    toy.outbox.extend(output.bytes);
                }
                Input::Timer => toy.outbox.push(b't'),
                Input::Closed(_) => toy.connect("127.0.0.1", port, WITHIN),
                _ => {}
            }
            toy.drain();
        };
        let running = start(make, 4, vec![link(port, script)]);
        let socket = peer.accept();
        Self { peer, socket, deaf, running }
    }

    fn quick(&mut self) {
        for _ in 0..QUICK {
            self.ask(b"q");
        }
    }

    fn ask(&mut self, word: &[u8]) {
        say(&mut self.socket, word);
        expect(&mut self.socket, word);
    }
}

/// `read: false` holds at once, and what came meanwhile is there later.
pub fn stops_reading_between_quick_jobs(make: Make) {
    let (open, wait) = gate();
    let mut server = Server::start(make, wait);
    for _ in 0..TIMES {
        server.quick();
        say(&mut server.socket, b"s");
        next(&server.deaf, "word of a link that reads no more");
        say(&mut server.socket, b"x");
        // Somebody who reads all the same has done so by then.
        thread::sleep(Duration::from_millis(5));
        tell(&open, ());
        expect(&mut server.socket, b"sx");
    }
    server.running.stop();
}

/// The old connection ends at once, and the next is as good.
pub fn reconnects_between_quick_jobs(make: Make) {
    let mut server = Server::start(make, || {});
    for _ in 0..TIMES {
        server.quick();
        say(&mut server.socket, b"c");
        expect_end(&mut server.socket);
        server.socket = server.peer.accept();
    }
    server.quick();
    server.running.stop();
}

/// The clock strikes, whether somebody still waits for more quick jobs or not.
pub fn keeps_time_between_quick_jobs(make: Make) {
    let mut server = Server::start(make, || {});
    for word in [b"t", b"T"].into_iter().cycle().take(2 * TIMES) {
        server.quick();
        say(&mut server.socket, word);
        expect(&mut server.socket, b"t");
    }
    server.running.stop();
}

/// A peer that takes nothing for a while has everything in the end.
pub fn waits_for_a_peer_between_quick_jobs(make: Make) {
    let mut server = Server::start(make, || {});
    let much = vec![b'm'; MUCH];
    for _ in 0..TIMES {
        server.quick();
        say(&mut server.socket, b"m");
        // The while.
        thread::sleep(Duration::from_millis(5));
        expect(&mut server.socket, &much);
    }
    server.running.stop();
}
