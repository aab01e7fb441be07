use super::*;

/// A1
#[test]
fn a_message_waits_for_its_consumer() {
    let mut bed = Bed::new();
    let (producer, consumer) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.send(producer, "/queue/a", "one");
    bed.send(producer, "a", "two");
    assert_eq!(bed.waiting("/queue/a"), 2);
    bed.subscribe(consumer, "s1", "/queue/a", "auto");
    let frames = bed.take(consumer);
    assert_eq!(frames.iter().map(body).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(header(&frames[0], "subscription"), "s1");
    assert_eq!(header(&frames[1], "destination"), "/queue/a");
    assert!(header(&frames[0], "message-id").starts_with("ID:"));
    assert_ne!(header(&frames[0], "message-id"), header(&frames[1], "message-id"));
    assert_eq!((bed.waiting("/queue/a"), bed.broker.memory()), (0, 0));
}

/// A7: on ActiveMQ the RECEIPT of SUBSCRIBE comes before the first message.
#[test]
fn the_receipt_of_subscribe_comes_first() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.send(client, "/queue/a", "x");
    let frames = bed.ask(client, "SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:r\n\n\0");
    assert_eq!(frames.iter().map(|f| f.command).collect::<Vec<_>>(), [Command::Receipt, Command::Message]);
}

#[test]
fn consumers_take_turns() {
    let mut bed = Bed::new();
    let producer = bed.connect("1.2");
    let consumers = [bed.connect("1.2"), bed.connect("1.1"), bed.connect("1.0")];
    for consumer in consumers {
        bed.subscribe(consumer, "1", "/queue/a", "auto");
    }
    for n in 0..9 {
        bed.send(producer, "/queue/a", &n.to_string());
    }
    assert_eq!(consumers.map(|c| bed.bodies(c)), [["0", "3", "6"], ["1", "4", "7"], ["2", "5", "8"]]);
}

#[test]
fn the_prefetch_window_bounds_what_is_unacknowledged() {
    for dialect in Dialect::ALL {
        let (name, window) = dialect.prefetch(2);
        let mut bed = Bed::with(BrokerConfig::default().with_dialect(dialect));
        let client = bed.connect("1.2");
        // Nearly 1 KiB, as Artemis counts it.
        for n in 0..5 {
            bed.send(client, "/queue/a", &format!("{n:0840}"));
        }
        let numbers =
            |bodies: Vec<String>| -> Vec<u32> { bodies.iter().map(|b| b.parse().unwrap()).collect() };
        bed.put(
            client,
            &format!("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\n{name}:{window}\n\n\0"),
        );
        let frames = bed.take(client);
        assert_eq!(numbers(frames.iter().map(body).collect()), [0, 1]);
        bed.put(client, &ack("1.2", &frames[1]));
        assert_eq!(numbers(bed.bodies(client)), [2]);
        let depth = bed.broker.depth("/queue/a");
        assert_eq!((depth.waiting, depth.unacknowledged, depth.consumers), (2, 2, 1));
    }
}

#[test]
fn the_window_does_not_bound_auto() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.put(client, "SUBSCRIBE\nid:1\ndestination:/queue/a\nactivemq.prefetchSize:1\n\n\0");
    for n in 0..5 {
        bed.send(client, "/queue/a", &n.to_string());
    }
    assert_eq!(bed.bodies(client).len(), 5);
}

#[test]
fn a_full_window_leaves_messages_to_others() {
    let mut bed = Bed::new();
    let (slow, fast) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.put(slow, "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\nactivemq.prefetchSize:1\n\n\0");
    bed.subscribe(fast, "1", "/queue/a", "auto");
    for n in 0..5 {
        bed.send(slow, "/queue/a", &n.to_string());
    }
    assert_eq!(bed.bodies(slow), ["0"]);
    assert_eq!(bed.bodies(fast), ["1", "2", "3", "4"]);
}

/// A6: back at the front, in the old order, and marked.
#[test]
fn a_lost_connection_gives_its_messages_back() {
    let mut bed = Bed::new();
    let (lost, other) = (bed.connect("1.2"), bed.connect("1.2"));
    for n in 0..6 {
        bed.send(other, "/queue/a", &n.to_string());
    }
    bed.put(
        lost,
        "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\nactivemq.prefetchSize:4\n\n\0",
    );
    let frames = bed.take(lost);
    assert!(frames.iter().all(|f| f.headers.get("redelivered").is_none()));
    bed.put(lost, &ack("1.2", &frames[1]));
    bed.closed(lost);
    assert_eq!(bed.waiting("/queue/a"), 5);
    bed.subscribe(other, "1", "/queue/a", "auto");
    let again: Vec<_> =
        bed.take(other).iter().map(|f| (body(f), f.headers.get("redelivered") == Some(b"true"))).collect();
    let expected = [("0", true), ("2", true), ("3", true), ("4", true), ("5", false)];
    assert_eq!(again, expected.map(|(text, flag)| (text.to_owned(), flag)));
    assert_eq!(bed.broker.memory(), 0);
}

/// ActiveMQ: what is written to a consumer with ack:auto is gone with it.
#[test]
fn auto_is_at_most_once() {
    let mut bed = Bed::new();
    let (producer, lost) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.subscribe(lost, "1", "/queue/a", "auto");
    bed.send(producer, "/queue/a", "x");
    bed.closed(lost);
    assert_eq!(bed.waiting("/queue/a"), 0);
}

/// A7, and ActiveMQ: in flight at UNSUBSCRIBE means given to others at once; the late ACK has no effect.
#[test]
fn unsubscribe_gives_back_what_is_in_flight() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut bed = Bed::new();
        let (client, other) = (bed.connect(version), bed.connect("1.2"));
        bed.subscribe(client, "1", "/queue/a", "client-individual");
        bed.send(client, "/queue/a", "x");
        let frame = bed.one(client);
        bed.subscribe(other, "1", "/queue/a", "client");
        bed.put(client, "UNSUBSCRIBE\nid:1\n\n\0");
        assert_eq!(header(&bed.one(other), "redelivered"), "true");
        bed.put(client, &answer("ACK", version, &frame, "receipt:late\n"));
        assert_eq!(bed.one(client).command, Command::Receipt);
        assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 1);
    }
}

#[test]
fn a_browser_looks_and_takes_nothing() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut bed = Bed::new();
        let client = bed.connect(version);
        for n in 0..3 {
            bed.send(client, "/queue/a", &n.to_string());
        }
        bed.put(client, "SUBSCRIBE\nid:b\ndestination:/queue/a\nack:client\nbrowser:true\n\n\0");
        let frames = bed.take(client);
        assert_eq!(frames.iter().map(body).collect::<Vec<_>>(), ["0", "1", "2", ""]);
        assert_eq!((header(&frames[3], "browser"), header(&frames[3], "subscription")), ("end", "b"));
        bed.send(client, "/queue/a", "later");
        bed.nothing(client);
        bed.put(client, "UNSUBSCRIBE\nid:b\n\n\0");
        assert_eq!(bed.waiting("/queue/a"), 4);
    }
}

#[test]
fn browsing_an_empty_queue_ends_at_once_and_leaves_nothing() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.put(client, "SUBSCRIBE\nid:b\ndestination:/queue/a\nbrowser:true\n\n\0");
    assert_eq!(header(&bed.one(client), "browser"), "end");
    assert_eq!(bed.broker.destinations.len(), 0);
    bed.closed(client);
}

#[test]
fn a_selector_takes_what_matches_and_leaves_the_rest_in_order() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    let send = |bed: &mut Bed, food: &str, body: &str| {
        bed.put(client, &format!("SEND\ndestination:/queue/a\nfood:{food}\n\n{body}\0"));
    };
    send(&mut bed, "soup", "0");
    send(&mut bed, "barf", "1");
    bed.put(client, "SUBSCRIBE\nid:1\ndestination:/queue/a\nselector:food='barf'\n\n\0");
    send(&mut bed, "soup", "2");
    send(&mut bed, "barf", "3");
    assert_eq!(bed.bodies(client), ["1", "3"]);
    let other = bed.connect("1.2");
    bed.subscribe(other, "1", "/queue/a", "auto");
    assert_eq!(bed.bodies(other), ["0", "2"]);
}

#[test]
fn a_message_that_comes_back_is_offered_to_selectors_again() {
    let mut bed = Bed::new();
    let (plain, picky) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.put(picky, "SEND\ndestination:/queue/a\nfood:barf\n\nfirst\0");
    bed.subscribe(plain, "1", "/queue/a", "client");
    bed.put(plain, "SUBSCRIBE\nid:2\ndestination:/queue/b\n\n\0");
    bed.put(picky, "SUBSCRIBE\nid:1\ndestination:/queue/a\nselector:food='barf'\n\n\0");
    assert_eq!(bed.bodies(plain), ["first"]);
    bed.nothing(picky);
    bed.closed(plain);
    assert_eq!(bed.bodies(picky), ["first"]);
}

#[test]
fn what_is_not_supported_is_refused_not_ignored() {
    for header in [
        "selector:n > 3",
        "activemq.subscriptionName:x",
        "durable:true",
        "activemq.exclusive:true",
        "activemq.noLocal:true",
        "ack:sometimes",
        "activemq.prefetchSize:many",
        "destination:/queue/a.>",
        "destination:/queue/a,/queue/b",
        "destination:/temp-topic/a",
    ] {
        let mut bed = Bed::new();
        let client = bed.connect("1.2");
        bed.refused(client, &format!("SUBSCRIBE\nid:1\n{header}\ndestination:/queue/a\nreceipt:r\n\n\0"));
    }
}

/// A1, A6
#[test]
fn subscription_ids_are_needed_and_unique() {
    for version in ["1.1", "1.2"] {
        for text in [
            "SUBSCRIBE\ndestination:/queue/a\n\n\0",
            "SUBSCRIBE\nid:1\n\n\0",
            "SUBSCRIBE\nid:1\ndestination:a\n\n\0SUBSCRIBE\nid:1\ndestination:b\n\n\0",
            "UNSUBSCRIBE\n\n\0",
            "UNSUBSCRIBE\nid:1\n\n\0",
            "SUBSCRIBE\nid:1\ndestination:/queue/a\n\n\0UNSUBSCRIBE\ndestination:/queue/a\n\n\0",
        ] {
            let mut bed = Bed::new();
            let client = bed.connect(version);
            bed.refused(client, text);
        }
    }
}

/// A1
#[test]
fn version_1_0_does_without_ids() {
    let mut bed = Bed::new();
    let client = bed.connect("1.0");
    bed.put(
        client,
        "SUBSCRIBE\ndestination:/queue/a\nack:client\n\n\0SUBSCRIBE\nid:x\ndestination:/queue/b\n\n\0",
    );
    bed.send(client, "/queue/a", "1");
    bed.send(client, "/queue/b", "2");
    let frames = bed.take(client);
    assert_eq!(frames[0].headers.get("subscription"), None);
    assert_eq!(header(&frames[1], "subscription"), "x");
    bed.put(client, &ack("1.0", &frames[0]));
    assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 0);
    bed.put(client, "UNSUBSCRIBE\ndestination:/queue/a\n\n\0UNSUBSCRIBE\nid:x\n\n\0");
    assert_eq!(bed.broker.destinations.len(), 0);
    bed.refused(client, "UNSUBSCRIBE\ndestination:/queue/a\n\n\0");
}
