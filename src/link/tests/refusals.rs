//! Replies and dead letters that the broker refuses, and destinations that senders make up.

use super::*;

const NO_ROOM: &str = "Usage Manager Memory Limit reached on queue://r.";
const FORBIDDEN: &str = "User guest is not authorized to write to: queue://r";
const RABBITMQ: &str = "RabbitMQ/3.10.8";

/// What the broker says of one frame.
fn refuse(bench: &mut Bench, receipt: &str, why: &str) {
    bench.bytes(format!("ERROR\nreceipt-id:{receipt}\nmessage:{why}\n\n{why}\0").as_bytes());
}

/// A message that nobody waits for, and that becomes a dead letter at once.
fn hopeless(bench: &mut Bench, id: &str) {
    bench.message_with(id, &[("http_requestMethod", "G E T"), ("http_requestUrl", "/")]);
    bench.work();
}

/// The receipt of the one frame that is sent next, and its destination.
fn one(bench: &mut Bench) -> (String, String) {
    let sent = bench.sent();
    let [frame] = &sent[..] else { panic!("one frame: {sent:?}") };
    let text = |name| frame.headers.text(name).unwrap_or("-").to_owned();
    (text("receipt"), text("destination"))
}

/// An ERROR that names the receipt of a reply is about that reply; only a destination that does not exist means that
/// nobody waits.
#[test]
fn a_refused_reply_is_sent_again_and_its_request_not_served_again() {
    for (why, delays) in [
        (NO_ROOM, &[100, 400, 1600, 6400, 10_000, 10_000][..]),
        (FORBIDDEN, &[100, 400, 1600, 6400]),
        ("anything", &[100, 400, 1600, 6400]),
    ] {
        let mut bench = Bench::up("stomp://h");
        bench.message("m1");
        let job = bench.reply();
        let receipt = format!("job-{job}");
        let first = bench.sent();
        for &delay in delays {
            refuse(&mut bench, &receipt, why);
            bench.receipt(&receipt);
            assert!(bench.sent().is_empty(), "what was refused is not acknowledged");
            bench.pass(Duration::from_millis(delay - 1));
            bench.bytes(b"\n");
            let early = bench.commands();
            assert!(early.is_empty(), "not before {delay} ms: {early:?}");
            bench.pass(Duration::from_millis(1));
            assert_eq!(bench.sent(), first, "the same reply");
            assert!(bench.jobs.is_empty(), "the application is not called again");
        }
        bench.receipt(&receipt);
        assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())], "{why}");
        bench.give(Input::Stop);
        assert_eq!(bench.commands(), [Command::Disconnect], "nothing is left of it");
    }
}

#[test]
fn a_request_whose_reply_stays_refused_becomes_a_dead_letter() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    let receipt = format!("job-{}", bench.reply());
    for _ in 0..5 {
        assert_eq!(bench.commands(), [Command::Send]);
        refuse(&mut bench, &receipt, FORBIDDEN);
        bench.idle(7);
    }
    let letter = bench.sent().remove(0);
    assert_eq!(letter.headers.text("destination"), Some("/queue/DLQ.a"));
    let why = letter.headers.text("message-failed").unwrap();
    assert!(why.starts_with("its reply was refused: ") && why.contains("not authorized"), "{why}");
    bench.receipt(letter.headers.text("receipt").unwrap());
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
}

/// What keeps more than half of the places is not waited for.
#[test]
fn replies_that_are_refused_leave_places_for_others() {
    let mut bench = Bench::up("stomp://h");
    let mut receipts = Vec::new();
    for n in 0..4 {
        bench.message(&format!("m{n}"));
        receipts.push(format!("job-{}", bench.reply()));
    }
    bench.sent();
    for receipt in &receipts {
        refuse(&mut bench, receipt, FORBIDDEN);
    }
    let letters = bench.texts("destination");
    assert_eq!(
        letters,
        [(Command::Send, "/queue/DLQ.a".to_owned()), (Command::Send, "/queue/DLQ.a".to_owned())]
    );
    // Two are tried again.
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.commands(), [Command::Send; 2]);
}

/// A requester who does not read his replies makes nobody else wait; but where there is nobody else, he has time.
#[test]
fn replies_for_which_there_is_no_room_have_time_unless_others_are_served() {
    for others in [false, true] {
        let mut bench = Bench::up("stomp://h");
        let mut receipts = Vec::new();
        for n in 0..3 {
            bench.message_with(&format!("m{n}"), &[("reply-to", "/queue/full")]);
            receipts.push(format!("job-{}", bench.reply()));
        }
        bench.sent();
        for receipt in &receipts {
            refuse(&mut bench, receipt, NO_ROOM);
        }
        assert!(bench.sent().is_empty(), "they wait");
        let reply_to = if others { "/queue/else" } else { "/queue/full" };
        bench.message_with("good", &[("reply-to", reply_to)]);
        let good = bench.reply();
        bench.sent();
        bench.receipt(&format!("job-{good}"));
        bench.sent();
        bench.pass(Duration::from_millis(100));
        assert_eq!(bench.commands(), [Command::Send; 3]);
        for receipt in &receipts {
            refuse(&mut bench, receipt, NO_ROOM);
        }
        assert_eq!(bench.commands().len(), if others { 3 } else { 0 }, "dead letters");
    }
}

/// With no room for the reply, nor for the dead letter, the broker keeps the message, and so do we.
#[test]
fn a_broker_without_room_loses_nothing() {
    for acknowledged in [false, true] {
        let mut bench = Bench::with("stomp://h", |config| {
            if acknowledged {
                config.delivery = DeliveryMode::AtMostOnce;
            }
        });
        bench.come_up();
        bench.message("m1");
        if acknowledged {
            let (receipt, _) = one(&mut bench);
            bench.receipt(&receipt);
        }
        bench.reply();
        let mut reply = None;
        // For five minutes there is none.
        for _ in 0..300 {
            for frame in bench.sent() {
                if frame.command == Command::Send {
                    let receipt = frame.headers.text("receipt").unwrap().to_owned();
                    refuse(&mut bench, &receipt, NO_ROOM);
                    reply = Some(frame);
                }
            }
            bench.idle(1);
            assert!(bench.jobs.is_empty(), "the application is called once");
        }
        assert!(reply.is_some() && bench.socket && bench.connects.len() == 1);
        let mut sent = Vec::new();
        while sent.is_empty() {
            bench.idle(1);
            sent = bench.sent();
        }
        assert_eq!(sent[0].headers.text("destination"), Some("/remote-temp-queue/r"), "the reply");
        bench.receipt(sent[0].headers.text("receipt").unwrap());
        assert_eq!(bench.commands().len(), usize::from(!acknowledged), "ACK");
    }
}

#[test]
fn a_refused_reply_is_the_next_servers_where_this_one_stops() {
    for (mode, ends) in [(DeliveryMode::AtLeastOnce, 1), (DeliveryMode::AtMostOnce, 2)] {
        let mut bench = Bench::with("stomp://h", |config| config.delivery = mode);
        bench.come_up();
        bench.message("m1");
        if mode == DeliveryMode::AtMostOnce {
            let (receipt, _) = one(&mut bench);
            bench.receipt(&receipt);
        }
        let receipt = format!("job-{}", bench.reply());
        bench.sent();
        refuse(&mut bench, &receipt, NO_ROOM);
        bench.give(Input::Stop);
        // What is acknowledged is nobody else's: it is tried once more, and so is its dead letter.
        let mut sent = bench.sent();
        if ends == 2 {
            assert_eq!(sent.remove(0).headers.text("destination"), Some("/remote-temp-queue/r"));
            refuse(&mut bench, &receipt, NO_ROOM);
            let (letter, destination) = one(&mut bench);
            assert_eq!(destination, "/queue/DLQ.a");
            refuse(&mut bench, &letter, NO_ROOM);
            sent = bench.sent();
        }
        assert_eq!(sent.iter().map(|frame| frame.command).collect::<Vec<_>>(), [Command::Disconnect]);
    }
}

/// What is kept is bounded: beyond it the application is called again.
#[test]
fn a_reply_that_is_too_large_to_be_kept_is_made_again() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    let job = bench.jobs.remove(0).id();
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, Version::V1_2, Command::Send)
        .header("destination", "/remote-temp-queue/r")
        .header("receipt", format!("job-{job}"))
        .body(&vec![b'x'; 17 << 20]);
    bench.give(Input::Output(Output { job, bytes, end: Some(End::Done) }));
    bench.give(Input::Sent(bench.link.outbox().len()));
    refuse(&mut bench, &format!("job-{job}"), NO_ROOM);
    assert!(bench.jobs.is_empty());
    bench.idle(1);
    assert_eq!(bench.jobs.len(), 1, "a second attempt");
}

#[test]
fn a_stream_that_loses_a_block_ends_with_an_error() {
    let streamed = &[("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")];
    for (why, gone) in [(NO_ROOM, false), ("The destination /temp-queue/r does not exist.", true)] {
        let mut bench = Bench::up("stomp://h");
        bench.message_with("m1", streamed);
        let job = bench.jobs[0].id();
        let delivered = Arc::clone(&bench.link.ledger_entry(job).delivered);
        bench.block();
        bench.block();
        assert_eq!(bench.commands(), [Command::Send; 2]);
        bench.receipt(&format!("job-{job}/0"));
        // It ends well, as far as the application knows.
        bench.reply();
        assert!(bench.sent().is_empty(), "the broker may still refuse a block");
        refuse(&mut bench, &format!("job-{job}/1"), why);
        assert!(delivered.progress.is_cancelled());
        let sent = bench.sent();
        if gone {
            assert_eq!(sent[0].headers.text("id"), Some("ack:m1"), "nobody waits for the end");
            continue;
        }
        for (name, value) in [("http_isError", "true"), ("http_moreContent", "false"), ("http_chunkSeq", "2")]
        {
            assert_eq!(sent[0].headers.text(name), Some(value), "{name}");
        }
        // The end may be refused as any reply.
        refuse(&mut bench, &format!("job-{job}"), why);
        bench.pass(SECOND);
        assert_eq!(bench.sent(), sent);
        bench.receipt(&format!("job-{job}"));
        assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
    }
}

#[test]
fn a_stream_that_is_lost_while_it_runs_is_cancelled() {
    let mut bench = Bench::up("stomp://h");
    bench.message_with("m1", &[("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")]);
    let job = bench.jobs[0].id();
    let delivered = Arc::clone(&bench.link.ledger_entry(job).delivered);
    bench.block();
    bench.sent();
    refuse(&mut bench, &format!("job-{job}/0"), FORBIDDEN);
    assert!(delivered.progress.is_cancelled() && bench.sent().is_empty());
    bench.reply();
    let end = bench.sent().remove(0);
    assert_eq!(end.headers.text("http_isError"), Some("true"));
}

/// STOMP says that a server closes the connection after an ERROR; of a stranger nothing else is known.
#[test]
fn a_stranger_is_not_taken_for_a_broker_that_goes_on_after_an_error() {
    for (server, goes_on) in [("ActiveMQ/5.17.2", true), ("apache-apollo/1.7", false), ("", false)] {
        let mut bench = Bench::new("stomp://h");
        bench.server = server;
        bench.come_up();
        bench.message("m1");
        let receipt = format!("job-{}", bench.reply());
        bench.sent();
        refuse(&mut bench, &receipt, "The destination /temp-queue/r does not exist.");
        assert_eq!(bench.socket, goes_on, "{server}");
        if goes_on {
            assert_eq!(bench.commands(), [Command::Ack]);
        } else {
            bench.pass(SECOND);
            bench.come_up();
            bench.message("m1");
            assert_eq!(bench.jobs.len(), 1, "{server}: the request is not lost");
        }
    }
}

/// Three times, and then the broker keeps the message; those that follow are not even tried.
#[test]
fn a_dead_letter_that_stays_refused_is_left_to_the_broker() {
    let mut bench = Bench::up("stomp://h");
    hopeless(&mut bench, "m1");
    for _ in 0..3 {
        let (receipt, destination) = one(&mut bench);
        assert_eq!(destination, "/queue/DLQ.a");
        refuse(&mut bench, &receipt, FORBIDDEN);
        bench.idle(4);
    }
    assert_eq!(bench.texts("id"), [(Command::Nack, "ack:m1".to_owned())]);
    hopeless(&mut bench, "m2");
    assert_eq!(bench.texts("id"), [(Command::Nack, "ack:m2".to_owned())]);
    bench.idle(60);
    hopeless(&mut bench, "m3");
    let (receipt, _) = one(&mut bench);
    bench.receipt(&receipt);
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m3".to_owned())], "it takes them again");
    bench.give(Input::Stop);
    assert_eq!(bench.commands(), [Command::Disconnect], "nothing is left");
}

/// Four dead letters, which are refused.
fn refused_letters(why: &str) -> Bench {
    let mut bench = Bench::up("stomp://h");
    for n in 0..4 {
        hopeless(&mut bench, &format!("m{n}"));
    }
    for receipt in letters(&mut bench) {
        refuse(&mut bench, &receipt, why);
    }
    bench
}

/// The receipts of the dead letters that were sent.
fn letters(bench: &mut Bench) -> Vec<String> {
    let sent = bench.sent();
    assert!(sent.iter().all(|frame| frame.headers.text("destination") == Some("/queue/DLQ.a")), "{sent:?}");
    sent.iter().map(|letter| letter.headers.text("receipt").unwrap().to_owned()).collect()
}

#[test]
fn requests_do_not_wait_for_dead_letters() {
    let mut bench = refused_letters(FORBIDDEN);
    assert_eq!(bench.commands(), [Command::Nack; 2], "more than half of the places");
    bench.message("good");
    assert_eq!(bench.jobs.len(), 1);
}

/// A broker without room for our dead letters has none for its own: a NACK would be the end of the message.
#[test]
fn dead_letters_wait_for_room_however_long_and_many() {
    let mut bench = refused_letters(NO_ROOM);
    for _ in 0..100 {
        assert!(bench.sent().is_empty());
        bench.message("good");
        let good = bench.reply();
        bench.sent();
        bench.receipt(&format!("job-{good}"));
        bench.idle(10);
        let sent = bench.sent();
        assert!(sent.iter().all(|frame| frame.command != Command::Nack));
        let receipts: Vec<_> =
            sent.iter().filter_map(|frame| frame.headers.text("receipt")).map(str::to_owned).collect();
        assert_eq!(receipts.len(), 4);
        for receipt in receipts {
            refuse(&mut bench, &receipt, NO_ROOM);
        }
    }
    bench.idle(10);
    for receipt in letters(&mut bench) {
        bench.receipt(&receipt);
    }
    assert_eq!(bench.commands(), [Command::Ack; 4]);
}

/// Artemis takes a NACK for an ACK, and what is acknowledged cannot be refused.
#[test]
fn where_the_broker_cannot_be_told_to_keep_it_the_place_is_freed() {
    for (mode, expected) in [(DeliveryMode::AtLeastOnce, 1), (DeliveryMode::AtMostOnce, 0)] {
        let mut bench = Bench::with("stomp://h", |config| config.delivery = mode);
        bench.version = "1.0";
        bench.come_up();
        bench.message_with("m1", &[("http_requestMethod", "G E T"), ("http_requestUrl", "/")]);
        if mode == DeliveryMode::AtMostOnce {
            let (receipt, _) = one(&mut bench);
            bench.receipt(&receipt);
        }
        bench.work();
        for _ in 0..3 {
            let (receipt, _) = one(&mut bench);
            refuse(&mut bench, &receipt, FORBIDDEN);
            bench.idle(4);
        }
        let sent = bench.commands();
        assert_eq!((sent.len(), sent.iter().all(|command| *command == Command::Ack)), (expected, true));
        bench.give(Input::Stop);
        assert_eq!(bench.commands(), [Command::Disconnect]);
    }
}

/// Where each refused letter ends the connection, it may do so once in a while, and others are not blamed for it.
#[test]
fn a_dead_letter_queue_that_is_forbidden_is_no_outage() {
    for why in [
        "ERROR\nmessage:access_refused\n\nACCESS_REFUSED - access to queue 'DLQ.a' in vhost '/' refused\0",
        "ERROR\nmessage:precondition_failed\n\nPRECONDITION_FAILED - inequivalent arg 'x' for queue 'DLQ.a'\0",
    ] {
        let mut bench = Bench::new("stomp://h");
        bench.server = RABBITMQ;
        bench.come_up();
        bench.receipt("subscribe-0");
        bench.message("good");
        bench.reply();
        hopeless(&mut bench, "m1");
        bench.sent();
        bench.bytes(why.as_bytes());
        assert!(!bench.socket);
        bench.pass(50 * SECOND);
        bench.come_up();
        hopeless(&mut bench, "m1");
        bench.message("good");
        assert_eq!(bench.jobs.len(), 1, "nobody else is under suspicion");
        let sent = bench.sent();
        let nack = sent.iter().find(|frame| frame.command == Command::Nack);
        let nack = nack.unwrap_or_else(|| panic!("refused, so that the broker keeps it: {sent:?}"));
        assert_eq!(nack.headers.text("id"), Some("ack:m1"));
        assert_eq!(nack.headers.text("requeue"), Some("false"));
        assert!(bench.socket);
    }
}

/// On ActiveMQ a JMS property overwrites the broker's own header.
#[test]
fn a_message_comes_from_our_subscription_whatever_it_says() {
    for (ours, said, letters) in [
        ("/queue/a", "/queue/a", "/queue/DLQ.a"),
        ("/queue/a", "/queue/a,b", "/queue/DLQ.a"),
        ("/queue/a", "/queue/b", "/queue/DLQ.a"),
        ("/queue/a", "/topic/a", "/queue/DLQ.a"),
        ("/queue/a", "", "/queue/DLQ.a"),
        ("/queue/a?consumer.priority=1", "/queue/a", "/queue/DLQ.a"),
        ("/queue/a?consumer.priority=1", "/queue/b", "/queue/DLQ.a"),
        ("/queue/orders.>", "/queue/orders.new", "/queue/DLQ.orders.new"),
        ("/queue/orders.>", "/queue/orders.a,/queue/b", "/queue/DLQ.orders._"),
        ("/queue/orders.>", "/queue/orders.>", "/queue/DLQ.orders._"),
        ("/queue/orders.*", "/queue/else.new", "/queue/DLQ.orders._"),
        ("/queue/orders.*", "/queue/orders.*", "/queue/DLQ.orders._"),
        ("/queue/a,/queue/b", "/queue/b", "/queue/DLQ.b"),
        ("/queue/a,/queue/b", "/queue/c", "/queue/DLQ.a_.queue.b"),
        ("/queue/orders.>", "/queue/orders.x?consumer.y=z", "/queue/DLQ.orders._"),
        ("/queue/orders.>", "/queue/topic://orders", "/queue/DLQ.orders._"),
        ("/queue/orders.>", "/queue/orders.x::y", "/queue/DLQ.orders._"),
        ("/topic/a.*", "/topic/a.b", "/queue/DLQ.a.b"),
        ("/exchange/amq.topic/a.*", "/topic/a.b", "/queue/DLQ.a.b"),
        ("/exchange/amq.topic/a.*", "/topic/b.b", "/queue/DLQ.exchange.amq.topic.a._"),
        ("/exchange/e", "/exchange/e/k", "/queue/DLQ.exchange.e.k"),
        ("/exchange/e", "/exchange/ee/k", "/queue/DLQ.exchange.e"),
        ("/amq/queue/a", "/topic/k", "/queue/DLQ.a"),
    ] {
        let mut bench = Bench::with("stomp://h", |config| config.sources = vec![ours.parse().unwrap()]);
        bench.come_up();
        let head = format!("MESSAGE\nsubscription:0\nmessage-id:m\nack:a\ndestination:{said}\n");
        let url = "http_requestMethod:NOTIFY\nhttp_requestUrl:/a b\x01\n\n\0";
        bench.bytes(format!("{head}{url}").as_bytes());
        bench.work();
        assert_eq!(one(&mut bench).1, letters, "{ours} {said}");
    }
}

#[test]
fn each_subscription_has_its_own_destinations() {
    let mut bench = Bench::with("stomp://h", |config| {
        config.sources = ["/queue/a", "/queue/b.*"].map(|source| source.parse().unwrap()).to_vec();
    });
    bench.come_up();
    for (subscription, said, letters) in [
        ("0", "/queue/b.c", "/queue/DLQ.a"),
        ("1", "/queue/b.c", "/queue/DLQ.b.c"),
        ("1", "/queue/a", "/queue/DLQ.b._"),
        ("7", "/queue/evil", "/queue/DLQ.a"),
    ] {
        let head = format!("MESSAGE\nsubscription:{subscription}\nmessage-id:m\nack:a\ndestination:{said}\n");
        bench.bytes(format!("{head}http_requestUrl:/a b\x01\n\n\0").as_bytes());
        bench.work();
        assert_eq!(one(&mut bench).1, letters, "{subscription} {said}");
    }
}

/// Nobody is let in by trying again; what may yet be made, or become free, is tried again.
#[test]
fn a_subscription_that_cannot_succeed_ends_it() {
    for (source, error, hint) in [
        (
            "/queue/a",
            "message:precondition_failed\n\nPRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'a'",
            "serve /amq/queue/a,",
        ),
        (
            "/queue/a",
            "message:access_refused\n\nACCESS_REFUSED - access to queue 'a' refused",
            "ACCESS_REFUSED",
        ),
        (
            "/queue/a",
            "receipt-id:subscribe-1\nmessage:User ann is not authorized to read from: queue://a\n\n",
            "not authorized to read",
        ),
    ] {
        let mut bench = Bench::with("stomp://h", |config| {
            let mut sources: Vec<crate::config::Source> =
                vec!["/queue/ok".parse().unwrap(), "/queue/a".parse().unwrap()];
            source.clone_into(&mut sources[1].destination);
            config.sources = sources;
        });
        bench.server = if error.starts_with("receipt-id") { "ActiveMQ/5.17.2" } else { RABBITMQ };
        bench.come_up();
        bench.receipt("subscribe-0");
        // RabbitMQ confirms it all the same.
        bench.bytes(format!("ERROR\n{error}\0RECEIPT\nreceipt-id:subscribe-1\n\n\0").as_bytes());
        assert!(bench.finished, "{error}");
        let why = bench.fatal.why().unwrap();
        assert!(why.contains(hint) && why.contains(&format!("the subscription to {source}")), "{why}");
    }
    for error in [
        "message:not_found\n\nNOT_FOUND - no queue 'a' in vhost '/'",
        "message:resource_locked\n\nRESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'a'",
    ] {
        let mut bench = Bench::new("stomp://h");
        bench.server = RABBITMQ;
        bench.come_up();
        for _ in 0..3 {
            bench.bytes(format!("ERROR\n{error}\0RECEIPT\nreceipt-id:subscribe-0\n\n\0").as_bytes());
            assert!(!bench.finished && bench.fatal.why().is_none(), "{error}");
            bench.pass(60 * SECOND);
            bench.come_up();
        }
        // It worked once: somebody has changed the queue, and may change it back.
        bench.receipt("subscribe-0");
        bench.lose();
        bench.pass(60 * SECOND);
        bench.come_up();
        bench.bytes(b"ERROR\nmessage:precondition_failed\n\nPRECONDITION_FAILED\0");
        assert!(!bench.finished);
    }
}

/// The reply is no dead letter, although one was made of its message and refused for lack of room.
#[test]
fn a_reply_that_is_sent_in_the_place_of_its_dead_letter_is_a_reply() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    let job = bench.reply();
    bench.sent();
    for _ in 0..4 {
        refuse(&mut bench, &format!("job-{job}"), FORBIDDEN);
        bench.pass(7 * SECOND);
        bench.sent();
    }
    refuse(&mut bench, &format!("job-{job}"), FORBIDDEN);
    let (letter, destination) = one(&mut bench);
    assert_eq!(destination, "/queue/DLQ.a");
    assert_eq!(bench.link.unconfirmed_letters(), 1);
    refuse(&mut bench, &letter, NO_ROOM);
    bench.idle(11);
    let (receipt, destination) = one(&mut bench);
    assert_eq!((&*receipt, &*destination), (&*format!("job-{job}"), "/remote-temp-queue/r"));
    assert_eq!(bench.link.unconfirmed_letters(), 0);
}

/// A stream that is made again is a new one: a block of the first attempt says nothing of it.
#[test]
fn a_stream_that_is_made_again_is_not_broken_off_by_its_first_attempt() {
    let mut bench = Bench::up("stomp://h");
    bench.message_with("m1", &[("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")]);
    bench.block();
    bench.sent();
    refuse(&mut bench, "job-1/0", NO_ROOM);
    // The attempt fails.
    bench.end(End::Failed);
    bench.idle(2);
    assert_eq!(bench.jobs.len(), 1, "a second attempt");
    bench.sent();
    bench.block();
    bench.sent();
    bench.receipt("job-1/0");
    bench.reply();
    let sent = bench.sent();
    assert_eq!((sent[0].command, sent[0].headers.text("http_isError")), (Command::Send, None));
}
