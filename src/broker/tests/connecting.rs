use super::*;

fn connected(offer: &str) -> Frame {
    let mut bed = Bed::new();
    let client = bed.accept();
    bed.ask(client, offer).remove(0)
}

/// N1, N2: the highest version in common, in whatever order; 1.0 where none is offered.
#[test]
fn the_highest_common_version_wins() {
    for (accept, version) in [
        ("1.0", "1.0"),
        ("1.1", "1.1"),
        ("1.0,1.1,1.2", "1.2"),
        ("1.2,1.1", "1.2"),
        ("1.3,1.1", "1.1"),
        ("1.1, 1.2", "1.2"),
    ] {
        let frame = connected(&format!("STOMP\naccept-version:{accept}\nhost:x\n\n\0"));
        assert_eq!((frame.command, header(&frame, "version")), (Command::Connected, version), "{accept}");
    }
    assert_eq!(header(&connected("CONNECT\n\n\0"), "version"), "1.0");
}

#[test]
fn connected_says_who_answers() {
    let frame = connected("CONNECT\naccept-version:1.2\nhost:\nlogin:\npasscode:\n\n\0");
    assert!(header(&frame, "server").starts_with("stomp-wsgi-dev/"));
    assert!(header(&frame, "session").starts_with("ID:stomp-wsgi-dev-"));
    assert_eq!(header(&frame, "heart-beat"), "0,0");
}

/// N3
#[test]
fn no_common_version_is_an_error_that_lists_ours() {
    let mut bed = Bed::new();
    let client = bed.accept();
    let error = bed.refused(client, "CONNECT\naccept-version:2.0\nhost:x\n\n\0");
    assert_eq!(header(&error, "version"), "1.0,1.1,1.2");
}

/// N4
#[test]
fn connect_comes_first_and_once() {
    let mut bed = Bed::new();
    let client = bed.accept();
    assert_eq!(message(&bed.refused(client, "SEND\ndestination:/queue/a\n\n\0")), "not connected");
    assert_eq!(bed.waiting("/queue/a"), 0);
    let client = bed.connect("1.2");
    assert_eq!(
        message(&bed.refused(client, "CONNECT\naccept-version:1.2\nhost:x\n\n\0")),
        "already connected"
    );
}

/// N5: both brokers that were measured tolerate it.
#[test]
fn frames_may_follow_connect_at_once() {
    let mut bed = Bed::new();
    let client = bed.accept();
    let frames = bed.ask(
        client,
        "\n\r\nCONNECT\r\naccept-version:1.2\r\nhost:x\r\n\r\n\0\nSEND\ndestination:a\nreceipt:1\n\n\0",
    );
    assert_eq!(frames.iter().map(|f| f.command).collect::<Vec<_>>(), [Command::Connected, Command::Receipt]);
    assert_eq!(bed.waiting("/queue/a"), 1);
}

#[test]
fn connect_must_come_in_time() {
    let mut bed = Bed::new();
    let client = bed.accept();
    bed.advance(29_999);
    assert_eq!(bed.broker.status(client), Status::Open);
    bed.advance(1);
    assert_eq!(message(&bed.fatal(client)), "no CONNECT in time");
}

#[test]
fn credentials_where_they_are_asked_for() {
    let mut bed = Bed::with(BrokerConfig::default().with_credentials("me", "secret"));
    let good = bed.accept();
    bed.put(good, "CONNECT\nlogin:me\npasscode:secret\n\n\0");
    assert_eq!(bed.one(good).command, Command::Connected);
    for wrong in
        ["", "login:me\n", "login:me\npasscode:secre\n", "login:m\npasscode:secret\n", "passcode:secret\n"]
    {
        let client = bed.accept();
        let error = bed.refused(client, &format!("CONNECT\n{wrong}\n\0"));
        assert!(!format!("{error:?}{:?}", bed.broker.config).contains("secre"), "secrets stay secret");
    }
}

/// F5
#[test]
fn commands_of_brokers_and_of_nobody_are_refused() {
    for frame in [
        "MESSAGE\n\n\0",
        "RECEIPT\nreceipt-id:1\n\n\0",
        "CONNECTED\n\n\0",
        "ERROR\n\n\0",
        "send\n\n\0",
        "JUNK\n\n\0",
    ] {
        let mut bed = Bed::new();
        let client = bed.connect("1.2");
        bed.refused(client, frame);
    }
}

/// F2, F6, H2, H3, H7: an ERROR that says what is wrong, and the connection ends.
#[test]
fn malformed_frames_are_refused_with_what_is_wrong() {
    for (version, frame, wrong) in [
        ("1.2", "SEND\ndestination:a\nk:\\t\n\n\0", "undefined escape \"\\t\" in header \"k\" of SEND"),
        ("1.2", "SEND\ndestination:a\nk:v\\\n\n\0", "undefined escape"),
        ("1.1", "SEND\ndestination:a\nk:\\r\n\n\0", "undefined escape"),
        ("1.1", "SEND\r\ndestination:a\r\n\r\n\0", "unknown command"),
        ("1.0", "SEND\n \t:v\n\n\0", "no name"),
        ("1.2", "SEND\n:v\n\n\0", "no name"),
        ("1.2", "SEND\ndestination\n\n\0", "no colon: \"destination\""),
        ("1.2", "SEND\ndestination:a\ncontent-length:x\n\n\0", "not a number: \"x\""),
        ("1.2", "SEND\ndestination:a\ncontent-length:-1\n\n\0", "not a number"),
        ("1.2", "SEND\ndestination:a\ncontent-length: 1\n\na\0", "not a number"),
        ("1.2", "SEND\ndestination:a\ncontent-length:99999999999999999999\n\n\0", "longer than"),
        ("1.2", "SEND\ndestination:a\ncontent-length:1\n\nab\0", "no NUL after the 1 octets"),
        ("1.2", "DISCONNECT\ncontent-length:1\n\na\0", "must not have a body"),
    ] {
        let mut bed = Bed::new();
        let client = bed.connect(version);
        let error = bed.refused(client, frame);
        assert!(message(&error).contains(wrong), "{frame:?}: {}", message(&error));
        assert_eq!(bed.waiting("/queue/a"), 0, "{frame:?}");
    }
}

/// B1
#[test]
fn malformed_heart_beats_are_refused() {
    for offer in ["", "1000", "-1,0", "+1,0", "0,1.5", "1,2,3", "a,b", "99999999999999999999,0"] {
        let mut bed = Bed::new();
        let client = bed.accept();
        let frame = format!("CONNECT\naccept-version:1.2\nhost:/\nheart-beat:{offer}\n\n\0");
        let error = bed.refused(client, &frame);
        assert!(message(&error).contains("heart-beat"), "{offer}: {}", message(&error));
    }
}

/// F8
#[test]
fn only_send_has_a_body() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.refused(client, "SUBSCRIBE\nid:1\ndestination:a\n\nbody\0");
}

/// R1
#[test]
fn receipts_come_back_as_they_were_sent() {
    for (version, sent, id) in [
        ("1.2", "a\\cb\\\\\\nä\\r", "a:b\\\nä\r"),
        ("1.1", "a\\cb", "a:b"),
        ("1.0", "a:b\\c", "a:b\\c"),
        ("1.2", "", ""),
    ] {
        let mut bed = Bed::new();
        let client = bed.connect(version);
        bed.put(client, &format!("SEND\ndestination:a\nreceipt:{sent}\n\n\0"));
        let frame = bed.one(client);
        assert_eq!((frame.command, header(&frame, "receipt-id")), (Command::Receipt, id));
    }
}

/// R3
#[test]
fn an_error_names_its_receipt_and_ends_the_connection() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    let error = bed.refused(client, "SEND\nreceipt:7\n\n\0SEND\ndestination:/queue/a\n\n\0");
    assert_eq!(header(&error, "receipt-id"), "7");
    assert_eq!(message(&error), "SEND without the header 'destination'");
    // What follows is read, and thrown away: closing with unread bytes would destroy the ERROR.
    assert!(bed.broker.wants_read(client));
    bed.send(client, "/queue/a", "x");
    assert_eq!(bed.waiting("/queue/a"), 0);
    bed.advance(2_000);
    assert_eq!(bed.broker.status(client), Status::Gone);
    assert_eq!(bed.broker.connections(), 0);
}

/// D1
#[test]
fn disconnect_is_receipted_and_then_the_connection_ends() {
    let mut bed = Bed::new();
    let client = bed.connect("1.1");
    let frames = bed.ask(client, "DISCONNECT\nreceipt:bye\n\n\0SEND\ndestination:/queue/a\n\n\0");
    assert_eq!((frames.len(), header(&frames[0], "receipt-id")), (1, "bye"));
    assert_eq!(bed.broker.status(client), Status::Closing);
    assert_eq!(bed.waiting("/queue/a"), 0);
    bed.closed(client);
    assert_eq!(bed.broker.connections(), 0);
}

/// F4, F10
#[test]
fn bytes_may_come_one_by_one() {
    let text = "\n\n\0CONNECT\naccept-version:1.2\nhost:/\n\n\0\n\nSUBSCRIBE\nid:1\ndestination:/queue/a\n\n\0SEND\n\
                destination:/queue/a\ncontent-length:3\nreceipt:r\n\n\0\n\0\0\nDISCONNECT\nreceipt:d\n\n\0";
    let run = |chunk: usize| {
        let mut bed = Bed::new();
        let client = bed.accept();
        let mut frames = Vec::new();
        for part in text.as_bytes().chunks(chunk) {
            bed.broker.received(client, bed.now, part);
            frames.extend(bed.take(client));
        }
        frames
    };
    let one_by_one = run(1);
    let commands: Vec<_> = one_by_one.iter().map(|f| f.command).collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    for chunk in [2, 3, 7, 50] {
        assert_eq!(run(chunk), one_by_one);
    }
}
