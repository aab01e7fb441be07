//! The broker, playing others.

use super::*;

fn playing(dialect: Dialect) -> Bed {
    Bed::with(BrokerConfig::default().with_dialect(dialect))
}

/// Sends one message to a worker and has it refused.
fn refuse_one(bed: &mut Bed, more: &str) -> ConnId {
    let worker = bed.connect("1.2");
    bed.subscribe(worker, "w", "/queue/work", "client-individual");
    bed.send(worker, "/queue/work", "m");
    let frame = bed.one(worker);
    bed.put(worker, &answer("NACK", "1.2", &frame, more));
    worker
}

#[test]
fn each_is_known_by_its_name() {
    for dialect in Dialect::ALL {
        let mut bed = playing(dialect);
        let client = bed.accept();
        bed.put(client, "CONNECT\naccept-version:1.2\nhost:/\n\n\0");
        assert_eq!(Dialect::of(bed.one(client).headers.text("server")), Some(dialect));
    }
}

#[test]
fn nack_means_three_things() {
    let mut bed = playing(Dialect::ActiveMq);
    let worker = refuse_one(&mut bed, "");
    bed.nothing(worker);
    assert_eq!(bed.waiting("/queue/DLQ.work"), 1);

    let mut bed = playing(Dialect::RabbitMq);
    let worker = refuse_one(&mut bed, "");
    let again = bed.one(worker);
    assert_eq!((body(&again).as_str(), header(&again, "redelivered")), ("m", "true"));
    let worker = refuse_one(&mut playing(Dialect::RabbitMq), "requeue:false\n");
    bed.nothing(worker);

    let mut bed = playing(Dialect::Artemis);
    let worker = refuse_one(&mut bed, "");
    bed.nothing(worker);
    assert_eq!((bed.waiting("/queue/DLQ.work"), bed.broker.memory()), (0, 0));
}

#[test]
fn artemis_has_no_temporary_queues() {
    let mut bed = playing(Dialect::Artemis);
    let (one, two) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.subscribe(one, "r", "/temp-queue/foo", "auto");
    bed.send(two, "/temp-queue/foo", "anyone may");
    assert_eq!(bed.bodies(one), ["anyone may"]);
    bed.subscribe(two, "w", "/queue/work", "auto");
    bed.put(one, "SEND\ndestination:/queue/work\nreply-to:/temp-queue/foo\n\n\0");
    assert_eq!(header(&bed.one(two), "reply-to"), "/temp-queue/foo");
}

#[test]
fn artemis_measures_text_behind_its_headers_and_bytes_before_its_id() {
    let mut bed = playing(Dialect::Artemis);
    let one = bed.connect("1.2");
    bed.subscribe(one, "r", "/queue/a", "auto");
    let mut lengths = |length: &str, body: &str| {
        bed.put(one, &format!("SEND\ndestination:/queue/a\n{length}X:1\n\n{body}\0"));
        let frame = bed.one(one);
        let place = |wanted: &[u8]| frame.headers.names().position(|name| name == wanted);
        assert_eq!(frame.body, body.as_bytes());
        (place(b"content-length"), place(b"message-id"), frame.headers.len())
    };
    let (length, id, _) = lengths("content-length:1\n", "x");
    assert!(length.is_some() && length < id);
    let (length, _, headers) = lengths("", "x");
    assert_eq!(length, Some(headers - 1));
    assert_eq!(lengths("", "").0, None);
}

#[test]
fn artemis_acknowledges_at_once_whatever_the_transaction() {
    let mut bed = playing(Dialect::Artemis);
    let worker = bed.connect("1.2");
    bed.subscribe(worker, "w", "/queue/work", "client-individual");
    bed.send(worker, "/queue/work", "m");
    let frame = bed.one(worker);
    bed.put(worker, "BEGIN\ntransaction:t\n\n\0");
    bed.put(worker, &answer("ACK", "1.2", &frame, "transaction:t\n"));
    bed.put(worker, "ABORT\ntransaction:t\n\n\0");
    assert_eq!(bed.broker.depth("/queue/work").unacknowledged, 0);
}

#[test]
fn artemis_parts_with_the_silent_after_a_minute() {
    for (dialect, lives) in [(Dialect::ActiveMq, true), (Dialect::Artemis, false)] {
        let mut bed = playing(dialect);
        let client = bed.connect("1.2");
        bed.advance(59_000);
        assert_eq!(bed.broker.status(client), Status::Open);
        bed.advance(2_000);
        assert_eq!(bed.broker.status(client) == Status::Open, lives, "{dialect}");
    }
}

#[test]
fn life_is_counted_in_each_ones_own_way() {
    for dialect in Dialect::ALL {
        let mut bed = playing(dialect);
        let client = bed.connect("1.2");
        let (name, value) = dialect.expiry(bed.now.millis(), 500);
        bed.put(client, &format!("SEND\ndestination:/queue/a\n{name}:{value}\n\nm\0"));
        bed.advance(1_000);
        bed.subscribe(client, "w", "/queue/a", "auto");
        bed.nothing(client);
    }
}

#[test]
fn frames_are_as_narrow_as_the_ones_that_are_played() {
    let headers: String = (0..101).map(|n| format!("h{n}:x\n")).collect();
    let frame = format!("SEND\ndestination:/queue/a\n{headers}\n\0");
    let mut bed = playing(Dialect::RabbitMq);
    let client = bed.connect("1.2");
    assert_eq!(bed.ask(client, &frame), []);
    assert_eq!(bed.broker.status(client), Status::Closing);
    let mut bed = playing(Dialect::ActiveMq);
    let client = bed.connect("1.2");
    bed.put(client, &frame);
    bed.nothing(client);
}

/// As RabbitMQ does since 3.12: the connection is closed without an ERROR, whether the frame is complete or not.
#[test]
fn rabbitmq_closes_the_connection_over_a_long_frame() {
    const LIMIT: usize = 4 << 20;
    let head = "SEND\ndestination:/queue/a\nreceipt:1\n";
    let frame = |octets: usize| {
        let length = octets - head.len() - "content-length:4194000\n\n\0".len();
        format!("{head}content-length:{length}\n\n{}\0", "x".repeat(length))
    };
    for (octets, taken) in [(LIMIT, true), (LIMIT + 1, false), (LIMIT + 200, false)] {
        let (mut bed, frame) = (playing(Dialect::RabbitMq), frame(octets));
        assert_eq!(frame.len(), octets);
        let client = bed.connect("1.2");
        bed.put(client, &frame);
        if taken {
            assert_eq!(bed.one(client).command, Command::Receipt);
        } else {
            bed.nothing(client);
        }
        assert_eq!(bed.broker.status(client) == Status::Open, taken, "{octets}");
        assert_eq!(bed.waiting("/queue/a"), usize::from(taken));
    }
}

#[test]
fn rabbitmq_takes_no_long_names_and_properties() {
    let (fits, long) = ("x".repeat(255), "x".repeat(256));
    for (line, taken) in [
        (format!("{fits}:v"), true),
        (format!("{long}:v"), false),
        (format!("correlation-id:{fits}"), true),
        (format!("correlation-id:{long}"), false),
        (format!("X-A:{long}"), true),
    ] {
        let mut bed = playing(Dialect::RabbitMq);
        let client = bed.connect("1.2");
        let frame = format!("SEND\ndestination:/queue/a\n{line}\n\n\0");
        if taken {
            bed.put(client, &frame);
            bed.nothing(client);
        } else {
            assert_eq!(message(&bed.refused(client, &frame)), "AMQP channel died");
        }
        assert_eq!(bed.waiting("/queue/a"), usize::from(taken), "{line}");
    }
}

/// By itself the broker is as strict as STOMP; ActiveMQ and, before 1.2, Artemis go on.
#[test]
fn an_error_ends_the_connection_or_does_not() {
    let ends = |config: BrokerConfig, version: &str| {
        let mut bed = Bed::with(config);
        let client = bed.connect(version);
        bed.put(client, "COMMIT\ntransaction:t\nreceipt:7\n\n\0");
        let error = bed.one(client);
        assert_eq!(error.command, Command::Error);
        (message(&error).to_owned(), bed.broker.status(client) == Status::Closing)
    };
    let playing = |dialect| BrokerConfig::default().with_dialect(dialect);
    assert_eq!(ends(BrokerConfig::default(), "1.2"), ("no such transaction".into(), true));
    assert_eq!(ends(playing(Dialect::ActiveMq), "1.2"), ("Invalid transaction id: t".into(), false));
    assert_eq!(ends(playing(Dialect::Artemis), "1.2"), ("AMQ339013 Error committing t".into(), true));
    assert_eq!(ends(playing(Dialect::Artemis), "1.1"), ("AMQ339013 Error committing t".into(), false));
    assert_eq!(ends(playing(Dialect::RabbitMq), "1.2"), ("Bad transaction".into(), false));
}

/// What may not go on goes on nowhere: a bound, and bytes that are no frame.
#[test]
fn bounds_end_the_connection_whoever_is_played() {
    for dialect in Dialect::ALL {
        let config = BrokerConfig { transactions: 1, ..BrokerConfig::default() };
        let mut bed = Bed::with(config.with_dialect(dialect));
        let client = bed.connect("1.1");
        bed.put(client, "BEGIN\ntransaction:one\n\n\0");
        let error = bed.refused(client, "BEGIN\ntransaction:two\n\n\0");
        assert!(message(&error).contains("too many transactions"), "{error:?}");
    }
}

/// `subscription` and `message-id` are the first of their names, `ack` is the last.
#[test]
fn artemis_writes_a_senders_headers_between_its_own() {
    let mut bed = playing(Dialect::Artemis);
    let client = bed.connect("1.2");
    bed.subscribe(client, "w", "/queue/a", "client");
    bed.put(client, "SEND\ndestination:/queue/a\nack:mine\nsubscription:mine\ncontent-length:1\n\nm\0");
    let frame = bed.one(client);
    let names: Vec<_> = frame.headers.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect();
    assert_eq!(names[..3], ["subscription", "content-length", "message-id"]);
    assert_eq!(names[names.len() - 4..], ["destination-type", "ack", "subscription", "ack"]);
    let ids: Vec<_> = frame.headers.all("ack").collect();
    assert_eq!((ids[0], header(&frame, "subscription"), body(&frame).as_str()), (&b"mine"[..], "w", "m"));
    let id = String::from_utf8(ids[1].to_vec()).unwrap().replace(':', "\\c");
    bed.put(client, &format!("ACK\nid:{id}\n\n\0"));
    assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 0);
}

/// Artemis hands out one message however large it is, and several small ones in a small window.
#[test]
fn a_window_of_artemis_is_of_octets() {
    let mut bed = playing(Dialect::Artemis);
    let client = bed.connect("1.2");
    for body in ["x".repeat(5_000), "a".into(), "b".into(), "c".into(), "d".into(), "e".into(), "f".into()] {
        bed.send(client, "/queue/a", &body);
    }
    let subscribe =
        "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nconsumer-window-size:1024\n\n\0";
    bed.put(client, subscribe);
    let large = bed.one(client);
    assert_eq!(large.body.len(), 5_000);
    bed.put(client, &ack("1.2", &large));
    assert_eq!(bed.bodies(client), ["a", "b", "c", "d", "e"]);
}

/// Artemis shows the octets of a frame that it does not know; here an ERROR is no larger for a large frame.
#[test]
fn an_unknown_command_is_answered_and_shown_in_part() {
    let frame = format!("WRONG\nx:{}\nreceipt:r\n\n{}\0", "x".repeat(5_000), "x".repeat(50_000));
    for (dialect, text, goes_on) in [
        (Dialect::ActiveMq, "Unknown STOMP action: WRONG", false),
        (Dialect::RabbitMq, "Bad command", true),
        (Dialect::Artemis, "AMQ339023 Invalid STOMP frame W,R,O,N,G,10,x,,x,", false),
    ] {
        let mut bed = playing(dialect);
        let client = bed.connect("1.2");
        bed.put(client, &frame);
        let error = bed.one(client);
        assert!(message(&error).starts_with(text), "{error:?}");
        assert!(message(&error).len() + error.body.len() < 10_000, "{error:?}");
        assert_eq!(bed.broker.status(client) == Status::Open, goes_on, "{dialect}");
    }
}

#[test]
fn artemis_answers_nothing_before_connect() {
    let mut bed = playing(Dialect::Artemis);
    let client = bed.accept();
    bed.put(client, "SEND\ndestination:/queue/a\nreceipt:1\n\nm\0DISCONNECT\nreceipt:2\n\n\0");
    bed.nothing(client);
    assert_eq!((bed.broker.status(client), bed.waiting("/queue/a")), (Status::Open, 0));
    bed.put(client, "CONNECT\naccept-version:1.2\nhost:/\n\n\0");
    bed.nothing(client);
}
