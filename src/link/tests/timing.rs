//! What takes too long, and what comes too late.

use super::*;

fn impatient() -> Bench {
    let mut bench = Bench::with("stomp://h", |config| config.request_timeout = Some(10 * SECOND));
    bench.come_up();
    bench
}

#[test]
fn a_request_that_takes_too_long_is_answered_504_once() {
    let mut bench = impatient();
    bench.message("m1");
    bench.begin();
    bench.idle(9);
    assert!(bench.sent().is_empty());
    bench.idle(1);
    let reply = bench.sent().remove(0);
    assert_eq!(reply.headers.text("destination"), Some("/remote-temp-queue/r"));
    assert_eq!(reply.headers.text("http_statusCode"), Some("504"));
    assert_eq!(reply.headers.text("http_isError"), Some("true"));
    assert_eq!(&reply.body[..], b"Gateway Timeout\n");
    bench.receipt(reply.headers.text("receipt").unwrap());
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
    // The application ends after all.
    bench.reply();
    bench.idle(30);
    assert!(bench.sent().is_empty(), "one reply, one ACK");
    bench.give(Input::Stop);
    assert_eq!(bench.commands(), [Command::Disconnect], "nothing is left of it");
}

#[test]
fn an_answer_that_overtakes_the_receipt_of_the_504_is_dropped() {
    let mut bench = impatient();
    bench.message("m1");
    bench.begin();
    bench.idle(10);
    assert_eq!(bench.commands(), [Command::Send]);
    let job = bench.reply();
    assert!(bench.sent().is_empty());
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.commands(), [Command::Ack]);
}

#[test]
fn a_request_that_no_worker_takes_is_answered_503_and_never_begun() {
    let mut bench = impatient();
    bench.message("m1");
    bench.idle(10);
    let reply = bench.sent().remove(0);
    assert_eq!(reply.headers.text("http_statusCode"), Some("503"));
    bench.work();
    assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
    bench.receipt(reply.headers.text("receipt").unwrap());
    assert_eq!(bench.commands(), [Command::Ack]);
}

#[test]
fn waiting_for_a_worker_does_not_count_as_running() {
    let mut bench = impatient();
    bench.message("m1");
    bench.idle(8);
    bench.begin();
    bench.idle(9);
    assert!(bench.sent().is_empty());
    bench.idle(1);
    assert_eq!(bench.texts("http_statusCode"), [(Command::Send, "504".to_owned())]);
}

#[test]
fn answers_in_time_are_left_alone() {
    let mut bench = impatient();
    for n in 0..30 {
        bench.message(&format!("m{n}"));
        bench.begin();
        bench.idle(3);
        let job = bench.reply();
        bench.receipt(&format!("job-{job}"));
        assert_eq!(bench.commands(), [Command::Send, Command::Ack]);
    }
    bench.idle(20);
    assert!(bench.sent().iter().all(|frame| frame.command == Command::Ack));
}

#[test]
fn a_stream_that_stops_flowing_is_broken_off() {
    let mut bench = impatient();
    bench.message_with("m1", &[("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")]);
    bench.begin();
    // Longer in all than the timeout, which is for each block.
    for _ in 0..3 {
        bench.idle(8);
        bench.block();
    }
    assert_eq!(bench.commands(), [Command::Send; 3]);
    let delivered = Arc::clone(&bench.link.ledger_entry(bench.jobs[0].id()).delivered);
    let progress = &delivered.progress;
    bench.idle(9);
    assert!(bench.sent().is_empty() && !progress.is_cancelled());
    bench.idle(1);
    let end = bench.sent().remove(0);
    for (name, value) in [("http_chunkSeq", "3"), ("http_moreContent", "false"), ("http_isError", "true")] {
        assert_eq!(end.headers.text(name), Some(value), "{name}");
    }
    assert_eq!(end.headers.text("http_statusCode"), None, "it was on the first");
    assert!(progress.is_cancelled(), "the application is asked for no further block");
    bench.block();
    assert!(bench.sent().is_empty(), "nothing follows the last");
    bench.receipt(end.headers.text("receipt").unwrap());
    assert_eq!(bench.commands(), [Command::Ack]);
}

#[test]
fn a_message_that_nobody_waits_for_is_not_run_again_while_it_runs() {
    let mut bench = impatient();
    bench.notify("m1");
    for attempt in 1..5 {
        bench.begin();
        bench.idle(100);
        assert!(bench.sent().is_empty(), "not acknowledged, not buried");
        assert_eq!(bench.jobs.len(), 1, "attempt {attempt} still runs");
        bench.end(End::Done);
        assert!(bench.jobs.is_empty(), "it has failed, however it ended");
        bench.idle(10);
        assert_eq!(bench.jobs.len(), 1, "tried again");
    }
    bench.begin();
    bench.idle(10);
    let dead = bench.sent().remove(0);
    assert_eq!(dead.headers.text("destination"), Some("/queue/DLQ.a"));
    assert_eq!(dead.headers.text("message-failed"), Some("not done within 10s, attempt 5"));
    bench.receipt(dead.headers.text("receipt").unwrap());
    assert_eq!(bench.commands(), [Command::Ack]);
    bench.end(End::Done);
    assert!(bench.sent().is_empty());
}

#[test]
fn a_message_that_nobody_waits_for_may_wait_for_its_worker() {
    let mut bench = impatient();
    bench.notify("m1");
    bench.idle(100);
    assert!(bench.sent().is_empty());
    bench.work();
    assert_eq!(bench.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn what_was_answered_in_its_place_counts_until_it_has_ended() {
    let mut bench = impatient();
    for n in 0..8 {
        assert!(bench.read, "message {n}");
        bench.message(&format!("m{n}"));
        bench.idle(10);
        let reply = bench.sent().remove(0);
        bench.receipt(reply.headers.text("receipt").unwrap());
        assert_eq!(bench.commands(), [Command::Ack]);
    }
    assert!(!bench.read, "an application that hangs is not given more and more");
    bench.end(End::Failed);
    assert!(bench.read);
}

#[test]
fn a_drain_answers_what_takes_too_long() {
    let mut bench = impatient();
    bench.message("m1");
    bench.begin();
    bench.give(Input::Stop);
    bench.idle(10);
    assert_eq!(bench.texts("http_statusCode"), [(Command::Send, "504".to_owned())]);
}

#[test]
fn no_more_is_in_hand_than_twice_the_prefetch_whatever_the_broker_sends() {
    let mut bench = Bench::up("stomp://h");
    let mut sent = 0;
    while bench.read {
        bench.message("m");
        sent += 1;
    }
    assert_eq!((sent, bench.jobs.len()), (8, 8));
    // What failed and is to be tried again is still in hand.
    for _ in 0..8 {
        bench.end(End::Failed);
    }
    assert!(!bench.read);
    bench.pass(SECOND);
    assert_eq!(bench.jobs.len(), 8);
    bench.end(End::Done);
    assert!(bench.read);
}

#[test]
fn a_broker_that_ignores_the_prefetch_and_confirms_nothing_is_left() {
    let mut bench = Bench::up("stomp://h");
    let mut sent = 0;
    while bench.socket {
        bench.message("m");
        sent += 1;
        if bench.socket {
            bench.reply();
            bench.commands();
        }
    }
    assert_eq!(sent, 10_001);
    bench.pass(SECOND);
    assert_eq!(bench.connects.len(), 2, "and the next is tried");
}

#[test]
fn what_has_expired_is_acknowledged_and_never_served() {
    for (server, header) in [("ActiveMQ/5.17.2", "expires"), ("RabbitMQ/3.10.8", "expiration")] {
        let mut bench = Bench::new("stomp://h");
        bench.server = server;
        bench.come_up();
        // Until the first millisecond of the epoch; for one millisecond.
        bench.message_with("m1", &[("reply-to", "/queue/r"), (header, "1")]);
        std::thread::sleep(Duration::from_millis(5));
        bench.work();
        assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())], "{server}");
        assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_life_counts_from_the_delivery_and_not_from_the_next_try() {
    let mut bench = Bench::new("stomp://h");
    bench.server = "RabbitMQ/3.10.8";
    bench.come_up();
    let one_way = [("http_requestMethod", "NOTIFY"), ("http_requestUrl", "/")];
    bench.message_with("m1", &[&one_way[..], &[("expiration", "20")]].concat());
    // Of whoever serves, the clock is real.
    std::thread::sleep(Duration::from_millis(30));
    bench.end(End::Failed);
    bench.pass(SECOND);
    bench.work();
    assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
}

#[test]
fn a_reply_expires_in_the_words_of_its_broker() {
    let number = |frame: &Frame, name: &str| frame.headers.text(name).map(|ms| ms.parse::<u64>().unwrap());
    let replies = |server: &'static str, headers: &[(&str, &str)]| {
        let mut bench = Bench::new("stomp://h");
        bench.server = server;
        bench.come_up();
        bench.message_with("m1", &[&[("reply-to", "/queue/r")], headers].concat());
        bench.work();
        let reply = bench.sent().remove(0);
        assert_eq!(reply.headers.text("http_statusCode"), Some("500"), "the application was called");
        assert_eq!(reply.headers.text("persistent"), None);
        (number(&reply, "expires"), number(&reply, "expiration"))
    };
    let (rabbit, active) = ("RabbitMQ/3.10.8", "ActiveMQ/5.17.2");
    assert_eq!(replies(active, &[("expires", "4102444800000")]), (Some(4_102_444_800_000), None));
    assert_eq!(replies(active, &[("expiration", "60000")]), (None, None), "a property like any other");
    assert_eq!(replies(rabbit, &[]), (None, None));
    let (expires, expiration) = replies(rabbit, &[("expiration", "60000")]);
    assert_eq!(expires, None);
    assert!((50_000..=60_000).contains(&expiration.unwrap()), "{expiration:?}");
    // No number that RabbitMQ would refuse.
    assert_eq!(replies(rabbit, &[("expiration", "99999999999")]), (None, Some(u64::from(u32::MAX))));
    assert_eq!(replies(rabbit, &[("expiration", "soon")]), (None, None));
}
