//! The development broker over real sockets.
#![cfg(feature = "broker")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use stomp_wsgi::{
    broker::{BrokerConfig, BrokerHandle, BrokerServer},
    stomp::{Command, Frame, Limits, Parser, Version},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn broker() -> BrokerHandle {
    with(BrokerConfig::default())
}

fn with(config: BrokerConfig) -> BrokerHandle {
    BrokerServer::bind(loopback(), config).unwrap().spawn().unwrap()
}

/// A client that blocks.
struct Client {
    stream: TcpStream,
    parser: Parser,
    buffer: Vec<u8>,
}

impl Client {
    fn open(broker: &BrokerHandle) -> Self {
        let stream = TcpStream::connect(broker.local_addr()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, parser: Parser::new(Limits::default()), buffer: vec![0; 64 * 1024] }
    }

    fn connect(broker: &BrokerHandle) -> Self {
        let mut client = Self::open(broker);
        client.put("CONNECT\naccept-version:1.2\nhost:/\n\n\0");
        assert_eq!(client.frame().command, Command::Connected);
        client.parser.set_version(Version::V1_2);
        client
    }

    fn put(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// The next frame; `None` at the end.
    fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parser.next_frame().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut self.buffer).unwrap() {
                0 => return None,
                count => self.parser.feed(&self.buffer[..count]),
            }
        }
    }

    fn frame(&mut self) -> Frame {
        self.next().expect("a frame, not the end")
    }
}

fn escaped(frame: &Frame, name: &str) -> String {
    frame.headers.text(name).unwrap().replace('\\', "\\\\").replace(':', "\\c")
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_session_from_connect_to_disconnect() {
    let broker = broker();
    let mut client = Client::connect(&broker);
    client.put("SEND\ndestination:/queue/a\nreceipt:1\n\nhello\0");
    assert_eq!(client.frame().headers.text("receipt-id"), Some("1"));
    assert_eq!(broker.depth("/queue/a").waiting, 1);
    client.put("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\n\n\0");
    let message = client.frame();
    assert_eq!(&message.body[..], b"hello");
    assert_eq!(broker.depth("/queue/a").unacknowledged, 1);
    client.put(&format!("ACK\nid:{}\n\n\0DISCONNECT\nreceipt:bye\n\n\0", escaped(&message, "ack")));
    assert_eq!(client.frame().headers.text("receipt-id"), Some("bye"));
    assert!(client.next().is_none());
    assert_eq!(broker.depth("/queue/a"), Default::default());
}

#[test]
fn a_lost_consumer_gives_its_messages_to_the_next() {
    let broker = broker();
    let (mut lost, mut next) = (Client::connect(&broker), Client::connect(&broker));
    lost.put("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\n\n\0SEND\ndestination:/queue/a\n\nx\0");
    assert_eq!(lost.frame().command, Command::Message);
    next.put("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\n\n\0");
    drop(lost);
    assert_eq!(next.frame().headers.text("redelivered"), Some("true"));
}

/// D2, N6: an ERROR arrives although the client has sent more than is read at once.
#[test]
fn an_error_is_not_lost_to_a_reset() {
    let broker = broker();
    for _ in 0..20 {
        let mut client = Client::connect(&broker);
        client.put(&format!("SEND\n\n\0{}", "SEND\ndestination:/queue/never\n\nx\0".repeat(10_000)));
        assert_eq!(client.frame().command, Command::Error);
        assert!(client.next().is_none());
    }
    assert_eq!(broker.depth("/queue/never").waiting, 0);
}

/// D1: what was asked for before the client's end is still answered.
#[test]
fn half_closed_clients_get_their_receipt() {
    let broker = broker();
    let mut client = Client::connect(&broker);
    client.put("SEND\ndestination:/queue/a\n\nx\0DISCONNECT\nreceipt:bye\n\n\0");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.frame().headers.text("receipt-id"), Some("bye"));
    assert!(client.next().is_none());
}

#[test]
fn large_bodies_pass_whole() {
    let broker = broker();
    let (mut producer, mut consumer) = (Client::connect(&broker), Client::connect(&broker));
    consumer.put("SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\0");
    let body: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
    let sender = thread::spawn({
        let body = body.clone();
        move || {
            producer.put(&format!("SEND\ndestination:/queue/a\ncontent-length:{}\n\n", body.len()));
            producer.stream.write_all(&body).unwrap();
            producer.put("\0");
            producer
        }
    });
    assert!(consumer.frame().body == body, "20 MB arrive as they were sent");
    drop(sender.join().unwrap());
}

#[test]
fn heart_beats_go_both_ways() {
    let broker = broker();
    let mut client = Client::open(&broker);
    client.put("CONNECT\naccept-version:1.2\nhost:/\nheart-beat:100,100\n\n\0");
    assert_eq!(client.frame().headers.text("heart-beat"), Some("100,100"));
    let start = Instant::now();
    // The broker beats, and in the end complains of a client that does not.
    let mut came = Vec::new();
    client.stream.read_to_end(&mut came).unwrap();
    assert!(came.starts_with(b"\n\n"), "{}", came.escape_ascii());
    assert!(came.windows(5).any(|part| part == b"ERROR"), "{}", came.escape_ascii());
    assert!(start.elapsed() >= Duration::from_millis(200));
}

/// A producer that outruns its consumer waits in its own socket.
#[test]
fn producers_feel_the_memory_limit() {
    const MESSAGES: usize = 2_000;
    let broker = with(BrokerConfig::default().with_memory(1024 * 1024));
    let (mut producer, mut consumer) = (Client::connect(&broker), Client::connect(&broker));
    consumer
        .put("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:1\n\n\0");
    let sender = thread::spawn(move || {
        let body = "x".repeat(10_000);
        for _ in 0..MESSAGES {
            producer.put(&format!("SEND\ndestination:/queue/a\n\n{body}\0"));
        }
        producer.put("DISCONNECT\nreceipt:done\n\n\0");
        producer.frame().command
    });
    until("it fills up", || broker.depth("/queue/a").waiting >= 100);
    for _ in 0..MESSAGES {
        let message = consumer.frame();
        assert!(broker.depth("/queue/a").waiting < 250);
        consumer.put(&format!("ACK\nid:{}\n\n\0", escaped(&message, "ack")));
    }
    assert_eq!(sender.join().unwrap(), Command::Receipt);
}

#[test]
fn other_machines_are_let_in_only_on_request() {
    let anywhere = ([0, 0, 0, 0], 0).into();
    let error = BrokerServer::bind(anywhere, BrokerConfig::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind(loopback()).unwrap();
    let address = taken.local_addr().unwrap();
    let error = BrokerServer::bind(address, BrokerConfig::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn it_stops_when_asked() {
    let server = BrokerServer::bind(loopback(), BrokerConfig::default()).unwrap();
    let (stop, address) = (reactors::Stop::new(), server.local_addr());
    let running = thread::spawn({
        let stop = stop.clone();
        move || server.run(&stop)
    });
    let mut client = TcpStream::connect(address).unwrap();
    stop.stop();
    running.join().unwrap().unwrap();
    assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_handle_takes_its_broker_along() {
    let broker = broker();
    let (address, mut client) = (broker.local_addr(), Client::connect(&broker));
    drop(broker);
    assert!(TcpStream::connect(address).is_err());
    assert!(matches!(client.stream.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn many_clients_at_once() {
    let mut config = BrokerConfig::default();
    config.connections = 60;
    let broker = with(config);
    let mut clients: Vec<_> = (0..60).map(|_| Client::connect(&broker)).collect();
    assert_eq!(Client::open(&broker).frame().command, Command::Error);
    for client in &mut clients {
        client.put("SUBSCRIBE\nid:1\ndestination:/topic/a\nreceipt:s\n\n\0");
    }
    for client in &mut clients {
        assert_eq!(client.frame().command, Command::Receipt);
    }
    clients[0].put("SEND\ndestination:/topic/a\n\nx\0");
    for client in &mut clients {
        assert_eq!(client.frame().command, Command::Message);
    }
}

/// Many under way, as the worker does it: the reply with a receipt, then ACK.
#[test]
fn requests_and_replies() {
    const IN_FLIGHT: usize = 32;
    const REQUESTS: usize = 2_000;
    let broker = broker();
    let mut worker = Client::connect(&broker);
    worker.put(
        "SUBSCRIBE\nid:w\ndestination:/queue/work\nack:client-individual\nactivemq.prefetchSize:48\nreceipt:s\n\n\0",
    );
    assert_eq!(worker.frame().command, Command::Receipt);
    let mut requester = Client::connect(&broker);
    requester.put("SUBSCRIBE\nid:r\ndestination:/temp-queue/r\n\n\0");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut out, mut receipts) = (String::new(), 0);
            while receipts < REQUESTS {
                let mut next = Some(worker.frame());
                while let Some(frame) = next {
                    if frame.command == Command::Message {
                        let (to, id) = (escaped(&frame, "reply-to"), escaped(&frame, "correlation-id"));
                        out += &format!(
                            "SEND\ndestination:{to}\ncorrelation-id:{id}\nreceipt:{id}\n\nhello, world\0"
                        );
                        out += &format!("ACK\nid:{}\n\n\0", escaped(&frame, "ack"));
                    } else {
                        receipts += 1;
                    }
                    next = worker.parser.next_frame().unwrap();
                }
                worker.put(&std::mem::take(&mut out));
            }
        });
        let request = |n: usize| {
            format!(
                "SEND\ndestination:/queue/work\nreply-to:/temp-queue/r\ncorrelation-id:{n}\nhttp_requestMethod:GET\n\
                     http_requestUrl:/orders/{n}\ncontent-length:0\n\n\0"
            )
        };
        let mut sent = IN_FLIGHT;
        requester.put(&(0..sent).map(request).collect::<String>());
        let mut replies = 0;
        while replies < REQUESTS {
            let mut next = Some(requester.frame());
            let mut out = String::new();
            while let Some(frame) = next {
                assert_eq!(&frame.body[..], b"hello, world");
                replies += 1;
                if sent < REQUESTS {
                    out += &request(sent);
                    sent += 1;
                }
                next = requester.parser.next_frame().unwrap();
            }
            requester.put(&out);
        }
    });
}
