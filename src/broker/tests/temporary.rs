use super::*;

/// A requester with its temporary queue, a worker, and the name by which the worker knows that queue.
fn request(bed: &mut Bed) -> (ConnId, ConnId, String) {
    let (requester, worker) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.subscribe(worker, "w", "/queue/work", "auto");
    bed.subscribe(requester, "r", "/temp-queue/foo", "auto");
    bed.put(requester, "SEND\ndestination:/queue/work\nreply-to:/temp-queue/foo\ncorrelation-id:7\n\nq\0");
    let reply_to = header(&bed.one(worker), "reply-to").to_owned();
    (requester, worker, reply_to)
}

/// A temporary queue is its connection's, used or not: it does not make room for other destinations.
#[test]
fn an_unused_temporary_queue_stays_where_destinations_are_full() {
    let mut bed = Bed::with(BrokerConfig { destinations: 2, ..Default::default() });
    let (requester, other) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.put(requester, "SEND\ndestination:/queue/a\nreply-to:/temp-queue/x\n\nm\0");
    let error = bed.refused(other, "SEND\ndestination:/queue/b\n\nm\0");
    assert_eq!(message(&error), "too many destinations");
    bed.subscribe(requester, "1", "/temp-queue/x", "auto");
    bed.send(requester, "/temp-queue/x", "m");
    assert_eq!(bed.bodies(requester), ["m"]);
}

#[test]
fn a_request_and_its_reply() {
    let mut bed = Bed::new();
    let (requester, worker, reply_to) = request(&mut bed);
    assert!(reply_to.starts_with("/remote-temp-queue/ID:"), "{reply_to}");
    bed.send(worker, &reply_to, "a");
    let frame = bed.one(requester);
    assert_eq!(
        (body(&frame).as_str(), header(&frame, "destination"), header(&frame, "subscription")),
        ("a", "/temp-queue/foo", "r")
    );
    bed.nothing(worker);
}

#[test]
fn a_reply_to_makes_the_queue_before_anyone_subscribes() {
    let mut bed = Bed::new();
    let (requester, worker) = (bed.connect("1.1"), bed.connect("1.0"));
    bed.subscribe(worker, "w", "/queue/work", "auto");
    bed.put(requester, "SEND\ndestination:/queue/work\nreply-to:/temp-queue/x\n\nq\0");
    let reply_to = header(&bed.one(worker), "reply-to").to_owned();
    bed.send(worker, &reply_to, "a");
    assert_eq!(bed.waiting(&reply_to), 1);
    bed.subscribe(requester, "r", "/temp-queue/x", "auto");
    assert_eq!(bed.bodies(requester), ["a"]);
}

/// As on ActiveMQ: ERROR, with the receipt where there is one, and the connection stays open and usable.
#[test]
fn a_reply_to_one_who_is_gone() {
    let mut bed = Bed::new();
    let (requester, worker, reply_to) = request(&mut bed);
    bed.send(worker, &reply_to, "kept until the owner goes");
    bed.closed(requester);
    assert_eq!((bed.broker.memory(), bed.waiting(&reply_to)), (0, 0));
    let frames = bed.ask(
        worker,
        &format!(
            "SEND\ndestination:{reply_to}\nreceipt:1\n\n\0SEND\ndestination:{reply_to}\n\n\0SEND\n\
             destination:/queue/other\nreceipt:2\n\n\0",
        ),
    );
    assert_eq!(
        frames.iter().map(|f| f.command).collect::<Vec<_>>(),
        [Command::Error, Command::Error, Command::Receipt]
    );
    assert!(message(&frames[0]).contains("does not exist"));
    assert_eq!(header(&frames[0], "receipt-id"), "1");
    assert_eq!(frames[1].headers.get("receipt-id"), None);
    assert_eq!(bed.broker.status(worker), Status::Open);
}

#[test]
fn names_are_each_connections_own() {
    let mut bed = Bed::new();
    let (one, two) = (bed.connect("1.2"), bed.connect("1.2"));
    for client in [one, two] {
        bed.subscribe(client, "r", "/temp-queue/foo", "auto");
    }
    bed.send(one, "/temp-queue/foo", "x");
    assert_eq!(bed.bodies(one), ["x"]);
    bed.nothing(two);
}

/// Unlike ActiveMQ, where a stranger may subscribe and steals every second reply.
#[test]
fn only_the_owner_consumes() {
    let mut bed = Bed::new();
    let (requester, worker, reply_to) = request(&mut bed);
    bed.refused(worker, &format!("SUBSCRIBE\nid:thief\ndestination:{reply_to}\n\n\0"));
    let other = bed.connect("1.2");
    bed.send(other, &reply_to, "a");
    assert_eq!(bed.bodies(requester), ["a"]);
    // Under its other name it is still the owner's.
    bed.subscribe(requester, "again", &reply_to, "auto");
    bed.send(other, &reply_to, "b");
    assert_eq!(bed.bodies(requester), ["b"]);
}

#[test]
fn the_owner_sees_its_own_name_in_reply_to() {
    let mut bed = Bed::new();
    let (requester, worker, reply_to) = request(&mut bed);
    bed.subscribe(requester, "q", "/queue/loop", "auto");
    bed.put(worker, &format!("SEND\ndestination:/queue/loop\nreply-to:{reply_to}\n\n\0"));
    assert_eq!(header(&bed.one(requester), "reply-to"), "/temp-queue/foo");
}

#[test]
fn other_reply_tos_pass_as_they_are() {
    for reply_to in
        ["/queue/replies", "plain", "http://x", "/topic/a", "/remote-temp-queue/ID:gone", "/queue/a,b", ""]
    {
        let mut bed = Bed::new();
        let client = bed.connect("1.2");
        bed.subscribe(client, "1", "/queue/a", "auto");
        bed.put(client, &format!("SEND\ndestination:/queue/a\nreply-to:{reply_to}\n\n\0"));
        assert_eq!(header(&bed.one(client), "reply-to"), reply_to);
    }
}

#[test]
fn a_queue_outlives_its_subscription_and_dies_with_its_connection() {
    let mut bed = Bed::new();
    let (requester, worker, reply_to) = request(&mut bed);
    bed.put(requester, "UNSUBSCRIBE\nid:r\n\n\0");
    bed.send(worker, &reply_to, "a");
    bed.subscribe(requester, "r2", "/temp-queue/foo", "client");
    assert_eq!(bed.bodies(requester), ["a"]);
    bed.put(requester, "DISCONNECT\n\n\0");
    bed.send(worker, &reply_to, "b");
    assert_eq!(bed.one(worker).command, Command::Error);
    assert_eq!(bed.broker.memory(), 0);
}

/// A message for a requester that goes before COMMIT is gone with it.
#[test]
fn a_reply_in_a_transaction() {
    for gone in [false, true] {
        let mut bed = Bed::new();
        let (requester, worker, reply_to) = request(&mut bed);
        bed.put(
            worker,
            &format!("BEGIN\ntransaction:t\n\n\0SEND\ndestination:{reply_to}\ntransaction:t\n\na\0"),
        );
        if gone {
            bed.closed(requester);
        }
        bed.put(worker, "COMMIT\ntransaction:t\nreceipt:c\n\n\0");
        assert_eq!(bed.one(worker).command, Command::Receipt);
        if !gone {
            assert_eq!(bed.bodies(requester), ["a"]);
        }
        assert_eq!(bed.broker.memory(), 0);
    }
}
