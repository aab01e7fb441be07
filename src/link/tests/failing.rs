//! Errors, retries and dead letters.

use super::*;

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
    // It is not forgotten: unacknowledged for ever, it would use up the broker's window.
    for _ in 0..7 {
        bench.pass(9 * SECOND);
        bench.bytes(b"\n");
        bench.sent();
    }
    assert_eq!(bench.jobs.len(), 1);
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
