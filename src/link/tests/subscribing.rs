//! What SUBSCRIBE says, broker by broker, and what becomes of what a broker cannot do.

use super::*;
use crate::link::Dialect;

const DURABLE: &str = "/topic/p?durable=desk";

fn bench(server: &'static str, sources: &[&str]) -> Bench {
    let mut bench = Bench::with("stomp://h", |config| {
        config.sources = sources.iter().map(|source| source.parse().unwrap()).collect();
        config.connection.client_id = Some("shop".to_owned());
    });
    bench.server = server;
    bench.socket = true;
    bench.give(Input::Connected);
    bench
}

/// What the broker is sent on CONNECTED.
fn subscribed(bench: &mut Bench) -> Vec<Frame> {
    let server = bench.server;
    bench.bytes(format!("CONNECTED\nversion:1.2\nserver:{server}\n\n\0").as_bytes());
    bench.sent()
}

#[test]
fn each_broker_has_its_own_words_for_what_is_to_be_kept() {
    for (server, words) in [
        ("ActiveMQ/5.17.2", &[("activemq.subscriptionName", "desk"), ("selector", "n > 3")][..]),
        ("ActiveMQ-Artemis/2.31.0", &[("durable-subscription-name", "desk"), ("selector", "n > 3")]),
    ] {
        let mut bench = bench(server, &["/queue/a", "/topic/p?durable=desk&selector=n > 3"]);
        assert_eq!(bench.sent()[0].headers.text("client-id"), Some("shop"));
        let frames = subscribed(&mut bench);
        for (name, value) in words {
            assert_eq!(frames[0].headers.text(name), None, "{server}: of the other destination");
            assert_eq!(frames[1].headers.text(name), Some(*value), "{server}");
        }
        assert_eq!(frames[1].headers.text("destination"), Some("/topic/p"));
        assert_eq!(frames[1].headers.text("id"), Some("1"));
    }
    let mut bench = bench("RabbitMQ/3.10.8", &[DURABLE]);
    bench.sent();
    let subscribe = &subscribed(&mut bench)[0];
    for (name, value) in [("durable", "true"), ("auto-delete", "false"), ("x-queue-name", "shop.desk")] {
        assert_eq!(subscribe.headers.text(name), Some(value));
    }
}

#[test]
fn what_a_broker_would_ignore_or_refuse_each_time_ends_it() {
    for (source, why) in [("/queue/a?selector=n > 3", "RabbitMQ has no selectors"), ("/queue/a/b", "%2F")] {
        let mut bench = bench("RabbitMQ/3.10.8", &[source]);
        bench.sent();
        let frames = subscribed(&mut bench);
        assert!(frames.is_empty() && bench.finished, "{frames:?}");
        assert!(bench.fatal.why().unwrap().contains(why));
    }
}

#[test]
fn options_that_are_refused_end_it_unless_they_once_were_not() {
    let refusal = b"ERROR\nreceipt-id:subscribe-0\nmessage:no durable subscriptions here\n\n\0";
    let mut first = bench("ActiveMQ/5.17.2", &[DURABLE]);
    subscribed(&mut first);
    first.bytes(refusal);
    assert!(first.finished && first.fatal.why().is_some());
    let why = first.fatal.why().unwrap();
    assert!(why.contains("/topic/p, durable \"") && why.contains("no durable subscriptions here"), "{why}");

    let mut second = bench("ActiveMQ/5.17.2", &["/queue/a", DURABLE]);
    subscribed(&mut second);
    second.receipt("subscribe-0");
    second.bytes(b"ERROR\nreceipt-id:subscribe-1\nmessage:no durable subscriptions here\n\n\0");
    assert!(second.finished && second.fatal.why().is_some(), "each is judged by itself");

    // The consumer that a crash left behind may still be there when we come back.
    let mut later = bench("ActiveMQ/5.17.2", &[DURABLE]);
    subscribed(&mut later);
    later.receipt("subscribe-0");
    later.lose();
    later.pass(SECOND);
    later.socket = true;
    later.give(Input::Connected);
    subscribed(&mut later);
    later.bytes(refusal);
    assert!(!later.finished && later.until.is_some());
    assert_eq!(later.fatal.why(), None);
}

#[test]
fn only_a_broker_that_is_known_to_verify_users_is_believed() {
    let told_of = |server: &str, dialect: Option<Dialect>, header: &str, all_senders_use_stomp| {
        let trust_user_header = Some(header.to_owned());
        let mapping = Mapping { trust_user_header, all_senders_use_stomp, ..Mapping::default() };
        let mut bench = Bench::mapping("stomp://h", mapping, |config| {
            config.connection.brokers.dialect = dialect;
        });
        bench.socket = true;
        bench.give(Input::Connected);
        bench.sent();
        bench.bytes(format!("CONNECTED\nversion:1.2\n{server}\n\0").as_bytes());
        let subscribed = bench.sent().iter().any(|frame| frame.command == Command::Subscribe);
        assert_eq!(bench.finished, !subscribed, "{server}");
        bench.fatal.why()
    };
    let told = |server: &str, dialect, header: &str| told_of(server, dialect, header, true);
    let (activemq, rabbitmq) = (Some(Dialect::ActiveMq), Some(Dialect::RabbitMq));
    for (server, dialect, header) in [
        ("server:ActiveMQ/5.17.2\n", None, "JMSXUserID"),
        ("server:RabbitMQ/3.10.8\n", None, "user-id"),
        ("server:apache-apollo/1.7\n", activemq, "JMSXUserID"),
        ("", rabbitmq, "user-id"),
        ("server:stomp-wsgi-dev/0.1.0\n", activemq, "JMSXUserID"),
    ] {
        assert_eq!(told(server, dialect, header), None, "{server}");
        // By any other protocol a sender can forge it, on all brokers.
        let why = told_of(server, dialect, header, false).unwrap();
        assert!(why.contains("--all-senders-use-stomp") && why.contains(header), "{why}");
    }
    for (server, dialect, header, part) in [
        ("server:ActiveMQ/5.17.2\n", None, "user-id", "what it verifies is JMSXUserID"),
        ("server:RabbitMQ/3.10.8\n", None, "JMSXUserID", "what it verifies is user-id"),
        ("server:apache-apollo/1.7\n", None, "JMSXUserID", "say so with --dialect"),
        ("", None, "JMSXUserID", "say so with --dialect"),
        ("server:stomp-wsgi-dev/0.1.0\n", None, "JMSXUserID", "not known that it verifies"),
        ("server:ActiveMQ-Artemis/2.31.0\n", None, "JMSXUserID", "not known that it verifies"),
        ("", Some(Dialect::Artemis), "JMSXUserID", "not known that it verifies"),
    ] {
        let why = told(server, dialect, header).unwrap();
        assert!(why.contains(part) && why.contains("--trust-user-header"), "{server}: {why}");
    }
}

#[test]
fn what_is_sent_says_what_it_is_for_where_a_broker_wants_to_know() {
    let kinds = |server, reply_to: &str| {
        let mapping = Mapping { allow_reply_to: vec!["*".to_owned()], ..Mapping::default() };
        let mut bench = Bench::mapping("stomp://h", mapping, |_| {});
        bench.server = server;
        bench.come_up();
        bench.message_with("m1", &[("reply-to", reply_to)]);
        // Rejected before it is a request, and by nobody who could be told.
        bench.message_with("m2", &[("reply-to", reply_to), ("http_requestUrl", "/a b")]);
        bench.message_with("m3", &[("http_requestUrl", "/a b"), ("destination-type", "MULTICAST")]);
        for _ in 0..3 {
            bench.work();
        }
        let kind = |frame: &Frame| frame.headers.text("destination-type").map(str::to_owned);
        let sent = bench.sent();
        assert!(sent.iter().all(|frame| frame.command == Command::Send), "{sent:?}");
        sent.iter().map(kind).collect::<Vec<_>>()
    };
    let said = |kinds: [&str; 3]| kinds.map(|kind| Some(kind.to_owned())).to_vec();
    let artemis = "ActiveMQ-Artemis/2.31.0";
    assert_eq!(kinds(artemis, "/queue/r"), said(["ANYCAST", "ANYCAST", "ANYCAST"]));
    assert_eq!(kinds(artemis, "/topic/r"), said(["MULTICAST", "MULTICAST", "ANYCAST"]));
    for server in ["ActiveMQ/5.17.2", "RabbitMQ/3.10.8"] {
        assert_eq!(kinds(server, "/queue/r"), [None, None, None]);
    }
}

#[test]
fn a_message_that_keeps_failing_goes_where_the_broker_is_told_that_a_queue_is() {
    let mut bench = Bench::new("stomp://h");
    bench.server = "ActiveMQ-Artemis/2.31.0";
    bench.come_up();
    bench.message_with("m1", &[]);
    for _ in 0..Policy::default().max_attempts {
        bench.end(End::Failed);
        bench.idle(20);
    }
    let sent = bench.sent();
    assert_eq!(sent[0].headers.text("destination-type"), Some("ANYCAST"), "{sent:?}");
    assert_eq!(sent[0].headers.text("persistent"), Some("true"));
}
