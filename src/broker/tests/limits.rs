use super::*;

fn small(memory: usize) -> Bed {
    Bed::with(BrokerConfig::default().with_memory(memory))
}

const KIB: usize = 1024;

/// F11
#[test]
fn frames_are_bounded() {
    let limits = Limits { header_line: 100, headers: 10, head: 500, body: 1000 };
    for text in [
        format!("SEND\ndestination:/queue/{}\n\n\0", "x".repeat(100)),
        format!("SEND\ndestination:a\n{}\n\0", "a:b\n".repeat(10)),
        "SEND\ndestination:a\ncontent-length:1001\n\n".to_owned(),
        format!("SEND\ndestination:a\n\n{}", "x".repeat(1001)),
        "x".repeat(600),
    ] {
        let mut bed = Bed::with(BrokerConfig::default().with_frame(limits));
        let client = bed.connect("1.2");
        bed.refused(client, &text);
        assert_eq!(bed.broker.memory(), 0);
    }
}

#[test]
fn connections_are_bounded() {
    let mut bed = Bed::with(BrokerConfig { connections: 2, ..Default::default() });
    let one = bed.connect("1.2");
    bed.connect("1.2");
    let third = bed.accept();
    assert_eq!(message(&bed.fatal(third)), "too many connections");
    bed.closed(third);
    bed.closed(one);
    bed.connect("1.2");
}

#[test]
fn everything_else_is_bounded() {
    let config = BrokerConfig {
        destinations: 2,
        subscriptions: 1,
        transactions: 1,
        temporary_queues: 1,
        ..Default::default()
    };
    for (text, what) in [
        (
            "SEND\ndestination:a\n\n\0SEND\ndestination:b\n\n\0SEND\ndestination:c\n\n\0",
            "too many destinations",
        ),
        (
            "SUBSCRIBE\nid:1\ndestination:a\n\n\0SUBSCRIBE\nid:2\ndestination:a\n\n\0",
            "too many subscriptions",
        ),
        ("BEGIN\ntransaction:1\n\n\0BEGIN\ntransaction:2\n\n\0", "too many transactions"),
        (
            "SEND\ndestination:/temp-queue/a\n\n\0SEND\ndestination:/temp-queue/b\n\n\0",
            "too many temporary queues",
        ),
    ] {
        let mut bed = Bed::with(config.clone());
        let client = bed.connect("1.2");
        assert_eq!(message(&bed.refused(client, text)), what);
    }
}

#[test]
fn empty_queues_are_forgotten() {
    let mut bed = Bed::with(BrokerConfig { destinations: 1, ..Default::default() });
    let client = bed.connect("1.2");
    for n in 0..10 {
        let queue = format!("/queue/{n}");
        bed.send(client, &queue, "x");
        bed.subscribe(client, "1", &queue, "auto");
        assert_eq!(bed.bodies(client), ["x"]);
        bed.put(client, "UNSUBSCRIBE\nid:1\n\n\0");
    }
}

#[test]
fn a_full_broker_refuses_where_nobody_consumes() {
    let mut bed = small(100 * KIB);
    let client = bed.connect("1.2");
    let body = "x".repeat(10 * KIB);
    while bed.broker.status(client) == Status::Open {
        bed.send(client, "/queue/a", &body);
        assert!(bed.broker.memory() <= 100 * KIB);
    }
    assert_eq!(message(&bed.fatal(client)), "the broker's memory is full");
    assert_eq!(bed.waiting("/queue/a"), 9);
}

#[test]
fn a_full_broker_does_not_read_producers_while_somebody_consumes() {
    let mut bed = small(100 * KIB);
    let (producer, consumer) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.put(
        consumer,
        "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:1\n\n\0",
    );
    let body = "x".repeat(10 * KIB);
    for _ in 0..20 {
        bed.send(producer, "/queue/a", &body);
    }
    assert!(!bed.broker.wants_read(producer) && bed.broker.wants_read(consumer));
    assert!(bed.broker.memory() < 120 * KIB);
    // All of them arrive, in the end.
    let mut got = 0;
    while let Some(frame) = bed.take(consumer).first() {
        got += 1;
        bed.put(consumer, &ack("1.2", frame));
    }
    assert_eq!((got, bed.broker.memory()), (20, 0));
    assert!(bed.broker.wants_read(producer));
}

#[test]
fn a_paused_producer_is_refused_when_the_last_consumer_leaves() {
    let mut bed = small(100 * KIB);
    let (producer, consumer) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.put(
        consumer,
        "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:1\n\n\0",
    );
    for _ in 0..20 {
        bed.send(producer, "/queue/a", &"x".repeat(10 * KIB));
    }
    assert!(!bed.broker.wants_read(producer));
    bed.closed(consumer);
    assert_eq!(message(&bed.fatal(producer)), "the broker's memory is full");
}

/// A worker that is not read could not acknowledge, and so nothing would ever drain.
#[test]
fn a_client_with_messages_to_acknowledge_is_read_on() {
    let mut bed = small(100 * KIB);
    let (producer, worker) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.put(
        worker,
        "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:2\n\n\0",
    );
    for _ in 0..20 {
        bed.send(producer, "/queue/a", &"x".repeat(10 * KIB));
    }
    let frames = bed.take(worker);
    bed.send(worker, "/queue/replies", &"y".repeat(10 * KIB));
    assert!(bed.broker.wants_read(worker));
    bed.put(worker, &ack("1.2", &frames[0]));
    assert_eq!(bed.waiting("/queue/replies"), 1);
    // But not without end.
    while bed.broker.status(worker) == Status::Open {
        bed.send(worker, "/queue/replies", &"y".repeat(10 * KIB));
        assert!(bed.broker.memory() <= 200 * KIB);
    }
}

/// A client that the broker itself does not read cannot be blamed for its silence.
#[test]
fn a_paused_producer_is_not_taken_for_dead() {
    let mut bed = small(100 * KIB);
    let (producer, consumer) = (bed.accept(), bed.connect("1.2"));
    bed.put(producer, "CONNECT\naccept-version:1.2\nhost:/\nheart-beat:1000,0\n\n\0");
    bed.put(
        consumer,
        "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:1\n\n\0",
    );
    for _ in 0..20 {
        bed.send(producer, "/queue/a", &"x".repeat(10 * KIB));
    }
    bed.advance(60_000);
    assert_eq!(bed.broker.status(producer), Status::Open);
    while let Some(frame) = bed.take(consumer).first() {
        bed.put(consumer, &ack("1.2", frame));
    }
    bed.advance(2_000);
    assert_eq!(bed.broker.status(producer), Status::Open);
    bed.advance(1_000);
    assert_eq!(bed.broker.status(producer), Status::Closing);
}

/// Half a frame takes memory as a whole one does.
#[test]
fn uploads_count() {
    let mut bed = small(300 * KIB);
    let clients = [bed.connect("1.2"), bed.connect("1.2")];
    for client in clients {
        bed.put(client, "SEND\ndestination:/queue/a\ncontent-length:1000000\n\n");
    }
    for _ in 0..5 {
        for client in clients {
            bed.put(client, &"x".repeat(60 * KIB));
        }
    }
    assert!(clients.iter().any(|client| bed.broker.status(*client) == Status::Closing));
    assert!(bed.broker.memory() <= 300 * KIB);
    for client in clients {
        bed.closed(client);
    }
    assert_eq!(bed.broker.memory(), 0);
}

/// A client that is refused keeps its socket for a while, but not what it had sent.
#[test]
fn refused_uploads_are_dropped() {
    const READ: usize = 64 * KIB;
    let mut bed = small(1000 * KIB);
    let clients: Vec<_> = (0..20).map(|_| bed.connect("1.2")).collect();
    let part = "x".repeat(READ);
    let mut refused = 0;
    for &client in &clients {
        bed.put(client, "SEND\ndestination:/queue/q\ncontent-length:10000000\n\n");
    }
    for turn in 0..40 {
        // One after the other, and all at once.
        for &client in if turn < 20 { &clients[turn..=turn] } else { &clients[..] } {
            for _ in 0..if turn < 20 { 12 } else { 1 } {
                bed.put(client, &part);
                let buffered = |client| bed.broker.connections[client].parser.buffered();
                let sum: usize = clients.iter().map(buffered).sum();
                assert!(sum <= 1000 * KIB + clients.len() * READ, "{sum}");
                if bed.broker.status(client) == Status::Closing {
                    assert_eq!((buffered(&client), bed.broker.connections[&client].buffered), (0, 0));
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0);
    clients.into_iter().for_each(|client| bed.closed(client));
    assert_eq!(bed.broker.held(), 0);
}

/// A consumer that does not read its socket gets no more than its outbox holds.
#[test]
fn outboxes_are_bounded() {
    let mut bed = Bed::new();
    let (producer, slow, other) = (bed.connect("1.2"), bed.connect("1.2"), bed.connect("1.2"));
    bed.subscribe(slow, "1", "/queue/a", "auto");
    for _ in 0..1000 {
        bed.send(producer, "/queue/a", &"x".repeat(KIB));
    }
    let held = bed.broker.outbox(slow).len();
    assert!((256 * KIB..260 * KIB).contains(&held), "{held}");
    bed.subscribe(other, "1", "/queue/a", "auto");
    let got = bed.bodies(other).len();
    assert_eq!(got + bed.bodies(slow).len(), 1000);
    assert_eq!(bed.broker.memory(), 0);
}

/// One that asks and never takes the answers is not read any more.
#[test]
fn receipts_nobody_reads_are_bounded() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    let receipts = "SEND\ndestination:/topic/nobody\nreceipt:0123456789\n\n\0".repeat(1000);
    let mut turns = 0;
    while bed.broker.wants_read(client) {
        bed.put(client, &receipts);
        turns += 1;
    }
    assert!(turns < 50);
    assert_eq!(bed.take(client).len(), turns * 1000);
    assert!(bed.broker.wants_read(client));
}

/// What clients name is kept as messages are.
#[test]
fn names_count() {
    let long = "x".repeat(60 * KIB);
    type Numbered = fn(usize, &str) -> String;
    let frames: [(&str, Numbered); 8] = [
        ("ids", |n, x| format!("SUBSCRIBE\nid:{n}{x}\ndestination:/queue/a\n\n\0")),
        ("queues", |n, x| format!("SUBSCRIBE\nid:{n}\ndestination:/queue/{n}{x}\n\n\0")),
        ("topics", |n, x| format!("SUBSCRIBE\nid:{n}\ndestination:/topic/{n}{x}\n\n\0")),
        ("selectors", |n, x| format!("SUBSCRIBE\nid:{n}\ndestination:/queue/a\nselector:a = '{x}'\n\n\0")),
        ("transactions", |n, x| format!("BEGIN\ntransaction:{n}{x}\n\n\0")),
        ("temporary queues", |n, x| format!("SUBSCRIBE\nid:{n}\ndestination:/temp-queue/{n}{x}\n\n\0")),
        ("destinations", |n, x| format!("SEND\ndestination:/queue/{n}{x}\n\n\0")),
        ("reply-to", |n, x| format!("SEND\ndestination:/queue/{n}\nreply-to:{x}\n\n\0")),
    ];
    for (what, frame) in frames {
        let mut bed = small(1000 * KIB);
        let client = bed.connect("1.2");
        let mut sent = 0;
        while bed.broker.status(client) == Status::Open {
            bed.put(client, &frame(sent, &long));
            sent += 1;
            assert!(sent < 30 && bed.broker.held() <= 1000 * KIB, "{what}");
        }
        assert_eq!(message(&bed.fatal(client)), "the broker's memory is full", "{what}");
        assert!(sent > 1, "{what}");
        bed.closed(client);
        let left = bed.broker.held();
        // Messages stay, and their queues with them.
        assert_eq!(left == 0, !matches!(what, "destinations" | "reply-to"), "{what}: {left}");
    }
}

#[test]
fn small_names_count_too() {
    let mut bed =
        Bed::with(BrokerConfig { subscriptions: 10_000, ..BrokerConfig::default() }.with_memory(100 * KIB));
    let client = bed.connect("1.2");
    for n in 0..200 {
        bed.put(client, &format!("SUBSCRIBE\nid:{n}\ndestination:/queue/a\n\n\0"));
    }
    assert_eq!(message(&bed.fatal(client)), "the broker's memory is full");
}

/// Or it would stay full for ever.
#[test]
fn a_consumer_may_subscribe_to_a_full_broker() {
    let mut bed = small(100 * KIB);
    let (producer, consumer) = (bed.connect("1.2"), bed.connect("1.2"));
    while bed.broker.status(producer) == Status::Open {
        bed.send(producer, "/queue/a", &"x".repeat(10 * KIB));
    }
    bed.subscribe(consumer, "1", "/queue/a", "auto");
    assert_eq!(bed.bodies(consumer).len(), 9);
    assert_eq!(bed.broker.memory(), 0);
}

/// Names that end are forgotten.
#[test]
fn names_are_given_back() {
    let mut bed = small(100 * KIB);
    let client = bed.connect("1.2");
    let long = "x".repeat(20 * KIB);
    for n in 0..100 {
        for frames in [
            format!("SUBSCRIBE\nid:{n}{long}\ndestination:/queue/a\n\n\0UNSUBSCRIBE\nid:{n}{long}\n\n\0"),
            format!("SUBSCRIBE\nid:1\ndestination:/topic/{n}{long}\n\n\0UNSUBSCRIBE\nid:1\n\n\0"),
            format!("BEGIN\ntransaction:{n}{long}\n\n\0COMMIT\ntransaction:{n}{long}\n\n\0"),
            format!("BEGIN\ntransaction:{n}{long}\n\n\0ABORT\ntransaction:{n}{long}\n\n\0"),
            format!(
                "BEGIN\ntransaction:1\n\n\0SEND\ntransaction:1\ndestination:/queue/{n}{long}\n\n\0ABORT\ntransaction:1\n\n\0"
            ),
        ] {
            bed.put(client, &frames);
            assert_eq!(bed.broker.status(client), Status::Open);
        }
    }
    bed.closed(client);
    assert_eq!(bed.broker.held(), 0);
}

/// Clients that ask and never read share the memory with all else.
#[test]
fn answers_nobody_reads_count() {
    let mut bed = small(1000 * KIB);
    let receipts =
        format!("SEND\ndestination:/topic/nobody\nreceipt:{}\n\n\0", "x".repeat(10 * KIB)).repeat(20);
    let clients: Vec<_> = (0..10).map(|_| bed.connect("1.2")).collect();
    for _ in 0..10 {
        for &client in &clients {
            bed.put(client, &receipts);
            while bed.broker.next_changed().is_some() {}
        }
    }
    assert!(bed.broker.held() <= 1300 * KIB, "{}", bed.broker.held());
    assert!(clients.iter().any(|client| bed.broker.status(*client) == Status::Closing));
    for client in clients {
        bed.closed(client);
    }
    assert_eq!(bed.broker.held(), 0);
}

/// As on ActiveMQ, where the connection goes on, and as on RabbitMQ, where it does not.
#[test]
fn refuses_what_it_was_told_to() {
    for (dialect, forbidden, goes_on) in [
        (Dialect::ActiveMq, "User guest is not authorized to write to: queue://a.b", true),
        (Dialect::RabbitMq, "access_refused", false),
    ] {
        let refuses = ["forbidden:/queue/a.", "full:/queue/b=2"].map(|text| text.parse().unwrap()).to_vec();
        let mut bed = Bed::with(BrokerConfig::default().with_dialect(dialect).with_refuses(refuses));
        let client = bed.connect("1.2");
        bed.send(client, "/queue/a", "taken");
        for _ in 0..if goes_on { 3 } else { 1 } {
            let error = bed.ask(client, "SEND\ndestination:/queue/a.b\nreceipt:r\n\nx\0").remove(0);
            assert_eq!((error.command, header(&error, "message")), (Command::Error, forbidden));
            assert_eq!(error.headers.text("receipt-id"), goes_on.then_some("r"));
        }
        if goes_on {
            for _ in 0..2 {
                let error = bed.ask(client, "SEND\ndestination:/queue/b\nreceipt:r\n\nx\0").remove(0);
                assert!(error.body.starts_with(b"javax.jms.ResourceAllocationException: "), "{error:?}");
            }
            let receipt = bed.ask(client, "SEND\ndestination:/queue/b\nreceipt:r\n\nx\0").remove(0);
            assert_eq!(receipt.command, Command::Receipt, "there is room again");
        }
        let status = if goes_on { Status::Open } else { Status::Closing };
        assert_eq!(bed.broker.status(client), status);
        assert_eq!(bed.waiting("/queue/a.b"), 0);
    }
    for bad in ["forbidden", "else:/queue/a", "full:", "full:=3", "full:/queue/a=x"] {
        assert!(bad.parse::<super::super::Refuse>().is_err(), "{bad}");
    }
}

/// A producer that waits only for what its consumer has not read goes on as soon as that is read.
#[test]
fn a_paused_producer_is_read_on_when_an_outbox_is_read() {
    let mut bed = small(200 * KIB);
    let (producer, consumer) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.subscribe(consumer, "1", "/queue/a", "auto");
    for _ in 0..2 {
        bed.send(producer, "/queue/a", &"x".repeat(150 * KIB));
        while bed.broker.next_changed().is_some() {}
    }
    assert!(!bed.broker.wants_read(producer));
    assert_eq!(bed.bodies(consumer).len(), 2);
    assert!(bed.broker.wants_read(producer));
}

/// ERRORs after which the connection goes on are answers, too.
#[test]
fn errors_nobody_reads_count() {
    for dialect in [Dialect::ActiveMq, Dialect::RabbitMq] {
        let mut bed = Bed::with(BrokerConfig::default().with_dialect(dialect).with_memory(1000 * KIB));
        let wrong = format!("COMMIT\ntransaction:{}\n\n\0", "x".repeat(5 * KIB)).repeat(10);
        let clients: Vec<_> = (0..10).map(|_| bed.connect("1.2")).collect();
        for _ in 0..10 {
            for &client in &clients {
                bed.put(client, &wrong);
                while bed.broker.next_changed().is_some() {}
            }
        }
        assert!(bed.broker.held() <= 1300 * KIB, "{dialect}: {}", bed.broker.held());
        for client in clients {
            bed.closed(client);
        }
        assert_eq!(bed.broker.held(), 0);
    }
}

/// A message counts once for each subscriber of its topic.
#[test]
fn a_message_for_many_is_refused_where_its_copies_have_no_room() {
    let mut bed = small(1000 * KIB);
    let producer = bed.connect("1.2");
    for _ in 0..50 {
        let consumer = bed.connect("1.2");
        bed.subscribe(consumer, "1", "/topic/a", "client");
    }
    bed.send(producer, "/topic/a", &"x".repeat(30 * KIB));
    assert!(bed.broker.held() <= 4000 * KIB, "{}", bed.broker.held());
    let before = bed.broker.held();
    let error = bed.refused(producer, &format!("SEND\ndestination:/topic/a\n\n{}\0", "x".repeat(60 * KIB)));
    assert_eq!(message(&error), "the broker's memory is full");
    assert_eq!(bed.broker.held(), before);
}

/// What waits for COMMIT meets the bounds at COMMIT, and happens as a whole or not at all.
#[test]
fn a_transaction_is_bounded_as_its_frames_are() {
    let mut bed = Bed::with(BrokerConfig { destinations: 3, ..Default::default() });
    let (client, other) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.send(other, "/queue/0", "x");
    bed.subscribe(client, "1", "/queue/0", "client");
    let frame = bed.one(client);
    bed.put(client, "BEGIN\ntransaction:t\n\n\0");
    bed.put(client, &answer("ACK", "1.2", &frame, "transaction:t\n"));
    for n in [0, 1, 2, 2, 1, 3] {
        bed.put(client, &format!("SEND\ndestination:/queue/{n}\ntransaction:t\n\nx\0"));
    }
    assert_eq!(message(&bed.refused(client, "COMMIT\ntransaction:t\n\n\0")), "too many destinations");
    assert_eq!((bed.waiting("/queue/0"), bed.waiting("/queue/1")), (1, 0));

    let mut bed = small(1000 * KIB);
    let (client, other) = (bed.connect("1.2"), bed.connect("1.2"));
    for n in 0..40 {
        bed.subscribe(other, &n.to_string(), "/topic/a", "client");
    }
    bed.put(client, "BEGIN\ntransaction:t\n\n\0");
    let frame = format!("SEND\ndestination:/topic/a\ntransaction:t\n\n{}\0", "x".repeat(30 * KIB));
    bed.put(client, &frame.repeat(2));
    assert_eq!(message(&bed.refused(client, "COMMIT\ntransaction:t\n\n\0")), "the broker's memory is full");
    bed.nothing(other);
}
