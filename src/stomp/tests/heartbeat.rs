//! B: heart-beats, in virtual time.
use std::time::{Duration, Instant};

use crate::stomp::{HeartBeat, HeartBeatError, HeartBeatOffer};

const MS: Duration = Duration::from_millis(1);

fn offer(text: &str) -> HeartBeatOffer {
    HeartBeatOffer::parse(text.as_bytes()).expect("a valid offer")
}

#[test]
fn b1_two_non_negative_integers() {
    assert_eq!(offer("1000,0"), HeartBeatOffer { send: 1000 * MS, receive: Duration::ZERO });
    assert_eq!(offer("0,20").to_string(), "0,20");
    assert_eq!(HeartBeatOffer::default().to_string(), "0,0");
    for bad in ["", ",", "1", "1,", ",1", "1,2,3", "-1,0", "+1,0", "1.5,0", "a,b", "1 ,0", " 1,0"] {
        assert_eq!(HeartBeatOffer::parse(bad.as_bytes()), Err(HeartBeatError), "{bad:?}");
    }
    assert!(HeartBeatOffer::parse(b"99999999999999999999,0").is_err());
    assert!(HeartBeatOffer::parse(b"\xff,0").is_err());
}

#[test]
fn b2_each_direction_is_agreed_on_from_both_offers() {
    let now = Instant::now();
    let agreed = |ours, theirs| {
        let heart_beat = HeartBeat::negotiate(offer(ours), offer(theirs), now);
        let millis = |interval: Option<Duration>| interval.map_or(0, |interval| interval.as_millis());
        (millis(heart_beat.send_interval()), millis(heart_beat.receive_interval()))
    };
    assert_eq!(agreed("100,200", "300,50"), (100, 300));
    assert_eq!(agreed("100,200", "50,300"), (300, 200));
    assert_eq!(agreed("0,200", "300,50"), (0, 300));
    assert_eq!(agreed("100,0", "300,50"), (100, 0));
    assert_eq!(agreed("100,200", "0,50"), (100, 0));
    assert_eq!(agreed("100,200", "300,0"), (0, 300));
    assert_eq!(agreed("100,200", "0,0"), (0, 0));
}

#[test]
fn b3_a_beat_is_due_after_half_the_interval() {
    let start = Instant::now();
    let mut heart_beat = HeartBeat::negotiate(offer("1000,0"), offer("0,1000"), start);
    assert_eq!(heart_beat.deadline(), Some(start + 500 * MS));
    assert!(!heart_beat.beat_due(start + 499 * MS));
    assert!(heart_beat.beat_due(start + 500 * MS));
    heart_beat.sent(start + 400 * MS);
    assert!(!heart_beat.beat_due(start + 899 * MS));
    assert_eq!(heart_beat.deadline(), Some(start + 900 * MS));
    assert!(!heart_beat.peer_dead(start + 100_000 * MS));
}

#[test]
fn b3_a_peer_is_dead_after_twice_the_interval_and_a_little() {
    let start = Instant::now();
    let mut heart_beat = HeartBeat::negotiate(offer("0,1000"), offer("1000,0"), start);
    assert_eq!(heart_beat.deadline(), Some(start + 2200 * MS));
    assert!(!heart_beat.peer_dead(start + 2199 * MS));
    assert!(heart_beat.peer_dead(start + 2200 * MS));
    heart_beat.received(start + 1000 * MS);
    assert!(!heart_beat.peer_dead(start + 3199 * MS));
    assert!(!heart_beat.beat_due(start + 100_000 * MS));
}

#[test]
fn b3_the_deadline_is_the_earlier_one() {
    let start = Instant::now();
    let mut heart_beat = HeartBeat::negotiate(offer("10000,100"), offer("100,10000"), start);
    assert_eq!(heart_beat.deadline(), Some(start + 400 * MS));
    heart_beat.received(start + 4900 * MS);
    assert_eq!(heart_beat.deadline(), Some(start + 5000 * MS));
    assert_eq!(HeartBeat::negotiate(offer("0,0"), offer("1,1"), start).deadline(), None);
}

#[test]
fn b1_an_absurd_interval_is_none_at_all() {
    let start = Instant::now();
    let absurd = offer("18446744073709551615,18446744073709551615");
    let heart_beat = HeartBeat::negotiate(offer("1,1"), absurd, start);
    assert!(!heart_beat.beat_due(start + 1000 * MS) && !heart_beat.peer_dead(start + 1000 * MS));
    // Whatever the clock can reach, this must not panic.
    let _ = heart_beat.deadline();
}

#[test]
fn b2_less_than_a_millisecond_is_nothing() {
    let tiny = HeartBeatOffer { send: Duration::from_micros(500), receive: Duration::from_micros(500) };
    assert_eq!(tiny.to_string(), "0,0");
    assert_eq!(HeartBeat::negotiate(tiny, offer("10,10"), Instant::now()).deadline(), None);
}
