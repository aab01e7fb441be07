//! From broker to broker, and back to the one of choice.

use super::*;
use crate::link::Probe;

const REFUSED: io::ErrorKind = io::ErrorKind::ConnectionRefused;
const PREFERRED: &str = "failover:(stomp://a,stomp://b)?randomize=false&priorityBackup=true";

/// What the probe wants to do now, until it waits.
fn acts(probe: &mut Probe, now: Instant) -> Vec<String> {
    let mut done = Vec::new();
    loop {
        match probe.poll() {
            Action::Connect { host, .. } => done.push(format!("connect {host}")),
            Action::Close => {
                done.push("close".to_owned());
                probe.handle(now, Input::Closed(Ok(())));
            }
            Action::Wait { .. } => return done,
            other => panic!("unexpected action {other:?}"),
        }
    }
}

/// The probe logs in at the broker of choice.
fn finds_it(probe: &mut Probe, now: Instant) {
    probe.handle(now, Input::Connected);
    let connect = String::from_utf8_lossy(probe.outbox());
    assert!(connect.starts_with("CONNECT\n"));
    assert!(!connect.contains("client-id"), "of a name there is one, and a worker may have it");
    probe.handle(now, Input::Sent(probe.outbox().len()));
    probe.handle(now, Input::Received(b"CONNECTED\nversion:1.2\n\n\0"));
    assert_eq!(acts(probe, now), ["close"]);
}

/// A worker that found its broker of choice dead and is up on the other, and the probe beside it.
fn on_backup() -> (Bench, Probe) {
    let mut probe = None;
    let mut bench = Bench::with(PREFERRED, |config| {
        config.connection.priority = Some(Arc::default());
        config.connection.client_id = Some("shop".to_owned());
        probe = Probe::new(config.connection.clone(), Instant::now());
    });
    bench.give(Input::Closed(Err(REFUSED.into())));
    assert_eq!(bench.connects, ["a:61613", "b:61613"]);
    bench.come_up();
    (bench, probe.expect("there is a choice"))
}

#[test]
fn subscribes_at_each_broker_anew_and_takes_nothing_along() {
    let mut bench = Bench::new("failover:(stomp://a,stomp://b)?randomize=false");
    for broker in ["a:61613", "b:61613", "a:61613"] {
        assert_eq!(bench.connects.last().unwrap(), broker);
        // Asserts that it subscribes.
        bench.come_up();
        bench.message("m");
        bench.pass(11 * SECOND);
        bench.sent();
        bench.lose();
        bench.reply();
        assert_eq!(bench.link.outbox(), b"", "the broker that is gone delivers it again");
        bench.pass(SECOND);
    }
}

#[test]
fn goes_back_when_the_broker_of_choice_is_there() {
    let (mut bench, mut probe) = on_backup();
    let now = |bench: &Bench| bench.now + SECOND;
    probe.handle(now(&bench) + 5 * SECOND, Input::Timer);
    assert!(acts(&mut probe, bench.now).is_empty(), "nobody asked yet");
    bench.pass(5 * SECOND);
    bench.sent();
    probe.handle(now(&bench) + 10 * SECOND, Input::Timer);
    assert_eq!(acts(&mut probe, bench.now), ["connect a"]);
    finds_it(&mut probe, bench.now);

    bench.message("under way");
    bench.pass(5 * SECOND);
    bench.message("too late");
    assert_eq!(bench.jobs.len(), 1, "what comes now is left to others");
    assert!(bench.sent().iter().all(|frame| frame.command != Command::Disconnect));
    let job = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.commands(), [Command::Ack, Command::Disconnect]);
    bench.receipt("goodbye");
    assert_eq!(bench.connects, ["a:61613", "b:61613", "a:61613"]);
    bench.come_up();
    bench.message("at home");
    assert_eq!(bench.jobs.len(), 1);
    bench.pass(9 * SECOND);
    assert_eq!(bench.connects.len(), 3, "here it stays");
}

#[test]
fn stays_where_it_is_while_the_broker_of_choice_is_not_there() {
    let (mut bench, mut probe) = on_backup();
    for n in 1..=5 {
        bench.pass(5 * SECOND);
        bench.bytes(b"\n");
        bench.sent();
        let now = bench.now + 10 * SECOND * n;
        probe.handle(now, Input::Timer);
        assert_eq!(acts(&mut probe, now), ["connect a"]);
        probe.handle(now, Input::Closed(Err(REFUSED.into())));
        assert!(acts(&mut probe, now).is_empty(), "one attempt each time");
    }
    assert_eq!(bench.connects.len(), 2);
}

#[test]
fn comes_back_at_once_where_the_broker_of_choice_will_not_have_it() {
    let (mut bench, mut probe) = on_backup();
    bench.pass(5 * SECOND);
    bench.sent();
    probe.handle(bench.now + 10 * SECOND, Input::Timer);
    assert_eq!(acts(&mut probe, bench.now), ["connect a"]);
    finds_it(&mut probe, bench.now);
    bench.pass(5 * SECOND);
    assert_eq!(bench.commands(), [Command::Disconnect]);
    // The broker may close before its RECEIPT is read, and that is no failure.
    bench.lose();
    assert_eq!(bench.connects[2], "a:61613");
    bench.give(Input::Closed(Err(REFUSED.into())));
    assert_eq!(bench.connects[3], "b:61613");
    bench.come_up();
}

#[test]
fn a_stop_on_the_way_back_is_a_stop() {
    let (mut bench, mut probe) = on_backup();
    bench.pass(5 * SECOND);
    bench.sent();
    probe.handle(bench.now + 10 * SECOND, Input::Timer);
    acts(&mut probe, bench.now);
    finds_it(&mut probe, bench.now);
    bench.message("under way");
    bench.pass(5 * SECOND);
    bench.give(Input::Stop);
    let job = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.commands(), [Command::Ack, Command::Disconnect]);
    bench.receipt("goodbye");
    assert!(bench.finished);
    probe.handle(bench.now, Input::Stop);
    assert!(matches!(probe.poll(), Action::Finished));
}

#[test]
fn without_a_choice_there_is_no_probe() {
    let mut probe = None;
    Bench::with(PREFERRED, |config| probe = Probe::new(config.connection.clone(), Instant::now()));
    assert!(probe.is_none());
}

#[test]
fn no_delay_is_longer_than_the_longest() {
    let mut bench = Bench::new("failover:(stomp://a)?initialReconnectDelay=60000&maxReconnectDelay=1000");
    bench.give(Input::Closed(Err(REFUSED.into())));
    assert!(bench.until.unwrap() - bench.now <= SECOND);
}

#[test]
fn says_how_often_it_tried() {
    let mut bench = Bench::new("failover:(stomp://a)?startupMaxReconnectAttempts=3");
    while !bench.finished {
        bench.give(Input::Closed(Err(REFUSED.into())));
        bench.pass(SECOND);
    }
    let why = bench.fatal.why().unwrap();
    assert!(why.ends_with("; gave up after 3 attempts"), "{why}");
}

/// Artemis cuts off whom it does not hear of for a minute, unless heart-beats were agreed on.
#[test]
fn a_link_that_promises_no_beats_is_not_silent_on_artemis() {
    for (server, sends) in [("ActiveMQ-Artemis/2.31.0", true), ("ActiveMQ/5.17.2", false)] {
        let mut bench = Bench::with("stomp://h", |config| {
            config.connection.heart_beat = HeartBeatOffer::default();
        });
        bench.server = server;
        bench.come_up();
        for _ in 0..10 {
            bench.pass(30 * SECOND);
            assert_eq!(bench.link.outbox() == b"\n", sends, "{server}");
            bench.sent();
        }
    }
}

#[test]
fn nothing_is_sent_behind_disconnect_and_a_stop_ends_what_runs() {
    for stops in [false, true] {
        let (mut bench, mut probe) = on_backup();
        bench.pass(5 * SECOND);
        probe.handle(bench.now + 10 * SECOND, Input::Timer);
        assert_eq!(acts(&mut probe, bench.now), ["connect a"]);
        finds_it(&mut probe, bench.now);
        bench.message_with("endless", &[("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")]);
        let delivered = Arc::clone(&bench.link.ledger_entry(bench.jobs[0].id()).delivered);
        let mut blocks = 0;
        let mut left = false;
        while !left {
            assert!(blocks < 12, "it has 30 s");
            assert!(!delivered.progress.is_cancelled());
            bench.block();
            blocks += 1;
            bench.bytes(b"\n");
            bench.pass(4 * SECOND);
            left = bench.commands().contains(&Command::Disconnect);
        }
        assert!(delivered.progress.is_cancelled());
        bench.block();
        assert_eq!(bench.commands(), [], "the broker closes the connection");
        if stops {
            bench.give(Input::Stop);
            bench.receipt("goodbye");
            assert!(bench.finished);
        }
    }
}
