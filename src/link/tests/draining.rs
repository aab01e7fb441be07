//! Stopping in good order.

use super::*;

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
fn the_end_of_a_drain_cancels_what_still_runs() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    let job = bench.jobs[0].id();
    let delivered = Arc::clone(&bench.link.ledger_entry(job).delivered);
    let progress = &delivered.progress;
    bench.give(Input::Stop);
    for _ in 0..4 {
        assert!(!progress.is_cancelled());
        bench.pass(9 * SECOND);
        if !bench.finished {
            bench.bytes(b"\n");
            bench.sent();
        }
    }
    assert!(bench.finished && progress.is_cancelled());
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
fn an_attempt_that_nobody_was_asked_for_is_not_closed() {
    let mut bench = Bench::up("failover:(stomp://a,stomp://b)?randomize=false");
    bench.message("takes long");
    bench.give(Input::Stop);
    bench.socket = false;
    bench.link.handle(bench.now, Input::Closed(Err(io::ErrorKind::ConnectionReset.into())));
    let action = bench.link.poll();
    assert!(matches!(action, Action::Wait { .. }), "neither Connect nor Close: {action:?}");
    bench.end(End::Failed);
    assert!(bench.finished, "when nothing runs any more");
}

#[test]
fn jobs_that_have_not_begun_at_a_stop_do_not_begin() {
    let mut bench = Bench::up("stomp://h");
    for n in 0..4 {
        bench.message(&format!("m{n}"));
    }
    bench.give(Input::Stop);
    for _ in 0..4 {
        bench.work();
    }
    assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
    assert_eq!(bench.commands(), [Command::Disconnect], "the broker has them again, unacknowledged");
}

#[test]
fn nothing_is_tried_again_during_a_drain() {
    let mut bench = Bench::up("stomp://h");
    bench.message("fails");
    bench.message("takes long");
    bench.give(Input::Stop);
    bench.end(End::Failed);
    bench.pass(5 * SECOND);
    assert_eq!(bench.jobs.len(), 1, "only the one that runs");
}

#[test]
fn does_not_subscribe_during_a_drain() {
    let mut bench = Bench::up("stomp://h");
    bench.message("takes long");
    bench.lose();
    bench.give(Input::Stop);
    bench.pass(SECOND);
    bench.parser = Parser::new(Limits::default());
    bench.give(Input::Connected);
    bench.sent();
    bench.bytes(b"CONNECTED\nversion:1.2\n\n\0");
    assert!(bench.sent().is_empty());
    bench.end(End::Failed);
    assert_eq!(bench.commands(), [Command::Disconnect]);
}

#[test]
fn news_of_what_was_sent_may_come_after_the_end() {
    let mut bench = Bench::new("stomp://h");
    bench.socket = true;
    bench.give(Input::Connected);
    let sent = bench.link.outbox().len();
    // One batch of a reactor.
    bench.link.handle(bench.now, Input::Stop);
    bench.link.handle(bench.now, Input::Sent(sent));
}
