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
            b"MESSAGE\nsubscription:0\nmessage-id:m\nack:a\nreply-to:/temp-queue/r\n\nx\0GARBAGE\n\n\0",
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
