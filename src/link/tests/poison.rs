//! Answers that end connections: how they are told apart, and what that costs others.

use super::failing::{REFUSAL, again, dead_letter};
use super::*;
use crate::link::suspects::{Suspects, Verdict};

/// Up, with a suspect in hand that runs, and one beside it that does not have to wait.
fn beside_a_suspect(change: impl FnOnce(&mut WorkerConfig)) -> Bench {
    let mut bench = Bench::with("stomp://h", change);
    bench.come_up();
    bench.message("suspect");
    bench.reply();
    bench.sent();
    again(&mut bench, |bench| bench.bytes(REFUSAL));
    bench.message("suspect");
    bench
}

#[test]
fn a_suspect_that_takes_long_delays_nobody() {
    let mut bench = beside_a_suspect(|_| {});
    for n in 0..20 {
        bench.message(&format!("good {n}"));
        assert_eq!(bench.jobs.len(), 2);
        let good = bench.jobs.remove(1);
        bench.jobs.insert(0, good);
        let good = bench.reply();
        assert_eq!(bench.commands(), [Command::Send], "the suspect still runs");
        bench.receipt(&format!("job-{good}"));
        assert_eq!(bench.commands(), [Command::Ack]);
        bench.idle(1);
        bench.sent();
    }
    let suspect = bench.reply();
    assert_eq!(bench.commands(), [Command::Send]);
    bench.receipt(&format!("job-{suspect}"));
    assert_eq!(bench.texts("id"), [(Command::Ack, "ack:suspect".to_owned())]);
}

#[test]
fn the_suspects_answer_is_the_only_one_on_its_way() {
    let mut bench = beside_a_suspect(|_| {});
    bench.message("before");
    bench.message("beside");
    bench.jobs.swap(0, 1);
    let before = bench.reply();
    assert_eq!(bench.commands(), [Command::Send]);
    let suspect = bench.reply();
    assert!(bench.sent().is_empty(), "it waits until the one before is confirmed");
    bench.receipt(&format!("job-{before}"));
    assert_eq!(bench.commands(), [Command::Ack, Command::Send]);
    let beside = bench.reply();
    assert!(bench.sent().is_empty(), "others wait until it is confirmed itself");
    bench.receipt(&format!("job-{suspect}"));
    assert_eq!(bench.commands(), [Command::Ack, Command::Send]);
    bench.receipt(&format!("job-{beside}"));
    assert_eq!(bench.commands(), [Command::Ack]);
    assert!(bench.until.is_some_and(|at| at > bench.now + 2 * SECOND), "nothing is left to wait for");
}

#[test]
fn nobody_waits_for_ever() {
    let mut bench = beside_a_suspect(|_| {});
    bench.message("before");
    bench.message("beside");
    bench.jobs.swap(0, 1);
    bench.reply();
    bench.sent();
    bench.reply();
    bench.idle(9);
    assert!(bench.sent().is_empty());
    bench.idle(1);
    assert_eq!(
        bench.commands(),
        [Command::Send],
        "the one before is not confirmed; the suspect goes all the same"
    );
    bench.reply();
    bench.idle(9);
    assert!(bench.sent().iter().all(|frame| frame.command != Command::Send));
    bench.idle(1);
    assert!(bench.commands().contains(&Command::Send), "nor is the suspect");
}

#[test]
fn a_stream_that_the_broker_forbids_is_found_out_by_its_blocks() {
    let mut bench = Bench::up("stomp://h");
    let mut served = 0;
    loop {
        bench.message("good");
        bench.message_with("stream", &[("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")]);
        let good = bench.reply();
        bench.receipt(&format!("job-{good}"));
        if bench.jobs.is_empty() {
            break;
        }
        served += 1;
        bench.sent();
        bench.block();
        assert_eq!(bench.sent().len(), 1, "the block left");
        again(&mut bench, |bench| bench.bytes(REFUSAL));
    }
    assert_eq!(served, 3);
    // The good ones are no suspects: their answers, and ACKs, did not wait.
    let frames = bench.sent();
    let dead = frames.iter().find(|frame| frame.headers.get("message-failed").is_some()).unwrap();
    bench.receipt(dead.headers.text("receipt").unwrap());
    let acks = |frames: &[Frame]| {
        let of = |frame: &Frame| frame.headers.text("id").unwrap_or_default() == "ack:stream";
        frames.iter().any(of)
    };
    assert!(acks(&bench.sent()));
}

#[test]
fn a_suspects_stream_makes_others_wait_for_its_blocks_only() {
    let mut bench = Bench::up("stomp://h");
    let stream = [("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")];
    bench.message_with("stream", &stream);
    bench.block();
    bench.sent();
    again(&mut bench, |bench| bench.bytes(REFUSAL));
    bench.message_with("stream", &stream);
    bench.message("good 1");
    bench.message("good 2");
    let streams = bench.jobs[0].id();
    bench.block();
    assert_eq!(bench.commands(), [Command::Send]);
    let good = bench.jobs.remove(1);
    bench.jobs.insert(0, good);
    bench.reply();
    assert!(bench.sent().is_empty());
    bench.receipt(&format!("job-{streams}/0"));
    assert_eq!(
        bench.commands(),
        [Command::Send],
        "the block is confirmed: others go on, and so does the stream"
    );
    bench.jobs.swap(0, 1);
    bench.reply();
    assert_eq!(bench.commands(), [Command::Send]);
}

#[test]
fn at_most_once_a_suspect_is_acknowledged_before_it_is_served() {
    let mut bench = Bench::with("stomp://h", |config| config.delivery = DeliveryMode::AtMostOnce);
    bench.server = "RabbitMQ/3.10.8";
    bench.come_up();
    let acked = |bench: &mut Bench, id: &str| {
        bench.message_with(id, &[("reply-to", "/queue/r")]);
        assert!(bench.jobs.is_empty(), "not before its ACK");
        let ack = bench.sent().remove(0);
        assert_eq!(ack.command, Command::Ack);
        assert!(bench.jobs.is_empty(), "nor before the RECEIPT of it");
        bench.receipt(ack.headers.text("receipt").unwrap());
        assert_eq!(bench.jobs.len(), 1);
    };
    for round in 0..3 {
        acked(&mut bench, &format!("T_0@@session-{round}@@1"));
        bench.reply();
        assert_eq!(bench.commands(), [Command::Send], "it was acknowledged, once");
        again(&mut bench, |bench| bench.bytes(REFUSAL));
    }
    bench.message_with("T_0@@session-4@@1", &[("reply-to", "/queue/r")]);
    assert!(bench.jobs.is_empty());
    let (receipt, _) = dead_letter(&mut bench);
    bench.receipt(&receipt);
    assert_eq!(bench.commands(), [Command::Ack]);
}

#[test]
fn a_stop_acknowledges_a_suspect_that_was_answered_503() {
    for (stop, left) in [(true, 1), (true, 2), (false, 2)] {
        let mut bench = beside_a_suspect(|config| config.request_timeout = Some(5 * SECOND));
        if left == 2 {
            bench.message("suspect");
        }
        bench.idle(5);
        let reply = bench.sent().remove(0);
        assert_eq!(reply.headers.text("http_statusCode"), Some("503"));
        if stop {
            bench.give(Input::Stop);
            assert!(bench.sent().is_empty(), "what is answered is not handed back");
        }
        bench.receipt(reply.headers.text("receipt").unwrap());
        let sent = bench.sent();
        assert_eq!((sent[0].command, sent[0].headers.text("id")), (Command::Ack, Some("ack:suspect")));
        if left == 2 {
            assert_eq!(
                sent[1].headers.text("http_statusCode"),
                Some("503"),
                "the other had to wait for its turn"
            );
            bench.receipt(sent[1].headers.text("receipt").unwrap());
            assert!(bench.commands().starts_with(&[Command::Ack]));
        }
        while !bench.jobs.is_empty() {
            bench.work();
        }
        assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_poison_is_known_again_whatever_the_broker_counts() {
    for count in ["x-acquired-count", "x-delivery-count", "x-attempts", "JMSXDeliveryCount"] {
        let mut bench = Bench::new("stomp://h");
        bench.server = "RabbitMQ/4.3.0";
        bench.come_up();
        let mut served = 0;
        for round in 0..30 {
            let number = (round % 3).to_string();
            bench.message_with(
                &format!("T_0@@session-{round}@@1"),
                &[("reply-to", "/queue/r"), (count, &number)],
            );
            if bench.jobs.is_empty() {
                break;
            }
            served += 1;
            bench.reply();
            bench.sent();
            again(&mut bench, |bench| bench.bytes(REFUSAL));
        }
        assert_eq!(served, 3, "{count}");
        dead_letter(&mut bench);
    }
}

#[test]
fn a_reply_that_rabbitmq_would_refuse_is_never_made() {
    let served = |reply_to: &str, more: &[(&str, &str)], server: &'static str| {
        let mapping = Mapping { allow_reply_to: vec!["*".to_owned()], ..Mapping::default() };
        let mut bench = Bench::mapping("stomp://h", mapping, |_| {});
        bench.server = server;
        bench.come_up();
        bench.message_with("m1", &[&[("reply-to", reply_to)], more].concat());
        bench.work();
        let calls = bench.calls.load(Ordering::SeqCst);
        let mut sent = bench.sent();
        if sent.is_empty() {
            return (calls, "nobody".to_owned());
        }
        let sent = sent.remove(0);
        let to = sent.headers.text("destination").unwrap().to_owned();
        bench.receipt(sent.headers.text("receipt").unwrap());
        assert_eq!(bench.commands(), [Command::Ack]);
        (calls, to)
    };
    let long = format!("/queue/{}", "q".repeat(256));
    let (rabbit, active) = ("RabbitMQ/3.10.8", "ActiveMQ/5.17.2");
    for reply_to in
        ["/queue/amq.evil", "amq.evil", "/queue/%61mq.evil", "/temp-queue/x", "/foo/bar", "http://x", &long]
    {
        let dead = (0, "/queue/DLQ.a".to_owned());
        assert_eq!(served(reply_to, &[], rabbit), dead, "{reply_to}");
        // Nor is it told that its method is none.
        assert_eq!(served(reply_to, &[("http_requestMethod", "G E T")], rabbit), dead, "{reply_to}");
        let notify = served(reply_to, &[("http_requestMethod", "NOTIFY")], rabbit);
        assert_eq!(notify, (1, "nobody".to_owned()), "{reply_to} does not matter");
        // A temporary queue of our own connection is one that no requester can read.
        let active_takes = reply_to != "/temp-queue/x";
        assert_eq!(served(reply_to, &[], active), if active_takes { (1, reply_to.to_owned()) } else { dead });
    }
    for reply_to in ["/reply-queue/amq.gen-x", "/amq/queue/amq.x", "/queue/AMQ.x", "/exchange/amq.direct/k"] {
        assert_eq!(served(reply_to, &[], rabbit), (1, reply_to.to_owned()));
    }
}

#[test]
fn what_rabbitmq_would_refuse_each_time_ends_the_server_at_once() {
    let long = "q".repeat(253);
    for (destination, why) in [
        ("/queue/amq.mine".to_owned(), "cannot subscribe to /queue/amq.mine: RabbitMQ reserves"),
        ("/temp-queue/x".to_owned(), "cannot subscribe to /temp-queue/x: RabbitMQ knows no such"),
        (format!("/queue/{long}"), "--dead-letter: \"/queue/DLQ.qq"),
    ] {
        let mut bench =
            Bench::with("stomp://h", |config| config.sources = vec![destination.parse().unwrap()]);
        bench.server = "RabbitMQ/3.10.8";
        bench.socket = true;
        bench.give(Input::Connected);
        bench.bytes(format!("CONNECTED\nversion:1.2\nserver:{}\n\n\0", bench.server).as_bytes());
        assert!(bench.finished, "{destination}");
        let said = bench.fatal.why().unwrap();
        assert!(said.starts_with(why), "{said}");
    }
}

#[test]
fn suspects_take_one_worker_and_leave_the_others_to_other_messages() {
    let mut bench = Bench::up("stomp://h");
    for id in ["a", "b", "c"] {
        bench.message(id);
    }
    for _ in 0..3 {
        bench.reply();
    }
    bench.sent();
    bench.bytes(b"ERROR\nmessage:access_refused\n\n\0");
    bench.give(Input::Closed(Ok(())));
    bench.pass(50 * SECOND);
    bench.come_up();
    for id in ["a", "b", "c", "good"] {
        bench.message(id);
    }
    assert_eq!(bench.jobs.len(), 2, "one of the three, and the good one");
    bench.begin();
    bench.pass(9 * SECOND);
    assert_eq!(bench.jobs.len(), 2, "it still runs");
    bench.pass(2 * SECOND);
    assert_eq!(bench.jobs.len(), 3, "it keeps the next one waiting for 10 s at most");
}

/// Up, with a request to be answered at `reply-to` that was condemned, after so many connections that it ended.
fn condemned(bench: &mut Bench, id: &str, reply_to: &str, connections: usize) {
    for _ in 0..connections {
        bench.message_with(id, &[("reply-to", reply_to)]);
        bench.reply();
        bench.sent();
        again(bench, |bench| bench.bytes(REFUSAL));
    }
    bench.message_with(id, &[("reply-to", reply_to)]);
    let (receipt, why) = dead_letter(bench);
    assert_eq!(why, "its reply ended the connection each time");
    bench.receipt(&receipt);
    assert_eq!(bench.commands(), [Command::Ack]);
}

#[test]
fn a_destination_to_which_no_reply_may_go_costs_few_connections() {
    let mut bench = Bench::up("stomp://h");
    condemned(&mut bench, "first", "/queue/forbidden", 3);
    condemned(&mut bench, "second", "/queue/forbidden", 3);
    let connects = bench.connects.len();
    for n in 0..50 {
        bench.message_with(&format!("other {n}"), &[("reply-to", "/queue/forbidden")]);
        assert!(bench.jobs.is_empty(), "it is not served");
        let (receipt, why) = dead_letter(&mut bench);
        assert_eq!(why, "replies to its reply-to ended the connection each time");
        bench.receipt(&receipt);
        assert_eq!(bench.commands(), [Command::Ack]);
    }
    // Others are served, and so is what wants no answer.
    bench.message("good");
    bench.message_with("one-way", &[("reply-to", "/queue/forbidden"), ("OnewayRequest", "true")]);
    assert_eq!(bench.jobs.len(), 2);
    let good = bench.reply();
    bench.sent();
    bench.receipt(&format!("job-{good}"));
    bench.end(End::Done);
    bench.idle(1);
    assert_eq!(
        bench.texts("id"),
        [(Command::Ack, "ack:good".to_owned()), (Command::Ack, "ack:one-way".to_owned())]
    );
    assert_eq!(bench.connects.len(), connects);
    // It is tried again, and closed for longer by the next.
    bench.idle(60);
    bench.sent();
    condemned(&mut bench, "third", "/queue/forbidden", 3);
    bench.message_with("fourth", &[("reply-to", "/queue/forbidden")]);
    assert!(bench.jobs.is_empty());
}

#[test]
fn one_reply_that_is_taken_tells_that_its_destination_is_not_to_blame() {
    let mut bench = Bench::up("stomp://h");
    for n in 0..5 {
        condemned(&mut bench, &format!("too large {n}"), "/queue/shared", 3);
        bench.message_with(&format!("good {n}"), &[("reply-to", "/queue/shared")]);
        let good = bench.reply();
        bench.receipt(&format!("job-{good}"));
        assert!(bench.commands().contains(&Command::Ack));
    }
}

#[test]
fn replies_that_may_be_too_large_say_nothing_of_their_destination() {
    let mut bench = Bench::up("stomp://h");
    let large = vec![b'x'; 65 << 10];
    for id in ["first", "second", "third"] {
        for _ in 0..3 {
            bench.message_with(id, &[("reply-to", "/queue/shared")]);
            let job = bench.jobs.remove(0).id();
            bench.give(Input::Output(Output { job, bytes: large.clone(), end: Some(End::Done) }));
            again(&mut bench, |bench| bench.bytes(REFUSAL));
        }
        bench.message_with(id, &[("reply-to", "/queue/shared")]);
        let notice = bench.sent().remove(0);
        assert_eq!(notice.headers.text("destination"), Some("/queue/shared"));
        bench.receipt(notice.headers.text("receipt").unwrap());
        let (receipt, why) = dead_letter(&mut bench);
        assert_eq!(why, "its reply ended the connection each time");
        bench.receipt(&receipt);
        bench.sent();
    }
}

#[test]
fn a_reply_queue_that_may_be_full_is_given_some_seconds() {
    for (end, waits) in [(None, true), (Some(REFUSAL), false)] {
        let mut bench = Bench::up("stomp://h");
        let mut ends = 0;
        loop {
            bench.message_with("full", &[("reply-to", "/queue/full")]);
            if bench.jobs.is_empty() {
                break;
            }
            bench.reply();
            bench.sent();
            match end {
                None => bench.lose(),
                Some(error) => bench.bytes(error),
            }
            ends += 1;
            bench.pass(SECOND);
            bench.come_up();
        }
        assert_eq!(ends, 3);
        assert_eq!(bench.sent().is_empty(), waits, "else it is dead");
        if waits {
            // Others are served meanwhile.
            bench.message("good");
            let good = bench.reply();
            bench.receipt(&format!("job-{good}"));
            bench.idle(8);
            assert!(bench.jobs.is_empty());
            bench.idle(1);
            assert_eq!(bench.jobs.len(), 1);
        }
    }
}

#[test]
fn those_in_hand_with_some_that_wait_for_room_are_served_before_them() {
    let mut bench = Bench::with("stomp://h", |config| config.prefetch = 20);
    bench.come_up();
    let bad = ["full 0", "full 1", "full 2"];
    let mut good: Vec<String> = (0..12).map(|n| format!("good {n}")).collect();
    let mut ends = 0;
    // RabbitMQ delivers again in order: the bad ones come first, each time.
    loop {
        for id in bad {
            bench.message(id);
        }
        for id in &good {
            bench.message(id);
        }
        let lost = loop {
            while !bench.jobs.is_empty() {
                bench.reply();
            }
            let replies = bench.sent();
            if replies.is_empty() {
                break false;
            }
            let jobs = replies
                .iter()
                .filter_map(|reply| reply.headers.text("receipt")?.strip_prefix("job-")?.parse().ok());
            let jobs: Vec<(u64, String)> = jobs.map(|job| (job, bench.id_of(job))).collect();
            if jobs.iter().any(|(_, id)| bad.contains(&id.as_str())) {
                break true;
            }
            for (job, id) in jobs {
                bench.receipt(&format!("job-{job}"));
                good.retain(|other| *other != id);
            }
        };
        if !lost {
            break;
        }
        ends += 1;
        bench.lose();
        bench.pass(SECOND);
        bench.come_up();
    }
    assert_eq!(good, <[String; 0]>::default());
    assert_eq!(ends, 3 + bad.len(), "three until all are suspects, and one for each");
}

/// Nine of them take longer to find out than the first one waits.
#[test]
fn suspects_that_may_be_innocent_come_before_those_that_are_not() {
    let mut bench = Bench::with("stomp://h", |config| config.prefetch = 20);
    bench.come_up();
    let bad: Vec<String> = (0..9).map(|n| format!("full {n}")).collect();
    let mut ends = 0;
    'connections: loop {
        bad.iter().for_each(|id| bench.message(id));
        bench.message("good");
        while !bench.jobs.is_empty() {
            bench.reply();
        }
        let sent: Vec<Frame> =
            bench.sent().into_iter().filter(|frame| frame.command == Command::Send).collect();
        if let [reply] = &sent[..] {
            let job = reply.headers.text("receipt").unwrap().strip_prefix("job-").unwrap().parse().unwrap();
            if bench.id_of(job) == "good" {
                break 'connections;
            }
        }
        ends += 1;
        assert!(ends < 40, "the innocent one has its turn");
        bench.lose();
        bench.pass(2 * SECOND);
        bench.come_up();
    }
    assert_eq!(ends, 3 + bad.len(), "three until all are suspects, and one for each");
}

#[test]
fn those_that_wait_leave_half_of_one_prefetch_to_others() {
    let mut bench = Bench::with("stomp://h", |config| {
        config.prefetch = 4;
        config.sources.push("/queue/b".parse().unwrap());
    });
    bench.come_up();
    let bad = ["full 0", "full 1", "full 2", "full 3"];
    for _ in 0..8 {
        bad.iter().for_each(|id| bench.message(id));
        while !bench.jobs.is_empty() {
            bench.reply();
        }
        bench.lose();
        bench.pass(SECOND);
        bench.come_up();
    }
    bad.iter().for_each(|id| bench.message(id));
    assert_eq!(bench.jobs.len(), 1, "two of four wait, and of the other two one has its turn");
}

#[test]
fn messages_that_end_connections_do_not_use_up_the_attempts() {
    for attempts in 1..=3 {
        let mut bench = Bench::new(&format!("stomp://h?maxReconnectAttempts={attempts}"));
        bench.come_up();
        for end in 0..8 {
            assert!(!bench.finished, "{attempts} attempts, {end} connections");
            bench.message("killer");
            if bench.jobs.is_empty() {
                break;
            }
            bench.reply();
            bench.sent();
            bench.lose();
            bench.pass(20 * SECOND);
            bench.come_up();
        }
    }
}

#[test]
fn a_stream_beside_a_suspect_is_kept_back_up_to_a_bound() {
    let mut bench = beside_a_suspect(|_| {});
    bench.message_with("stream", &[("reply-to", "/remote-temp-queue/r"), ("http_acceptStream", "true")]);
    let suspect = bench.reply();
    assert_eq!(bench.commands(), [Command::Send]);
    let stream = bench.jobs[0].id();
    let mut kept = 0;
    loop {
        let bytes = vec![b'x'; 1 << 20];
        bench.give(Input::Output(Output { job: stream, bytes, end: None }));
        if !bench.link.outbox().is_empty() {
            break;
        }
        kept += 1;
        assert!(kept < 6, "more than the bound");
    }
    assert_eq!(kept, 4, "as many as wait for the suspect");
    assert!(bench.link.outbox().len() > 4 << 20, "from here on the outbox slows it down");
    bench.receipt(&format!("job-{suspect}"));
}

#[test]
fn a_suspect_waits_for_room_although_another_server_has_had_it() {
    let mut bench = Bench::new("stomp://h");
    bench.server = "RabbitMQ/4.0.5";
    bench.come_up();
    let mut count = 1;
    let mut deliver = |bench: &mut Bench| {
        count += 1;
        let count = count.to_string();
        let headers = [("reply-to", "/queue/full"), ("redelivered", "true"), ("x-delivery-count", &*count)];
        bench.message_with("again", &headers);
        bench.pass(SECOND / 2);
        bench.jobs.len()
    };
    // Until it has ended one by itself.
    for _ in 0..3 {
        assert_eq!(deliver(&mut bench), 1);
        bench.reply();
        bench.sent();
        bench.lose();
        bench.pass(SECOND);
        bench.come_up();
    }
    assert_eq!(deliver(&mut bench), 0, "its reply queue may have room soon");
    bench.pass(10 * SECOND);
    assert_eq!(bench.jobs.len(), 1);
}

#[test]
fn a_suspect_stays_one_where_its_reply_to_is_closed() {
    let mut suspects = Suspects::default();
    let (now, mut bench) = (Instant::now(), Bench::up("stomp://h"));
    let mut message = |id: &str| {
        bench.message_with(id, &[("reply-to", "/queue/forbidden")]);
        bench.link.ledger_entry(bench.jobs.pop().unwrap().id()).delivered.message.clone()
    };
    for id in ["first", "second"] {
        let poisoned = message(id);
        for _ in 0..3 {
            suspects.convict(now, true, &poisoned, 10);
        }
    }
    let suspect = message("suspect");
    suspects.accuse(true, std::iter::once(&suspect));
    assert_eq!(suspects.verdict(now, &suspect, || true), Verdict::Unanswerable);
    // One-way: its dead letter may end the connection.
    assert_eq!(suspects.verdict(now, &suspect, || false), Verdict::Suspect);
}

#[test]
fn a_broker_that_confirms_nothing_makes_no_suspects() {
    let mut bench = Bench::up("stomp://h");
    for _ in 0..3 {
        for n in 0..=10_000 {
            bench.message(&format!("m{n}"));
            if bench.jobs.is_empty() {
                break;
            }
            bench.reply();
            bench.sent();
        }
        assert!(!bench.socket);
        bench.jobs.clear();
        bench.pass(60 * SECOND);
        bench.come_up();
    }
    bench.message("m1");
    assert!(!bench.link.ledger_entry(bench.jobs[0].id()).suspect);
}
