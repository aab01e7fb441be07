use super::*;

fn send(bed: &mut Bed, client: ConnId, body: &str, transaction: &str) {
    bed.put(client, &format!("SEND\ndestination:/queue/a\ntransaction:{transaction}\n\n{body}\0"));
}

/// T2
#[test]
fn sends_and_acks_happen_together_on_commit() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut bed = Bed::new();
        let client = bed.connect(version);
        bed.subscribe(client, "1", "/queue/in", "client-individual");
        bed.send(client, "/queue/in", "request");
        let request = bed.one(client);
        bed.put(client, "BEGIN\ntransaction:t\n\n\0");
        send(&mut bed, client, "reply", "t");
        bed.put(client, &answer("ACK", version, &request, "transaction:t\n"));
        assert_eq!((bed.waiting("/queue/a"), bed.broker.depth("/queue/in").unacknowledged), (0, 1));
        assert!(bed.broker.memory() > 0);
        bed.put(client, "COMMIT\ntransaction:t\nreceipt:c\n\n\0");
        assert_eq!(header(&bed.one(client), "receipt-id"), "c");
        assert_eq!((bed.waiting("/queue/a"), bed.broker.depth("/queue/in").unacknowledged), (1, 0));
    }
}

/// T2: an aborted ACK leaves the message as it was, and it can still be acknowledged.
#[test]
fn abort_undoes_both() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.subscribe(client, "1", "/queue/in", "client-individual");
    bed.send(client, "/queue/in", "request");
    let request = bed.one(client);
    bed.put(client, "BEGIN\ntransaction:t\n\n\0");
    send(&mut bed, client, "reply", "t");
    bed.put(client, &answer("ACK", "1.2", &request, "transaction:t\n"));
    bed.put(client, "ABORT\ntransaction:t\n\n\0");
    assert_eq!((bed.waiting("/queue/a"), bed.broker.depth("/queue/in").unacknowledged), (0, 1));
    bed.put(client, &ack("1.2", &request));
    assert_eq!((bed.broker.depth("/queue/in").unacknowledged, bed.broker.memory()), (0, 0));
    bed.nothing(client);
}

/// T2
#[test]
fn a_lost_connection_aborts() {
    for end in ["DISCONNECT\n\n\0", ""] {
        let mut bed = Bed::new();
        let client = bed.connect("1.2");
        bed.put(client, "BEGIN\ntransaction:t\n\n\0");
        send(&mut bed, client, "x", "t");
        bed.put(client, end);
        bed.closed(client);
        assert_eq!((bed.waiting("/queue/a"), bed.broker.memory()), (0, 0));
    }
}

/// T1
#[test]
fn unknown_and_duplicate_transactions_are_errors() {
    for text in [
        "BEGIN\n\n\0",
        "COMMIT\n\n\0",
        "ABORT\n\n\0",
        "COMMIT\ntransaction:t\n\n\0",
        "ABORT\ntransaction:t\n\n\0",
        "SEND\ndestination:/queue/a\ntransaction:t\n\n\0",
        "BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\n\n\0",
        "BEGIN\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0",
    ] {
        let mut bed = Bed::new();
        let client = bed.connect("1.2");
        bed.refused(client, text);
        assert_eq!(bed.waiting("/queue/a"), 0);
    }
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.subscribe(client, "1", "/queue/a", "client-individual");
    bed.send(client, "/queue/a", "x");
    let frame = bed.one(client);
    bed.refused(client, &answer("ACK", "1.2", &frame, "transaction:t\n"));
    assert_eq!(bed.waiting("/queue/a"), 1);
}

/// ActiveMQ refuses it.
#[test]
fn nack_in_a_transaction_is_refused() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.subscribe(client, "1", "/queue/a", "client-individual");
    bed.send(client, "/queue/a", "x");
    let frame = bed.one(client);
    bed.put(client, "BEGIN\ntransaction:t\n\n\0");
    bed.refused(client, &answer("NACK", "1.2", &frame, "transaction:t\n"));
}

#[test]
fn an_ack_in_a_transaction_opens_the_window() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.put(client, "SUBSCRIBE\nid:1\ndestination:/queue/in\nack:client\nactivemq.prefetchSize:1\n\n\0");
    bed.put(client, "BEGIN\ntransaction:t\n\n\0");
    for n in 0..3 {
        bed.send(client, "/queue/in", &n.to_string());
    }
    for n in 0..3 {
        let frame = bed.one(client);
        assert_eq!(body(&frame), n.to_string());
        bed.put(client, &answer("ACK", "1.2", &frame, "transaction:t\n"));
    }
    assert_eq!(bed.broker.depth("/queue/in").unacknowledged, 3);
    bed.put(client, "COMMIT\ntransaction:t\n\n\0");
    assert_eq!(bed.broker.depth("/queue/in").unacknowledged, 0);
}

#[test]
fn a_message_is_acknowledged_in_one_transaction_only() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.subscribe(client, "1", "/queue/in", "client-individual");
    bed.send(client, "/queue/in", "x");
    let frame = bed.one(client);
    bed.put(client, "BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:u\n\n\0");
    bed.put(client, &answer("ACK", "1.2", &frame, "transaction:t\n"));
    bed.refused(client, &answer("ACK", "1.2", &frame, "transaction:u\n"));
}

#[test]
fn transactions_belong_to_their_connection() {
    let mut bed = Bed::new();
    let (one, two) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.put(one, "BEGIN\ntransaction:t\n\n\0");
    bed.put(two, "BEGIN\ntransaction:t\n\n\0");
    send(&mut bed, one, "x", "t");
    bed.put(two, "ABORT\ntransaction:t\n\n\0");
    bed.put(one, "COMMIT\ntransaction:t\n\n\0");
    assert_eq!(bed.waiting("/queue/a"), 1);
}

/// An ACK of a subscription that has ended leaves nothing in its transaction.
#[test]
fn a_transaction_forgets_the_acks_of_a_subscription_that_ends() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.send(client, "/queue/a", "m");
    bed.put(client, "BEGIN\ntransaction:t\n\n\0");
    for _ in 0..3 {
        bed.subscribe(client, "1", "/queue/a", "client-individual");
        let frame = bed.one(client);
        bed.put(client, &answer("ACK", "1.2", &frame, "transaction:t\n"));
        bed.put(client, "UNSUBSCRIBE\nid:1\n\n\0");
        assert_eq!(bed.broker.connections[&client].transactions[&b"t"[..]].acks, []);
    }
    bed.put(client, "COMMIT\ntransaction:t\n\n\0");
    assert_eq!(bed.waiting("/queue/a"), 1);
}
