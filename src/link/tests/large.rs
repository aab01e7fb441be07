//! Messages whose bodies are beyond the limit.

use super::*;

const REPLY_TO: (&str, &str) = ("reply-to", "/remote-temp-queue/r");
const NOTIFY: (&str, &str) = ("http_requestMethod", "NOTIFY");

fn small(server: &'static str, change: impl FnOnce(&mut WorkerConfig)) -> Bench {
    let mut bench = Bench::with("stomp://h", |config| {
        config.connection.limits.body = 10;
        change(config);
    });
    bench.server = server;
    bench.come_up();
    bench
}

impl Bench {
    /// A message that is too large, in two reads.
    fn large(&mut self, id: &str, headers: &[(&str, &str)]) {
        let bytes = self.delivery(id, headers, b"12345678901");
        let (first, second) = bytes.split_at(bytes.len() - 5);
        self.bytes(first);
        self.bytes(second);
    }
}

#[test]
fn a_request_that_is_too_large_is_answered_413_as_any_that_is_none() {
    for delivery in [DeliveryMode::AtLeastOnce, DeliveryMode::AtMostOnce, DeliveryMode::Transactional] {
        let mut bench = small("ActiveMQ/5.17.2", |config| config.delivery = delivery);
        bench.large("m1", &[REPLY_TO, ("correlation-id", "c")]);
        if delivery == DeliveryMode::AtMostOnce {
            let ack = bench.sent().remove(0);
            assert_eq!((ack.command, ack.headers.text("id")), (Command::Ack, Some("ack:m1")));
            bench.receipt(ack.headers.text("receipt").unwrap());
        }
        bench.work();
        let sent = bench.sent();
        let reply = sent.iter().find(|frame| frame.command == Command::Send).unwrap();
        for (name, value) in [
            ("destination", "/remote-temp-queue/r"),
            ("correlation-id", "c"),
            ("http_statusCode", "413"),
            ("http_reasonPhrase", "Content Too Large"),
            ("http_isError", "true"),
        ] {
            assert_eq!(reply.headers.text(name), Some(value), "{name}");
        }
        assert_eq!(&reply.body[..], b"a body of 11 octets is more than this server takes\n");
        match delivery {
            DeliveryMode::AtLeastOnce => {
                bench.receipt(reply.headers.text("receipt").unwrap());
                assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
            }
            DeliveryMode::AtMostOnce => assert_eq!(sent.len(), 1),
            DeliveryMode::Transactional => {
                let commands: Vec<_> = sent.iter().map(|frame| frame.command).collect();
                assert_eq!(commands, [Command::Begin, Command::Send]);
                bench.receipt(reply.headers.text("receipt").unwrap());
                assert_eq!(bench.commands(), [Command::Ack, Command::Commit]);
            }
        }
        // The connection serves on.
        assert_eq!((bench.calls.load(Ordering::SeqCst), bench.socket, bench.connects.len()), (0, true, 1));
        bench.message("m2");
        assert_eq!(bench.jobs.len(), usize::from(delivery != DeliveryMode::AtMostOnce));
    }
}

#[test]
fn one_that_nobody_waits_for_is_kept_whole_by_the_broker() {
    for (server, headers) in
        [("ActiveMQ/5.17.2", &[][..]), ("RabbitMQ/3.10.8", &[("requeue", "false")]), ("unknown", &[])]
    {
        for delivery in [DeliveryMode::AtLeastOnce, DeliveryMode::AtMostOnce, DeliveryMode::Transactional] {
            for nobody in [&[][..], &[REPLY_TO, NOTIFY], &[("reply-to", "/topic/no")]] {
                let mut bench = small(server, |config| config.delivery = delivery);
                bench.large("m1", nobody);
                let sent = bench.sent();
                let [nack] = &sent[..] else { panic!("one NACK, and no ACK before it: {sent:?}") };
                let expected = headers.iter().copied().chain([("id", "ack:m1")]).collect();
                assert_eq!((nack.command, &nack.headers), (Command::Nack, &expected));
                assert!(bench.jobs.is_empty() && bench.socket);
                bench.give(Input::Stop);
                assert_eq!(bench.commands(), [Command::Disconnect], "nothing is left of it");
            }
        }
    }
}

#[test]
fn by_version_1_1_it_is_named_as_in_an_ack() {
    let mut bench = Bench::with("stomp://h", |config| config.connection.limits.body = 10);
    bench.version = "1.1";
    bench.come_up();
    bench.large("m1", &[]);
    let nack = bench.sent().remove(0);
    assert_eq!(nack.headers, [("message-id", "m1"), ("subscription", "0")].into_iter().collect());
}

/// Artemis takes a NACK for an ACK, and STOMP 1.0 has none.
#[test]
fn a_broker_that_cannot_keep_it_is_given_a_letter_of_what_there_is() {
    // A length behind the other headers is a text's on Artemis.
    for (server, version, length) in
        [("ActiveMQ-Artemis/2.31.0", "1.2", None), ("ActiveMQ/5.17.2", "1.0", Some("0"))]
    {
        let mut bench = Bench::with("stomp://h", |config| {
            config.connection.limits.body = 10;
            config.delivery = DeliveryMode::AtMostOnce;
        });
        (bench.server, bench.version) = (server, version);
        bench.come_up();
        bench.large("m1", &[("X-Tenant", "acme")]);
        assert!(bench.sent().is_empty(), "no ACK goes first");
        bench.work();
        let letter = bench.sent().remove(0);
        for (name, value) in [
            ("destination", "/queue/DLQ.a"),
            ("message-failed", "message rejected: a body of 11 octets is more than this server takes"),
            ("X-Tenant", "acme"),
        ] {
            assert_eq!(letter.headers.text(name), Some(value), "{name}");
        }
        assert_eq!(letter.headers.text("content-length"), length);
        bench.receipt(letter.headers.text("receipt").unwrap());
        assert_eq!(bench.commands(), [Command::Ack]);
    }
}

/// Where even that letter ends the connection.
#[test]
fn a_letter_that_the_broker_forbids_is_not_tried_for_ever() {
    let mut bench = small("ActiveMQ-Artemis/2.31.0", |_| {});
    for _ in 0..6 {
        bench.large("poison", &[]);
        if !bench.jobs.is_empty() {
            bench.work();
        }
        assert_eq!(bench.texts("destination"), [(Command::Send, "/queue/DLQ.a".to_owned())]);
        bench.bytes(b"ERROR\nmessage:access_refused\n\n\0");
        bench.pass(60 * SECOND);
        bench.come_up();
    }
    bench.large("poison", &[]);
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:poison".to_owned())]);
}

/// Its dead letter would have no body, and the broker has one.
#[test]
fn one_whose_413_ends_each_connection_is_kept_whole_by_the_broker() {
    let mut bench = small("ActiveMQ/5.17.2", |_| {});
    for _ in 0..3 {
        bench.large("poison", &[REPLY_TO]);
        bench.work();
        assert_eq!(bench.commands(), [Command::Send]);
        bench.bytes(b"ERROR\nmessage:access_refused\n\n\0");
        bench.pass(60 * SECOND);
        bench.come_up();
    }
    bench.large("poison", &[REPLY_TO]);
    assert_eq!(bench.texts("id"), [(Command::Nack, "ack:poison".to_owned())]);
    bench.message("good");
    assert_eq!(bench.jobs.len(), 1);
}

#[test]
fn while_draining_it_goes_back_to_the_broker() {
    let mut bench = small("ActiveMQ/5.17.2", |_| {});
    bench.message("m1");
    bench.give(Input::Stop);
    bench.large("m2", &[]);
    assert!(bench.sent().is_empty());
}
