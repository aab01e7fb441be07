//! Finding a broker, and subscribing.

use super::*;

#[test]
fn subscribes_with_individual_acks_and_an_explicit_prefetch() {
    for (server, header) in
        [("ActiveMQ/5.17.2", "activemq.prefetchSize"), ("RabbitMQ/3.10.8", "prefetch-count")]
    {
        let mut bench = Bench::new("stomp://h");
        bench.server = server;
        bench.socket = true;
        bench.give(Input::Connected);
        let connect = &bench.sent()[0];
        assert_eq!(connect.headers.text("accept-version"), Some("1.0,1.1,1.2"));
        bench.bytes(format!("CONNECTED\nversion:1.2\nserver:{server}\n\n\0").as_bytes());
        let subscribe = &bench.sent()[0];
        assert_eq!(subscribe.headers.text("ack"), Some("client-individual"));
        assert_eq!(subscribe.headers.text("destination"), Some("/queue/a"));
        assert_eq!(subscribe.headers.text(header), Some("4"));
    }
}

#[test]
fn backs_off_with_jitter_and_recovers() {
    let mut bench = Bench::new("failover:(stomp://a)?initialReconnectDelay=1000&maxReconnectDelay=8000");
    let mut delays = Vec::new();
    for _ in 0..6 {
        bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
        let delay = bench.until.unwrap() - bench.now;
        delays.push(delay);
        bench.pass(delay);
    }
    for (delay, full) in delays.iter().zip([1, 2, 4, 8, 8, 8]) {
        let full = SECOND * full;
        assert!((full / 2..=full).contains(delay), "{delays:?}");
    }
    // A connection that lasted starts anew.
    bench.come_up();
    bench.pass(10 * SECOND);
    bench.lose();
    assert!(bench.until.unwrap() - bench.now <= SECOND);
}

#[test]
fn a_broker_that_refuses_the_subscription_is_not_asked_in_a_hot_loop() {
    let mut bench = Bench::new("failover:(stomp://a)?initialReconnectDelay=1000&maxReconnectDelay=8000");
    let mut delays = Vec::new();
    for _ in 0..4 {
        bench.come_up();
        bench.bytes(b"ERROR\nreceipt-id:subscribe-0\nmessage:no access\n\n\0");
        delays.push(bench.until.unwrap() - bench.now);
        bench.pass(*delays.last().unwrap());
    }
    assert!(delays[3] >= 4 * SECOND, "{delays:?}");
}

#[test]
fn walks_over_the_brokers_before_it_waits() {
    let mut bench = Bench::new("failover:(stomp://a,stomp://b:1)?randomize=false");
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    assert_eq!(bench.connects, ["a:61613", "b:1"]);
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    assert_eq!(bench.connects.len(), 2);
    bench.pass(SECOND);
    assert_eq!(bench.connects[2], "a:61613");
}

#[test]
fn a_refused_login_at_the_start_ends_it_and_later_does_not() {
    let refusal = b"ERROR\nmessage:User name [x] or password is invalid.\n\nstack trace\0";
    let mut bench = Bench::new("stomp://h");
    bench.give(Input::Connected);
    bench.bytes(refusal);
    assert!(bench.finished);
    assert!(bench.fatal.why().unwrap().contains("password is invalid"));

    let mut bench = Bench::up("stomp://h");
    bench.lose();
    bench.pass(SECOND);
    bench.give(Input::Connected);
    bench.bytes(refusal);
    assert!(!bench.finished && bench.until.is_some());
}

#[test]
fn gives_up_after_the_configured_attempts() {
    let mut bench = Bench::new("failover:(stomp://a)?startupMaxReconnectAttempts=2");
    for _ in 0..2 {
        bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
        if !bench.finished {
            bench.pass(SECOND);
        }
    }
    assert!(bench.finished);
    assert!(bench.fatal.why().unwrap().contains("connection refused"));
}

#[test]
fn every_broker_is_tried_as_often_after_a_loss() {
    for (uri, rounds) in [
        ("failover:(stomp://a,stomp://b)?randomize=false&maxReconnectAttempts=1", vec!["b", "a"]),
        ("failover:(stomp://a,stomp://b)?randomize=false&maxReconnectAttempts=2", vec!["b", "a", "b", "a"]),
        ("failover:(stomp://a)?maxReconnectAttempts=1", vec!["a"]),
    ] {
        let mut bench = Bench::up(uri);
        bench.pass(5 * SECOND);
        bench.bytes(b"\n");
        bench.pass(5 * SECOND);
        bench.lose();
        let mut tried = Vec::new();
        while !bench.finished {
            if bench.connects.len() == 1 + tried.len() {
                bench.pass(bench.until.unwrap() - bench.now);
            }
            tried.push(bench.connects.last().unwrap().split(':').next().unwrap().to_owned());
            bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
        }
        assert_eq!(tried, rounds, "{uri}");
    }
}

#[test]
fn a_first_broker_that_refuses_does_not_keep_it_from_the_next() {
    let refusal = b"ERROR\nmessage:User name [x] or password is invalid.\n\n\0";
    let mut bench = Bench::new("failover:(stomp://a,stomp://b)?randomize=false");
    for broker in ["a:61613", "b:61613"] {
        assert!(!bench.finished);
        assert_eq!(bench.connects.last().unwrap(), broker);
        bench.socket = true;
        bench.give(Input::Connected);
        bench.bytes(refusal);
    }
    assert!(bench.finished, "none will have us");
}

#[test]
fn what_failed_to_connect_is_said_with_what_to_do() {
    let mut bench = Bench::new("failover:(stomp://u:secret@h)?startupMaxReconnectAttempts=1");
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    let why = bench.fatal.why().unwrap();
    assert!(why.contains("h:61613") && why.contains("is the broker running"), "{why}");
    assert!(!why.contains("secret"));
}

/// Nor what another broker of the URI was told, nor what stands where a frame should.
#[test]
fn no_error_of_a_broker_tells_a_passcode() {
    let uri = "failover:(stomp://ann:correct-horse@a,stomp://bob:battery%3Astaple@b)?maxReconnectAttempts=1";
    for said in [
        "ERROR\nmessage:correct-horse is wrong\n\n\0",
        "ERROR\nmessage:no\n\nuser bob, passcode battery:staple\0",
        "ERROR\nmessage:battery\\cstaple\n\ncorrect-horse\0",
        "ERROR\nreceipt-id:subscribe-0\nmessage:correct-horse\n\n\0",
        "battery%3Astaple\n",
        "correct-horse, said ann\n",
    ] {
        for up in [true, false] {
            let mut bench = Bench::new(uri);
            while !bench.finished {
                if up {
                    bench.come_up();
                } else {
                    bench.give(Input::Connected);
                }
                bench.bytes(said.as_bytes());
                if let Some(until) = bench.until.filter(|_| !bench.finished) {
                    bench.pass(until.saturating_duration_since(bench.now));
                }
            }
            let why = bench.fatal.why().unwrap();
            assert!(why.contains("(redacted)"), "{said:?}: {why}");
            // The user of a refused login is named, in our own words.
            let told = ["correct", "horse", "battery", "staple", "user bob", "ann "];
            assert!(!told.iter().any(|secret| why.contains(secret)), "{said:?}: {why}");
        }
    }
}

#[test]
fn messages_that_end_each_connection_make_no_hot_loop_and_no_long_pause() {
    let mut bench = Bench::new("failover:(stomp://a)?initialReconnectDelay=100");
    let mut delays = Vec::new();
    for n in 0..10 {
        bench.come_up();
        bench.receipt("subscribe-0");
        bench.message(&format!("poison {n}"));
        bench.reply();
        bench.sent();
        bench.bytes(b"ERROR\nmessage:access_refused\n\n\0");
        delays.push(bench.until.unwrap() - bench.now);
        bench.pass(*delays.last().unwrap());
    }
    assert!(delays[9] == SECOND, "{delays:?}");
}

#[test]
fn a_connection_that_served_is_no_failure_however_short_it_was() {
    let mut bench = Bench::new("failover:(stomp://a)?initialReconnectDelay=100");
    for n in 0..10 {
        bench.come_up();
        bench.message(&format!("m{n}"));
        let job = bench.reply();
        bench.sent();
        bench.receipt(&format!("job-{job}"));
        bench.lose();
        let delay = bench.until.unwrap() - bench.now;
        assert!(delay <= SECOND / 10, "{n}: {delay:?}");
        bench.pass(delay);
    }
}

#[test]
fn tries_the_next_broker_only_after_a_pause_however_short_the_uri_has_it() {
    let mut bench = Bench::new("failover:(stomp://a)?initialReconnectDelay=0&maxReconnectDelay=1000");
    for _ in 0..20 {
        bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
        bench.pass(bench.until.unwrap() - bench.now);
    }
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    assert!(bench.until.unwrap() - bench.now >= SECOND / 2);
}

#[test]
fn absurd_delays_are_bounded() {
    let uri = "failover:(stomp://a)?initialReconnectDelay=18446744073709551615&maxReconnectDelay=18446744073709551615";
    let mut bench = Bench::new(uri);
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    assert!(bench.until.is_some());
}

/// What the next attempt sends as the passcode.
fn passcode(bench: &mut Bench) -> String {
    bench.parser = Parser::new(Limits::default());
    bench.socket = true;
    bench.give(Input::Connected);
    bench.sent()[0].headers.text("passcode").unwrap().to_owned()
}

fn hang_up(bench: &mut Bench) {
    bench.socket = false;
    bench.give(Input::Closed(Ok(())));
}

const RABBITMQ: &[u8] = b"CONNECTED\nversion:1.2\nserver:RabbitMQ/3.10.8\n\n\0";
const ACTIVEMQ: &[u8] = b"CONNECTED\nversion:1.2\nserver:ActiveMQ/5.17.2\n\n\0";
const ARTEMIS: &[u8] = b"CONNECTED\nversion:1.2\nserver:ActiveMQ-Artemis/2.31.0\n\n\0";
const STRANGER: &[u8] = b"CONNECTED\nversion:1.2\n\n\0";
const RABBITMQ_REFUSES: &[u8] =
    b"ERROR\nmessage:Bad CONNECT\ncontent-type:text/plain\nversion:1.0,1.1,1.2\n\n\
    Access refused for user 'u'\n\0";
const ACTIVEMQ_REFUSES: &[u8] = b"ERROR\nmessage:User name [u] or password is invalid.\n\nstack trace\0";
const ARTEMIS_REFUSES: &[u8] = b"ERROR\nmessage:Failed to connect\n\nSecurity Error occurred\0";
/// Its passcode is `a\b`.
const BACKSLASH: &str = "stomp://u:a%5Cb@h";
const ESCAPED: &str = r"a\\b";
const PLAIN: &str = r"a\b";

#[test]
fn a_backslash_in_connect_is_escaped() {
    for connected in [RABBITMQ, ACTIVEMQ] {
        let mut bench = Bench::new(BACKSLASH);
        for connects in [1, 2] {
            assert_eq!(passcode(&mut bench), ESCAPED);
            bench.bytes(connected);
            assert_eq!(bench.sent()[0].command, Command::Subscribe);
            assert_eq!(bench.connects.len(), connects);
            bench.pass(10 * SECOND);
            bench.lose();
            bench.pass(SECOND);
        }
    }
}

#[test]
fn a_backslash_is_sent_as_it_is_to_a_broker_that_does_not_unescape() {
    for (refusal, connected) in
        [(Some(ARTEMIS_REFUSES), ARTEMIS), (Some(ARTEMIS_REFUSES), STRANGER), (None, STRANGER)]
    {
        let mut bench = Bench::new(BACKSLASH);
        assert_eq!(passcode(&mut bench), ESCAPED);
        match refusal {
            None => hang_up(&mut bench),
            Some(refusal) => bench.bytes(refusal),
        }
        assert_eq!(bench.connects.len(), 2, "at once");
        assert_eq!(passcode(&mut bench), PLAIN);
        bench.bytes(connected);
        assert_eq!(bench.sent()[0].command, Command::Subscribe);
        // Later connections do so at first.
        bench.pass(10 * SECOND);
        bench.lose();
        bench.pass(SECOND);
        assert_eq!(passcode(&mut bench), PLAIN);
        bench.bytes(ARTEMIS_REFUSES);
        assert_eq!(bench.connects.len(), 3, "this refusal is final");
    }
}

#[test]
fn a_refusal_names_the_user_and_costs_no_more_attempts_than_it_has_to() {
    for (refusal, attempts) in [(RABBITMQ_REFUSES, 1), (ACTIVEMQ_REFUSES, 1), (ARTEMIS_REFUSES, 2)] {
        let mut bench = Bench::new(BACKSLASH);
        for attempt in 1..=attempts {
            assert!(!bench.finished);
            assert_eq!(bench.connects.len(), attempt);
            passcode(&mut bench);
            bench.bytes(refusal);
        }
        assert!(bench.finished);
        let why = bench.fatal.why().unwrap();
        assert!(why.contains("refused the connection of user \"u\""), "{why}");
        assert!(!why.contains(PLAIN) && !why.contains(ESCAPED), "{why}");

        let mut bench = Bench::new("stomp://u:ab@h");
        assert_eq!(passcode(&mut bench), "ab");
        bench.bytes(refusal);
        assert!(bench.finished && bench.connects.len() == 1, "without a backslash there is nothing to try");
    }
}

#[test]
fn a_login_with_a_backslash_is_treated_alike() {
    let mut bench = Bench::new("stomp://domain%5Cuser:x@h");
    bench.give(Input::Connected);
    assert_eq!(bench.sent()[0].headers.text("login"), Some(r"domain\\user"));
    bench.bytes(RABBITMQ_REFUSES);
    assert!(bench.fatal.why().unwrap().contains(r#"of user "domain\\user""#));
}

#[test]
fn with_a_dialect_a_backslash_is_sent_in_one_way() {
    for (dialect, sent) in [("rabbitmq", ESCAPED), ("activemq", ESCAPED), ("artemis", PLAIN)] {
        for refusal in [None, Some(ARTEMIS_REFUSES), Some(RABBITMQ_REFUSES)] {
            let mut bench = Bench::with(BACKSLASH, |config| {
                config.connection.brokers.dialect = Some(dialect.parse().unwrap());
            });
            assert_eq!(passcode(&mut bench), sent);
            match refusal {
                None => hang_up(&mut bench),
                Some(refusal) => bench.bytes(refusal),
            }
            assert_eq!(bench.connects.len(), 1, "{dialect}");
            assert_eq!(bench.finished, refusal.is_some(), "{dialect}");
        }
    }
}

#[test]
fn a_broker_that_closes_the_connection_is_asked_twice_a_round() {
    let mut bench =
        Bench::new("failover:(stomp://u:a%5Cb@h)?initialReconnectDelay=1000&startupMaxReconnectAttempts=3");
    for round in 1..=3 {
        for _ in 0..2 {
            passcode(&mut bench);
            hang_up(&mut bench);
        }
        assert_eq!(bench.connects.len(), 2 * round, "round {round}");
        if round < 3 {
            bench.pass(4 * SECOND);
        }
    }
    assert!(bench.finished);
    let why = bench.fatal.why().unwrap();
    assert!(why.contains("with and without its backslashes escaped"), "{why}");
}

#[test]
fn a_refusal_of_a_misread_passcode_is_not_final() {
    // A gateway closes the first connection, since no broker is behind it; behind the second there is ActiveMQ.
    let mut bench = Bench::new(BACKSLASH);
    assert_eq!(passcode(&mut bench), ESCAPED);
    hang_up(&mut bench);
    assert_eq!(passcode(&mut bench), PLAIN);
    bench.bytes(ACTIVEMQ_REFUSES);
    assert!(!bench.finished);
    bench.pass(SECOND);
    assert_eq!(passcode(&mut bench), ESCAPED);
    bench.bytes(ACTIVEMQ);
    assert_eq!(bench.sent()[0].command, Command::Subscribe);
}

#[test]
fn options_of_a_single_uri_count() {
    let mut bench = Bench::new("stomp://h?startupMaxReconnectAttempts=2&initialReconnectDelay=1000");
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    assert!(!bench.finished && bench.until.unwrap() - bench.now >= SECOND / 2);
    bench.pass(SECOND);
    bench.give(Input::Closed(Err(io::ErrorKind::ConnectionRefused.into())));
    assert!(bench.finished);
    assert!(bench.fatal.why().unwrap().contains("gave up after 2 attempts"));
}
