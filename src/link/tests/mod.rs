//! The worker link in virtual time: the test is the reactor and the broker.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reactors::{Action, End, Input, Job, Link, Output};

use super::{ConnectionConfig, Fatal, Known, Worker, WorkerConfig};
use crate::{
    app::{AppError, Reply},
    config::DeliveryMode,
    http::{Mapping, Request},
    service::{Policy, Service},
    stomp::{Command, Encoder, Frame, HeartBeatOffer, Limits, Parser, Version},
};

mod beating;
#[cfg(feature = "tls")]
mod certificates;
mod condemned;
mod connecting;
mod delivering;
mod draining;
mod failing;
mod failover;
mod jms;
mod large;
mod malformed;
mod poison;
mod redelivered;
mod refusals;
mod settling;
mod stuck;
mod subscribing;
mod timing;
#[cfg(feature = "tls")]
mod tls;

const SECOND: Duration = Duration::from_secs(1);

/// One worker link, its reactor and its broker.
struct Bench {
    link: Worker,
    now: Instant,
    /// What the broker reads.
    parser: Parser,
    /// Jobs that were handed out and did not end.
    jobs: Vec<Job>,
    connects: Vec<String>,
    until: Option<Instant>,
    read: bool,
    finished: bool,
    socket: bool,
    fatal: Fatal,
    service: Arc<Service>,
    /// How often the application was called.
    calls: Arc<AtomicUsize>,
    version: &'static str,
    server: &'static str,
}

impl Bench {
    fn new(uri: &str) -> Self {
        Self::with(uri, |_| {})
    }

    fn with(uri: &str, change: impl FnOnce(&mut WorkerConfig)) -> Self {
        Self::mapping(uri, Mapping::default(), change)
    }

    fn mapping(uri: &str, mapping: Mapping, change: impl FnOnce(&mut WorkerConfig)) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let app = move |_: &Request, _: &mut dyn Reply| {
            counted.fetch_add(1, Ordering::SeqCst);
            Err(AppError("most of these tests end jobs by hand".to_owned()))
        };
        let service = Arc::new(Service::new(Arc::new(app), mapping, Policy::default()));
        let mut config = WorkerConfig {
            connection: ConnectionConfig {
                brokers: uri.parse().unwrap(),
                timeout: 10 * SECOND,
                heart_beat: HeartBeatOffer { send: 10 * SECOND, receive: 10 * SECOND },
                limits: Limits::default(),
                client_id: None,
                seed: 7,
                priority: None,
            },
            number: None,
            sources: vec!["/queue/a".parse().unwrap()],
            prefetch: 4,
            drain_timeout: 30 * SECOND,
            retry_delay: SECOND,
            delivery: DeliveryMode::AtLeastOnce,
            request_timeout: None,
            withdraws: false,
            connections: 1,
            known: Known::default(),
        };
        change(&mut config);
        let fatal = Fatal::default();
        let link = Worker::new(config, Arc::clone(&service), fatal.clone());
        let mut bench = Self {
            link,
            now: Instant::now(),
            parser: Parser::new(Limits::default()),
            jobs: Vec::new(),
            connects: Vec::new(),
            until: None,
            read: true,
            finished: false,
            socket: false,
            fatal,
            service,
            calls,
            version: "1.2",
            server: "ActiveMQ/5.17.2",
        };
        bench.poll();
        bench
    }

    /// Connected and subscribed.
    fn up(uri: &str) -> Self {
        let mut bench = Self::new(uri);
        bench.come_up();
        bench
    }

    fn come_up(&mut self) {
        self.parser = Parser::new(Limits::default());
        self.socket = true;
        self.give(Input::Connected);
        assert_eq!(self.sent()[0].command, Command::Connect);
        let connected = format!(
            "CONNECTED\nversion:{}\nserver:{}\nheart-beat:10000,10000\n\n\0",
            self.version, self.server
        );
        self.bytes(connected.as_bytes());
        let subscribes = self.sent();
        assert!(!subscribes.is_empty() && subscribes.iter().all(|frame| frame.command == Command::Subscribe));
    }

    fn poll(&mut self) {
        loop {
            match self.link.poll() {
                Action::Connect { host, port, .. } => self.connects.push(format!("{host}:{port}")),
                Action::Run(job) => self.jobs.push(job),
                // At once, as reactors do: before the jobs that are still to be handed out.
                Action::Close => {
                    self.socket = false;
                    self.link.handle(self.now, Input::Closed(Ok(())));
                }
                Action::Wait { until, read } => {
                    (self.until, self.read) = (until, read);
                    return;
                }
                Action::Finished => return self.finished = true,
                other => panic!("unknown action {other:?}"),
            }
        }
    }

    fn give(&mut self, input: Input<'_>) {
        assert!(!self.finished, "nothing reaches a link that has finished");
        self.link.handle(self.now, input);
        self.poll();
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.give(Input::Received(bytes));
    }

    /// What the link sent since it was asked last.
    fn sent(&mut self) -> Vec<Frame> {
        let bytes = self.link.outbox().to_vec();
        if bytes.is_empty() {
            return Vec::new();
        }
        self.give(Input::Sent(bytes.len()));
        self.parser.feed(&bytes);
        let mut frames = Vec::new();
        while let Some(frame) = self.parser.next_frame().unwrap() {
            frames.push(frame);
        }
        frames
    }

    /// The socket takes what there is, whatever that is.
    #[cfg(feature = "tls")]
    fn sent_raw(&mut self) {
        let len = self.link.outbox().len();
        if self.socket && len > 0 {
            self.give(Input::Sent(len));
        }
    }

    fn commands(&mut self) -> Vec<Command> {
        self.sent().iter().map(|frame| frame.command).collect()
    }

    fn message(&mut self, id: &str) {
        self.message_with(id, &[("reply-to", "/remote-temp-queue/r")]);
    }

    fn notify(&mut self, id: &str) {
        self.message_with(id, &[("http_requestMethod", "NOTIFY"), ("http_requestUrl", "/")]);
    }

    fn message_with(&mut self, id: &str, headers: &[(&str, &str)]) {
        let bytes = self.delivery(id, headers, b"");
        self.bytes(&bytes);
    }

    /// What the broker sends of a message.
    fn delivery(&self, id: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let version = Version::parse(self.version.as_bytes()).unwrap();
        let mut frame = Encoder::new(&mut bytes, version, Command::Message)
            .header("subscription", "0")
            .header("message-id", id)
            .header("destination", "/queue/a")
            .header("ack", format!("ack:{id}"));
        for (name, value) in headers {
            frame = frame.header(name, value);
        }
        frame.body(body);
        bytes
    }

    /// The oldest job runs on a worker.
    fn work(&mut self) {
        let mut outputs = Vec::new();
        self.jobs.remove(0).run(&mut |output| outputs.push(output));
        for output in outputs {
            self.give(Input::Output(output));
        }
    }

    fn receipt(&mut self, id: &str) {
        self.bytes(format!("RECEIPT\nreceipt-id:{id}\n\n\0").as_bytes());
    }

    /// The oldest job ends, with this reply.
    fn reply(&mut self) -> u64 {
        let id = self.jobs.remove(0).id();
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, Version::V1_2, Command::Send)
            .header("destination", "/remote-temp-queue/r")
            .header("receipt", format!("job-{id}"))
            .body(b"reply");
        self.give(Input::Output(Output { job: id, bytes, end: Some(End::Done) }));
        id
    }

    /// Of the message that this job serves.
    fn id_of(&self, job: u64) -> String {
        self.link.ledger_entry(job).delivered.message.headers.text("message-id").unwrap().to_owned()
    }

    /// The oldest job, which does not end, sends a block of a stream.
    fn block(&mut self) {
        let job = self.jobs[0].id();
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, Version::V1_2, Command::Send)
            .header("destination", "/remote-temp-queue/r")
            .header("http_moreContent", "true")
            .body(b"block");
        self.give(Input::Output(Output { job, bytes, end: None }));
    }

    fn end(&mut self, end: End) {
        let job = self.jobs.remove(0).id();
        self.give(Input::Output(Output { job, bytes: Vec::new(), end: Some(end) }));
    }

    /// Lets much time pass, in which the broker beats.
    fn idle(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.pass(SECOND);
            self.bytes(b"\n");
        }
    }

    /// The frames but for heart-beats, by name.
    fn texts(&mut self, header: &str) -> Vec<(Command, String)> {
        let text = |frame: &Frame| frame.headers.text(header).unwrap_or("-").to_owned();
        self.sent().iter().map(|frame| (frame.command, text(frame))).collect()
    }

    /// Lets time pass, with the timers that fall due.
    fn pass(&mut self, time: Duration) {
        let then = self.now + time;
        while let Some(at) = self.until.filter(|at| *at <= then && !self.finished) {
            self.now = self.now.max(at);
            self.give(Input::Timer);
            if self.until == Some(at) && !self.finished {
                panic!("a timer that was delivered must not be due still");
            }
        }
        self.now = then;
    }

    /// A worker begins with the oldest job, and does not end it.
    fn begin(&mut self) {
        assert!(self.link.ledger_entry(self.jobs[0].id()).delivered.progress.begin(self.now));
    }

    fn lose(&mut self) {
        self.socket = false;
        self.give(Input::Closed(Err(io::ErrorKind::ConnectionReset.into())));
    }
}
