//! The other ways to deliver: at most once, and in transactions.

use super::*;

fn bench(delivery: DeliveryMode) -> Bench {
    let mut bench = Bench::with("stomp://h", |config| config.delivery = delivery);
    bench.come_up();
    bench
}

/// The first ACK, and the RECEIPT of it.
fn acknowledged(bench: &mut Bench) {
    let ack = bench.sent().remove(0);
    assert_eq!(ack.command, Command::Ack);
    bench.receipt(ack.headers.text("receipt").unwrap());
}

#[test]
fn at_most_once_acknowledges_before_it_serves() {
    let mut bench = bench(DeliveryMode::AtMostOnce);
    bench.message("m1");
    assert!(bench.jobs.is_empty(), "not before the broker has confirmed the ACK");
    assert_eq!(bench.link.outbox(), b"ACK\nreceipt:job-1/ack\nid:ack\\cm1\n\n\0");
    acknowledged(&mut bench);
    assert_eq!(bench.jobs.len(), 1);
    let job = bench.reply();
    assert_eq!(bench.commands(), [Command::Send]);
    bench.receipt(&format!("job-{job}"));
    assert!(bench.sent().is_empty(), "one ACK is enough");
    bench.give(Input::Stop);
    assert_eq!(bench.commands(), [Command::Disconnect]);
}

#[test]
fn at_most_once_acknowledges_no_more_than_the_prefetch_ahead() {
    let mut bench = bench(DeliveryMode::AtMostOnce);
    for n in 0..6 {
        bench.message(&format!("m{n}"));
    }
    let acks = bench.sent();
    assert_eq!(acks.len(), 4, "the rest is still the broker's");
    for ack in acks {
        bench.receipt(ack.headers.text("receipt").unwrap());
    }
    assert_eq!(bench.jobs.len(), 4);
    let job = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m4".to_owned())]);
}

#[test]
fn at_most_once_reads_on_while_only_the_broker_can_help() {
    let mut bench = bench(DeliveryMode::AtMostOnce);
    for n in 0..20 {
        bench.message(&format!("m{n}"));
    }
    assert!(bench.read, "RECEIPTs have to be read");
    acknowledged(&mut bench);
    assert!(!bench.read, "there is work to do");
}

#[test]
fn at_most_once_serves_what_is_acknowledged_even_if_the_connection_is_lost() {
    let mut bench = bench(DeliveryMode::AtMostOnce);
    bench.notify("m1");
    acknowledged(&mut bench);
    bench.notify("m2");
    bench.lose();
    bench.work();
    assert_eq!(bench.calls.load(Ordering::SeqCst), 1);
    bench.pass(SECOND);
    bench.come_up();
    assert!(
        bench.jobs.is_empty(),
        "whether the broker has the other ACK nobody knows: lost, or delivered again"
    );
    bench.give(Input::Stop);
    assert_eq!(bench.commands(), [Command::Disconnect]);
}

#[test]
fn at_most_once_serves_what_is_acknowledged_even_if_the_broker_is_gone_for_good() {
    for attempts in ["", "?maxReconnectAttempts=1"] {
        let mut bench = Bench::with(&format!("failover:(stomp://h){attempts}"), |config| {
            config.delivery = DeliveryMode::AtMostOnce;
        });
        bench.come_up();
        bench.notify("m1");
        acknowledged(&mut bench);
        bench.lose();
        if attempts.is_empty() {
            bench.give(Input::Stop);
        }
        bench.pass(SECOND);
        bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
        assert!(!bench.finished, "{attempts}");
        bench.work();
        assert_eq!((bench.finished, bench.calls.load(Ordering::SeqCst)), (true, 1), "{attempts}");
    }
}

#[test]
fn at_most_once_tries_once() {
    let mut bench = bench(DeliveryMode::AtMostOnce);
    bench.notify("m1");
    acknowledged(&mut bench);
    bench.work();
    assert_eq!(bench.calls.load(Ordering::SeqCst), 1);
    let dead = bench.sent().remove(0);
    assert_eq!(dead.headers.text("destination"), Some("/queue/DLQ.a"));
    assert!(dead.headers.text("message-failed").is_some());
    bench.receipt(dead.headers.text("receipt").unwrap());
    bench.idle(100);
    assert!(bench.sent().is_empty() && bench.jobs.is_empty());
}

#[test]
fn at_most_once_serves_in_a_drain_what_it_has_acknowledged() {
    let mut bench = bench(DeliveryMode::AtMostOnce);
    for n in 0..6 {
        bench.message(&format!("m{n}"));
    }
    let acks = bench.sent();
    bench.receipt(acks[0].headers.text("receipt").unwrap());
    bench.give(Input::Stop);
    for ack in &acks[1..] {
        bench.receipt(ack.headers.text("receipt").unwrap());
    }
    assert_eq!(bench.jobs.len(), 4, "the other two go back to the broker");
    for _ in 0..4 {
        bench.work();
        let reply = bench.sent().remove(0);
        assert_eq!(reply.headers.text("http_statusCode"), Some("500"), "of the application");
        bench.receipt(reply.headers.text("receipt").unwrap());
    }
    assert_eq!(bench.calls.load(Ordering::SeqCst), 4);
    assert_eq!(bench.commands(), [Command::Disconnect]);
}

#[test]
fn a_transaction_holds_the_reply_and_its_ack() {
    let mut bench = bench(DeliveryMode::Transactional);
    bench.message("m1");
    let job = bench.reply();
    let mut frames = bench.sent();
    assert_eq!(frames.iter().map(|frame| frame.command).collect::<Vec<_>>(), [Command::Begin, Command::Send]);
    // ActiveMQ carries out the rest of a transaction whose SEND it has refused.
    bench.receipt(&format!("job-{job}"));
    frames.extend(bench.sent());
    let commands: Vec<_> = frames.iter().map(|frame| frame.command).collect();
    assert_eq!(commands, [Command::Begin, Command::Send, Command::Ack, Command::Commit]);
    assert!(frames.iter().all(|frame| frame.headers.text("transaction") == Some("job-1")));
    assert_eq!(frames[1].headers.text("destination"), Some("/remote-temp-queue/r"));
    assert_eq!(&frames[1].body[..], b"reply");
    assert_eq!(frames[2].headers.text("id"), Some("ack:m1"));
    // The SEND's own receipt says nothing of the COMMIT.
    bench.receipt(&format!("job-{job}"));
    assert!(bench.sent().is_empty());
    bench.give(Input::Stop);
    assert!(bench.sent().is_empty());
    bench.receipt(frames[3].headers.text("receipt").unwrap());
    assert_eq!(bench.commands(), [Command::Disconnect]);
}

#[test]
fn a_transaction_whose_reply_is_refused_is_rolled_back_and_begun_again() {
    let mut bench = bench(DeliveryMode::Transactional);
    bench.message("m1");
    let job = bench.reply();
    bench.sent();
    bench.bytes(format!("ERROR\nreceipt-id:job-{job}\nmessage:Usage Manager full\n\n\0").as_bytes());
    assert_eq!(bench.texts("transaction"), [(Command::Abort, "job-1".to_owned())]);
    bench.pass(SECOND);
    let again = [(Command::Begin, "job-1".to_owned()), (Command::Send, "job-1".to_owned())];
    assert_eq!(bench.texts("transaction"), again);
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.commands(), [Command::Ack, Command::Commit]);
    bench.receipt(&format!("job-{job}/commit"));
    bench.give(Input::Stop);
    assert_eq!(bench.commands(), [Command::Disconnect], "nothing is left of it");
}

#[test]
fn a_transaction_that_fails_ends_the_connection() {
    let mut bench = bench(DeliveryMode::Transactional);
    bench.message("m1");
    let job = bench.reply();
    bench.sent();
    bench.bytes(format!("ERROR\nreceipt-id:job-{job}/commit\nmessage:no\n\n\0").as_bytes());
    assert!(!bench.socket, "the message has to be delivered again");
}

#[test]
fn only_the_end_of_a_stream_is_in_the_transaction() {
    let mut bench = bench(DeliveryMode::Transactional);
    bench.message_with("m1", &[("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")]);
    bench.block();
    assert_eq!(bench.texts("transaction"), [(Command::Send, "-".to_owned())], "at once");
    let job = bench.reply();
    assert!(bench.sent().is_empty(), "the broker may still refuse the block");
    bench.receipt(&format!("job-{job}/0"));
    assert_eq!(bench.commands(), [Command::Begin, Command::Send]);
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.commands(), [Command::Ack, Command::Commit]);
}

#[test]
fn what_nobody_answers_needs_no_transaction() {
    let mut bench = bench(DeliveryMode::Transactional);
    bench.notify("taken");
    bench.end(End::Done);
    assert_eq!(bench.texts("transaction"), [(Command::Ack, "-".to_owned())]);
}

#[test]
fn a_dead_letter_is_confirmed_before_its_message_is_acknowledged() {
    let mut bench = bench(DeliveryMode::Transactional);
    // It can be no request, and nobody can be told.
    bench.message_with("m1", &[("http_requestUrl", "/a b\u{1}")]);
    bench.work();
    let dead = bench.sent();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].headers.text("destination"), Some("/queue/DLQ.a"));
    assert_eq!(dead[0].headers.text("transaction"), None);
    bench.receipt(dead[0].headers.text("receipt").unwrap());
    assert_eq!(bench.texts("transaction"), [(Command::Ack, "-".to_owned())]);
}

/// Artemis acknowledges at once, and RabbitMQ carries out the ACK of a transaction whose SEND it refuses.
#[test]
fn where_the_ack_does_not_depend_on_the_reply_there_are_no_transactions() {
    for server in ["ActiveMQ-Artemis/2.31.0 ActiveMQ Artemis Messaging Engine", "RabbitMQ/3.10.8"] {
        let mut bench = Bench::with("stomp://h", |config| config.delivery = DeliveryMode::Transactional);
        bench.server = server;
        bench.come_up();
        bench.message("m1");
        let job = bench.reply();
        assert_eq!(bench.texts("transaction"), [(Command::Send, "-".to_owned())], "{server}");
        bench.receipt(&format!("job-{job}"));
        assert_eq!(bench.commands(), [Command::Ack], "{server}");
    }
}
