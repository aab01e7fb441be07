//! Messages of JMS clients.

use super::*;
use crate::http::EmptyJms;

const REPLY_TO: (&str, &str) = ("reply-to", "/remote-temp-queue/r");
const JAVA: &str = "ID:host-1-2-1:1:1:1:1";

/// A broker, and a server that has this done with messages without a body.
fn bench(server: &'static str, empty_jms: EmptyJms, change: impl FnOnce(&mut WorkerConfig)) -> Bench {
    let mapping = Mapping { empty_jms, ..Mapping::default() };
    let mut bench = Bench::mapping("stomp://h", mapping, change);
    bench.server = server;
    bench.come_up();
    bench
}

impl Bench {
    /// A message as ActiveMQ hands out a MapMessage.
    fn without_body(&mut self, headers: &[(&str, &str)]) {
        let own = [("destination", "/queue/a"), ("subscription", "0"), ("message-id", JAVA), ("ack", "1")];
        let mut frame = b"MESSAGE\n".to_vec();
        for (name, value) in own.iter().chain(headers) {
            frame.extend_from_slice(format!("{name}:{}\n", value.replace(':', "\\c")).as_bytes());
        }
        frame.extend_from_slice(b"\n\0");
        self.bytes(&frame);
    }
}

#[test]
fn a_request_without_its_body_is_answered_415() {
    let mut bench = bench("ActiveMQ/5.19.0", EmptyJms::default(), |_| {});
    bench.without_body(&[REPLY_TO]);
    bench.work();
    let reply = bench.sent().remove(0);
    assert_eq!(reply.headers.text("http_statusCode"), Some("415"));
    assert!(String::from_utf8_lossy(&reply.body).contains("MapMessage"));
    bench.receipt(reply.headers.text("receipt").unwrap());
    assert_eq!(bench.texts("id"), [(Command::Ack, "1".to_owned())]);
    assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
}

#[test]
fn where_nobody_waits_it_is_served_unless_it_is_to_be_kept_by_the_broker() {
    for delivery in [DeliveryMode::AtLeastOnce, DeliveryMode::AtMostOnce, DeliveryMode::Transactional] {
        let mut strict = bench("ActiveMQ/5.17.2", EmptyJms::Reject, |config| config.delivery = delivery);
        strict.without_body(&[]);
        assert_eq!(strict.texts("id"), [(Command::Nack, "1".to_owned())]);
        assert!(strict.jobs.is_empty() && strict.socket);
        strict.give(Input::Stop);
        assert_eq!(strict.commands(), [Command::Disconnect], "nothing is left of it");
    }
    for (server, empty) in [("ActiveMQ/5.17.2", EmptyJms::Answer), ("RabbitMQ/3.10.8", EmptyJms::Reject)] {
        let mut lax = bench(server, empty, |_| {});
        lax.without_body(&[]);
        lax.work();
        assert_eq!(lax.calls.load(Ordering::SeqCst), 1, "{server}");
    }
}

#[test]
fn a_dead_letter_has_the_text_as_it_came() {
    let mut bench = bench("ActiveMQ/5.17.2", EmptyJms::default(), |_| {});
    let text = b"a\xed\xa0\xbd\xed\xb8\x80\xc0\x80";
    let mut frame = format!(
        "MESSAGE\ndestination:/queue/a\nsubscription:0\nack:1\nmessage-id:{}\n\n",
        JAVA.replace(':', "\\c")
    )
    .into_bytes();
    frame.extend_from_slice(text);
    frame.push(0);
    bench.bytes(&frame);
    for _ in 1..5 {
        bench.work();
        bench.idle(10);
    }
    bench.work();
    let letter =
        bench.sent().into_iter().find(|frame| frame.command == Command::Send).expect("a dead letter");
    assert_eq!((letter.headers.text("destination"), &letter.body[..]), (Some("/queue/DLQ.a"), &text[..]));
    assert_eq!(letter.headers.text("content-length"), None);
}

/// A line feed in the name of a JMS property makes a header line of its own, before or after the broker's.
#[test]
fn a_message_with_two_acks_or_subscriptions_is_left_to_the_broker() {
    for twice in
        [&[("ack", "2")][..], &[("subscription", "1")], &[("ack", "2"), ("ack", "3"), ("subscription", "0")]]
    {
        for delivery in [DeliveryMode::AtLeastOnce, DeliveryMode::AtMostOnce, DeliveryMode::Transactional] {
            let mut bench = bench("ActiveMQ/5.17.2", EmptyJms::Accept, |config| config.delivery = delivery);
            let known = bench.delivery("m1", &[("reply-to", "/queue/r")], b"");
            bench.bytes(&known);
            bench.sent();
            bench.without_body(&[&[REPLY_TO, ("ack", "ack:m1")], twice].concat());
            let mut expected = vec![(Command::Nack, "1".to_owned())];
            let others = twice.iter().filter(|(name, _)| *name == "ack");
            expected.extend(others.map(|(_, id)| (Command::Nack, (*id).to_owned())));
            assert_eq!(bench.texts("id"), expected, "never that of another message");
            // The broker knows one of them.
            bench.bytes(
                b"ERROR\nreceipt-id:tampered\nmessage:Unexpected NACK received for message-id [null]\n\n\0",
            );
            bench.receipt("tampered");
            assert!(bench.socket && bench.jobs.len() == usize::from(delivery != DeliveryMode::AtMostOnce));
        }
    }
    // RabbitMQ leaks what a sender says behind its own.
    let mut rabbitmq = bench("RabbitMQ/3.10.8", EmptyJms::Accept, |_| {});
    rabbitmq.without_body(&[REPLY_TO, ("ack", "2")]);
    assert_eq!((rabbitmq.jobs.len(), rabbitmq.sent().len()), (1, 0));
}
