//! The load: requests for one server, and their answers, on one thread and one connection.
//!
//! Driven `direct`, this is the server's broker, and nothing else is in the way. Otherwise it is a requester of a real
//! broker. Either way a request counts from the moment at which it was to be sent, not from that at which it was.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    time::{ClockId, clock_gettime},
};

use super::{
    report::Load,
    server::{Server, Usage},
};
use crate::{
    link::{Dialect, Outbox, Replies},
    stomp::{Command, Encoder, Frame, Limits, Parser, Secrets, Version},
    tls::{self, Tls},
    uri::{Address, Brokers},
};

/// What is asked, again and again.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Where; each in turn.
    pub(super) destinations: Vec<String>,
    /// Octets of its body.
    pub(super) body: usize,
}

/// What a round found.
pub(super) struct Measured {
    pub(super) latency: Histogram<u64>,
    pub(super) errors: u64,
    /// The time that was measured.
    pub(super) time: Duration,
    pub(super) before: Usage,
    pub(super) after: Usage,
    /// Processor time of this thread meanwhile.
    pub(super) driver: Duration,
    /// Busy and all ticks of the machine meanwhile.
    pub(super) machine: (u64, u64),
    /// All requests of the round, measured or not.
    pub(super) sent: u64,
}

/// Answers that may be late at once; an open loop that is further behind waits for some, and their latency shows it.
const MOST: u64 = 16 * 1024;
/// Without any answer for so long, a server counts as dead.
const PATIENCE: Duration = Duration::from_secs(20);
/// Stands where a request's number will: all frames have the same length.
const NUMBER: &str = "NNNNNNNNNNNN";
/// Octets that are read at once.
const READ: usize = 256 * 1024;

/// One connection, over which requests go and answers come.
pub(super) struct Driver {
    socket: TcpStream,
    /// Between the socket and the frames, where the broker wants it.
    tls: Option<tls::Stream>,
    /// What TLS made of what was read; kept for its buffer.
    plain: Vec<u8>,
    parser: Parser,
    /// What no error of ours shows.
    secrets: Secrets,
    role: Role,
    buffer: Vec<u8>,
    out: Outbox,
    /// What a request begins with, for each destination.
    heads: Vec<Head>,
    /// The body, and the end of the frame.
    tail: Vec<u8>,
    next: u64,
    /// The time at which a request was to be sent, in the place of its number.
    waiting: Vec<Option<Instant>>,
    unanswered: u64,
    errors: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The server's broker: MESSAGE goes, SEND comes.
    Broker,
    /// A requester: SEND goes, MESSAGE comes.
    Requester,
}

/// A request without its body.
struct Head {
    frame: Vec<u8>,
    /// Where its number is to stand.
    numbers: Vec<usize>,
}

impl Head {
    fn new(command: Command, headers: &[(&str, &str)], body: usize) -> Self {
        let mut frame = Vec::new();
        let start = Encoder::new(&mut frame, Version::V1_2, command);
        headers
            .iter()
            .fold(start, |frame, (name, value)| frame.header(name, value))
            .header("http_requestMethod", if body > 0 { "POST" } else { "GET" })
            .header("http_requestUrl", "/")
            .header("Host", "bench")
            .finish();
        // In the place of the empty line and the NUL.
        frame.truncate(frame.len() - 2);
        frame.extend_from_slice(format!("content-length:{body}\n\n").as_bytes());
        let numbers = memchr::memmem::find_iter(&frame, NUMBER).collect();
        Self { frame, numbers }
    }
}

/// A broker's place that waits for its server.
pub(super) struct Direct(TcpListener);

impl Direct {
    pub(super) fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The driver of the server that comes; it has subscribed by then.
    pub(super) fn accept(&self, server: &mut Server, request: &Request) -> anyhow::Result<Driver> {
        let deadline = Instant::now() + PATIENCE;
        let socket = loop {
            match self.0.accept() {
                Ok((socket, _)) => break socket,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                Err(_) if Instant::now() > deadline => {
                    bail!("the server did not connect within {PATIENCE:?}")
                }
                Err(_) => {
                    server.check()?;
                    wait(&self.0, PollFlags::IN, Duration::from_millis(5))?;
                }
            }
        };
        let mut driver = Driver::new(socket, Role::Broker, request.body)?;
        let name = format!("bench-{NUMBER}");
        for _ in &request.destinations {
            let subscribe = driver.until(Command::Subscribe)?;
            let said = |header| subscribe.headers.text(header).context("a SUBSCRIBE that says too little");
            let headers = [
                ("subscription", said("id")?),
                ("message-id", &name),
                ("ack", &name),
                ("destination", said("destination")?),
                ("reply-to", "/queue/replies"),
                ("correlation-id", NUMBER),
                ("timestamp", "1700000000000"),
                ("expires", "0"),
                ("priority", "4"),
            ];
            driver.heads.push(Head::new(Command::Message, &headers, request.body));
        }
        Ok(driver)
    }
}

impl Driver {
    /// A requester of a real broker, and what that calls itself. Some brokers unescape CONNECT and others do not, so
    /// both ways are tried if login or passcode has a backslash and `--dialect` is not given.
    pub(super) fn connect(brokers: &Brokers, request: &Request) -> anyhow::Result<(Self, String)> {
        let escapes = brokers.dialect.is_none_or(|dialect| dialect.row().unescapes_connect);
        let connected = Self::attempt(brokers, request, escapes);
        let backslash = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\\'));
        let ambiguous =
            brokers.addresses.first().is_some_and(|one| backslash(&one.login) || backslash(&one.passcode));
        if connected.is_err() && ambiguous && brokers.dialect.is_none() {
            return Self::attempt(brokers, request, !escapes);
        }
        connected
    }

    fn attempt(brokers: &Brokers, request: &Request, escapes: bool) -> anyhow::Result<(Self, String)> {
        let spelled = |text: &str| if escapes { text.replace('\\', "\\\\") } else { text.to_owned() };
        let address = brokers.addresses.first().context("no broker was named")?;
        let socket = TcpStream::connect((address.host.as_str(), address.port))
            .with_context(|| format!("cannot connect to {address}"))?;
        let mut driver = Self::new(socket, Role::Requester, request.body)?;
        driver.secrets = brokers.secrets();
        driver.secure(brokers, address)?;
        let mut connect = Encoder::new(driver.out.tail(), Version::V1_2, Command::Stomp)
            .header("accept-version", "1.2")
            .header("host", brokers.virtual_host.as_deref().unwrap_or("/"));
        if let Some(login) = &address.login {
            connect = connect.header("login", spelled(login));
        }
        if let Some(passcode) = &address.passcode {
            connect = connect.header("passcode", spelled(passcode));
        }
        connect.finish();
        let connected = driver.until(Command::Connected)?;
        let name = connected.headers.text("server");
        let dialect = brokers.dialect.or_else(|| Dialect::of(name)).unwrap_or_default();
        let name = name.unwrap_or("a broker without a name").to_owned();
        let kind = if dialect.row().replies == Replies::Plain { "queue" } else { "temp-queue" };
        let replies = format!("/{kind}/bench-{:x}", fastrand::u64(..));
        if dialect.row().replies != Replies::Implied {
            let mut subscribe = Encoder::new(driver.out.tail(), Version::V1_2, Command::Subscribe)
                .header("id", "replies")
                .header("destination", &replies)
                .header("ack", "auto")
                .header("receipt", "subscribed");
            if let Some((name, value)) = dialect.subscription_type(&replies) {
                subscribe = subscribe.header(name, value);
            }
            subscribe.finish();
            driver.until(Command::Receipt)?;
        }
        for destination in &request.destinations {
            let mut headers =
                vec![("destination", &**destination), ("reply-to", &replies), ("correlation-id", NUMBER)];
            headers.extend(dialect.destination_type(destination.as_bytes()));
            driver.heads.push(Head::new(Command::Send, &headers, request.body));
        }
        Ok((driver, name))
    }

    fn new(socket: TcpStream, role: Role, body: usize) -> anyhow::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut parser = Parser::new(Limits::default());
        parser.set_version(Version::V1_2);
        let mut tail = vec![b'x'; body];
        tail.push(0);
        Ok(Self {
            socket,
            tls: None,
            plain: Vec::new(),
            parser,
            secrets: Secrets::default(),
            role,
            buffer: vec![0; READ],
            out: Outbox::default(),
            heads: Vec::new(),
            tail,
            next: 0,
            waiting: vec![None; MOST as usize],
            unanswered: 0,
            errors: 0,
        })
    }

    /// Begins TLS, where the address wants it.
    #[cfg_attr(not(feature = "tls"), allow(unreachable_code, reason = "there is no TLS to begin"))]
    fn secure(&mut self, brokers: &Brokers, address: &Address) -> anyhow::Result<()> {
        if address.tls {
            let tls = brokers.tls.clone().map_or_else(Tls::system, Ok).map_err(anyhow::Error::msg)?;
            self.tls = Some(tls.connect(&address.host).map_err(anyhow::Error::msg)?);
        }
        Ok(())
    }

    /// Goes on until a frame of this kind has come.
    fn until(&mut self, command: Command) -> anyhow::Result<Frame> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(frame) = self.parser.next_frame().map_err(|error| error.redacted(&self.secrets))? {
                let found = frame.command == command;
                if !found && frame.command == Command::Error {
                    bail!("the broker refused the load: {}", frame.redacted_complaint(&self.secrets));
                }
                self.greet(&frame);
                if found {
                    return Ok(frame);
                }
            }
            ensure!(
                Instant::now() < deadline,
                "no {command:?} within {PATIENCE:?}",
                command = command.as_str()
            );
            self.exchange(Duration::from_millis(50))?;
        }
    }

    /// What a broker says to a client that comes.
    fn greet(&mut self, frame: &Frame) {
        if self.role == Role::Requester {
            return;
        }
        if matches!(frame.command, Command::Connect | Command::Stomp) {
            let server = concat!("stomp-wsgi-bench/", env!("CARGO_PKG_VERSION"));
            Encoder::new(self.out.tail(), Version::V1_2, Command::Connected)
                .header("version", "1.2")
                .header("heart-beat", "0,0")
                .header("server", server)
                .finish();
        } else if let Some(receipt) = frame.headers.get("receipt") {
            Encoder::new(self.out.tail(), Version::V1_2, Command::Receipt)
                .header("receipt-id", receipt)
                .finish();
        }
    }

    /// One round: warms up, measures, and waits until all is answered.
    pub(super) fn round(
        &mut self,
        load: Load,
        warm_up: Duration,
        time: Duration,
        server: &mut Server,
    ) -> anyhow::Result<Measured> {
        let begun = Instant::now();
        let (from, end) = (begun + warm_up, begun + warm_up + time);
        let (first, mut due) = (self.next, begun);
        let (mut before, mut after) = (None, None);
        let mut latency = Histogram::new(3)?;
        let mut answered_at = begun;
        loop {
            let now = Instant::now();
            if before.is_none() && now >= from {
                before = Some(Sample::take(server)?);
                self.errors = 0;
            }
            if after.is_none() && now >= end {
                after = Some(Sample::take(server)?);
            }
            if now < end {
                self.ask(load, now, &mut due);
            } else if self.unanswered == 0 && self.outbox().is_empty() {
                break;
            }
            let patience = match load {
                Load::Rate(_) if now < end => due.saturating_duration_since(now),
                _ if now < from => from - now,
                _ if now < end => end - now,
                _ => Duration::from_secs(1),
            };
            self.exchange(patience)?;
            let measuring = before.is_some() && after.is_none();
            if self.take(measuring.then_some(&mut latency))? {
                answered_at = Instant::now();
            } else if answered_at.elapsed() > PATIENCE {
                server.check()?;
                bail!("no answer within {PATIENCE:?}");
            }
        }
        let (Some(before), Some(after)) = (before, after) else { bail!("a round had no time to measure") };
        Ok(Measured {
            latency,
            errors: self.errors,
            time: after.at - before.at,
            before: before.server,
            after: after.server,
            driver: after.own.saturating_sub(before.own),
            machine: (after.machine.0 - before.machine.0, after.machine.1 - before.machine.1),
            sent: self.next - first,
        })
    }

    /// One request, and how long its answer took from now.
    pub(super) fn once(&mut self, server: &mut Server) -> anyhow::Result<()> {
        self.request(Instant::now());
        let deadline = Instant::now() + PATIENCE;
        while self.unanswered > 0 {
            ensure!(Instant::now() < deadline, "no answer within {PATIENCE:?}");
            self.exchange(Duration::from_millis(50))?;
            self.take(None)?;
            server.check()?;
        }
        Ok(())
    }

    /// Asks for what is to be asked by now.
    fn ask(&mut self, load: Load, now: Instant, due: &mut Instant) {
        match load {
            Load::InFlight(most) => {
                while self.unanswered < most as u64 && self.has_room() {
                    self.request(now);
                }
            }
            Load::Rate(rate) => {
                while *due <= now && self.has_room() {
                    self.request(*due);
                    *due += Duration::from_secs_f64(1.0 / rate);
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.waiting[(self.next % MOST) as usize].is_none()
    }

    fn request(&mut self, due: Instant) {
        let head = &self.heads[(self.next % self.heads.len() as u64) as usize];
        let out = self.out.tail();
        let start = out.len();
        out.extend_from_slice(&head.frame);
        let mut digits = [b'0'; NUMBER.len()];
        let mut text = itoa::Buffer::new();
        let number = text.format(self.next).as_bytes();
        digits[NUMBER.len() - number.len()..].copy_from_slice(number);
        for place in &head.numbers {
            out[start + place..][..NUMBER.len()].copy_from_slice(&digits);
        }
        out.extend_from_slice(&self.tail);
        self.waiting[(self.next % MOST) as usize] = Some(due);
        self.next += 1;
        self.unanswered += 1;
    }

    /// Takes what has come. Whether there was an answer in it.
    fn take(&mut self, mut latency: Option<&mut Histogram<u64>>) -> anyhow::Result<bool> {
        let (mut any, now) = (false, Instant::now());
        while let Some(frame) = self.parser.next_frame().map_err(|error| error.redacted(&self.secrets))? {
            let answer = match self.role {
                Role::Broker => Command::Send,
                Role::Requester => Command::Message,
            };
            match frame.command {
                command if command == answer => {}
                Command::Error => {
                    bail!("the broker ended the connection: {}", frame.redacted_complaint(&self.secrets))
                }
                Command::Disconnect => bail!("the server left"),
                _ => continue,
            }
            if let (Role::Broker, Some(receipt)) = (self.role, frame.headers.get("receipt")) {
                Encoder::new(self.out.tail(), Version::V1_2, Command::Receipt)
                    .header("receipt-id", receipt)
                    .finish();
            }
            if frame.headers.get("http_statusCode").is_some_and(|code| code != b"200") {
                self.errors += 1;
            }
            if frame.headers.get("http_moreContent") == Some(b"true") {
                continue;
            }
            let number: u64 = frame.headers.text("correlation-id").unwrap_or_default().parse()?;
            let due =
                self.waiting[(number % MOST) as usize].take().context("an answer that nobody waits for")?;
            self.unanswered -= 1;
            any = true;
            if let Some(latency) = &mut latency {
                latency.record((now - due).as_nanos() as u64)?;
            }
        }
        Ok(any)
    }

    /// What the socket is to be given.
    fn outbox(&self) -> &Outbox {
        self.tls.as_ref().map_or(&self.out, tls::Stream::outbox)
    }

    /// Writes what there is, and reads what comes in this time.
    fn exchange(&mut self, patience: Duration) -> anyhow::Result<()> {
        if let Some(tls) = &mut self.tls {
            ensure!(!tls.is_closed(), "the connection was closed");
            tls.seal(&mut self.out).map_err(anyhow::Error::msg)?;
        }
        if !self.outbox().is_empty() {
            match (&self.socket).write(self.outbox().pending()) {
                Ok(n) => match &mut self.tls {
                    Some(tls) => tls.take(n),
                    None => self.out.take(n),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("the connection broke"),
            }
        }
        let mut interest = PollFlags::IN;
        if !self.outbox().is_empty() {
            interest |= PollFlags::OUT;
        }
        wait(&self.socket, interest, patience)?;
        match self.socket.read(&mut self.buffer) {
            Ok(0) => bail!("the connection was closed"),
            Ok(n) => match &mut self.tls {
                None => self.parser.feed(&self.buffer[..n]),
                Some(tls) => {
                    self.plain.clear();
                    tls.open(&self.buffer[..n], &mut self.plain).map_err(anyhow::Error::msg)?;
                    self.parser.feed(&self.plain);
                }
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("the connection broke"),
        }
        Ok(())
    }
}

/// Waits until there is something to do.
fn wait(fd: &impl std::os::fd::AsFd, interest: PollFlags, patience: Duration) -> anyhow::Result<()> {
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    match poll(&mut [PollFd::new(fd, interest)], Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What everything had used at a moment.
struct Sample {
    at: Instant,
    server: Usage,
    own: Duration,
    machine: (u64, u64),
}

impl Sample {
    fn take(server: &Server) -> anyhow::Result<Self> {
        let own = clock_gettime(ClockId::ThreadCPUTime);
        Ok(Self {
            server: server.usage()?,
            machine: super::server::machine_time()?,
            own: Duration::new(own.tv_sec as u64, own.tv_nsec as u32),
            at: Instant::now(),
        })
    }
}
