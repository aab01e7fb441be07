//! Messages that were delivered before, to servers that may have died of them.

use std::collections::{BTreeSet, VecDeque};

use super::*;

const ONE_WAY: [(&str, &str); 2] = [("http_requestMethod", "NOTIFY"), ("http_requestUrl", "/")];
const REQUEST: [(&str, &str); 1] = [("reply-to", "/queue/r")];
const AGAIN: (&str, &str) = ("redelivered", "true");

fn up(server: &'static str) -> Bench {
    up_with(server, |_| {})
}

fn up_with(server: &'static str, change: impl FnOnce(&mut WorkerConfig)) -> Bench {
    let mut bench = Bench::with("stomp://h", change);
    bench.server = server;
    bench.come_up();
    bench
}

/// A little time, in which nothing happens.
fn moment(bench: &mut Bench) {
    bench.pass(Duration::from_millis(100));
}

#[test]
fn attempts_go_on_from_what_the_broker_says() {
    let (rabbit, active) = ("RabbitMQ/4.3.0", "ActiveMQ/5.17.2");
    for (server, headers, attempt) in [
        (rabbit, &[][..], 1),
        (rabbit, &[AGAIN], 2),
        (rabbit, &[AGAIN, ("x-delivery-count", "3")], 4),
        (rabbit, &[AGAIN, ("x-delivery-count", "1"), ("x-acquired-count", "3")], 4),
        (rabbit, &[AGAIN, ("x-delivery-count", " 3 ")], 4),
        // The first counts: it is the broker's.
        (rabbit, &[AGAIN, ("x-delivery-count", "1"), ("x-delivery-count", "7")], 2),
        (rabbit, &[("redelivered", "false"), AGAIN, ("x-delivery-count", "7")], 1),
        (rabbit, &[("x-delivery-count", "7")], 1),
        (rabbit, &[AGAIN, ("x-delivery-count", "-1")], 2),
        (rabbit, &[AGAIN, ("x-delivery-count", "0")], 2),
        (rabbit, &[AGAIN, ("x-delivery-count", "many")], 2),
        (rabbit, &[AGAIN, ("x-delivery-count", "99999999999999999999")], 1_000_001),
        (active, &[AGAIN, ("x-delivery-count", "7")], 2),
        (active, &[("x-delivery-count", "7")], 1),
    ] {
        let mut bench = up(server);
        bench.message_with("m1", &[&REQUEST[..], headers].concat());
        moment(&mut bench);
        let delivered = &bench.link.ledger_entry(bench.jobs[0].id()).delivered;
        assert_eq!(delivered.attempt, attempt, "{server} {headers:?}");
    }
}

#[test]
fn what_many_servers_died_of_is_not_served_again() {
    let spent = [AGAIN, ("x-delivery-count", "5")];
    for request in [&REQUEST[..], &ONE_WAY] {
        let mut bench = up("RabbitMQ/3.10.8");
        bench.message_with("m1", &[request, &spent].concat());
        moment(&mut bench);
        bench.work();
        assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
        let mut sent = bench.sent();
        let dead = sent.pop().unwrap();
        assert_eq!(dead.headers.text("destination"), Some("/queue/DLQ.a"));
        let reason = "not served: 5 servers or connections ended while they had this message";
        assert_eq!(dead.headers.text("message-failed"), Some(reason));
        let told: Vec<_> = sent.iter().map(|frame| frame.headers.text("http_statusCode")).collect();
        assert_eq!(told, if request == REQUEST { vec![Some("500")] } else { vec![] });
        bench.receipt(dead.headers.text("receipt").unwrap());
        assert_eq!(bench.texts("id"), [(Command::Ack, "ack:m1".to_owned())]);
    }
    let mut bench = up("RabbitMQ/3.10.8");
    bench.message_with("m1", &[&ONE_WAY[..], &[AGAIN, ("x-delivery-count", "4")]].concat());
    moment(&mut bench);
    bench.work();
    assert_eq!(bench.calls.load(Ordering::SeqCst), 1, "one more");
    assert_eq!(bench.sent()[0].headers.text("destination"), Some("/queue/DLQ.a"), "and no retry after that");
}

#[test]
fn at_most_once_what_comes_again_was_never_begun() {
    let mut bench = up_with("RabbitMQ/3.10.8", |config| config.delivery = DeliveryMode::AtMostOnce);
    for _ in 0..2 {
        bench.message_with("m1", &[&REQUEST[..], &[AGAIN, ("x-delivery-count", "9")]].concat());
    }
    for ack in bench.sent() {
        bench.receipt(ack.headers.text("receipt").unwrap());
    }
    assert_eq!(bench.jobs.len(), 2, "served, and not one by one");
}

#[test]
fn what_was_delivered_before_is_served_one_at_a_time_beside_what_was_not() {
    let mut bench = up("RabbitMQ/3.10.8");
    for id in ["r1", "r2", "r3"] {
        bench.message_with(id, &[&REQUEST[..], &[AGAIN]].concat());
    }
    bench.message("new");
    assert_eq!(bench.jobs.len(), 1, "the new one waits for nothing");
    moment(&mut bench);
    assert_eq!(bench.jobs.len(), 2, "one of the others beside it");
    for left in [1, 1] {
        bench.jobs.swap(0, 1);
        let job = bench.reply();
        bench.sent();
        bench.receipt(&format!("job-{job}"));
        assert_eq!(bench.jobs.len(), 1, "its ACK has not left");
        assert_eq!(bench.commands(), [Command::Ack]);
        assert_eq!(bench.jobs.len(), 1 + left);
    }
    bench.begin();
    bench.jobs.swap(0, 1);
    bench.begin();
    bench.message_with("r4", &[&REQUEST[..], &[AGAIN]].concat());
    bench.idle(9);
    bench.sent();
    assert_eq!(bench.jobs.len(), 2);
    bench.pass(SECOND);
    assert_eq!(bench.jobs.len(), 3, "one that has run for ten seconds has not killed us");
}

#[test]
fn a_slow_one_keeps_the_next_waiting_longer_after_each_death() {
    for (count, seconds) in [("1", 2), ("2", 4), ("3", 8), ("4", 16), ("5", 32), ("9", 32)] {
        let mut bench = up("RabbitMQ/3.10.8");
        for id in ["r1", "r2"] {
            bench.message_with(id, &[&REQUEST[..], &[AGAIN, ("x-delivery-count", count)]].concat());
        }
        moment(&mut bench);
        bench.begin();
        bench.idle(seconds - 1);
        bench.sent();
        assert_eq!(bench.jobs.len(), 1, "{count}");
        bench.pass(SECOND);
        assert_eq!(bench.jobs.len(), 2, "{count}");
    }
}

/// Connections of one process: a message of one that is lost may come back by another.
#[test]
fn what_another_link_of_this_process_had_in_hand_is_not_suspicious() {
    let known = Known::default();
    let link = |known: &Known| {
        let shared = known.clone();
        up_with("RabbitMQ/3.10.8", |config| (config.known, config.connections) = (shared, 2))
    };
    let mut links = [link(&known), link(&known)];
    for count in 0..20 {
        let count_text = count.to_string();
        let more = [AGAIN, ("x-delivery-count", &count_text)];
        let more = if count == 0 { &[] } else { &more[..] };
        let [one, other] = &mut links;
        let (one, other) = if count % 2 == 0 { (one, other) } else { (other, one) };
        one.message("new");
        one.jobs.clear();
        one.message_with("m1", &[&REQUEST[..], more].concat());
        // The one that had it finds out a little later that it is lost.
        if count > 0 {
            other.lose();
            other.pass(60 * SECOND);
            other.come_up();
        }
        moment(one);
        let job = one.jobs.remove(0).id();
        let earlier = one.link.ledger_entry(job).delivered.earlier;
        assert_eq!((earlier.count, earlier.lost), (count, 0));
    }
}

#[test]
fn what_this_process_had_in_hand_when_it_lost_its_connection_is_not_suspicious() {
    let mut bench = up("RabbitMQ/3.10.8");
    let delivered = |bench: &mut Bench, count: &str| {
        for n in 0..4 {
            let (id, correlation) = (format!("T_0@@session-{count}@@{n}"), format!("c{n}"));
            let more = [AGAIN, ("x-delivery-count", count), ("correlation-id", &correlation)];
            let more = if count == "0" { &more[2..] } else { &more };
            bench.message_with(&id, &[&REQUEST[..], more].concat());
        }
    };
    for lost in 0..20 {
        delivered(&mut bench, &lost.to_string());
        assert_eq!(bench.jobs.len(), 4, "none waits");
        let earlier = bench.link.ledger_entry(bench.jobs[0].id()).delivered.earlier;
        assert_eq!((earlier.count, earlier.lost), (lost, 0), "the process is alive");
        bench.lose();
        bench.jobs.clear();
        bench.pass(60 * SECOND);
        bench.come_up();
    }
    // Twice by somebody else, and once by us.
    delivered(&mut bench, "22");
    moment(&mut bench);
    assert_eq!(bench.jobs.len(), 1, "one at a time");
    assert_eq!(bench.link.ledger_entry(bench.jobs[0].id()).delivered.earlier.lost, 2);
}

#[test]
fn after_a_restart_of_the_broker_all_that_it_has_is_not_served_one_by_one() {
    let mut bench = up("RabbitMQ/3.10.8");
    for n in 0..6 {
        bench.message_with(&format!("m{n}"), &[&REQUEST[..], &[AGAIN]].concat());
    }
    assert_eq!(bench.jobs.len(), 2, "no server had more than its prefetch in hand");
    moment(&mut bench);
    assert_eq!(bench.jobs.len(), 3);
    bench.message("new");
    bench.message_with("m7", &[&REQUEST[..], &[AGAIN]].concat());
    assert_eq!(bench.jobs.len(), 4);
}

#[test]
fn a_stop_acknowledges_what_was_answered_503_while_it_waited_for_its_turn() {
    let mut bench = up_with("RabbitMQ/3.10.8", |config| config.request_timeout = Some(5 * SECOND));
    for id in ["r1", "r2", "r3"] {
        bench.message_with(id, &[&REQUEST[..], &[AGAIN]].concat());
    }
    moment(&mut bench);
    assert_eq!(bench.jobs.len(), 1);
    // None begins.
    bench.idle(5);
    let replies = bench.sent();
    assert_eq!(replies.len(), 3);
    bench.give(Input::Stop);
    bench.work();
    for reply in replies {
        assert_eq!(reply.headers.text("http_statusCode"), Some("503"));
        bench.receipt(reply.headers.text("receipt").unwrap());
        assert!(bench.commands().starts_with(&[Command::Ack]), "answered, and so not handed back");
    }
    assert_eq!(bench.calls.load(Ordering::SeqCst), 0);
    bench.receipt("goodbye");
    assert!(bench.finished);
}

/// A queue, and servers that die of some of its messages: each is started again.
struct Play {
    /// Does the broker count deliveries, or only say that there was one?
    counts: bool,
    window: usize,
    killers: BTreeSet<usize>,
    queue: VecDeque<(usize, u32)>,
    served: BTreeSet<usize>,
    dead: BTreeSet<usize>,
    begun: Vec<usize>,
}

impl Play {
    fn new(counts: bool, window: usize, killers: &[usize], messages: usize) -> Self {
        Self {
            counts,
            window,
            killers: killers.iter().copied().collect(),
            queue: (0..messages).map(|n| (n, 0)).collect(),
            served: BTreeSet::new(),
            dead: BTreeSet::new(),
            begun: Vec::new(),
        }
    }

    /// One process, until it dies or there is nothing left. `false`: it died.
    fn process(&mut self, seed: u64) -> bool {
        let mut bench = up_with("RabbitMQ/3.10.8", |config| {
            // Seeds that are alike begin alike.
            config.connection.seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            config.prefetch = u32::try_from(self.window).unwrap();
        });
        let mut in_hand: VecDeque<(usize, u32)> = VecDeque::new();
        loop {
            while in_hand.len() < self.window {
                let Some((n, count)) = self.queue.pop_front() else { break };
                in_hand.push_back((n, count));
                let (id, counted) = (n.to_string(), count.to_string());
                let mut headers = vec![ONE_WAY[0], ONE_WAY[1]];
                if count > 0 {
                    headers.push(AGAIN);
                }
                if count > 0 && self.counts {
                    headers.push(("x-delivery-count", &counted));
                }
                bench.message_with(&id, &headers);
            }
            if in_hand.is_empty() {
                return true;
            }
            moment(&mut bench);
            if let Some(job) = bench.jobs.first() {
                let delivered = Arc::clone(&bench.link.ledger_entry(job.id()).delivered);
                let n: usize = delivered.message.headers.text("message-id").unwrap().parse().unwrap();
                if delivered.progress.is_given_up() {
                    self.dead.insert(n);
                    bench.work();
                } else if self.killers.contains(&n) {
                    self.begun.push(n);
                    // Back at the head of the queue, in order, whatever it was doing.
                    for (n, count) in in_hand.into_iter().rev() {
                        self.queue.push_front((n, count + 1));
                    }
                    return false;
                } else {
                    self.served.insert(n);
                    bench.end(End::Done);
                }
            }
            let mut settled = Vec::new();
            for frame in bench.sent() {
                if frame.command == Command::Send {
                    bench.receipt(frame.headers.text("receipt").unwrap());
                } else {
                    settled.push(frame);
                }
            }
            settled.extend(bench.sent());
            for id in settled.iter().filter_map(|frame| frame.headers.text("id")?.strip_prefix("ack:")) {
                in_hand.retain(|(n, _)| n.to_string() != id);
            }
        }
    }
}

#[test]
fn messages_that_kill_are_found_out_where_the_broker_counts_and_all_others_are_served() {
    for (window, killers) in [
        (4, &[0][..]),
        (4, &[3]),
        (4, &[7]),
        (4, &[11, 12]),
        (4, &[19]),
        (4, &[0, 1, 2]),
        (20, &[8]),
        (20, &[8, 17]),
        (20, &[0, 29]),
        (20, &[3, 5, 6, 7, 25]),
    ] {
        let mut play = Play::new(true, window, killers, 30);
        let processes = (0..300).position(|seed| play.process(seed)).expect("an end");
        assert_eq!(play.dead.iter().copied().collect::<Vec<_>>(), killers, "those and no others");
        assert_eq!(play.served.len(), 30 - killers.len(), "{killers:?}");
        let most = 5 + 6 * killers.len();
        for killer in killers {
            let begun = play.begun.iter().filter(|begun| *begun == killer).count();
            assert!(begun <= most, "{killers:?}: {killer} began {begun} times");
        }
        assert!(processes <= most * killers.len(), "{killers:?}: {processes} died");
    }
}

#[test]
fn messages_that_kill_keep_none_from_being_served_where_the_broker_does_not_count() {
    for (window, killers) in [(4, &[0][..]), (4, &[3]), (4, &[19]), (20, &[3, 15]), (20, &[3, 5, 6, 7, 25])] {
        let mut play = Play::new(false, window, killers, 30);
        let died = (0..100).filter(|seed| !play.process(*seed)).count();
        let innocent = 30 - killers.len();
        assert_eq!((play.served.len(), died), (innocent, 100), "{killers:?}");
        assert!(play.dead.is_empty(), "one bit is no count");
    }
}

/// Servers that are stopped again and again, as in a rolling deployment, count as others that end.
#[test]
fn what_waits_while_servers_are_stopped_is_served_however_often_that_is() {
    let mut bench = up("RabbitMQ/3.10.8");
    for n in 0..4 {
        bench.message_with(&n.to_string(), &[&ONE_WAY[..], &[AGAIN, ("x-delivery-count", "6")]].concat());
    }
    let mut begun = 0;
    while begun < 3 {
        moment(&mut bench);
        let job = bench.jobs.first().expect("the next").id();
        assert!(!bench.link.ledger_entry(job).delivered.progress.is_given_up(), "{begun}");
        bench.end(End::Done);
        begun += 1;
        bench.sent();
    }
}

#[test]
fn what_another_link_turns_out_to_have_had_does_not_wait_for_its_turn() {
    for (server, counted) in [("RabbitMQ/3.10.8", true), ("ActiveMQ/5.17.2", false)] {
        let known = Known::default();
        let link = || {
            let known = known.clone();
            up_with(server, |config| (config.known, config.connections) = (known, 2))
        };
        let [mut one, mut other] = [link(), link()];
        let more = if counted { &[AGAIN, ("x-delivery-count", "1")][..] } else { &[AGAIN] };
        for n in 0..3 {
            let (id, correlation) = (format!("m{n}"), format!("c{n}"));
            let headers = [REQUEST[0], ("correlation-id", &correlation)];
            other.message_with(&id, &headers);
            one.message_with(&id, &[&headers, more].concat());
        }
        other.lose();
        moment(&mut one);
        assert_eq!(one.jobs.len(), 3, "{server}");
    }
}
