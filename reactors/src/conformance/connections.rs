//! Making, losing, giving up and keeping apart connections.

use std::{
    fs,
    io::{ErrorKind, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use socket2::Socket;

use super::{
    Make,
    toy::{Peer, WITHIN, bound, expect, expect_end, gate, link, link_to, next, say, start, start_with, tell},
};
use crate::{Input, Stop, close_on_fork};

/// A port that does not answer: its backlog is full.
struct Silent {
    port: u16,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl Silent {
    fn new() -> Self {
        let (listener, address) = bound();
        listener.listen(0).expect("a listener");
        let mut queue = Vec::new();
        while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(socket);
            assert!(queue.len() < 1000, "this system queues connections without end");
        }
        Self { port: address.port(), _listener: listener, _queue: queue }
    }
}

/// A link that panics has found a bug, and no other goes on as if nothing had happened: `run` panics, too.
pub fn a_link_that_panics_ends_all(make: Make) {
    let (peer, broken) = (Peer::new(), Peer::new());
    let mut links: Vec<_> = (0..3).map(|_| link(peer.port(), |toy, _| toy.drain())).collect();
    // Neither the first nor the last: some reactors wait for one after the other.
    links.insert(
        1,
        link(broken.port(), |_, input| {
            if let Input::Received(_) = input {
                panic!("this link panics, as the scenario wants it to");
            }
        }),
    );
    let running = start(make, 2, links);
    let mut others: Vec<_> = (0..3).map(|_| peer.accept()).collect();
    say(&mut broken.accept(), b"x");
    running.panics();
    others.iter_mut().for_each(expect_end);
}

/// Refused, accepted, lost, made again, until all is well.
pub fn reconnects_after_refusals_and_losses(make: Make) {
    let (socket, address) = bound();
    let port = address.port();
    let (seen, news) = channel();
    let running = start(
        make,
        2,
        vec![link(port, move |toy, input| match input {
            Input::Closed(result) => {
                tell(&seen, result.map_err(|error| error.kind()));
                toy.until = Some(toy.now + Duration::from_millis(20));
            }
            Input::Timer => toy.connect("127.0.0.1", port, WITHIN),
            Input::Connected => toy.outbox.extend(b"hello\n"),
            Input::Received(bytes) => toy.outbox.extend(bytes),
            Input::Stop => toy.finish(),
            _ => {}
        })],
    );
    for _ in 0..3 {
        assert_eq!(next(&news, "refusal"), Err(ErrorKind::ConnectionRefused));
    }
    socket.listen(16).expect("a listener");
    let peer = Peer::on(socket.into());
    for n in 0..3 {
        let mut socket = peer.accept();
        expect(&mut socket, b"hello\n");
        say(&mut socket, format!("{n}\n").as_bytes());
        expect(&mut socket, format!("{n}\n").as_bytes());
        if n == 0 {
            // Unread bytes and a linger of zero make it a loss, not an orderly end.
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a socket");
        }
    }
    // Refusals may have gone on until there was a listener.
    let ends: Vec<_> = std::iter::from_fn(|| Some(next(&news, "end of a connection")))
        .filter(|end| *end != Err(ErrorKind::ConnectionRefused))
        .take(2)
        .collect();
    assert_eq!(ends, [Err(ErrorKind::ConnectionReset), Ok(())]);
    running.stop();
}

/// It cannot be resolved anywhere, nor does anybody have to ask a server about it.
pub fn an_unresolvable_name_is_an_error(make: Make) {
    let (seen, news) = channel();
    let script = move |toy: &mut super::toy::Toy, input: Input<'_>| {
        if let Input::Closed(result) = input {
            tell(&seen, result.is_err());
            toy.finish();
        }
    };
    let running = start(make, 1, vec![link_to(&"x".repeat(300), 1, WITHIN, script)]);
    assert!(next(&news, "answer"), "there is no such name, so it is an error");
    running.finish();
}

/// An attempt ends when its time is over, and not long after.
pub fn connecting_has_a_time_limit(make: Make) {
    let silent = Silent::new();
    let (seen, news) = channel();
    let (limit, begun) = (Duration::from_millis(300), Instant::now());
    let script = move |toy: &mut super::toy::Toy, input: Input<'_>| {
        if let Input::Closed(result) = input {
            tell(&seen, (result.map_err(|error| error.kind()), toy.now));
            toy.finish();
        }
    };
    let running = start(make, 1, vec![link_to("127.0.0.1", silent.port, limit, script)]);
    let (result, when) = next(&news, "end of the attempt");
    assert_eq!(result, Err(ErrorKind::TimedOut));
    assert!(when - begun >= limit, "gave up after {:?}", when - begun);
    running.finish();
}

/// A link hears of it while its attempt hangs, and may close the attempt or just end.
pub fn stops_while_connecting(make: Make) {
    let silent = Silent::new();
    let peer = Peer::new();
    let (seen, news) = channel();
    let far = 6 * WITHIN;
    let running = start(
        make,
        1,
        vec![
            link_to("127.0.0.1", silent.port, far, |toy, input| match input {
                Input::Stop => toy.close(),
                Input::Closed(result) => {
                    result.expect("we closed it ourselves");
                    toy.finish();
                }
                _ => panic!("unexpected {input:?}"),
            }),
            link_to("127.0.0.1", silent.port, far, |toy, input| match input {
                Input::Stop => toy.finish(),
                _ => panic!("unexpected {input:?}"),
            }),
            // Shows that the reactor is at work.
            link(peer.port(), move |toy, input| match input {
                Input::Connected => tell(&seen, ()),
                Input::Stop => toy.finish(),
                _ => {}
            }),
        ],
    );
    next(&news, "connection beside the attempts that hang");
    running.stop();
}

/// A wish from before `run` counts, and without links there is nothing to do.
pub fn stops_before_it_began(make: Make) {
    start(make, 1, vec![]).finish();
    let (peer, stop) = (Peer::new(), Stop::new());
    stop.stop();
    let links = (0..3).map(|_| {
        link(peer.port(), |toy, input| {
            if let Input::Stop = input {
                toy.finish();
            }
        })
    });
    start_with(make, 1, links.collect(), stop).finish();
}

/// What a peer said on one connection is never heard on the next, and `Close` is answered at once.
pub fn nothing_of_an_old_socket_arrives(make: Make) {
    const CONNECTIONS: u8 = 50;
    let peer = Peer::new();
    let port = peer.port();
    let mut number = 0;
    let running = start(
        make,
        1,
        vec![link(port, move |toy, input| match input {
            Input::Connected => toy.outbox.push(number),
            // The first bytes are answered with the end, though there is more to read and to write.
            Input::Received(bytes) => {
                assert!(bytes.iter().all(|byte| *byte == number), "bytes of another connection");
                toy.outbox.extend([number; 100_000]);
                toy.close();
            }
            Input::Closed(result) => {
                result.expect("we closed it ourselves");
                number += 1;
                if number == CONNECTIONS {
                    toy.finish();
                } else {
                    toy.connect("127.0.0.1", port, WITHIN);
                }
            }
            _ => {}
        })],
    );
    for number in 0..CONNECTIONS {
        let mut socket = peer.accept();
        expect(&mut socket, &[number]);
        // The link may be gone before all of it is written.
        let _ = socket.write_all(&[number; 300_000]);
        expect_end(&mut socket);
    }
    running.finish();
}

/// A job goes on when its connection is closed, and its outputs still arrive.
pub fn outputs_outlive_their_connection(make: Make) {
    let peer = Peer::new();
    let (open, wait) = gate();
    let (seen, news) = channel();
    let inline = make(super::toy::some(1)).inline();
    let running = start(
        make,
        1,
        vec![link(peer.port(), move |toy, input| match input {
            Input::Connected => {
                let wait = wait.clone();
                toy.run(7, move |emit| {
                    emit(b"part".to_vec());
                    wait();
                    emit(b"more".to_vec());
                    Some(b"end".to_vec())
                });
            }
            Input::Output(output) => {
                if output.bytes == b"part" {
                    toy.close();
                }
                assert!(output.bytes == b"part" || !toy.connected, "closed before");
                tell(&seen, String::from_utf8_lossy(&output.bytes).into_owned());
                if output.end.is_some() {
                    toy.finish();
                }
            }
            Input::Closed(result) => {
                result.expect("we closed it ourselves");
                tell(&seen, "closed".into());
            }
            _ => {}
        })],
    );
    let mut socket = peer.accept();
    assert_eq!(next(&news, "first part"), "part");
    if !inline {
        assert_eq!(next(&news, "answer to the close"), "closed");
        expect_end(&mut socket);
    }
    drop(open);
    let mut rest: Vec<_> = (0..if inline { 3 } else { 2 }).map(|_| next(&news, "rest")).collect();
    if inline {
        assert_eq!(rest.remove(0), "closed");
    }
    assert_eq!(rest, ["more", "end"]);
    running.finish();
}

/// The socket is closed in processes that jobs fork. Only Linux tells which file descriptor a connection has.
pub fn marks_its_sockets(make: Make) {
    let peer = Peer::new();
    let (seen, news) = channel();
    let running = start(
        make,
        1,
        vec![link(peer.port(), move |toy, input| match input {
            Input::Connected => tell(&seen, ()),
            Input::Stop => toy.finish(),
            _ => {}
        })],
    );
    let socket = peer.accept();
    next(&news, "connection");
    if cfg!(target_os = "linux") {
        let inode = inode_of(socket.peer_addr().expect("connected"), socket.local_addr().expect("connected"));
        let is_it = |fd: i32| {
            let file = fs::read_link(format!("/proc/self/fd/{fd}"));
            file.is_ok_and(|file| file.as_os_str() == format!("socket:[{inode}]").as_str())
        };
        assert!(close_on_fork().any(is_it), "the socket is not marked by CloseOnFork");
    }
    running.stop();
}

/// Of the socket at this end of a connection of ours.
fn inode_of(local: SocketAddr, remote: SocketAddr) -> String {
    let hex = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()),
        IpAddr::V6(_) => panic!("peers are at 127.0.0.1"),
    };
    let ends = [hex(local), hex(remote)];
    let table = fs::read_to_string("/proc/self/net/tcp").expect("Linux has it");
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|fields| fields.get(1..3).is_some_and(|found| found == ends));
    line.expect("the connection is in the table")[9].to_owned()
}
