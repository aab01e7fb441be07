//! Errors, retries and dead letters.

use super::*;

/// How ActiveMQ says that a temporary queue is gone.
const GONE: &str = "org.apache.activemq.DestinationDoesNotExistException: The destination temp-queue://ID:h-1:1 does not exist.";

#[test]
fn an_error_about_one_reply_costs_only_that_reply() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    bench.message("m2");
    let gone = bench.reply();
    bench.sent();
    bench
        .bytes(format!("ERROR\nreceipt-id:job-{gone}\nmessage:temp-queue://ID:h-1:1\n\n{GONE}\0").as_bytes());
    assert_eq!(bench.sent()[0].headers.text("id"), Some("ack:m1"), "nobody can be answered: settled");
    let alive = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{alive}"));
    assert_eq!(bench.sent()[0].headers.text("id"), Some("ack:m2"));
    assert_eq!(bench.connects.len(), 1);
}

#[test]
fn any_other_error_ends_the_connection() {
    let mut bench = Bench::up("stomp://h");
    bench.bytes(b"ERROR\nmessage:out of order\n\n\0");
    assert!(!bench.socket);
    bench.pass(SECOND);
    assert_eq!(bench.connects.len(), 2);
}

/// F5 to F8, F11, H3, H7, N3, N4: what is no STOMP costs the connection. What was in hand is the broker's again, and the
/// next connection serves.
#[test]
fn malformed_frames_cost_the_connection_and_nothing_else() {
    let endless = "x".repeat(100);
    for bytes in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "message\n\n\0",
        &endless,
        "RECEIPT\nreceipt-id:1\n\nbody\0",
        "RECEIPT\nreceipt-id:\\t\n\n\0",
        "RECEIPT\n\n\0",
        "CONNECTED\nversion:1.2\n\n\0",
        "SEND\ndestination:/queue/a\n\n\0",
    ] {
        let mut bench = Bench::up("stomp://h");
        bench.message("m1");
        bench.bytes(bytes.as_bytes());
        assert!(!bench.socket, "{bytes:?} ends the connection");
        bench.reply();
        bench.pass(SECOND);
        assert_eq!(bench.connects.len(), 2, "{bytes:?}");
        bench.come_up();
        assert!(bench.sent().is_empty(), "{bytes:?}: no ACK of the last connection goes to this one");
        bench.message("m1");
        let job = bench.reply();
        bench.sent();
        bench.receipt(&format!("job-{job}"));
        assert_eq!(bench.commands(), [Command::Ack], "{bytes:?}");
    }
    for answer in [
        "CONNECTED\nversion:1.3\n\n\0",
        "CONNECTED\nheart-beat:1\n\n\0",
        "MESSAGE\n\n\0",
        "RECEIPT\nreceipt-id:1\n\n\0",
    ] {
        let mut bench = Bench::new("stomp://h");
        bench.socket = true;
        bench.give(Input::Connected);
        bench.bytes(answer.as_bytes());
        assert!(!bench.socket && bench.calls.load(Ordering::SeqCst) == 0, "{answer:?} ends the connection");
        bench.pass(SECOND);
        assert_eq!(bench.connects.len(), 2, "{answer:?}");
    }
}

/// What is sent next: the dead letter of the one message there is.
pub(super) fn dead_letter(bench: &mut Bench) -> (String, String) {
    let mut sent = bench.sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let dead = sent.remove(0);
    assert_eq!(dead.headers.text("destination"), Some("/queue/DLQ.a"));
    let text = |name| dead.headers.text(name).expect("it has one").to_owned();
    (text("receipt"), text("message-failed"))
}

#[test]
fn a_refused_dead_letter_is_sent_again_and_its_message_not_served_again() {
    let mut bench = Bench::up("stomp://h");
    bench.message_with("m1", &[("http_requestMethod", "G E T"), ("http_requestUrl", "/")]);
    bench.work();
    let (receipt, reason) = dead_letter(&mut bench);
    for seconds in [1, 4] {
        bench.bytes(format!("ERROR\nreceipt-id:{receipt}\nmessage:no\n\n\0").as_bytes());
        bench.receipt(&receipt);
        assert!(bench.sent().is_empty(), "what was refused is not acknowledged");
        bench.idle(seconds - 1);
        assert!(bench.sent().is_empty());
        bench.idle(1);
        assert_eq!(dead_letter(&mut bench), (receipt.clone(), reason.clone()));
        assert!(bench.jobs.is_empty());
    }
    bench.receipt(&receipt);
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
}

#[test]
fn a_dead_letter_refused_while_its_message_still_runs_is_no_second_run() {
    let mut bench = Bench::with("stomp://h", |config| config.request_timeout = Some(10 * SECOND));
    bench.come_up();
    bench.notify("m1");
    for _ in 1..5 {
        bench.end(End::Failed);
        bench.idle(20);
    }
    bench.begin();
    bench.idle(10);
    let (receipt, _) = dead_letter(&mut bench);
    bench.bytes(format!("ERROR\nreceipt-id:{receipt}\nmessage:no\n\n\0").as_bytes());
    bench.idle(60);
    assert_eq!(bench.jobs.len(), 1, "it still runs, once");
    let (receipt, _) = dead_letter(&mut bench);
    bench.bytes(format!("ERROR\nreceipt-id:{receipt}\nmessage:no\n\n\0").as_bytes());
    bench.give(Input::Stop);
    assert!(bench.sent().is_empty(), "a drain waits for it");
    bench.end(End::Done);
    assert_eq!(bench.commands(), [Command::Disconnect], "and then for nothing");
}

#[test]
fn a_failed_message_is_tried_again_later_and_then_buried() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    for wait in [1, 2, 4, 8] {
        bench.end(End::Failed);
        assert!(bench.jobs.is_empty());
        bench.pass(SECOND * wait - Duration::from_millis(1));
        bench.bytes(b"\n");
        bench.sent();
        assert!(bench.jobs.is_empty(), "not before {wait} s");
        bench.pass(Duration::from_millis(1));
        assert_eq!(bench.jobs.len(), 1);
    }
    let job = bench.jobs[0].id();
    bench.sent();
    bench.end(End::Failed);
    let dead = bench.sent().remove(0);
    assert_eq!(dead.headers.text("destination"), Some("/queue/DLQ.a"));
    assert!(dead.headers.text("message-failed").is_some());
    assert_eq!(dead.headers.text("receipt"), Some(&*format!("job-{job}/dead")));
    bench.receipt(&format!("job-{job}/dead"));
    assert_eq!(bench.commands(), [Command::Ack]);
}

#[test]
fn a_message_whose_reply_ends_each_connection_is_buried_and_others_are_not() {
    let mut bench = Bench::up("stomp://h");
    for _ in 0..3 {
        bench.message("good");
        bench.message("poison");
        let good = bench.reply();
        bench.sent();
        bench.receipt(&format!("job-{good}"));
        bench.reply();
        bench.sent();
        bench.bytes(b"ERROR\nmessage:access_refused\n\n\0");
        bench.pass(60 * SECOND);
        bench.come_up();
    }
    bench.message("poison");
    assert_eq!(bench.jobs.len(), 0, "the poison is not served again");
    let dead = &bench.sent()[0];
    assert_eq!(dead.headers.text("destination"), Some("/queue/DLQ.a"));
    assert_eq!(dead.headers.text("message-failed"), Some("its reply ended the connection each time"));
    bench.receipt(dead.headers.text("receipt").unwrap());
    assert_eq!(bench.sent()[0].headers.text("id"), Some("ack:poison"));
}

#[test]
fn who_is_in_hand_with_a_poison_is_answered_alone() {
    let mut bench = Bench::up("stomp://h");
    for id in ["good 1", "poison", "good 2"] {
        bench.message(id);
    }
    for _ in 0..3 {
        bench.reply();
    }
    bench.sent();
    again(&mut bench, |bench| bench.bytes(REFUSAL));
    for id in ["good 1", "poison", "good 2"] {
        bench.message(id);
    }
    assert_eq!(bench.jobs.len(), 1, "one at a time, beside what is not under suspicion");
    let good = bench.reply();
    bench.reply();
    bench.reply();
    assert_eq!(bench.texts("receipt"), [(Command::Send, format!("job-{good}"))], "the first, alone");
    bench.receipt(&format!("job-{good}"));
    let sent = bench.sent();
    assert_eq!(sent[0].headers.text("id"), Some("ack:good 1"));
    assert_eq!(sent.len(), 2, "and the poison, alone");
    for round in 0..2 {
        again(&mut bench, |bench| bench.bytes(REFUSAL));
        for id in ["poison", "good 2"] {
            bench.message(id);
        }
        assert_eq!(bench.jobs.len(), 1, "{round}");
        if round == 0 {
            bench.reply();
            bench.reply();
            assert_eq!(bench.commands(), [Command::Send]);
        }
    }
    let (receipt, _) = dead_letter(&mut bench);
    let good = bench.reply();
    assert!(bench.sent().is_empty(), "while the dead letter is on its way");
    bench.receipt(&receipt);
    let sent = bench.sent();
    assert_eq!(sent[0].headers.text("id"), Some("ack:poison"));
    assert_eq!(sent[1].headers.text("receipt"), Some(&*format!("job-{good}")));
    bench.receipt(&format!("job-{good}"));
    assert_eq!(bench.sent()[0].headers.text("id"), Some("ack:good 2"));
}

#[test]
fn a_poison_is_known_again_without_an_id_that_stays() {
    let mut bench = Bench::new("stomp://h");
    bench.server = "RabbitMQ/3.10.8";
    bench.come_up();
    for round in 0..3 {
        bench.message(&format!("T_0@@session-{round}@@1"));
        bench.reply();
        bench.sent();
        bench.bytes(b"ERROR\nmessage:access_refused\n\n\0");
        bench.pass(60 * SECOND);
        bench.come_up();
    }
    bench.message("T_0@@session-3@@1");
    assert!(bench.jobs.is_empty());
    assert_eq!(bench.sent()[0].headers.text("destination"), Some("/queue/DLQ.a"));
}

pub(super) const REFUSAL: &[u8] = b"ERROR\nmessage:access_refused\n\n\0";

/// The connection ends, and comes up again.
pub(super) fn again(bench: &mut Bench, end: impl FnOnce(&mut Bench)) {
    end(bench);
    while !bench.jobs.is_empty() {
        bench.end(End::Failed);
    }
    bench.pass(50 * SECOND);
    bench.come_up();
}

#[test]
fn poisons_that_look_the_same_are_each_buried() {
    let mut bench = Bench::up("stomp://h");
    bench.message("twins");
    bench.message("twins");
    for _ in 0..3 {
        bench.reply();
        bench.sent();
        again(&mut bench, |bench| bench.bytes(REFUSAL));
        bench.message("twins");
        bench.message("twins");
    }
    assert!(bench.jobs.is_empty());
    let (receipt, _) = dead_letter(&mut bench);
    bench.receipt(&receipt);
    let (ack, dead) = (0, 1);
    let frames = bench.sent();
    assert_eq!(frames[ack].headers.text("id"), Some("ack:twins"));
    assert_eq!(frames[dead].headers.text("destination"), Some("/queue/DLQ.a"));
    bench.receipt(frames[dead].headers.text("receipt").unwrap());
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:twins".to_owned())]);
    bench.message("good");
    assert_eq!(bench.jobs.len(), 1, "the service goes on");
}

#[test]
fn a_broker_that_complains_of_each_frame_raises_one_suspicion() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    bench.reply();
    bench.sent();
    again(&mut bench, |bench| bench.bytes(&REFUSAL.repeat(20)));
    bench.message("m1");
    assert_eq!(bench.jobs.len(), 1, "neither dropped nor buried");
    let job = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
}

#[test]
fn who_waits_for_his_turn_is_not_blamed_for_others() {
    let mut bench = Bench::up("stomp://h");
    for round in 0..4 {
        bench.message("forbidden");
        bench.message("harmless");
        // At first both are answered; then the first alone; and then it is to become a dead letter.
        assert_eq!(bench.jobs.len(), [2, 1, 1, 1][round]);
        while !bench.jobs.is_empty() {
            bench.reply();
        }
        assert_eq!(bench.commands().len(), if round == 0 { 2 } else { 1 });
        again(&mut bench, |bench| bench.bytes(REFUSAL));
    }
    bench.message("forbidden");
    bench.message("harmless");
    let kept = [(Command::Nack, "ack:forbidden".to_owned())];
    assert_eq!(bench.texts("id"), kept, "its dead letter is forbidden, too: the broker keeps it");
    assert_eq!(bench.jobs.len(), 1, "served, not buried");
    let job = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{job}"));
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:harmless".to_owned())]);
}

#[test]
fn a_reply_that_ends_the_connection_without_a_word_is_buried_in_the_end() {
    let mut bench = Bench::up("stomp://h");
    let mut served = 0;
    loop {
        bench.message("too large for it");
        if bench.jobs.is_empty() {
            break;
        }
        served += 1;
        bench.reply();
        bench.sent();
        again(&mut bench, Bench::lose);
    }
    assert_eq!(served, 5);
    let (receipt, _) = dead_letter(&mut bench);
    bench.receipt(&receipt);
    assert_eq!(bench.sent()[0].headers.text("id"), Some("ack:too large for it"));
}

#[test]
fn a_suspect_has_no_more_time_than_others() {
    let mut bench = Bench::with("stomp://h", |config| config.request_timeout = Some(5 * SECOND));
    bench.come_up();
    bench.message("suspect");
    bench.reply();
    bench.sent();
    again(&mut bench, |bench| bench.bytes(REFUSAL));
    bench.message("suspect");
    bench.begin();
    bench.idle(5);
    assert_eq!(bench.texts("http_statusCode"), [(Command::Send, "504".to_owned())]);
}

#[test]
fn what_can_be_no_request_is_answered_400_or_buried_and_the_connection_goes_on() {
    let bad: [(&str, &[u8]); 4] = [
        ("a method that is none", b"http_requestMethod:G E T\nhttp_requestUrl:/"),
        ("a target that is none", b"http_requestMethod:NOTIFY\nhttp_requestUrl:/a b\x01"),
        ("an undefined escape", b"http_requestMethod:G\\tT\nhttp_requestUrl:/"),
        ("no UTF-8", b"http_requestMethod:\xff\xfe\nhttp_requestUrl:/"),
    ];
    for reply_to in [Some("reply-to:/remote-temp-queue/r"), None] {
        for (name, headers) in bad {
            let mut bench = Bench::up("stomp://h");
            let mut bytes = b"MESSAGE\nsubscription:0\nmessage-id:m\nack:a\ndestination:/queue/a\n".to_vec();
            bytes.extend_from_slice(headers);
            bytes.extend_from_slice(
                reply_to.map(|header| format!("\n{header}")).unwrap_or_default().as_bytes(),
            );
            bytes.extend_from_slice(b"\n\n\0");
            bench.bytes(&bytes);
            bench.work();
            let answer = bench.sent().remove(0);
            let status = answer.headers.text("http_statusCode");
            if reply_to.is_some() && !headers.starts_with(b"http_requestMethod:NOTIFY") {
                assert_eq!(status, Some("400"), "{name}");
            } else {
                assert_eq!(answer.headers.text("destination"), Some("/queue/DLQ.a"), "{name}");
                assert!(
                    answer.headers.text("message-failed").is_some_and(|why| why.contains("rejected")),
                    "{name}"
                );
            }
            bench.receipt(answer.headers.text("receipt").unwrap());
            assert_eq!(bench.commands(), [Command::Ack], "{name}");
            assert_eq!((bench.calls.load(Ordering::SeqCst), bench.socket), (0, true), "{name}");
        }
    }
}
