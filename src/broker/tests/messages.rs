use super::*;

/// Sends with these headers, and gives what a consumer of another version gets.
fn through(from: &str, to: &str, headers: &str, body: &str) -> Frame {
    let mut bed = Bed::new();
    let (producer, consumer) = (bed.connect(from), bed.connect(to));
    bed.subscribe(consumer, "1", "/queue/a", "auto");
    bed.put(producer, &format!("SEND\ndestination:/queue/a\n{headers}\n{body}\0"));
    bed.one(consumer)
}

/// H2, H3, H5, H6, H8
#[test]
fn headers_pass_through_escapes() {
    for (from, to, sent, name, value) in [
        ("1.2", "1.2", "k:a\\cb\\\\\\n\\r", "k", "a:b\\\n\r"),
        ("1.2", "1.2", "fen\\cêtre:¿qué tal?", "fen:être", "¿qué tal?"),
        ("1.2", "1.2", "k:  spaces  ", "k", "  spaces  "),
        ("1.2", "1.2", "k:", "k", ""),
        ("1.2", "1.2", "k:a:b:c", "k", "a:b:c"),
        ("1.2", "1.1", "k:a\\cb\\n", "k", "a:b\n"),
        ("1.1", "1.2", "k:a\\cb\\n\\\\n", "k", "a:b\n\\n"),
        ("1.0", "1.2", "k:a\\b:c", "k", "a\\b:c"),
        ("1.2", "1.0", "k:a\\cb", "k", "a:b"),
    ] {
        let frame = through(from, to, &format!("{sent}\n"), "");
        assert_eq!(header(&frame, name), value, "{from} {to} {sent}");
    }
}

/// H9
#[test]
fn the_first_of_repeated_headers_counts() {
    let frame = through("1.2", "1.2", "a:1\nb:2\na:3\n", "");
    assert_eq!(frame.headers.iter().filter(|(name, _)| *name == b"a").count(), 1);
    assert_eq!(header(&frame, "a"), "1");
    let many: String = (0..100).map(|n| format!("h{}:{n}\n", n % 60)).collect();
    let frame = through("1.2", "1.2", &many, "");
    assert_eq!((header(&frame, "h5"), header(&frame, "h59")), ("5", "59"));
    assert_eq!(frame.headers.iter().filter(|(name, _)| name.starts_with(b"h")).count(), 60);
}

#[test]
fn what_the_broker_says_cannot_be_made_up() {
    let frame = through(
        "1.2",
        "1.2",
        "subscription:x\nack:y\nmessage-id:z\nredelivered:true\nreceipt:r\nbrowser:end\nJMSXUserID:root\npersistent:false\n",
        "",
    );
    assert_eq!(header(&frame, "subscription"), "1");
    assert_ne!(header(&frame, "message-id"), "z");
    for gone in ["ack", "redelivered", "receipt", "transaction", "browser", "JMSXUserID", "persistent"] {
        assert_eq!(frame.headers.get(gone), None, "{gone}");
    }
}

/// F6, F7, F9: bytes and text, as JMS knows them.
#[test]
fn content_length_is_there_where_the_sender_had_one() {
    let text = through("1.2", "1.2", "", "hello");
    assert_eq!((text.headers.get("content-length"), &text.body[..]), (None, &b"hello"[..]));
    let bytes = through("1.2", "1.2", "content-length:5\n", "a\0b\0c");
    assert_eq!((header(&bytes, "content-length"), &bytes.body[..]), ("5", &b"a\0b\0c"[..]));
    let empty = through("1.0", "1.1", "content-length:0\n", "");
    assert_eq!(header(&empty, "content-length"), "0");
}

#[test]
fn jms_headers() {
    let frame = through("1.2", "1.2", "", "");
    assert_eq!((header(&frame, "expires"), header(&frame, "priority")), ("0", "4"));
    assert_eq!(header(&frame, "timestamp"), "1700000000000");
    let frame =
        through("1.2", "1.2", "persistent:true\npriority:12\ntimestamp:5\ntype:t\ncorrelation-id:a b\n", "");
    assert_eq!(
        ["persistent", "priority", "timestamp", "type", "correlation-id"].map(|name| header(&frame, name)),
        ["true", "9", "5", "t", "a b"]
    );
    for wrong in ["expires:Thu, 01 Jan 1970", "priority:u=1", "timestamp:now"] {
        let mut bed = Bed::new();
        let client = bed.connect("1.2");
        bed.refused(client, &format!("SEND\ndestination:/queue/a\n{wrong}\n\n\0"));
    }
}

#[test]
fn an_expired_message_is_not_delivered() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    for (after, body) in [(1_000, "short"), (60_000, "long")] {
        let expires = 1_700_000_000_000u64 + after;
        bed.put(client, &format!("SEND\ndestination:/queue/a\nexpires:{expires}\n\n{body}\0"));
    }
    bed.put(
        client,
        "SEND\ndestination:/queue/a\nexpires:1\n\nnever\0SEND\ndestination:/queue/a\nexpires:-1\n\nforever\0",
    );
    // A browser does not see it either.
    bed.now.wall += Duration::from_millis(1_000);
    bed.put(client, "SUBSCRIBE\nid:b\ndestination:/queue/a\nbrowser:true\n\n\0");
    assert_eq!(bed.bodies(client), ["long", "forever", ""]);
    bed.subscribe(client, "1", "/queue/a", "auto");
    assert_eq!(bed.bodies(client), ["long", "forever"]);
    assert_eq!(bed.broker.memory(), 0);
}

#[test]
fn expired_messages_leave_without_a_consumer() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.put(client, "SEND\ndestination:/queue/a\nexpires:1700000005000\n\n\0");
    bed.advance(4_900);
    assert_eq!(bed.waiting("/queue/a"), 1);
    bed.advance(1_200);
    assert_eq!((bed.waiting("/queue/a"), bed.broker.memory()), (0, 0));
    bed.advance(60_000);
    assert_eq!(bed.broker.deadline(), None);
    assert_eq!(bed.broker.destinations.len(), 0);
}

#[test]
fn a_topics_message_expires_while_it_waits() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.put(
        client,
        "SUBSCRIBE\nid:1\ndestination:/topic/a\nack:client-individual\nactivemq.prefetchSize:1\n\n\0",
    );
    bed.put(
        client,
        "SEND\ndestination:/topic/a\n\n1\0SEND\ndestination:/topic/a\nexpires:1700000001000\n\n2\0",
    );
    let frame = bed.one(client);
    bed.advance(1_000);
    bed.put(client, &ack("1.2", &frame));
    bed.nothing(client);
    assert_eq!(bed.broker.memory(), 0);
}
