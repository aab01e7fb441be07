//! Messages that are not quite what STOMP calls one, because of what their senders put into them.

use super::*;

const BROKERS: [&str; 4] = ["ActiveMQ/5.17.2", "RabbitMQ/3.10.8", "ActiveMQ-Artemis/2.31.0", "unknown"];

fn bench(server: &'static str, change: impl FnOnce(&mut WorkerConfig)) -> Bench {
    let mut bench = Bench::with("stomp://h", |config| {
        config.sources = ["/queue/a", "/queue/b"].map(|source| source.parse().unwrap()).into();
        change(config);
    });
    bench.server = server;
    bench.come_up();
    bench
}

/// A request by the first subscription, with these lines in its head.
fn request(id: &str, lines: &str, body: &str) -> String {
    format!(
        "MESSAGE\n{lines}subscription:0\nmessage-id:{id}\nack:ack\\c{id}\ndestination:/queue/a\n\
         reply-to:/queue/r\n\n{body}\0\n"
    )
}

impl Bench {
    /// The oldest job is answered, which settles its message.
    fn is_settled(&mut self, id: &str, why: &str) {
        assert!(!self.jobs.is_empty(), "{why}: served");
        let job = self.reply();
        self.sent();
        self.receipt(&format!("job-{job}"));
        assert_eq!(self.texts("id"), [(Command::Ack, format!("ack:{id}"))], "{why}");
    }

    /// A message by the other subscription is served, on the same connection.
    fn goes_on(&mut self, why: &str) {
        self.bytes(b"MESSAGE\nsubscription:1\nmessage-id:g\nack:ack\\cg\ndestination:/queue/b\nreply-to:/queue/r\n\n\0\n");
        self.is_settled("g", why);
        assert_eq!((self.socket, self.connects.len()), (true, 1), "{why}");
    }
}

#[test]
fn malformed_messages_are_served_and_cost_nobody_anything() {
    for server in BROKERS {
        for lines in [
            ":x\n",
            "X\nName:v\n",
            "X\n\nName:v\n",
            "X\nack:forged\n",
            "content-length:many\n",
            "content-length:\n",
            "content-length:-4\n",
            "content-length:+4\n",
            "content-length: 4\n",
            "content-length:3\n",
            "content-length:99999999999999999999\n",
            "long:\\t\n",
        ] {
            let mut bench = bench(server, |_| {});
            bench.bytes(request("m1", lines, "body").as_bytes());
            bench.is_settled("m1", lines);
            bench.goes_on(lines);
        }
    }
}

/// While nothing follows, a RECEIPT tells whether the body goes on.
#[test]
fn a_length_that_is_too_long_keeps_nobody_waiting() {
    for server in ["ActiveMQ/5.17.2", "ActiveMQ-Artemis/2.31.0"] {
        for length in ["5", "300", "2147483647"] {
            let mut bench = bench(server, |_| {});
            bench.bytes(request("m1", &format!("content-length:{length}\n"), "body").as_bytes());
            if bench.jobs.is_empty() {
                let asked = bench.sent();
                let [begin, abort] = &asked[..] else { panic!("{asked:?}") };
                assert_eq!((begin.command, abort.command), (Command::Begin, Command::Abort));
                assert_eq!(begin.headers.get("transaction"), abort.headers.get("transaction"));
                bench.idle(1);
                assert!(bench.sent().is_empty(), "once");
                bench.receipt(begin.headers.text("receipt").unwrap());
            }
            bench.is_settled("m1", length);
            bench.goes_on(length);
        }
    }
}

/// The RECEIPT may come when the body has: it is nobody's.
#[test]
fn bytes_that_arrive_late_stay_exact() {
    let mut bench = bench("ActiveMQ/5.17.2", |_| {});
    let whole = request("m1", "content-length:9\n", "body\0\nend");
    let (first, rest) = whole.split_at(whole.len() - 5);
    bench.bytes(first.as_bytes());
    let receipt = bench.sent()[0].headers.text("receipt").unwrap().to_owned();
    bench.bytes(rest.as_bytes());
    let job = bench.jobs[0].id();
    assert_eq!(&bench.link.ledger_entry(job).delivered.message.body[..], b"body\0\nend");
    bench.receipt(&receipt);
    bench.is_settled("m1", "late");
    bench.goes_on("late");
}

#[test]
fn one_that_may_be_two_is_served_to_nobody_and_the_other_delivered_again() {
    let hidden = request("m2", "", "secret");
    let hidden = hidden.strip_suffix("\0\n").unwrap();
    let body = format!("body\0\n{hidden}");
    let mut bench = bench("ActiveMQ/5.17.2", |_| {});
    bench.message("m0");
    bench.bytes(request("m1", &format!("content-length:{}\n", body.len()), &body).as_bytes());
    assert_eq!(bench.texts("id"), [(Command::Nack, "ack:m1".to_owned())]);
    // What runs is finished first.
    let job = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.commands(), [Command::Ack, Command::Disconnect]);
    bench.receipt("goodbye");
    assert_eq!(bench.connects.len(), 2, "at once");
    bench.come_up();
    bench.bytes(format!("{hidden}\0\n").as_bytes());
    bench.is_settled("m2", "hidden");
}

#[test]
fn others_are_served_while_a_slow_one_keeps_the_connection_from_being_left() {
    let hidden = request("m2", "", "secret");
    let body = format!("body\0\n{}", hidden.strip_suffix("\0\n").unwrap());
    let mut bench = bench("ActiveMQ/5.17.2", |_| {});
    let unclear = |bench: &mut Bench, id: &str| {
        bench.bytes(request(id, &format!("content-length:{}\n", body.len()), &body).as_bytes());
        assert_eq!(bench.texts("id"), [(Command::Nack, format!("ack:{id}"))]);
    };
    bench.message("slow");
    unclear(&mut bench, "m1");
    for n in 0..29 {
        bench.message(&format!("good {n}"));
        bench.jobs.swap(0, 1);
        let good = bench.reply();
        bench.sent();
        bench.receipt(&format!("job-{good}"));
        bench.sent();
        bench.idle(1);
        unclear(&mut bench, &format!("more {n}"));
    }
    bench.idle(1);
    bench.message("too late");
    assert_eq!(bench.jobs.len(), 1, "30 s after the first: no new one is begun");
    bench.idle(5);
    assert!(bench.commands().contains(&Command::Disconnect), "and 5 s later the slow one is given up");
}

#[test]
fn a_head_beyond_the_limits_is_answered_431_or_kept_by_the_broker() {
    for server in BROKERS {
        let mut bench = bench(server, |config| config.connection.limits.header_line = 1000);
        let long = format!("long:{}\n", "x".repeat(5000));
        bench.bytes(request("m1", &long, "body").as_bytes());
        bench.work();
        let reply = bench.sent().remove(0);
        assert_eq!(reply.headers.text("http_statusCode"), Some("431"), "{server}");
        assert_eq!(&reply.body[..], b"1 headers of the message are more than this server takes\n");
        bench.receipt(reply.headers.text("receipt").unwrap());
        assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
        // Nobody waits for this one.
        let notify = request("m2", &format!("{long}http_requestMethod:NOTIFY\n"), "body");
        bench.bytes(notify.as_bytes());
        if server.contains("Artemis") {
            bench.work();
            assert_eq!(bench.texts("destination"), [(Command::Send, "/queue/DLQ.a".to_owned())]);
        } else {
            assert_eq!(bench.texts("id"), [(Command::Nack, "ack:m2".to_owned())]);
        }
        bench.goes_on(server);
        assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
    }
}

/// Artemis puts a sender's headers before its own `ack`, and behind its own `message-id` and `subscription`.
#[test]
fn the_last_ack_counts_on_artemis() {
    let mut bench = bench("ActiveMQ-Artemis/2.40.0 ActiveMQ Artemis Messaging Engine", |_| {});
    bench.bytes(
        b"MESSAGE\nsubscription:0\nmessage-id:50,56\ndestination:/queue/a\nreply-to:/queue/r\nack:EVIL\nack:50,57\n\
          message-id:EVIL\nsubscription:1\nack:50,56\ncontent-length:0\n\n\0\n",
    );
    let job = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.texts("id"), [(Command::Ack, "50,56".to_owned())]);
    bench.goes_on("a sender's ack");
}

/// The last resort: what the parser does not tolerate.
#[test]
fn a_message_behind_which_nothing_can_be_read_is_settled_the_third_time() {
    for (server, version, settled) in [
        ("ActiveMQ/5.17.2", "1.2", &[Command::Nack, Command::Disconnect][..]),
        ("RabbitMQ/3.10.8", "1.1", &[Command::Nack, Command::Disconnect]),
        ("ActiveMQ-Artemis/2.31.0", "1.2", &[Command::Send, Command::Ack, Command::Disconnect]),
        ("ActiveMQ/5.17.2", "1.0", &[Command::Send, Command::Ack, Command::Disconnect]),
    ] {
        let mut bench = Bench::new("stomp://h");
        (bench.server, bench.version) = (server, version);
        bench.come_up();
        for time in 1..=3 {
            bench.message("good");
            bench.jobs.clear();
            bench.message("bad");
            let sent = bench.commands();
            bench.bytes(b"no frame at all, and long enough for that to be seen\n\0");
            if time < 3 {
                assert_eq!((bench.socket, &sent[..]), (false, &[][..]), "{server} {time}");
                bench.pass(60 * SECOND);
                bench.come_up();
            } else {
                assert_eq!((bench.socket, &sent[..]), (true, settled), "{server}");
            }
        }
        bench.jobs.clear();
        bench.bytes(b"RECEIPT\nreceipt-id:goodbye\n\n\0");
        assert!(bench.socket, "nothing is read any more");
        bench.socket = false;
        bench.give(Input::Closed(Ok(())));
        assert_eq!(bench.connects.len(), 4, "at once");
        bench.come_up();
        bench.message("good");
        assert_eq!(bench.jobs.len(), 1);
    }
}

#[test]
fn a_broker_that_does_not_close_is_left_all_the_same() {
    let mut bench = Bench::up("stomp://h");
    for _ in 1..=2 {
        bench.message("bad");
        bench.bytes(b"no frame at all, and long enough for that to be seen\n\0");
        bench.jobs.clear();
        bench.pass(60 * SECOND);
        bench.come_up();
    }
    bench.message("bad");
    assert_eq!(bench.commands(), [Command::Nack, Command::Disconnect]);
    for _ in 0..6 {
        bench.pass(SECOND);
        if bench.socket && bench.connects.len() == 3 {
            bench.bytes(b"still no frame at all, and long enough for that to be seen\n");
        }
    }
    assert_eq!(bench.connects.len(), 4);
}

#[test]
fn a_doubtful_connection_is_no_timer_while_it_drains() {
    let hidden = request("m2", "", "secret");
    let body = format!("body\0\n{}", hidden.strip_suffix("\0\n").unwrap());
    let mut bench = bench("ActiveMQ/5.17.2", |_| {});
    bench.message("slow");
    bench.bytes(request("m1", &format!("content-length:{}\n", body.len()), &body).as_bytes());
    bench.sent();
    bench.idle(20);
    bench.give(Input::Stop);
    bench.idle(11);
    assert!(bench.until.is_some_and(|until| until > bench.now));
}
