//! The broker, playing RabbitMQ. What it answers is compared with RabbitMQ itself in `tests/interop/test_scenarios.py`; here is
//! what cannot be seen from outside, or takes time.

use super::*;

fn rabbitmq() -> Bed {
    Bed::with(BrokerConfig::default().with_dialect(Dialect::RabbitMq))
}

impl Bed {
    /// An ERROR after which the connection goes on.
    fn refused_and_open(&mut self, id: ConnId, text: &str) -> Frame {
        self.put(id, text);
        let error = self.one(id);
        assert_eq!((error.command, self.broker.status(id)), (Command::Error, Status::Open), "{error:?}");
        error
    }

    /// Nothing is held for anybody once all have left.
    fn empty(&mut self, clients: &[ConnId]) {
        clients.iter().for_each(|client| self.closed(*client));
        assert_eq!(self.broker.memory(), 0);
    }
}

#[test]
fn a_reply_to_makes_a_queue_and_subscribes_to_it() {
    let mut bed = rabbitmq();
    let (requester, worker) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.subscribe(worker, "w", "/queue/work", "auto");
    let request = "SEND\ndestination:/queue/work\nreply-to:/temp-queue/foo\n\nq\0";
    bed.put(requester, request);
    let reply_to = header(&bed.one(worker), "reply-to").to_owned();
    assert!(reply_to.starts_with("/reply-queue/amq.gen-"), "{reply_to}");
    bed.send(worker, &reply_to, "a");
    let reply = bed.one(requester);
    assert_eq!((body(&reply).as_str(), header(&reply, "subscription")), ("a", "/temp-queue/foo"));
    // The next request uses the same.
    bed.put(requester, request);
    assert_eq!(header(&bed.one(worker), "reply-to"), reply_to);

    // A reply to one who is gone is dropped without a word.
    bed.closed(requester);
    bed.put(worker, &format!("SEND\ndestination:{reply_to}\nreceipt:1\n\na\0"));
    assert_eq!(bed.one(worker).command, Command::Receipt);
    let error = bed.refused_and_open(worker, "SUBSCRIBE\nid:r\ndestination:/temp-queue/foo\n\n\0");
    assert_eq!(message(&error), "Invalid destination");
    bed.empty(&[worker]);
}

#[test]
fn what_ends_a_channel_ends_the_connection_after_error_and_receipt() {
    let mut bed = rabbitmq();
    let client = bed.connect("1.2");
    bed.put(client, "SUBSCRIBE\nid:1\ndestination:/amq/queue/none\nreceipt:r\n\n\0");
    let frames = bed.take(client);
    let commands: Vec<_> = frames.iter().map(|frame| frame.command).collect();
    assert_eq!(commands, [Command::Error, Command::Receipt]);
    assert_eq!((message(&frames[0]), bed.broker.status(client)), ("not_found", Status::Closing));
}

#[test]
fn the_senders_headers_come_behind_the_brokers() {
    let mut bed = rabbitmq();
    let client = bed.connect("1.2");
    bed.subscribe(client, "w", "/queue/a", "auto");
    bed.put(client, "SEND\ndestination:/queue/a\nsubscription:spoofed\n\n\0");
    let frame = bed.one(client);
    let all: Vec<_> = frame.headers.iter().filter(|(name, _)| *name == b"subscription").collect();
    assert_eq!(all, [(&b"subscription"[..], &b"w"[..]), (b"subscription", b"spoofed")]);
}

/// An exchange or a queue that no client can use any more leaves nothing behind.
#[test]
fn queues_go_with_those_who_made_them() {
    let mut bed = rabbitmq();
    let (one, two) = (bed.connect("1.2"), bed.connect("1.2"));
    let before = bed.broker.held();
    for n in 0..3 {
        bed.subscribe(one, &n.to_string(), "/topic/a.#", "client");
    }
    bed.put(one, "SUBSCRIBE\nid:x\ndestination:/queue/own\ndurable:false\nack:client\n\n\0");
    bed.send(one, "/queue/own", "m");
    bed.send(two, "/topic/a.b", "m");
    assert_eq!(bed.take(one).len(), 4);
    assert_eq!(bed.broker.depth("/topic/a.b").consumers, 3);
    bed.put(one, "UNSUBSCRIBE\nid:0\n\n\0");
    assert_eq!(bed.broker.depth("/topic/a.b").consumers, 2);
    bed.closed(one);
    assert_eq!((bed.broker.memory(), bed.broker.held()), (0, before));
    assert_eq!(bed.broker.depth("/topic/a.b").consumers, 0);
}

/// What a subscription that has ended had in hand is neither delivered again nor forgotten.
#[test]
fn unacknowledged_messages_outlive_their_subscription() {
    let mut bed = rabbitmq();
    let (one, two) = (bed.connect("1.2"), bed.connect("1.2"));
    bed.subscribe(one, "1", "/queue/a", "client");
    bed.subscribe(one, "2", "/queue/b", "client");
    bed.send(two, "/queue/a", "first");
    bed.one(one);
    bed.put(one, "UNSUBSCRIBE\nid:1\n\n\0");
    bed.subscribe(two, "1", "/queue/a", "auto");
    bed.nothing(two);
    // An ACK of a later one is for it, too.
    bed.send(two, "/queue/b", "second");
    let second = bed.one(one);
    bed.put(one, &ack("1.2", &second));
    bed.closed(one);
    bed.nothing(two);
    assert_eq!(bed.broker.memory(), 0);
}

#[test]
fn a_queue_that_is_gone_takes_its_unacknowledged_messages_along() {
    let mut bed = rabbitmq();
    let client = bed.connect("1.2");
    bed.subscribe(client, "1", "/topic/a", "client-individual");
    bed.send(client, "/topic/a", "m");
    let frame = bed.one(client);
    bed.put(client, "UNSUBSCRIBE\nid:1\n\n\0");
    assert!(bed.broker.memory() > 0);
    let error = bed.refused_and_open(client, &ack("1.2", &frame));
    assert_eq!(message(&error), "Subscription not found");
    bed.empty(&[client]);
}

#[test]
fn a_transaction_is_charged_for_what_it_holds_back() {
    let mut bed = rabbitmq();
    let client = bed.connect("1.2");
    bed.subscribe(client, "1", "/queue/a", "client-individual");
    bed.send(client, "/queue/a", "m");
    let frame = bed.one(client);
    let before = bed.broker.memory();
    bed.put(client, "BEGIN\ntransaction:t\n\n\0");
    bed.put(client, &answer("ACK", "1.2", &frame, "transaction:t\n"));
    bed.put(client, "SEND\ndestination:/queue/b\ntransaction:t\nreceipt:1\n\nm\0");
    bed.nothing(client);
    assert!(bed.broker.memory() > before);
    // BEGIN again forgets both.
    bed.put(client, "BEGIN\ntransaction:t\n\n\0");
    assert_eq!(bed.broker.memory(), before);
    bed.put(client, "COMMIT\ntransaction:t\n\n\0");
    assert_eq!(bed.broker.depth("/queue/a").unacknowledged, 1);
    bed.put(client, "SEND\ndestination:/queue/b\ntransaction:t\n\nm\0");
    assert_eq!(message(&bed.one(client)), "Bad transaction");
    bed.put(client, "BEGIN\ntransaction:t\n\n\0SEND\ndestination:/queue/b\ntransaction:t\nreceipt:1\n\nm\0");
    bed.put(client, "COMMIT\ntransaction:t\nreceipt:c\n\n\0");
    let receipts: Vec<_> = bed.take(client).iter().map(|f| header(f, "receipt-id").to_owned()).collect();
    assert_eq!(receipts, ["c", "1"]);
    assert_eq!(bed.waiting("/queue/b"), 1);
}

/// A name costs no more than its queue, and where there is no room for another the unused ones go.
#[test]
fn declared_queues_are_forgotten_where_there_is_no_room() {
    let config = BrokerConfig { destinations: 3, ..BrokerConfig::default() };
    let mut bed = Bed::with(config.with_dialect(Dialect::RabbitMq));
    let client = bed.connect("1.2");
    bed.send(client, "/queue/kept", "m");
    for n in 0..10 {
        let other = bed.connect("1.2");
        bed.subscribe(other, "1", &format!("/queue/q{n}"), "auto");
        bed.nothing(other);
        bed.closed(other);
    }
    assert_eq!(bed.waiting("/queue/kept"), 1);
    bed.send(client, "/queue/a", "m");
    bed.send(client, "/queue/b", "m");
    let error = bed.refused(client, "SEND\ndestination:/queue/c\n\nm\0");
    assert!(message(&error).contains("too many destinations"), "{error:?}");
}

#[test]
fn heart_beats_are_whole_seconds_and_silence_ends_without_a_word() {
    let mut bed = rabbitmq();
    let client = bed.accept();
    bed.put(client, "CONNECT\naccept-version:1.2\nhost:/\nheart-beat:1,2500\n\n\0");
    assert_eq!(header(&bed.one(client), "heart-beat"), "2000,1000");
    bed.advance(1_900);
    assert_eq!(bed.broker.status(client), Status::Open);
    bed.advance(1_000);
    assert_eq!(bed.broker.status(client), Status::Closing);
    bed.nothing(client);
}

#[test]
fn one_user_is_known_and_who_does_not_log_in_is_that_one() {
    for (login, admitted) in
        [("", true), ("login:guest\npasscode:guest\n", true), ("login:other\npasscode:guest\n", false)]
    {
        let mut bed = rabbitmq();
        let client = bed.accept();
        bed.put(client, &format!("CONNECT\naccept-version:1.2\nhost:/\n{login}\n\0"));
        assert_eq!(bed.one(client).command == Command::Connected, admitted, "{login}");
        // It may try again.
        bed.put(client, if admitted { "" } else { "CONNECT\n\n\0" });
        assert_eq!(bed.take(client).len(), usize::from(!admitted));
    }
}

/// Only SEND has a body, but others may bring one, and a `content-length` for none.
#[test]
fn a_body_where_none_may_be_is_passed_over() {
    let mut bed = rabbitmq();
    let client = bed.accept();
    bed.put(client, "CONNECT\n\n\nbody\0");
    assert_eq!(bed.one(client).command, Command::Connected);
    bed.put(client, "SUBSCRIBE\ndestination:/queue/a\ncontent-length:9\nreceipt:1\n\nbody\0SEND\ndestination:/queue/a\n\nm\0");
    let commands: Vec<_> = bed.take(client).iter().map(|frame| frame.command).collect();
    assert_eq!(commands, [Command::Receipt, Command::Message]);
}

#[test]
fn arguments_of_queues_are_charged() {
    let mut bed = Bed::with(BrokerConfig::default().with_dialect(Dialect::RabbitMq).with_memory(100_000));
    let client = bed.connect("1.2");
    let key = "k".repeat(20_000);
    let declare = |n: usize| format!("SEND\ndestination:/queue/{n}\nx-dead-letter-routing-key:{key}\n\nm\0");
    bed.put(client, &declare(0));
    assert!(bed.broker.held() > 40_000, "of the message, and of the queue");
    bed.refused(client, &(1..6).map(declare).collect::<String>());
}

#[test]
fn dead_letters_keep_their_order() {
    let mut bed = rabbitmq();
    let client = bed.connect("1.2");
    let arguments = "x-dead-letter-exchange:\nx-dead-letter-routing-key:dead\n";
    bed.subscribe(client, "d", "/queue/dead", "auto");
    bed.put(client, &format!("SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\n{arguments}\n\0"));
    for body in ["one", "two", "three"] {
        bed.send(client, "/queue/a", body);
    }
    let last = bed.take(client).pop().unwrap();
    bed.put(client, &answer("NACK", "1.2", &last, "requeue:false\n"));
    assert_eq!(bed.bodies(client), ["one", "two", "three"]);
}

/// A subscription whose queue was deleted takes none of the subscriptions that a connection may have.
#[test]
fn a_cancelled_subscription_leaves_nothing() {
    let mut bed = rabbitmq();
    let (one, two) = (bed.connect("1.2"), bed.connect("1.2"));
    let subscribe =
        "SUBSCRIBE\nid:1\ndestination:/topic/a\ndurable:true\nauto-delete:false\nack:client\n\n\0";
    let before = bed.broker.held();
    for _ in 0..3 {
        bed.put(one, subscribe);
        bed.put(two, subscribe);
        bed.put(two, "UNSUBSCRIBE\nid:1\ndurable:true\n\n\0");
        assert_eq!(message(&bed.one(one)), "Server cancelled subscription");
        assert_eq!(bed.broker.connections[&one].subscriptions.len(), 0);
        assert_eq!(bed.broker.held(), before);
    }
}

/// As on RabbitMQ, only queues that SEND or SUBSCRIBE names are remembered; others would add up.
#[test]
fn queues_of_topic_subscriptions_are_not_remembered() {
    let mut bed = rabbitmq();
    let client = bed.connect("1.2");
    let before = bed.broker.held();
    for _ in 0..3 {
        bed.subscribe(client, "1", "/topic/a", "auto");
        bed.put(client, "UNSUBSCRIBE\nid:1\n\n\0");
        assert_eq!(bed.broker.held(), before);
    }
}

/// A queue that this broker has forgotten, where RabbitMQ would have kept it, is declared again by the next SEND.
#[test]
fn a_forgotten_queue_is_declared_again() {
    let config = BrokerConfig { destinations: 1, ..BrokerConfig::default() };
    let mut bed = Bed::with(config.with_dialect(Dialect::RabbitMq));
    let client = bed.connect("1.2");
    for queue in ["/queue/a", "/queue/b", "/queue/a"] {
        bed.send(client, queue, "m");
        assert_eq!(bed.waiting(queue), 1, "{queue}");
        bed.subscribe(client, "1", queue, "auto");
        assert_eq!(bed.bodies(client), ["m"]);
        bed.put(client, "UNSUBSCRIBE\nid:1\n\n\0");
    }
}

/// An exchange may make many dead letters of one message, again and again.
#[test]
fn dead_letters_are_bounded() {
    let mut bed = Bed::with(BrokerConfig::default().with_dialect(Dialect::RabbitMq).with_memory(100_000));
    let client = bed.connect("1.2");
    for n in 0..20 {
        bed.put(
            client,
            &format!(
                "SUBSCRIBE\nid:{n}\ndestination:/exchange/amq.fanout\nack:client\n\
                 x-dead-letter-exchange:amq.fanout\n\n\0"
            ),
        );
    }
    bed.send(client, "/exchange/amq.fanout", "m");
    for _ in 0..6 {
        let last = bed.take(client).pop().expect("a message");
        bed.put(client, &answer("NACK", "1.2", &last, "requeue:false\n"));
        assert!(bed.broker.memory() <= 220_000, "{}", bed.broker.memory());
    }
}
