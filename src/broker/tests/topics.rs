use super::*;

#[test]
fn everyone_who_is_subscribed_gets_a_copy() {
    let mut bed = Bed::new();
    let clients = [bed.connect("1.0"), bed.connect("1.1"), bed.connect("1.2")];
    bed.send(clients[0], "/topic/news", "too early");
    for client in clients {
        bed.subscribe(client, "1", "/topic/news", "auto");
    }
    assert_eq!(bed.broker.depth("/topic/news").consumers, 3);
    bed.send(clients[0], "/topic/news", "x");
    for client in clients {
        let frame = bed.one(client);
        assert_eq!((body(&frame).as_str(), header(&frame, "destination")), ("x", "/topic/news"));
    }
    bed.put(clients[1], "UNSUBSCRIBE\nid:1\n\n\0");
    bed.closed(clients[2]);
    bed.send(clients[0], "/topic/news", "y");
    assert_eq!(bed.bodies(clients[0]), ["y"]);
    bed.nothing(clients[1]);
    bed.closed(clients[0]);
    assert_eq!((bed.broker.memory(), bed.broker.destinations.len()), (0, 0));
}

#[test]
fn windows_and_acks_hold_for_topics_too() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.put(
        client,
        "SUBSCRIBE\nid:1\ndestination:/topic/a\nack:client-individual\nactivemq.prefetchSize:1\n\n\0",
    );
    for n in 0..3 {
        bed.send(client, "/topic/a", &n.to_string());
    }
    for n in 0..3 {
        let frame = bed.one(client);
        assert_eq!(body(&frame), n.to_string());
        let answer = if n == 1 { answer("NACK", "1.2", &frame, "") } else { ack("1.2", &frame) };
        bed.put(client, &answer);
    }
    assert_eq!(bed.broker.memory(), 0);
}

#[test]
fn unacknowledged_messages_of_a_topic_are_nobodys_after_the_connection() {
    let mut bed = Bed::new();
    let (one, two) = (bed.connect("1.2"), bed.connect("1.2"));
    for client in [one, two] {
        bed.put(client, "SUBSCRIBE\nid:1\ndestination:/topic/a\nack:client\nactivemq.prefetchSize:1\n\n\0");
    }
    bed.send(one, "/topic/a", "x");
    bed.send(one, "/topic/a", "y");
    bed.closed(one);
    bed.put(two, "UNSUBSCRIBE\nid:1\n\n\0");
    assert_eq!(bed.broker.memory(), 0);
}

#[test]
fn selectors_hold_for_topics() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.put(client, "SUBSCRIBE\nid:1\ndestination:/topic/a\nselector:kind='b'\n\n\0");
    bed.put(client, "SEND\ndestination:/topic/a\nkind:a\n\n1\0SEND\ndestination:/topic/a\nkind:b\n\n2\0");
    assert_eq!(bed.bodies(client), ["2"]);
}

#[test]
fn topics_cannot_be_browsed() {
    let mut bed = Bed::new();
    let client = bed.connect("1.2");
    bed.refused(client, "SUBSCRIBE\nid:1\ndestination:/topic/a\nbrowser:true\n\n\0");
}
