//! Messages that are not served again since their replies ended the connection: what their requesters are told.

use super::failing::{REFUSAL, again, dead_letter};
use super::*;

const REASON: &str = "its reply ended the connection each time";

/// Up, with a request whose large reply has ended three connections, and that is delivered once more.
fn condemned(server: &'static str, headers: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new("stomp://h");
    bench.server = server;
    bench.come_up();
    for _ in 0..3 {
        bench.message_with("large", headers);
        let job = bench.jobs.remove(0).id();
        bench.give(Input::Output(Output { job, bytes: vec![b'x'; 65 << 10], end: Some(End::Done) }));
        again(&mut bench, |bench| bench.bytes(REFUSAL));
    }
    bench.message_with("large", headers);
    bench
}

/// What is sent next: one 500.
fn notice(bench: &mut Bench) -> Frame {
    let mut sent = bench.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].headers.text("http_statusCode"), Some("500"));
    sent.remove(0)
}

const REQUEST: [(&str, &str); 3] =
    [("reply-to", "/queue/r"), ("correlation-id", "c"), ("http_requestUrl", "/large")];

#[test]
fn its_requester_is_told_before_the_dead_letter() {
    for headers in [&REQUEST[..], &REQUEST[..2]] {
        let mut bench = condemned("RabbitMQ/3.10.8", headers);
        assert!(bench.jobs.is_empty(), "it is not served");
        let told = notice(&mut bench);
        assert_eq!(told.headers.text("destination"), Some("/queue/r"));
        assert_eq!(told.headers.text("correlation-id"), Some("c"));
        assert!(told.body.starts_with(b"the reply to this request ended the connection"), "{told:?}");
        bench.receipt(told.headers.text("receipt").unwrap());
        let (receipt, why) = dead_letter(&mut bench);
        assert_eq!(why, REASON);
        bench.receipt(&receipt);
        assert_eq!(bench.texts("id"), [(Command::Ack, "ack:large".to_owned())]);
        assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
        // The next with the same reply-to is served.
        bench.message_with("other", &REQUEST);
        assert_eq!(bench.jobs.len(), 1);
    }
}

#[test]
fn each_of_those_that_look_the_same_is_told() {
    let mut bench = condemned("RabbitMQ/3.10.8", &REQUEST);
    for _ in 0..2 {
        bench.message_with("large", &REQUEST);
    }
    let (mut told, mut buried, mut settled) = (0, 0, 0);
    for _ in 0..6 {
        for frame in bench.sent() {
            settled += usize::from(frame.command == Command::Ack);
            let Some(receipt) = frame.headers.text("receipt") else { continue };
            let is_notice = frame.headers.text("http_statusCode") == Some("500");
            *(if is_notice { &mut told } else { &mut buried }) += 1;
            bench.receipt(receipt);
        }
    }
    assert_eq!((told, buried, settled), (3, 3, 2), "the last ACK is on its way");
}

/// The consumer's number in Artemis' message-id is another at each delivery.
#[test]
fn on_artemis_it_is_known_again() {
    let mut bench = Bench::new("stomp://h");
    bench.server = "ActiveMQ-Artemis/2.40.0 ActiveMQ Artemis Messaging Engine";
    bench.come_up();
    for consumer in 1..=3 {
        bench.message_with(&format!("{consumer}5,39"), &REQUEST);
        let job = bench.jobs.remove(0).id();
        bench.give(Input::Output(Output { job, bytes: b"reply".to_vec(), end: Some(End::Done) }));
        again(&mut bench, |bench| bench.bytes(REFUSAL));
    }
    bench.message_with("45,39", &REQUEST);
    assert!(bench.jobs.is_empty(), "it is not served a fourth time");
}

#[test]
fn a_notice_that_ends_the_connection_is_not_sent_again() {
    for error in [true, false] {
        let mut bench = condemned("RabbitMQ/4.0.5", &REQUEST);
        notice(&mut bench);
        again(&mut bench, |bench| if error { bench.bytes(REFUSAL) } else { bench.lose() });
        bench.message_with("large", &REQUEST);
        let (receipt, why) = dead_letter(&mut bench);
        assert_eq!(why, REASON);
        bench.receipt(&receipt);
        assert_eq!(bench.texts("id"), [(Command::Ack, "ack:large".to_owned())]);
    }
}

#[test]
fn a_notice_and_dead_letters_that_end_it_come_to_an_end() {
    let mut bench = condemned("RabbitMQ/4.0.5", &REQUEST);
    notice(&mut bench);
    let mut connections = 0;
    loop {
        again(&mut bench, |bench| bench.lose());
        connections += 1;
        bench.message_with("large", &REQUEST);
        let sent = bench.sent();
        if sent[0].command == Command::Nack {
            assert_eq!(sent[0].headers.text("requeue"), Some("false"));
            break;
        }
        assert_eq!(sent[0].headers.text("destination"), Some("/queue/DLQ.a"), "no second notice");
    }
    assert!(connections <= 5, "{connections}");
}

#[test]
fn a_refused_notice_is_followed_by_the_dead_letter() {
    let mut bench = condemned("ActiveMQ/5.17.2", &REQUEST);
    let told = notice(&mut bench);
    let receipt = told.headers.text("receipt").unwrap();
    bench.bytes(format!("ERROR\nreceipt-id:{receipt}\nmessage:no\n\n\0").as_bytes());
    let (receipt, _) = dead_letter(&mut bench);
    bench.receipt(&receipt);
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:large".to_owned())]);
}

#[test]
fn others_wait_while_it_is_told_and_go_on_then() {
    let mut bench = condemned("RabbitMQ/3.10.8", &REQUEST);
    let told = notice(&mut bench);
    bench.message("good");
    let good = bench.reply();
    assert!(bench.sent().is_empty(), "the notice is alone on its way");
    bench.receipt(told.headers.text("receipt").unwrap());
    let (receipt, _) = dead_letter(&mut bench);
    bench.receipt(&receipt);
    assert_eq!(bench.commands(), [Command::Ack, Command::Send]);
    bench.receipt(&format!("job-{good}"));
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:good".to_owned())]);
}

#[test]
fn a_stop_waits_for_the_notice_and_its_dead_letter() {
    let mut bench = condemned("RabbitMQ/3.10.8", &REQUEST);
    let told = notice(&mut bench);
    bench.give(Input::Stop);
    assert!(bench.sent().is_empty());
    bench.receipt(told.headers.text("receipt").unwrap());
    let (receipt, _) = dead_letter(&mut bench);
    bench.receipt(&receipt);
    assert_eq!(bench.commands(), [Command::Ack, Command::Disconnect]);
}

/// RabbitMQ since 3.12: a dead letter has more headers than its message, which may have been as large as a frame may be.
#[test]
fn a_dead_letter_that_no_frame_can_hold_is_left_to_the_broker() {
    for (server, max_reply, octets, left) in [
        ("RabbitMQ/4.0.5", None, 4 << 20, true),
        ("RabbitMQ/4.0.5", None, (4 << 20) - 2000, false),
        ("RabbitMQ/4.0.5", Some(8 << 20), 4 << 20, false),
        ("RabbitMQ/3.10.8", None, 4 << 20, false),
    ] {
        let mapping = Mapping { max_reply, ..Mapping::default() };
        let mut bench = Bench::mapping("stomp://h", mapping, |_| {});
        bench.server = server;
        bench.come_up();
        let headers = [("reply-to", "/queue/amq.x"), ("content-length", &*octets.to_string())];
        let bytes = bench.delivery("m", &headers, &vec![b'x'; octets]);
        bench.bytes(&bytes);
        bench.work();
        let sent = bench.sent();
        let nack = (Command::Nack, Some("false"));
        assert_eq!((sent[0].command, sent[0].headers.text("requeue")) == nack, left, "{server} {octets}");
        assert_eq!(sent[0].command == Command::Send, !left);
    }
}

#[test]
fn at_most_once_such_a_dead_letter_has_no_body() {
    let mut bench = Bench::with("stomp://h", |config| config.delivery = DeliveryMode::AtMostOnce);
    bench.server = "RabbitMQ/4.0.5";
    bench.come_up();
    let octets = 4 << 20;
    let headers =
        [("http_requestMethod", "G E T"), ("X-Tenant", "acme"), ("content-length", &*octets.to_string())];
    let bytes = bench.delivery("m", &headers, &vec![b'x'; octets]);
    bench.bytes(&bytes);
    let ack = bench.sent().remove(0);
    bench.receipt(ack.headers.text("receipt").unwrap());
    bench.work();
    let letter = bench.sent().remove(0);
    assert_eq!(letter.headers.text("destination"), Some("/queue/DLQ.a"));
    assert_eq!((letter.headers.text("X-Tenant"), letter.body.len()), (Some("acme"), 0));
    assert!(letter.headers.text("message-failed").is_some_and(|why| why.contains("the method")));
    bench.receipt(letter.headers.text("receipt").unwrap());
    assert!(bench.sent().is_empty());
    bench.give(Input::Stop);
    assert_eq!(bench.commands(), [Command::Disconnect], "nothing is left");
}
