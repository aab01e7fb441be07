//! What is acknowledged, when, and on which connection.

use super::*;

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
    let delivered = Arc::clone(&bench.link.ledger_entry(job).delivered);
    let progress = &delivered.progress;
    bench.lose();
    assert!(progress.is_cancelled());
}

#[test]
fn what_a_broken_read_brought_does_not_count_for_ever() {
    let mut bench = Bench::up("stomp://h");
    for _ in 0..10 {
        // A message and the end of the connection in one read.
        bench.bytes(
            b"MESSAGE\nsubscription:0\nmessage-id:m\nack:a\nreply-to:/remote-temp-queue/r\n\nx\0RECEIPT\n\n\0",
        );
        assert!(bench.jobs.is_empty(), "no job was handed out");
        bench.pass(60 * SECOND);
        bench.come_up();
    }
    assert!(bench.read, "nothing is in hand");
    bench.give(Input::Stop);
    assert_eq!(bench.commands(), [Command::Disconnect], "and nothing to wait for");
}

#[test]
fn jobs_of_a_lost_connection_that_have_not_begun_do_not_begin() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    bench.message("m2");
    bench.lose();
    bench.pass(SECOND);
    bench.come_up();
    bench.work();
    bench.work();
    assert_eq!(bench.calls.load(Ordering::SeqCst), 0, "the broker delivers them again");
    assert!(bench.sent().is_empty());
}

#[test]
fn jobs_of_lost_connections_do_not_keep_the_next_from_coming_up() {
    let mut bench = Bench::up("stomp://h");
    for _ in 0..2 {
        for n in 0..4 {
            bench.message(&format!("m{n}"));
        }
        bench.lose();
        assert!(bench.read);
        bench.pass(10 * SECOND);
        bench.give(Input::Connected);
        assert!(bench.read, "CONNECTED has to be read");
        bench.lose();
        bench.pass(60 * SECOND);
        bench.come_up();
    }
}

/// Up, with a broker that took no time for the first reply and a second for the next.
fn busy(prefetch: u32) -> Bench {
    let mut bench = Bench::with("stomp://h", |config| config.prefetch = prefetch);
    bench.come_up();
    for took in [Duration::ZERO, SECOND] {
        bench.message("early");
        let job = bench.reply();
        bench.pass(took);
        bench.sent();
        bench.receipt(&format!("job-{job}"));
        assert_eq!(bench.commands(), [Command::Ack], "nothing else is to come");
    }
    bench
}

/// Answers so many messages.
fn answered(bench: &mut Bench, count: usize) -> Vec<u64> {
    (0..count).for_each(|n| bench.message(&format!("m{n}")));
    let jobs = (0..count).map(|_| bench.reply()).collect();
    bench.sent();
    jobs
}

#[test]
fn acks_wait_for_each_other_while_the_broker_is_busy() {
    let mut bench = busy(100);
    let jobs = answered(&mut bench, 12);
    bench.receipt(&format!("job-{}", jobs[0]));
    bench.receipt(&format!("job-{}", jobs[1]));
    assert!(bench.sent().is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m0".into()), (Command::Ack, "ack:m1".into())]);
    assert!(bench.until.is_some_and(|at| at > bench.now + SECOND), "nothing waits any more");
    // Nor once few are to come.
    for job in &jobs[2..4] {
        bench.receipt(&format!("job-{job}"));
        assert!(bench.sent().is_empty());
    }
    bench.receipt(&format!("job-{}", jobs[4]));
    assert_eq!(bench.commands(), [Command::Ack; 3]);
}

#[test]
fn acks_that_wait_go_with_the_next_reply() {
    let mut bench = busy(100);
    let jobs = answered(&mut bench, 12);
    bench.receipt(&format!("job-{}", jobs[0]));
    bench.message("next");
    assert!(bench.sent().is_empty());
    bench.reply();
    assert_eq!(bench.commands(), [Command::Ack, Command::Send]);
    bench.pass(Duration::from_millis(1));
    assert!(bench.sent().is_empty());
}

#[test]
fn acks_do_not_wait_where_the_broker_may_wait_for_them() {
    let mut bench = busy(40);
    let jobs = answered(&mut bench, 11);
    bench.receipt(&format!("job-{}", jobs[0]));
    assert_eq!(bench.commands(), [Command::Ack], "more than a quarter of what it sends is out");
}

#[test]
fn acks_that_wait_go_before_we_do() {
    let mut bench = busy(100);
    let jobs = answered(&mut bench, 12);
    bench.receipt(&format!("job-{}", jobs[0]));
    bench.give(Input::Stop);
    for job in &jobs[1..] {
        bench.receipt(&format!("job-{job}"));
    }
    let sent = bench.commands();
    assert_eq!((sent.len(), sent[12]), (13, Command::Disconnect));
}

#[test]
fn acks_that_wait_go_with_their_connection() {
    let mut bench = busy(100);
    let jobs = answered(&mut bench, 12);
    bench.receipt(&format!("job-{}", jobs[0]));
    bench.lose();
    bench.pass(SECOND);
    bench.come_up();
    let jobs = answered(&mut bench, 12);
    // Of the next broker nothing is known.
    bench.receipt(&format!("job-{}", jobs[1]));
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".into())]);
}

#[test]
fn what_acks_wait_does_not_count_against_the_broker() {
    let mut bench = busy(100);
    let mut waits = Vec::new();
    for _ in 0..50 {
        let jobs = answered(&mut bench, 12);
        bench.receipt(&format!("job-{}", jobs[0]));
        waits.push(bench.sent().is_empty());
        if waits.ends_with(&[true]) {
            // It takes no time any more, but we hear of that only when it has its ACK.
            bench.pass(Duration::from_millis(1));
        }
        for job in &jobs[1..] {
            bench.receipt(&format!("job-{job}"));
        }
        bench.sent();
    }
    assert!(waits[0] && !waits[49], "{waits:?}");
}
