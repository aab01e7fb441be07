//! What a link does while all workers are stuck: it leaves the broker, which has others for what has not begun.

use super::*;
use crate::activity::Busy;

fn bench() -> Bench {
    let mut bench = Bench::with("stomp://h", |config| config.withdraws = true);
    bench.come_up();
    bench
}

/// So many calls of the application begin. They are stuck once `Bench::stuck` says so, until one of them is dropped.
fn calls(service: &Service, count: usize) -> Vec<Busy<'_>> {
    (0..count).map(|_| service.activity().begin()).collect()
}

impl Bench {
    /// The watchdog has found all workers stuck.
    fn stuck(&self) {
        let activity = self.service.activity();
        activity.set_stuck(activity.state());
    }

    fn goodbye(&mut self) {
        self.receipt("goodbye");
    }
}

#[test]
fn what_has_not_begun_goes_back_without_an_unsubscribe() {
    let mut bench = bench();
    let service = Arc::clone(&bench.service);
    for n in 1..=4 {
        bench.message(&format!("m{n}"));
    }
    bench.begin();
    let calls = calls(&service, 1);
    bench.stuck();
    bench.pass(SECOND);
    assert_eq!(bench.commands(), [Command::Disconnect]);
    assert_eq!(service.activity().withdrawn(), 0);
    bench.goodbye();
    assert!(!bench.socket && service.activity().withdrawn() == 1);
    // What runs at last is of no use, and what had not begun does not begin.
    bench.reply();
    while !bench.jobs.is_empty() {
        bench.work();
    }
    assert_eq!((bench.calls.load(Ordering::SeqCst), bench.connects.len()), (0, 1));
    bench.pass(600 * SECOND);
    assert_eq!(bench.connects.len(), 1, "not while they are stuck");

    drop(calls);
    bench.pass(SECOND);
    assert_eq!((bench.connects.len(), service.activity().withdrawn()), (2, 0));
    bench.come_up();
    bench.message("again");
    bench.reply();
    assert_eq!(bench.commands(), [Command::Send], "as before");
}

#[test]
fn answers_on_their_way_are_settled_first() {
    let mut bench = Bench::with("stomp://h", |config| {
        config.withdraws = true;
        config.request_timeout = Some(10 * SECOND);
    });
    bench.come_up();
    let service = Arc::clone(&bench.service);
    bench.message("m1");
    bench.begin();
    let _calls = calls(&service, 1);
    bench.pass(5 * SECOND);
    bench.message("m2");
    bench.pass(5 * SECOND);
    assert_eq!(bench.commands(), [Command::Send], "504");
    bench.stuck();
    bench.pass(SECOND);
    assert_eq!(bench.commands(), [], "the broker has not confirmed it");
    bench.message("m3");
    bench.receipt("job-1");
    assert_eq!(
        bench.texts("id"),
        [(Command::Ack, "ack:m1".to_owned()), (Command::Disconnect, "-".to_owned())]
    );
    bench.goodbye();
    assert!(!bench.socket);
    assert_eq!(bench.jobs.len(), 2, "m3 was never taken, m2 will not begin");
}

#[test]
fn a_broker_that_confirms_nothing_is_not_waited_for() {
    let mut bench = bench();
    let service = Arc::clone(&bench.service);
    bench.message("m1");
    bench.reply();
    bench.sent();
    let _calls = calls(&service, 1);
    bench.stuck();
    bench.message("m2");
    assert_eq!(bench.commands(), []);
    bench.pass(5 * SECOND);
    assert_eq!(bench.commands(), [Command::Disconnect]);
    bench.pass(5 * SECOND);
    assert!(!bench.socket && service.activity().withdrawn() == 1);
}

#[test]
fn a_link_without_work_leaves_too() {
    let mut bench = bench();
    let service = Arc::clone(&bench.service);
    let _calls = calls(&service, 1);
    bench.stuck();
    bench.pass(SECOND);
    assert_eq!(bench.commands(), [Command::Disconnect]);
    // The broker is quicker with its end than with its RECEIPT.
    bench.lose();
    assert_eq!(service.activity().withdrawn(), 1);
    bench.pass(60 * SECOND);
    assert_eq!(bench.connects.len(), 1);
}

#[test]
fn does_not_connect_while_all_are_stuck() {
    for lost in [false, true] {
        let mut bench = Bench::with("stomp://h", |config| config.withdraws = true);
        let service = Arc::clone(&bench.service);
        let mut calls = calls(&service, 1);
        bench.stuck();
        if lost {
            // It waits for its next attempt.
            bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
        } else {
            // The socket is there, and nobody has said who it is.
            bench.socket = true;
            bench.give(Input::Connected);
        }
        assert!(!bench.socket && service.activity().withdrawn() == 1);
        bench.pass(60 * SECOND);
        assert_eq!(bench.connects.len(), 1);
        calls.clear();
        bench.pass(SECOND);
        assert_eq!(bench.connects.len(), 2);
    }
}

#[test]
fn who_is_free_again_in_the_meantime_is_not_left_out() {
    let mut bench = bench();
    let service = Arc::clone(&bench.service);
    bench.message("m1");
    bench.begin();
    let calls = calls(&service, 1);
    bench.stuck();
    bench.pass(SECOND);
    drop(calls);
    bench.reply();
    assert_eq!(bench.commands(), [Command::Disconnect], "nothing comes after it");
    bench.goodbye();
    bench.pass(SECOND);
    assert_eq!(bench.connects.len(), 2);
}

#[test]
fn one_that_ends_before_the_link_has_seen_it_changes_nothing() {
    let mut bench = bench();
    let service = Arc::clone(&bench.service);
    bench.message("m1");
    let calls = calls(&service, 1);
    bench.stuck();
    drop(calls);
    let job = bench.reply();
    assert_eq!(bench.commands(), [Command::Send]);
    bench.receipt(&format!("job-{job}"));
    bench.pass(SECOND);
    assert_eq!(bench.commands(), [Command::Ack]);
}

#[test]
fn a_stop_ends_it_wherever_it_is() {
    for step in 0..3 {
        let mut bench = bench();
        let service = Arc::clone(&bench.service);
        bench.message("m1");
        bench.begin();
        let _calls = calls(&service, 1);
        if step == 0 {
            bench.message("m2");
            bench.reply();
            bench.sent();
        }
        bench.stuck();
        bench.pass(SECOND);
        match step {
            0 => assert_eq!(bench.commands(), [], "withdrawing: a RECEIPT is missing"),
            1 => assert_eq!(bench.commands(), [Command::Disconnect]),
            _ => bench.goodbye(),
        }
        bench.give(Input::Stop);
        for _ in 0..4 {
            bench.pass(9 * SECOND);
            if bench.socket && !bench.finished {
                bench.bytes(b"\n");
                bench.sent();
            }
        }
        assert!(bench.finished, "at step {step}, after 30 s");
    }
}

/// What is acknowledged already can be left to nobody.
#[test]
fn at_most_once_what_is_acknowledged_is_still_served() {
    let mut bench = Bench::with("stomp://h", |config| {
        config.withdraws = true;
        config.delivery = DeliveryMode::AtMostOnce;
    });
    bench.come_up();
    let service = Arc::clone(&bench.service);
    bench.message("m1");
    bench.message("m2");
    for job in 1..=2 {
        bench.receipt(&format!("job-{job}/ack"));
    }
    bench.sent();
    bench.begin();
    let _calls = calls(&service, 1);
    bench.stuck();
    bench.pass(SECOND);
    assert_eq!(bench.commands(), [Command::Disconnect]);
    bench.goodbye();
    bench.jobs.remove(0);
    bench.work();
    assert_eq!(bench.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn what_comes_back_has_killed_no_server() {
    let mut bench = bench();
    bench.server = "RabbitMQ/3.10.8";
    bench.lose();
    bench.pass(60 * SECOND);
    bench.come_up();
    let service = Arc::clone(&bench.service);
    bench.message("runs");
    bench.begin();
    bench.message("waits");
    let calls = calls(&service, 1);
    bench.stuck();
    bench.pass(SECOND);
    bench.goodbye();
    bench.jobs.drain(..);
    drop(calls);
    bench.pass(SECOND);
    bench.come_up();
    for id in ["runs", "waits"] {
        let again =
            [("reply-to", "/remote-temp-queue/r"), ("redelivered", "true"), ("x-delivery-count", "1")];
        bench.message_with(id, &again);
        bench.pass(SECOND);
        let delivered = &bench.link.ledger_entry(bench.jobs[0].id()).delivered;
        assert_eq!((delivered.earlier.count, delivered.earlier.lost), (1, 0), "{id}");
        bench.reply();
    }
}

#[test]
fn at_most_once_a_reply_that_was_refused_is_sent_again_before_the_broker_is_left() {
    let mut bench = Bench::with("stomp://h", |config| {
        config.withdraws = true;
        config.delivery = DeliveryMode::AtMostOnce;
    });
    bench.come_up();
    let service = Arc::clone(&bench.service);
    bench.message("m1");
    bench.receipt("job-1/ack");
    bench.reply();
    bench.sent();
    bench.bytes(b"ERROR\nreceipt-id:job-1\nmessage:full\n\nfull\0");
    let _calls = calls(&service, 1);
    bench.stuck();
    bench.bytes(b"\n");
    assert_eq!(
        bench.commands(),
        [Command::Send],
        "no other server has it, and nothing is sent behind DISCONNECT"
    );
    bench.receipt("job-1");
    assert_eq!(bench.commands(), [Command::Disconnect]);
}
