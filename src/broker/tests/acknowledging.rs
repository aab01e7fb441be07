use super::*;

/// One client with five messages out for delivery.
fn five(version: &str, mode: &str) -> (Bed, ConnId, Vec<Frame>) {
    let mut bed = Bed::new();
    let client = bed.connect(version);
    bed.subscribe(client, "1", "/queue/a", mode);
    for n in 0..5 {
        bed.send(client, "/queue/a", &n.to_string());
    }
    let frames = bed.take(client);
    assert_eq!(frames.len(), 5);
    (bed, client, frames)
}

/// A3, A4, A5
#[test]
fn individual_acknowledges_one() {
    for version in ["1.0", "1.1", "1.2"] {
        let (mut bed, client, frames) = five(version, "client-individual");
        for (left, at) in [(4, 3), (3, 0), (2, 4)] {
            bed.put(client, &ack(version, &frames[at]));
            assert_eq!(bed.broker.depth("/queue/a").unacknowledged, left);
        }
        bed.closed(client);
        let other = bed.connect("1.2");
        bed.subscribe(other, "1", "/queue/a", "auto");
        assert_eq!(bed.bodies(other), ["1", "2"]);
        assert_eq!(bed.broker.memory(), 0);
    }
}

/// A5
#[test]
fn client_acknowledges_all_before() {
    for version in ["1.0", "1.1", "1.2"] {
        let (mut bed, client, frames) = five(version, "client");
        bed.put(client, &ack(version, &frames[2]));
        assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 2);
        // Covered already: nothing to do, and nothing wrong.
        bed.put(client, &ack(version, &frames[1]));
        assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 2);
        bed.nothing(client);
        bed.put(client, &ack(version, &frames[4]));
        assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 0);
    }
}

/// A4
#[test]
fn the_ack_header_is_there_in_1_2_when_it_is_needed() {
    for (version, mode, expected) in [
        ("1.2", "auto", false),
        ("1.2", "client", true),
        ("1.2", "client-individual", true),
        ("1.1", "client", false),
    ] {
        let (_, _, frames) = five(version, mode);
        assert_eq!(frames[0].headers.get("ack").is_some(), expected, "{version} {mode}");
    }
}

#[test]
fn an_ack_for_nothing_is_an_error() {
    for version in ["1.0", "1.1", "1.2"] {
        let (mut bed, client, frames) = five(version, "client-individual");
        let text = ack(version, &frames[0]);
        bed.put(client, &text);
        assert_eq!(message(&bed.refused(client, &text)), "unexpected ACK");
        // The other four are back.
        assert_eq!(bed.waiting("/queue/a"), 4);
        for mode in ["auto", "client"] {
            let (mut bed, client, frames) = five(version, mode);
            let made_up = match version {
                "1.2" => "ACK\nid:x\n\n\0".to_owned(),
                _ => ack(version, &frames[0]).replace("message-id:ID", "message-id:IE"),
            };
            bed.refused(client, &made_up);
        }
        let (mut bed, client, _) = five(version, "client");
        bed.refused(client, "ACK\n\n\0");
    }
    let (mut bed, client, frames) = five("1.1", "auto");
    bed.refused(client, &ack("1.1", &frames[0]));
    let (mut bed, client, frames) = five("1.1", "client");
    bed.refused(client, &ack("1.1", &frames[0]).replace("subscription", "subscriptio"));
}

#[test]
fn another_connections_ack_has_no_effect() {
    let (mut bed, _, frames) = five("1.2", "client-individual");
    let other = bed.connect("1.2");
    bed.refused(other, &ack("1.2", &frames[0]));
    assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 5);
}

/// ActiveMQ dead-letters at once, and never redelivers.
#[test]
fn nack_moves_to_the_dead_letters() {
    for version in ["1.1", "1.2"] {
        let (mut bed, client, frames) = five(version, "client-individual");
        bed.put(client, &answer("NACK", version, &frames[1], "receipt:n\n"));
        assert_eq!(header(&bed.one(client), "receipt-id"), "n");
        assert_eq!(bed.waiting("/queue/DLQ.a"), 1);
        bed.subscribe(client, "dlq", "/queue/DLQ.a", "client-individual");
        let dead = bed.one(client);
        assert_eq!((body(&dead).as_str(), header(&dead, "destination")), ("1", "/queue/DLQ.a"));
        // Dead letters have no dead letters.
        bed.put(client, &answer("NACK", version, &dead, ""));
        assert_eq!(bed.broker.depth("/queue/DLQ.a").waiting, 0);
        assert_eq!(bed.waiting("/queue/DLQ.DLQ.a"), 0);
    }
}

#[test]
fn nack_is_cumulative_where_ack_is() {
    let (mut bed, client, frames) = five("1.2", "client");
    bed.put(client, &answer("NACK", "1.2", &frames[2], ""));
    assert_eq!(bed.waiting("/queue/DLQ.a"), 3);
    assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 2);
}

/// A3
#[test]
fn there_is_no_nack_in_1_0() {
    let (mut bed, client, frames) = five("1.0", "client-individual");
    bed.refused(client, &answer("NACK", "1.0", &frames[0], ""));
    assert_eq!(bed.waiting("/queue/a"), 5);
}
