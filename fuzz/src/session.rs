//! The client's session: any octets of a broker, at any time.

use std::time::{Duration, Instant};

use stomp_wsgi::stomp::{
    Event, HeartBeatOffer, Lengths, Limits, Session, SessionConfig, SessionError, Version,
};

use super::Octets;

const LIMITS: Limits = Limits { header_line: 512, headers: 16, head: 2048, body: 4096 };

/// One octet of options; then steps: what happens, and with how much.
pub fn check(data: &[u8]) {
    let mut octets = Octets(data);
    let options = octets.byte();
    let versions = match options & 3 {
        0 => Version::ALL.to_vec(),
        1 => vec![Version::V1_0],
        2 => vec![Version::V1_1],
        _ => vec![Version::V1_2],
    };
    let interval = [10_000, 0, 1, u64::MAX][usize::from(options >> 2 & 3)];
    let interval = Duration::from_millis(interval);
    let config = SessionConfig {
        versions: versions.clone(),
        heart_beat: HeartBeatOffer { send: interval, receive: interval },
        limits: LIMITS,
        lenient_escapes: options & 16 == 0,
        cut_long_messages: options & 32 != 0,
        tolerate_messages: options & 64 != 0,
        passcode: Some("a secret".to_owned()),
        ..SessionConfig::default()
    };
    let mut now = Instant::now();
    let mut out = Vec::new();
    let mut session = Session::connect(&config, now, &mut out);
    let mut connected = 0;
    let mut failed = None;

    while !octets.is_empty() {
        match octets.byte() % 4 {
            0 => {
                let len = octets.number();
                session.received(now, octets.take(len));
            }
            // Up to 24 days at once.
            1 => now += Duration::from_millis((octets.number() as u64) << (octets.byte() & 15)),
            2 => {
                let before = out.len();
                let result = session.timer(now, &mut out);
                assert!(
                    session.deadline().is_none_or(|at| at > now),
                    "a timer that was served is not due still"
                );
                assert!(
                    out.len() == before || (before == 0 && out == b"\n"),
                    "a beat goes between frames only"
                );
                failed = failed.or(result.err());
            }
            _ => {
                out.clear();
                session.sent(now);
            }
        }
        loop {
            match session.next_event() {
                Ok(None) => {
                    session.take_doubt();
                    break;
                }
                Ok(Some(Event::Connected(agreed))) => {
                    connected += 1;
                    assert!(versions.contains(&agreed.version), "a version that was offered");
                    assert_eq!(session.version(), agreed.version);
                    session
                        .set_lengths(if options & 128 == 0 { Lengths::Claimed } else { Lengths::Last }, "p");
                }
                Ok(Some(_)) => assert_eq!(connected, 1, "CONNECTED comes first, and once"),
                Err(error) => {
                    let refused = matches!(error, SessionError::Refused { .. });
                    assert!(!refused || !error.to_string().contains("a secret"), "{error}");
                    assert_eq!(*failed.get_or_insert(error.clone()), error, "the first error stays");
                    break;
                }
            }
        }
        assert!(connected <= 1);
        assert_eq!(session.is_connected(), connected == 1 && failed.is_none());
        assert!(failed.is_none() || session.deadline().is_none(), "there is nothing left to wait for");
        let more = if options & 64 == 0 { 0 } else { 17 * (LIMITS.header_line + 1) + LIMITS.body };
        let bound = if failed.is_none() { LIMITS.head.max(LIMITS.body) + more } else { 0 };
        assert!(session.buffered() <= bound, "{} octets wait", session.buffered());
    }
}
