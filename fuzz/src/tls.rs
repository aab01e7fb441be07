//! A server behind TLS, in virtual time: the input says what the broker's side of TLS sends, before the handshake, during
//! it and after it, and how it is cut, changed and mixed with octets that are no TLS.
//!
//! The server is driven as by a reactor. Its peer is a real TLS server (rustls) with the certificate in `tls/`.

use std::{
    cell::RefCell,
    io::{self, Read, Write},
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig, ServerConnection, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use stomp_wsgi::{
    app::{AppError, Reply},
    config::Config,
    dispatcher::Dispatcher,
    http::Request,
    reactors::{Action, Input, Link, Reactor, Stop},
    stomp::{Command, Parser},
    tls::{Tls, TlsOptions},
};

use super::Octets;

/// The most octets that are received at once.
const READ: usize = 64 * 1024;
/// All that a link may want to send to a peer that mostly sends noise: handshakes, alerts, a few frames.
const MOST_SENT: usize = 64 * 1024;
const CONNECTED: &[u8] = b"CONNECTED\nversion:1.2\nserver:ActiveMQ/5.17.2\nheart-beat:0,0\n\n\0";
const MESSAGE: &[u8] = b"MESSAGE\nsubscription:0\nmessage-id:1\nack:1\ndestination:/queue/in\n\nbody\0";

/// One octet of options; then steps.
pub fn check(data: &[u8]) {
    let mut octets = Octets(data);
    let options = octets.byte();
    fastrand::seed(options.into());
    let mut config = Config::new("ssl://a?initialReconnectDelay=10".parse().expect("a good URI"));
    config = config.destinations(["/queue/in"]).expect("a good destination");
    config.brokers.tls = Some(client(options & 4 != 0));
    let version = if options & 1 == 0 { &TLS13 } else { &TLS12 };
    let reactor = Script { octets: RefCell::new(octets), version, shakes_hands: options & 2 == 0 };
    // It may give up, such as over a peer that does not speak TLS.
    let _ = Dispatcher::new(config, Arc::new(app), reactor).run(&Stop::new());
}

fn app(_: &Request, _: &mut dyn Reply) -> Result<(), AppError> {
    Err(AppError("no job is run".to_owned()))
}

/// Whether it trusts the certificate because `--tls-ca` names it, or trusts any.
fn client(insecure: bool) -> Tls {
    static CLIENTS: OnceLock<[Tls; 2]> = OnceLock::new();
    let clients = CLIENTS.get_or_init(|| {
        // This is compiled as a part of two packages.
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let ca = ["src/tls/broker.pem", "fuzz/src/tls/broker.pem"].map(|file| root.join(file));
        let ca = ca.into_iter().find(|file| file.exists());
        [false, true].map(|insecure| {
            let ca = ca.clone().filter(|_| !insecure);
            TlsOptions { ca, insecure, ..TlsOptions::default() }.load().expect("a good file")
        })
    });
    clients[usize::from(insecure)].clone()
}

fn server(version: &'static SupportedProtocolVersion) -> ServerConnection {
    let certificate =
        CertificateDer::from_pem_slice(include_bytes!("tls/broker.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/broker.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version that is known")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair");
    ServerConnection::new(Arc::new(config)).expect("a good configuration")
}

struct Script<'a> {
    octets: RefCell<Octets<'a>>,
    version: &'static SupportedProtocolVersion,
    shakes_hands: bool,
}

impl Reactor for Script<'_> {
    fn name(&self) -> &'static str {
        "script"
    }

    fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn run(&self, links: Vec<Box<dyn Link>>, _: &Stop) -> io::Result<()> {
        let mut octets = self.octets.borrow_mut();
        for link in links {
            let mut peer = Peer::new(link, self.version);
            if self.shakes_hands {
                peer.connected();
                peer.shake_hands();
            }
            while !octets.is_empty() && !peer.finished {
                peer.step(&mut octets);
            }
            peer.leave();
        }
        Ok(())
    }
}

/// A link, and the broker's side of its connection.
struct Peer {
    link: Box<dyn Link>,
    version: &'static SupportedProtocolVersion,
    now: Instant,
    until: Option<Instant>,
    socket: Socket,
    finished: bool,
    tls: ServerConnection,
    /// What the server has sent, and the link has not received yet.
    wire: Vec<u8>,
    /// Everything went through as it was sent.
    honest: bool,
    /// The server has ended TLS. By then it asserts that it has nothing more to say, so that it is not given anything.
    over: bool,
    /// Octets that the link has sent on this connection.
    sent: usize,
    parser: Parser,
}

#[derive(PartialEq)]
enum Socket {
    None,
    Connecting,
    Open,
}

impl Peer {
    fn new(link: Box<dyn Link>, version: &'static SupportedProtocolVersion) -> Self {
        let mut peer = Self {
            link,
            version,
            now: Instant::now(),
            until: None,
            socket: Socket::None,
            finished: false,
            tls: server(version),
            wire: Vec::new(),
            honest: true,
            over: false,
            sent: 0,
            parser: Parser::new(Default::default()),
        };
        peer.poll();
        peer
    }

    fn step(&mut self, octets: &mut Octets<'_>) {
        match octets.byte() % 19 {
            0 => self.connected(),
            1 => self.shake_hands(),
            // Octets that are no TLS, or some that nobody has encrypted.
            2 => {
                let len = octets.number();
                self.honest = false;
                self.received(octets.take(len));
            }
            3 => {
                let (kind, len) = (octets.byte(), octets.byte());
                self.raw_record(kind, octets.take(len.into()));
            }
            // The beginning of a handshake message, of which there may be more than fits.
            4 => {
                let length = octets.number() << (octets.byte() & 15) & 0xff_ffff;
                let count = octets.byte();
                self.handshake_message(length, count.into());
            }
            // What the server encrypts.
            5 => self.write(CONNECTED),
            6 => self.write(MESSAGE),
            7 => {
                let len = octets.number();
                self.write(octets.take(len));
            }
            8 => {
                self.honest &= !self.tls.is_handshaking();
                self.over = true;
                self.tls.send_close_notify();
                self.flush();
            }
            9 => {
                for _ in 0..octets.byte() {
                    let _ = self.tls.refresh_traffic_keys();
                    self.flush();
                }
            }
            // What becomes of it on its way.
            10 => {
                let at = octets.number();
                if let Some(octet) = self.wire.get_mut(at) {
                    *octet ^= octets.byte() | 1;
                    self.honest = false;
                }
            }
            11 => {
                let len = octets.number().min(self.wire.len());
                self.honest &= len == 0;
                self.wire.drain(..len);
            }
            12 => {
                self.honest &= self.wire.is_empty();
                self.wire.extend_from_within(..);
                self.wire.truncate(4 * READ);
            }
            13 => {
                let len = octets.number();
                self.deliver(len);
            }
            14 => {
                let piece = usize::from(octets.byte()) + 1;
                while self.deliver(piece) {}
            }
            // What the link does.
            15 => self.take(octets.number()),
            16 => self.pass(Duration::from_millis((octets.number() as u64) << (octets.byte() & 7))),
            17 => self.lost(if octets.byte() & 1 == 0 {
                Ok(())
            } else {
                Err(io::ErrorKind::ConnectionReset.into())
            }),
            // The same segment, or the same batch, goes on after what the server sent.
            _ => {
                let len = octets.number();
                let (fill, octets) = (octets.byte(), octets.take(len));
                self.honest = false;
                self.wire.extend_from_slice(octets);
                self.wire.resize(self.wire.len() + len - octets.len(), fill);
                self.wire.truncate(4 * READ);
            }
        }
    }

    fn give(&mut self, input: Input<'_>) {
        if !self.finished {
            self.link.handle(self.now, input);
            self.poll();
        }
    }

    fn poll(&mut self) {
        // Each action but `Run` answers an input; of jobs there are no more than messages in one read.
        for _ in 0..100_000 {
            match self.link.poll() {
                Action::Connect { .. } => self.socket = Socket::Connecting,
                Action::Close => {
                    self.socket = Socket::None;
                    self.link.handle(self.now, Input::Closed(Ok(())));
                }
                Action::Run(job) => drop(job),
                Action::Wait { until, .. } => {
                    self.until = until;
                    return;
                }
                Action::Finished => return self.finished = true,
                other => panic!("unknown action {other:?}"),
            }
        }
        panic!("the link never comes to rest");
    }

    fn connected(&mut self) {
        if self.socket == Socket::None {
            self.pass(Duration::from_secs(31));
        }
        if self.socket == Socket::Connecting {
            self.socket = Socket::Open;
            self.tls = server(self.version);
            self.wire.clear();
            (self.honest, self.over, self.sent) = (true, false, 0);
            self.parser = Parser::new(Default::default());
            self.give(Input::Connected);
        }
    }

    /// Both sides take all that the other has sent.
    fn shake_hands(&mut self) {
        while self.socket == Socket::Open && (self.deliver(READ) | self.takes(READ)) {}
        if self.socket == Socket::Open && self.honest {
            assert!(!self.tls.is_handshaking(), "what nobody has changed is a good handshake");
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(READ) {
            if self.socket == Socket::Open && !self.finished {
                // A batch of two inputs, as reactors may give: the link has no say in between.
                let (first, second) = bytes.split_at(bytes.len() / 2);
                if !first.is_empty() {
                    self.link.handle(self.now, Input::Received(first));
                }
                self.give(Input::Received(second));
            }
        }
    }

    fn raw_record(&mut self, kind: u8, content: &[u8]) {
        self.honest = false;
        let head = [kind, 3, 3, (content.len() >> 8) as u8, content.len() as u8];
        self.received(&[&head, content].concat());
    }

    /// The first `count` KiB of a ServerHello of `length` octets.
    fn handshake_message(&mut self, length: usize, count: usize) {
        let mut first = vec![0; 1024];
        first[..4].copy_from_slice(&[2, (length >> 16) as u8, (length >> 8) as u8, length as u8]);
        for piece in std::iter::once(first).chain(std::iter::repeat(vec![0; 1024])).take(count) {
            self.raw_record(22, &piece);
        }
    }

    fn write(&mut self, plain: &[u8]) {
        // Its buffer is bounded.
        let _ = self.tls.writer().write(plain);
        self.flush();
    }

    fn flush(&mut self) {
        while self.tls.wants_write() && self.tls.write_tls(&mut self.wire).is_ok() {}
    }

    /// Whether the link was given something.
    fn deliver(&mut self, len: usize) -> bool {
        self.flush();
        let bytes: Vec<u8> = self.wire.drain(..len.min(self.wire.len())).collect();
        let open = self.socket == Socket::Open && !bytes.is_empty();
        self.received(&bytes);
        open
    }

    fn take(&mut self, len: usize) {
        self.takes(len);
    }

    /// Whether the link had something to send.
    fn takes(&mut self, len: usize) -> bool {
        if self.socket != Socket::Open {
            return false;
        }
        let bytes = self.link.outbox();
        let bytes = bytes[..len.min(bytes.len())].to_vec();
        if bytes.is_empty() {
            return false;
        }
        self.sent += bytes.len();
        assert!(self.sent <= MOST_SENT, "{} octets were sent", self.sent);
        let mut rest = &bytes[..];
        while !rest.is_empty() && !self.over && self.tls.read_tls(&mut rest).is_ok_and(|n| n > 0) {
            self.over = self.tls.process_new_packets().is_err();
        }
        let mut plain = Vec::new();
        let _ = self.tls.reader().read_to_end(&mut plain);
        self.parser.feed(&plain);
        while let Some(frame) = self.parser.next_frame().expect("what a link sends is STOMP") {
            let expected = matches!(
                frame.command,
                Command::Connect
                    | Command::Subscribe
                    | Command::Ack
                    | Command::Nack
                    | Command::Send
                    | Command::Disconnect
            );
            assert!(expected, "a link sends no {}", frame.command);
        }
        self.flush();
        self.give(Input::Sent(bytes.len()));
        true
    }

    fn lost(&mut self, result: io::Result<()>) {
        if self.socket == Socket::Open || self.socket == Socket::Connecting && result.is_err() {
            self.socket = Socket::None;
            self.give(Input::Closed(result));
        }
    }

    /// Lets time pass, with the timers that fall due.
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
    }

    /// However it was left, it ends: in the time of a drain and a goodbye.
    fn leave(&mut self) {
        self.give(Input::Stop);
        for _ in 0..10 {
            self.pass(Duration::from_secs(6));
        }
        assert!(self.finished, "a link ends when its time to drain is up");
    }
}
