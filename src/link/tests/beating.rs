//! Heart-beats and back-pressure.

use super::*;

#[test]
fn beats_while_jobs_run_and_finds_a_silent_broker() {
    let mut bench = Bench::up("stomp://h");
    bench.message("m1");
    let mut beats = 0;
    for _ in 0..19 {
        bench.pass(SECOND);
        beats += usize::from(bench.link.outbox() == b"\n");
        bench.sent();
    }
    assert!((2..=4).contains(&beats), "{beats} beats in 19 s of a 10 s interval");
    assert!(bench.socket && bench.connects.len() == 1);
    bench.pass(12 * SECOND);
    assert_eq!(bench.connects.len(), 2, "no beat in over 20 s: the broker is dead");
}

#[test]
fn beats_though_bytes_never_stop_coming_in() {
    let mut bench = Bench::up("stomp://h");
    bench.bytes(b"MESSAGE\nsubscription:0\nmessage-id:m\nack:a\ncontent-length:100\n\n");
    for _ in 0..6 {
        bench.now += SECOND;
        bench.bytes(b"x");
    }
    assert_eq!(bench.link.outbox(), b"\n", "no Timer is delivered to a link that is never idle");
}

#[test]
fn a_broker_that_beats_lives() {
    let mut bench = Bench::up("stomp://h");
    for _ in 0..30 {
        bench.pass(9 * SECOND);
        bench.bytes(b"\n");
        bench.sent();
    }
    assert_eq!(bench.connects.len(), 1);
}

#[test]
fn a_broker_that_ignores_prefetch_is_held_back_and_not_found_silent() {
    let mut bench = Bench::up("stomp://h");
    for i in 0..8 {
        assert!(bench.read, "{i}");
        bench.message(&format!("m{i}"));
    }
    assert!(!bench.read, "twice the prefetch of 4 is in hand");
    bench.pass(100 * SECOND);
    assert_eq!(bench.connects.len(), 1, "whom we do not read cannot be silent");
    bench.sent();
    bench.reply();
    assert!(bench.read);
    bench.pass(15 * SECOND);
    assert_eq!(bench.connects.len(), 1, "silence counts from when we read again");
}
