//! The worker link in virtual time: the test is the reactor and the broker.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use reactors::{Action, End, Input, Job, Link, Output};

use super::{ConnectionConfig, Fatal, Worker, WorkerConfig};
use crate::{
    app::{AppError, Reply},
    http::{Mapping, Request},
    service::{Policy, Service},
    stomp::{Command, Encoder, Frame, HeartBeatOffer, Limits, Parser, Version},
};

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
    closing: bool,
    fatal: Fatal,
    version: &'static str,
    server: &'static str,
}

impl Bench {
    fn new(uri: &str) -> Self {
        Self::with(uri, |_| {})
    }

    fn with(uri: &str, change: impl FnOnce(&mut WorkerConfig)) -> Self {
        let app = |_: &Request, _: &mut dyn Reply| Err(AppError("these tests end jobs by hand".to_owned()));
        let service = Service::new(Arc::new(app), Mapping::default(), Policy::default());
        let mut config = WorkerConfig {
            connection: ConnectionConfig {
                brokers: uri.parse().unwrap(),
                timeout: 10 * SECOND,
                heart_beat: HeartBeatOffer { send: 10 * SECOND, receive: 10 * SECOND },
                limits: Limits::default(),
                seed: 7,
            },
            destinations: vec!["/queue/a".to_owned()],
            prefetch: 4,
            drain_timeout: 30 * SECOND,
            retry_delay: SECOND,
        };
        change(&mut config);
        let fatal = Fatal::default();
        let link = Worker::new(config, Arc::new(service), Arc::clone(&fatal));
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
            closing: false,
            fatal,
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
                Action::Close => self.closing = true,
                Action::Wait { until, read } => {
                    (self.until, self.read) = (until, read);
                    if !std::mem::take(&mut self.closing) {
                        return;
                    }
                    self.socket = false;
                    self.link.handle(self.now, Input::Closed(Ok(())));
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

    fn commands(&mut self) -> Vec<Command> {
        self.sent().iter().map(|frame| frame.command).collect()
    }

    fn message(&mut self, id: &str) {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, Version::parse(self.version.as_bytes()).unwrap(), Command::Message)
            .header("subscription", "0")
            .header("message-id", id)
            .header("destination", "/queue/a")
            .header("ack", format!("ack:{id}"))
            .header("reply-to", "/temp-queue/r")
            .body(b"");
        self.bytes(&bytes);
    }

    fn receipt(&mut self, id: &str) {
        self.bytes(format!("RECEIPT\nreceipt-id:{id}\n\n\0").as_bytes());
    }

    /// The oldest job ends, with this reply.
    fn reply(&mut self) -> u64 {
        let id = self.jobs.remove(0).id();
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, Version::V1_2, Command::Send)
            .header("destination", "/temp-queue/r")
            .header("receipt", format!("job-{id}"))
            .body(b"reply");
        self.give(Input::Output(Output { job: id, bytes, end: Some(End::Done) }));
        id
    }

    fn end(&mut self, end: End) {
        let job = self.jobs.remove(0).id();
        self.give(Input::Output(Output { job, bytes: Vec::new(), end: Some(end) }));
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

    fn lose(&mut self) {
        self.socket = false;
        self.give(Input::Closed(Err(io::ErrorKind::ConnectionReset.into())));
    }
}

#[test]
fn subscribes_with_individual_acks_and_an_explicit_prefetch() {
    for (server, header) in
        [("ActiveMQ/5.17.2", "activemq.prefetchSize"), ("RabbitMQ/3.10.8", "prefetch-count")]
    {
        let mut bench = Bench::new("stomp://h");
        bench.server = server;
        bench.socket = true;
        bench.give(Input::Connected);
        let connect = &bench.sent()[0];
        assert_eq!(connect.headers.text("accept-version"), Some("1.0,1.1,1.2"));
        bench.bytes(format!("CONNECTED\nversion:1.2\nserver:{server}\n\n\0").as_bytes());
        let subscribe = &bench.sent()[0];
        assert_eq!(subscribe.headers.text("ack"), Some("client-individual"));
        assert_eq!(subscribe.headers.text("destination"), Some("/queue/a"));
        assert_eq!(subscribe.headers.text(header), Some("4"));
    }
}

#[test]
fn acknowledges_only_when_the_broker_has_the_reply() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    assert_eq!(bench.jobs.len(), 1);
    let job = bench.reply();
    assert_eq!(bench.commands(), [Command::Send]);
    bench.receipt(&format!("job-{job}"));
    let acks = bench.sent();
    assert_eq!(acks[0].command, Command::Ack);
    assert_eq!(acks[0].headers.text("id"), Some("ack:m1"));
    // A receipt that comes twice acknowledges once.
    bench.receipt(&format!("job-{job}"));
    assert!(bench.sent().is_empty());
}

#[test]
fn receipts_may_come_in_any_order() {
    let mut bench = Bench::up("stomp://h");
    for id in ["m1", "m2", "m3"] {
        bench.message(id);
    }
    let jobs = [bench.reply(), bench.reply(), bench.reply()];
    bench.sent();
    for (job, id) in [(jobs[2], "ack:m3"), (jobs[0], "ack:m1"), (jobs[1], "ack:m2")] {
        bench.receipt(&format!("job-{job}"));
        assert_eq!(bench.sent()[0].headers.text("id"), Some(id));
    }
}

#[test]
fn acknowledges_in_each_versions_way() {
    for (version, expected) in [
        ("1.2", vec![("id", "ack:m1")]),
        ("1.1", vec![("message-id", "m1"), ("subscription", "0")]),
        ("1.0", vec![("message-id", "m1"), ("subscription", "0")]),
    ] {
        let mut bench = Bench::new("stomp://h");
        bench.version = version;
        bench.come_up();
        bench.message("m1");
        bench.end(End::Done);
        let ack = &bench.sent()[0];
        let headers: Vec<_> =
            expected.iter().map(|(name, _)| (*name, ack.headers.text(name).unwrap())).collect();
        assert_eq!(headers, expected, "{version}");
    }
}

#[test]
fn nothing_of_a_lost_connection_is_acknowledged_on_the_next() {
    let mut bench = Bench::up("stomp://h");
    bench.message("replied");
    bench.message("running");
    let replied = bench.reply();
    bench.sent();
    bench.lose();
    bench.pass(SECOND);
    assert_eq!(bench.connects.len(), 2);
    bench.come_up();
    // The job of the old connection ends now: its reply goes nowhere, the broker delivers it again.
    let running = bench.reply();
    bench.receipt(&format!("job-{replied}"));
    bench.receipt(&format!("job-{running}"));
    assert!(bench.sent().is_empty());
    // The redelivered message is a new job.
    bench.message("running");
    let again = bench.reply();
    assert_ne!(again, running);
    assert_eq!(bench.commands(), [Command::Send]);
}

#[test]
fn a_lost_connection_cancels_its_streams() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    let job = bench.jobs[0].id();
    let cancelled = Arc::clone(&bench.link.ledger_entry(job).cancelled);
    bench.lose();
    assert!(cancelled.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn backs_off_with_jitter_and_recovers() {
    let mut bench = Bench::new("failover:(stomp://a)?initialReconnectDelay=1000&maxReconnectDelay=8000");
    let mut delays = Vec::new();
    for _ in 0..6 {
        bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
        let delay = bench.until.unwrap() - bench.now;
        delays.push(delay);
        bench.pass(delay);
    }
    for (delay, full) in delays.iter().zip([1, 2, 4, 8, 8, 8]) {
        let full = SECOND * full;
        assert!((full / 2..=full).contains(delay), "{delays:?}");
    }
    // A connection that works starts anew.
    bench.come_up();
    bench.receipt("subscribe-0");
    bench.lose();
    assert!(bench.until.unwrap() - bench.now <= SECOND);
}

#[test]
fn a_broker_that_refuses_the_subscription_is_not_asked_in_a_hot_loop() {
    let mut bench = Bench::new("failover:(stomp://a)?initialReconnectDelay=1000&maxReconnectDelay=8000");
    let mut delays = Vec::new();
    for _ in 0..4 {
        bench.come_up();
        bench.bytes(b"ERROR\nreceipt-id:subscribe-0\nmessage:no access\n\n\0");
        delays.push(bench.until.unwrap() - bench.now);
        bench.pass(*delays.last().unwrap());
    }
    assert!(delays[3] >= 4 * SECOND, "{delays:?}");
}

#[test]
fn walks_over_the_brokers_before_it_waits() {
    let mut bench = Bench::new("failover:(stomp://a,stomp://b:1)?randomize=false");
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    assert_eq!(bench.connects, ["a:61613", "b:1"]);
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    assert_eq!(bench.connects.len(), 2);
    bench.pass(SECOND);
    assert_eq!(bench.connects[2], "a:61613");
}

#[test]
fn a_refused_login_at_the_start_ends_it_and_later_does_not() {
    let refusal = b"ERROR\nmessage:User name [x] or password is invalid.\n\nstack trace\0";
    let mut bench = Bench::new("stomp://h");
    bench.give(Input::Connected);
    bench.bytes(refusal);
    assert!(bench.finished);
    assert!(bench.fatal.lock().unwrap().as_ref().unwrap().contains("password is invalid"));

    let mut bench = Bench::up("stomp://h");
    bench.lose();
    bench.pass(SECOND);
    bench.give(Input::Connected);
    bench.bytes(refusal);
    assert!(!bench.finished && bench.until.is_some());
}

#[test]
fn gives_up_after_the_configured_attempts() {
    let mut bench = Bench::new("failover:(stomp://a)?startupMaxReconnectAttempts=2");
    for _ in 0..2 {
        bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
        if !bench.finished {
            bench.pass(SECOND);
        }
    }
    assert!(bench.finished);
    assert!(bench.fatal.lock().unwrap().as_ref().unwrap().contains("connection refused"));
}

#[test]
fn beats_while_jobs_run_and_finds_a_silent_broker() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    let mut beats = 0;
    for _ in 0..19 {
        bench.pass(SECOND);
        beats += usize::from(bench.link.outbox() == b"\n");
        bench.sent();
    }
    assert!((2..=4).contains(&beats), "{beats} beats in 19 s of a 10 s interval");
    assert!(bench.socket && bench.connects.len() == 1);
    bench.pass(12 * SECOND);
    assert_eq!(bench.connects.len(), 2, "no beat in over 20 s: the broker is dead");
}

#[test]
fn beats_though_bytes_never_stop_coming_in() {
    let mut bench = Bench::up("stomp://h");
    bench.bytes(b"MESSAGE\nsubscription:0\nmessage-id:m\nack:a\ncontent-length:100\n\n");
    for _ in 0..6 {
        bench.now += SECOND;
        bench.bytes(b"x");
    }
    assert_eq!(bench.link.outbox(), b"\n", "no Timer is delivered to a link that is never idle");
}

#[test]
fn a_broker_that_beats_lives() {
    let mut bench = Bench::up("stomp://h");
    for _ in 0..30 {
        bench.pass(9 * SECOND);
        bench.bytes(b"\n");
        bench.sent();
    }
    assert_eq!(bench.connects.len(), 1);
}

#[test]
fn an_error_about_one_reply_costs_only_that_reply() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    bench.message("m2");
    let gone = bench.reply();
    bench.sent();
    bench.bytes(format!("ERROR\nreceipt-id:job-{gone}\nmessage:does not exist\n\ntrace\0").as_bytes());
    assert_eq!(bench.sent()[0].headers.text("id"), Some("ack:m1"), "nobody can be answered: settled");
    let alive = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{alive}"));
    assert_eq!(bench.sent()[0].headers.text("id"), Some("ack:m2"));
    assert_eq!(bench.connects.len(), 1);
}

#[test]
fn any_other_error_ends_the_connection() {
    let mut bench = Bench::up("stomp://h");
    bench.bytes(b"ERROR\nmessage:out of order\n\n\0");
    assert!(!bench.socket);
    bench.pass(SECOND);
    assert_eq!(bench.connects.len(), 2);
}

#[test]
fn a_refused_dead_letter_is_never_acknowledged() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    let job = bench.jobs[0].id();
    bench.reply();
    bench.sent();
    bench.bytes(format!("ERROR\nreceipt-id:job-{job}/dead\nmessage:no\n\n\0").as_bytes());
    bench.receipt(&format!("job-{job}/dead"));
    assert!(bench.sent().is_empty());
}

#[test]
fn a_failed_message_is_tried_again_later_and_then_buried() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    for wait in [1, 2, 4, 8] {
        bench.end(End::Failed);
        assert!(bench.jobs.is_empty());
        bench.pass(SECOND * wait - Duration::from_millis(1));
        bench.bytes(b"\n");
        bench.sent();
        assert!(bench.jobs.is_empty(), "not before {wait} s");
        bench.pass(Duration::from_millis(1));
        assert_eq!(bench.jobs.len(), 1);
    }
    let job = bench.jobs[0].id();
    bench.sent();
    bench.end(End::Failed);
    let dead = bench.sent().remove(0);
    assert_eq!(dead.headers.text("destination"), Some("/queue/DLQ.a"));
    assert!(dead.headers.text("message-failed").is_some());
    assert_eq!(dead.headers.text("receipt"), Some(&*format!("job-{job}/dead")));
    bench.receipt(&format!("job-{job}/dead"));
    assert_eq!(bench.commands(), [Command::Ack]);
}

#[test]
fn drains_what_runs_and_leaves() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    bench.give(Input::Stop);
    assert!(bench.sent().is_empty(), "no UNSUBSCRIBE while anything is unacknowledged");
    // What comes now is left to the broker.
    bench.message("m2");
    assert_eq!(bench.jobs.len(), 1);
    let job = bench.reply();
    assert_eq!(bench.commands(), [Command::Send]);
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.commands(), [Command::Ack, Command::Disconnect]);
    bench.receipt("goodbye");
    assert!(bench.finished);
}

#[test]
fn heart_beats_go_on_during_a_drain() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    bench.give(Input::Stop);
    bench.pass(6 * SECOND);
    assert_eq!(bench.link.outbox(), b"\n");
}

#[test]
fn a_drain_does_not_wait_for_ever() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    bench.give(Input::Stop);
    for _ in 0..4 {
        bench.pass(9 * SECOND);
        if !bench.finished {
            bench.bytes(b"\n");
            bench.sent();
        }
    }
    assert!(bench.finished, "after 30 s");
}

#[test]
fn stops_at_once_where_there_is_no_connection() {
    let mut bench = Bench::new("stomp://h");
    bench.give(Input::Stop);
    assert!(bench.finished);
    let mut bench = Bench::new("stomp://h");
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    bench.give(Input::Stop);
    assert!(bench.finished);
}

#[test]
fn a_broker_that_ignores_prefetch_is_held_back_and_not_found_silent() {
    let mut bench = Bench::up("stomp://h");
    for i in 0..8 {
        assert!(bench.read, "{i}");
        bench.message(&format!("m{i}"));
    }
    assert!(!bench.read, "twice the prefetch of 4 is in hand");
    bench.pass(100 * SECOND);
    assert_eq!(bench.connects.len(), 1, "whom we do not read cannot be silent");
    bench.sent();
    bench.reply();
    assert!(bench.read);
    bench.pass(15 * SECOND);
    assert_eq!(bench.connects.len(), 1, "silence counts from when we read again");
}

#[test]
fn what_failed_to_connect_is_said_with_what_to_do() {
    let mut bench = Bench::new("failover:(stomp://u:secret@h)?startupMaxReconnectAttempts=1");
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    let why = bench.fatal.lock().unwrap().take().unwrap();
    assert!(why.contains("h:61613") && why.contains("is the broker running"), "{why}");
    assert!(!why.contains("secret"));
}
