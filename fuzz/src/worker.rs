//! A whole server in virtual time, between any broker and any timing: the input says what happens next.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stomp_wsgi::app::{AppError, Reply};
use stomp_wsgi::config::{Config, DeliveryMode};
use stomp_wsgi::dispatcher::Dispatcher;
use stomp_wsgi::http::{Head, Request, Status};
use stomp_wsgi::reactors::{Action, End, Input, Job, Link, OUTBOX_HIGH_WATER, Output, Reactor, Stop};
use stomp_wsgi::stomp::{
    Command, Encoder, Event, Frame, Lengths, Limits, Parser, Session, SessionConfig, Version,
};

use super::Octets;

/// The largest bodies of `message` are too large.
const LIMITS: Limits = Limits { header_line: 1024, headers: 32, head: 4096, body: 200 };
const PREFETCH: u32 = 4;
/// The most octets that are received at once.
const READ: usize = 4096;
/// The shortest MESSAGE.
const SHORTEST: usize = b"MESSAGE\n\n\0".len();
/// Where the requests come from, and no reply may go.
const CONSUMED: &str = "/queue/in";

/// One octet of options; then steps.
pub fn check(data: &[u8]) {
    let mut octets = Octets(data);
    let options = octets.byte();
    let brokers = match options & 3 {
        0 => "stomp://a",
        1 => "failover:(stomp://bob:hush@a,stomp://b:2)?randomize=true",
        2 => "failover:(stomp://a)?maxReconnectAttempts=3&initialReconnectDelay=1",
        _ => "failover:(stomp://a,stomp://b)?useExponentialBackOff=false&startupMaxReconnectAttempts=2",
    };
    fastrand::seed(options.into());
    let mut config = Config::new(brokers.parse().expect("a good URI"));
    let topic = (options & 4 != 0).then_some("/topic/news");
    config = config.destinations([CONSUMED].into_iter().chain(topic)).expect("good destinations");
    config.prefetch = PREFETCH.try_into().ok();
    config.limits = LIMITS;
    config.policy.max_attempts = 3;
    config.mapping.max_reply = Some(2048);
    config.delivery = match options >> 4 & 3 {
        1 => DeliveryMode::AtMostOnce,
        2 => DeliveryMode::Transactional,
        _ => DeliveryMode::AtLeastOnce,
    };
    config.request_timeout = (options & 64 != 0).then_some(Duration::from_secs(5));
    // It would take a thread, and the time here is not the system's.
    config.stuck_after = None;
    let reactor = Script { octets: RefCell::new(octets), inline: options & 8 != 0 };
    // Refused, or tried as often as was asked: both are ends that it may come to.
    let _ = Dispatcher::new(config, Arc::new(app), reactor).run(&Stop::new());
}

/// Does what the request says: `/503`, `/fail`, or a block for each octet of the query.
fn app(request: &Request, reply: &mut dyn Reply) -> Result<(), AppError> {
    let path = &request.path[1.min(request.path.len())..];
    let code = std::str::from_utf8(path).ok().and_then(|code| code.parse().ok());
    let mut head = Head::new(Status::of(code.filter(|code| (100..=999).contains(code)).unwrap_or(200)));
    for (name, value) in request.headers.iter() {
        let _ = head.header(name, value);
    }
    if path != b"mute" {
        reply.start(head);
    }
    for block in request.query.chunks(1).chain([&request.body[..]]) {
        let _ = reply.block(block);
    }
    if path == b"fail" { Err(AppError("as was asked".to_owned())) } else { Ok(()) }
}

struct Script<'a> {
    octets: RefCell<Octets<'a>>,
    inline: bool,
}

impl Reactor for Script<'_> {
    fn name(&self) -> &'static str {
        "script"
    }

    fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn inline(&self) -> bool {
        self.inline
    }

    fn run(&self, links: Vec<Box<dyn Link>>, _: &Stop) -> io::Result<()> {
        let mut octets = self.octets.borrow_mut();
        for link in links {
            let mut seat = Seat::new(link);
            while !octets.is_empty() && !seat.finished {
                seat.step(&mut octets);
            }
            seat.leave();
        }
        Ok(())
    }
}

/// A link between its reactor and its broker.
struct Seat {
    link: Box<dyn Link>,
    now: Instant,
    socket: Socket,
    until: Option<Instant>,
    read: bool,
    finished: bool,
    stopped: bool,
    /// Handed out, and not run: with the number of the connection.
    jobs: VecDeque<(usize, Job)>,
    outputs: VecDeque<Output>,
    connection: usize,
    /// Reads what the link sends, as the broker does.
    parser: Parser,
    greeted: bool,
    /// What the link has not sent yet, as it was seen last.
    outbox: Vec<u8>,
    /// Reads what the broker sends, as the link does.
    session: Option<Session>,
    delivered: usize,
    acknowledged: usize,
    /// Transactions between BEGIN and COMMIT, by name.
    open: BTreeSet<Vec<u8>>,
    lengths: Lengths,
    /// Receipts that the link asked for.
    receipts: VecDeque<Vec<u8>>,
}

#[derive(PartialEq)]
enum Socket {
    None,
    Connecting,
    Open,
}

impl Seat {
    fn new(link: Box<dyn Link>) -> Self {
        let mut seat = Self {
            link,
            now: Instant::now(),
            socket: Socket::None,
            until: None,
            read: true,
            finished: false,
            stopped: false,
            jobs: VecDeque::new(),
            outputs: VecDeque::new(),
            connection: 0,
            parser: Parser::new(Limits::default()),
            greeted: false,
            outbox: Vec::new(),
            session: None,
            delivered: 0,
            acknowledged: 0,
            open: BTreeSet::new(),
            lengths: Lengths::Claimed,
            receipts: VecDeque::new(),
        };
        seat.poll();
        seat
    }

    fn step(&mut self, octets: &mut Octets<'_>) {
        match octets.byte() % 20 {
            0 => self.connected(),
            1 => self.lost(Err(io::ErrorKind::ConnectionReset.into())),
            2 => self.lost(Ok(())),
            3 => {
                let len = octets.number() % READ;
                self.received(octets.take(len));
            }
            4 => {
                let version = ["1.0", "1.1", "1.2", "2.0"][usize::from(octets.byte() & 3)];
                let server = ["ActiveMQ/5.17.2", "RabbitMQ/3.10.8", "ActiveMQ-Artemis/2.31.0", "x"]
                    [usize::from(octets.byte() & 3)];
                let beat = ["10000,10000", "0,0", "1,1", "18446744073709551615,18446744073709551615"]
                    [usize::from(octets.byte() & 3)];
                let frame = format!("CONNECTED\nversion:{version}\nserver:{server}\nheart-beat:{beat}\n\n\0");
                self.received(frame.as_bytes());
            }
            5 => self.message(octets),
            6 => self.receipt(true),
            7 => self.receipt(false),
            8 => {
                let id = self.receipts.front().cloned().unwrap_or_default();
                self.encoded(Command::Error, &[("message", b"no"), ("receipt-id", &id)], b"");
            }
            9 => self.encoded(Command::Error, &[("message", b"no")], b"because"),
            10 => self.sent(usize::MAX),
            11 => self.sent(octets.byte().into()),
            12 => self.work(true),
            13 => self.work(false),
            14 => self.output(),
            15 => (0..octets.byte()).for_each(|_| self.output()),
            16 => self.pass(Duration::from_millis((octets.number() as u64) << (octets.byte() & 7))),
            17 => {
                if let Some((_, job)) = self.jobs.pop_front() {
                    self.outputs.push_back(Output {
                        job: job.id(),
                        bytes: Vec::new(),
                        end: Some(End::Failed),
                    });
                }
            }
            18 => self.stop(),
            _ => self.received(b"\n"),
        }
    }

    /// However it was left, it ends: in the time of a drain and a goodbye.
    fn leave(&mut self) {
        self.stop();
        for _ in 0..10 {
            while !self.jobs.is_empty() {
                self.work(true);
            }
            while !self.outputs.is_empty() {
                let waiting = self.outputs.len();
                self.output();
                if self.outputs.len() == waiting {
                    self.sent(usize::MAX);
                    if self.socket != Socket::Open && !self.finished {
                        break;
                    }
                }
            }
            self.pass(Duration::from_secs(6));
        }
        assert!(self.finished, "a link ends when its time to drain is up");
    }

    fn give(&mut self, input: Input<'_>) {
        if self.finished {
            return; // nothing reaches a link that has finished
        }
        self.link.handle(self.now, input);
        self.poll();
    }

    fn poll(&mut self) {
        // Each action but `Run` answers an input; of jobs there are no more than messages in one read.
        for _ in 0..100_000 {
            match self.link.poll() {
                Action::Connect { .. } => {
                    assert!(self.socket == Socket::None, "one socket at a time");
                    self.socket = Socket::Connecting;
                }
                Action::Close => {
                    assert!(self.socket != Socket::None, "there has to be a socket to close");
                    self.socket = Socket::None;
                    self.link.handle(self.now, Input::Closed(Ok(())));
                }
                Action::Run(job) => self.jobs.push_back((self.connection, job)),
                Action::Wait { until, read } => {
                    (self.until, self.read) = (until, read);
                    return self.look();
                }
                Action::Finished => return self.finished = true,
                other => panic!("unknown action {other:?}"),
            }
        }
        panic!("the link never comes to rest");
    }

    /// What has to hold whenever the link is at rest.
    fn look(&mut self) {
        if self.socket == Socket::Open {
            let outbox = self.link.outbox();
            assert!(outbox.starts_with(&self.outbox), "an outbox grows at its end only");
            self.outbox = outbox.to_vec();
        }
        let ours = self.jobs.iter().filter(|(connection, _)| *connection == self.connection).count();
        let window = 2 * PREFETCH as usize * 2;
        assert!(ours <= window + READ / SHORTEST, "{ours} jobs are in hand");
    }

    fn connected(&mut self) {
        if self.socket == Socket::Connecting {
            self.socket = Socket::Open;
            self.connection += 1;
            self.parser = Parser::new(Limits::default());
            self.greeted = false;
            self.outbox.clear();
            self.receipts.clear();
            (self.delivered, self.acknowledged) = (0, 0);
            self.open.clear();
            let config = SessionConfig { limits: LIMITS, ..SessionConfig::default() };
            let config = SessionConfig { cut_long_messages: true, tolerate_messages: true, ..config };
            self.session = Some(Session::connect(&config, self.now, &mut Vec::new()));
            self.give(Input::Connected);
        }
    }

    fn lost(&mut self, result: io::Result<()>) {
        // Nobody was connected where there was no end.
        if self.socket == Socket::Open || self.socket == Socket::Connecting && result.is_err() {
            self.socket = Socket::None;
            self.give(Input::Closed(result));
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        if self.socket != Socket::Open || !self.read || bytes.is_empty() {
            return;
        }
        if let Some(session) = &mut self.session {
            session.received(self.now, bytes);
            while let Ok(Some(event)) = session.next_event() {
                self.delivered += usize::from(matches!(event, Event::Message(_)));
                if let Event::Connected(connected) = &event {
                    let is_last = connected.server.as_deref() == Some("RabbitMQ/3.10.8");
                    self.lengths = if is_last { Lengths::Last } else { Lengths::Claimed };
                    session.set_lengths(self.lengths, "");
                    session.set_needed(match session.version() {
                        Version::V1_2 => &["message-id", "subscription", "ack"],
                        _ => &["message-id", "subscription"],
                    });
                }
            }
            session.take_doubt();
        }
        self.give(Input::Received(bytes));
    }

    fn version(&self) -> Version {
        self.session.as_ref().map_or(Version::V1_2, Session::version)
    }

    fn encoded(&mut self, command: Command, headers: &[(&str, &[u8])], body: &[u8]) {
        let mut bytes = Vec::new();
        let mut frame = Encoder::new(&mut bytes, self.version(), command);
        for (name, value) in headers {
            frame = frame.header(name, value);
        }
        if body.is_empty() {
            frame.finish()
        } else {
            frame.body(body)
        }
        self.received(&bytes);
    }

    /// A request, mostly a good one.
    fn message(&mut self, octets: &mut Octets<'_>) {
        let shape = octets.byte();
        let id = [octets.byte() & 7];
        let len = octets.byte().into();
        let url: &[u8] = [&b"/"[..], b"/503?ab", b"/fail", b"/404", b"/mute?a", b"/204", b"/fail?xy", b"a b"]
            [usize::from(shape & 7)];
        let reply_to: &[u8] =
            [&b"/temp-queue/r"[..], b"", b"/topic/no", CONSUMED.as_bytes()][usize::from(shape >> 3 & 3)];
        let stream: &[u8] = if shape & 32 == 0 { b"" } else { b"true" };
        let method: &[u8] = if shape & 64 == 0 { b"POST" } else { b"NOTIFY" };
        let expires: &[u8] = if shape & 128 == 0 { b"0" } else { b"1" };
        let headers = [
            ("subscription", &b"0"[..]),
            ("message-id", &id),
            ("ack", &id),
            ("destination", CONSUMED.as_bytes()),
            ("reply-to", reply_to),
            ("http_requestUrl", url),
            ("http_requestMethod", method),
            ("http_acceptStream", stream),
            ("expires", expires),
        ];
        self.encoded(Command::Message, &headers, octets.take(len));
    }

    fn receipt(&mut self, oldest: bool) {
        let id = if oldest { self.receipts.pop_front() } else { self.receipts.pop_back() };
        if let Some(id) = id {
            self.encoded(Command::Receipt, &[("receipt-id", &id)], b"");
        }
    }

    /// The socket takes up to so many octets.
    fn sent(&mut self, len: usize) {
        let len = len.min(self.outbox.len());
        if self.socket != Socket::Open || len == 0 {
            return;
        }
        let bytes: Vec<u8> = self.outbox.drain(..len).collect();
        self.parser.feed(&bytes);
        loop {
            // No frame but CONNECT is sent before CONNECTED has come.
            if self.greeted {
                self.parser.set_version(self.version());
            }
            match self.parser.next_frame().expect("what a link sends is STOMP") {
                Some(frame) => self.frame(&frame),
                None => break,
            }
        }
        self.give(Input::Sent(len));
    }

    fn frame(&mut self, frame: &Frame) {
        assert_eq!(self.greeted, frame.command != Command::Connect, "CONNECT first, and once");
        if !self.greeted {
            self.greeted = true;
            return;
        }
        let count = |name: &str| frame.headers.iter().filter(|(known, _)| *known == name.as_bytes()).count();
        match frame.command {
            Command::Subscribe | Command::Disconnect => {}
            Command::Begin | Command::Commit | Command::Abort => {
                // The link asks whether a body goes on, by a RECEIPT that nobody can guess.
                let probe = frame.headers.text("receipt").filter(|receipt| receipt.starts_with("probe-"));
                if let (Some(probe), Some(session)) = (probe, &mut self.session) {
                    session.set_lengths(self.lengths, probe);
                }
                let name = frame.headers.get("transaction").expect("each has a name").to_vec();
                let changed = if frame.command == Command::Begin {
                    self.open.insert(name)
                } else {
                    self.open.remove(&name)
                };
                assert!(changed, "a transaction begins once, and ends once");
            }
            Command::Ack => {
                self.acknowledged += 1;
                assert!(self.acknowledged <= self.delivered, "an ACK for each message, and no more");
            }
            Command::Send => {
                assert_eq!((count("destination"), count("receipt")), (1, 1));
                assert_ne!(frame.headers.text("destination"), Some(CONSUMED), "no reply becomes a request");
                if let Some(name) = frame.headers.get("transaction") {
                    assert!(self.open.contains(name), "within one that has begun");
                }
                let injected = ["redelivered", "ack", "subscription"].map(count);
                assert_eq!(injected, [0; 3], "no header but ours");
            }
            // Of a message with two ids each is tried: the broker knows which is its own.
            Command::Nack if frame.headers.get("receipt") == Some(b"tampered") => {}
            Command::Nack => {
                self.acknowledged += 1;
                assert!(self.acknowledged <= self.delivered, "a NACK is in place of an ACK");
                assert_ne!(self.version(), Version::V1_0, "which has none");
            }
            other => panic!("a worker sends no {other}"),
        }
        if let Some(receipt) = frame.headers.get("receipt") {
            self.receipts.push_back(receipt.to_vec());
        }
    }

    fn work(&mut self, oldest: bool) {
        let job = if oldest { self.jobs.pop_front() } else { self.jobs.pop_back() };
        if let Some((_, job)) = job {
            let outputs = &mut self.outputs;
            job.run(&mut |output| outputs.push_back(output));
        }
    }

    fn output(&mut self) {
        // A full outbox makes workers wait.
        if self.socket == Socket::Open && self.outbox.len() > OUTBOX_HIGH_WATER {
            return;
        }
        if let Some(output) = self.outputs.pop_front() {
            self.give(Input::Output(output));
        }
    }

    /// Lets time pass, with the timers that fall due: the first of them at least, for a beat may be due each millisecond.
    fn pass(&mut self, time: Duration) {
        let then = self.now + time;
        for _ in 0..20 {
            let Some(at) = self.until.filter(|at| *at <= then && !self.finished) else { break };
            self.now = self.now.max(at);
            self.give(Input::Timer);
            assert!(
                self.finished || self.until.is_none_or(|until| until > at),
                "a timer that was served is not due still"
            );
        }
        self.now = then;
        if self.until.is_some_and(|at| at <= then) {
            self.give(Input::Timer);
        }
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.give(Input::Stop);
        }
    }
}
