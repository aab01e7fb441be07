//! N, and of B, A and R what concerns a client: sessions in virtual time.
use std::time::{Duration, Instant};

use crate::stomp::{
    Command, Cut, Event, Frame, HeartBeatOffer, Limits, ParseError, Parser, Session, SessionConfig,
    SessionError, Version,
};

const MS: Duration = Duration::from_millis(1);

fn config() -> SessionConfig {
    SessionConfig {
        host: "vhost:1".into(),
        login: Some("some-user".into()),
        passcode: Some("s3:cr\\et".into()),
        heart_beat: HeartBeatOffer { send: 1000 * MS, receive: 2000 * MS },
        connect_timeout: 5000 * MS,
        ..SessionConfig::default()
    }
}

/// A session under test, with the clock it goes by and what it wants to send.
struct Client {
    session: Session,
    now: Instant,
    out: Vec<u8>,
}

impl Client {
    fn new(config: &SessionConfig) -> Self {
        let (now, mut out) = (Instant::now(), Vec::new());
        let session = Session::connect(config, now, &mut out);
        Self { session, now, out }
    }

    /// One that is connected, and has sent what it had to.
    fn connected(config: &SessionConfig, connected: &str) -> Self {
        let mut client = Self::new(config);
        let events = client.receive(connected.as_bytes()).expect("a good CONNECTED");
        assert!(matches!(events[..], [Event::Connected(_)]), "{events:?}");
        client.flush();
        client
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SessionError> {
        self.session.received(self.now, bytes);
        std::iter::from_fn(|| self.session.next_event().transpose()).collect()
    }

    fn flush(&mut self) {
        self.out.clear();
        self.session.sent(self.now);
    }

    /// Lets time pass, with `timer` called at every deadline; answers when beats were sent, in ms.
    fn pass(&mut self, time: Duration) -> Result<Vec<u128>, SessionError> {
        let (start, end) = (self.now, self.now + time);
        let mut beats = Vec::new();
        while let Some(deadline) = self.session.deadline().filter(|deadline| *deadline <= end) {
            assert!(deadline >= self.now, "a deadline in the past");
            self.now = deadline;
            let before = self.out.len();
            self.session.timer(self.now, &mut self.out)?;
            if before == 0 && !self.out.is_empty() {
                assert_eq!(self.out, b"\n");
                beats.push((self.now - start).as_millis());
                self.flush();
            }
        }
        self.now = end;
        self.session.timer(end, &mut self.out)?;
        Ok(beats)
    }
}

fn refusal(config: &SessionConfig, answer: &[u8]) -> SessionError {
    let mut client = Client::new(config);
    let error = client.receive(answer).expect_err("an error");
    assert_eq!(client.session.next_event(), Err(error.clone()), "an error stays");
    assert_eq!(client.session.timer(client.now, &mut Vec::new()), Err(error.clone()));
    assert_eq!((client.session.deadline(), client.session.is_connected()), (None, false));
    error
}

#[test]
fn n1_connect_comes_first_with_versions_and_host() {
    let mut client = Client::new(&SessionConfig { client_id: Some("id".into()), ..config() });
    let mut parser = Parser::new(Limits::default());
    parser.feed(&client.out);
    let frame = parser.next_frame().unwrap().unwrap();
    let headers = [
        ("accept-version", "1.0,1.1,1.2"),
        ("host", "vhost:1"),
        ("heart-beat", "1000,2000"),
        ("login", "some-user"),
        ("passcode", "s3:cr\\et"),
        ("client-id", "id"),
    ];
    let headers = headers.into_iter().collect();
    assert_eq!(frame, Frame { command: Command::Connect, headers, body: "".into(), cut: None });
    assert_eq!((parser.next_frame(), parser.buffered()), (Ok(None), 0));
    assert!(!client.session.is_connected());
    assert!(client.receive(b"\n\n").unwrap().is_empty());

    let anonymous =
        Client::new(&SessionConfig { versions: vec![Version::V1_2, Version::V1_1], ..Default::default() });
    let expected = "CONNECT\naccept-version:1.1,1.2\nhost:/\nheart-beat:10000,10000\n\n\0";
    assert_eq!(String::from_utf8(anonymous.out).unwrap(), expected);
}

#[test]
fn n2_the_version_is_the_brokers_choice() {
    for version in Version::ALL {
        let answer = format!("CONNECTED\nversion:{version}\nserver:x/1\nsession:a:b\n\n\0");
        let mut client = Client::new(&config());
        let events = client.receive(answer.as_bytes()).unwrap();
        let [Event::Connected(connected)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(connected.version, version);
        assert_eq!((connected.server.as_deref(), connected.session.as_deref()), (Some("x/1"), Some("a:b")));
        assert_eq!((client.session.version(), client.session.is_connected()), (version, true));
    }
}

#[test]
fn n2_a_missing_version_is_1_0() {
    let mut client = Client::connected(&config(), "CONNECTED\r\nsession: 1\r\n\r\n\0");
    assert_eq!(client.session.version(), Version::V1_0);
    // And what follows is read as 1.0 is: no escapes, spaces trimmed.
    let events = client.receive(b"MESSAGE\nk: a\\nb\n\n\0").unwrap();
    let [Event::Message(frame)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(frame.headers.text("k"), Some("a\\nb"));
}

#[test]
fn n2_frames_in_the_same_read_as_connected_are_of_its_version() {
    let mut client = Client::new(&config());
    let bytes = b"CONNECTED\nversion:1.1\n\n\0MESSAGE\nk:\\c\r\n\n\0";
    let events = client.receive(bytes).unwrap();
    let [Event::Connected(_), Event::Message(frame)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(frame.headers.text("k"), Some(":\r"));
}

#[test]
fn n3_a_version_that_was_not_offered_is_refused() {
    let offered = |versions: &[Version]| SessionConfig { versions: versions.to_vec(), ..config() };
    let not_offered = |version: &str| SessionError::VersionNotOffered { version: version.into() };
    let offer = offered(&[Version::V1_1, Version::V1_2]);
    assert_eq!(refusal(&offer, b"CONNECTED\nversion:1.0\n\n\0"), not_offered("1.0"));
    assert_eq!(refusal(&offer, b"CONNECTED\n\n\0"), not_offered("1.0"));
    assert_eq!(refusal(&offer, b"CONNECTED\nversion:1.3\n\n\0"), not_offered("1.3"));
    assert_eq!(refusal(&offer, b"CONNECTED\nversion:\n\n\0"), not_offered(""));
    assert_eq!(refusal(&offered(&[]), b"CONNECTED\nversion:1.1\n\n\0"), not_offered("1.1"));
}

#[test]
fn n4_a_second_connected_is_unexpected() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\n\n\0");
    let error = client.receive(b"CONNECTED\nversion:1.2\n\n\0").unwrap_err();
    assert_eq!(error, SessionError::UnexpectedFrame { command: Command::Connected });
    assert!(!client.session.is_connected());
}

#[test]
fn n5_nothing_but_an_answer_to_connect_comes_first() {
    for (command, frame) in [
        (Command::Message, "MESSAGE\n\n\0"),
        (Command::Receipt, "RECEIPT\nreceipt-id:1\n\n\0"),
        (Command::Connect, "CONNECT\n\n\0"),
    ] {
        assert_eq!(refusal(&config(), frame.as_bytes()), SessionError::UnexpectedFrame { command });
    }
    assert!(!String::from_utf8(Client::new(&config()).out).unwrap().contains("receipt"));
}

#[test]
fn n6_an_error_before_connected_is_a_refusal() {
    let error = refusal(&config(), b"ERROR\nmessage:Bad CONNECT\\c no\nversion:1.2\n\nAccess refused\n\0");
    let (message, body) = ("Bad CONNECT: no".into(), "Access refused\n".into());
    assert_eq!(error, SessionError::Refused { message, body });
    assert_eq!(error.to_string(), "the broker refused the connection: Bad CONNECT: no: Access refused");

    let error = refusal(&config(), b"ERROR\n\nno such user\nat line 1\0");
    assert_eq!(error.to_string(), "the broker refused the connection: no such user");
    let error = refusal(&config(), b"ERROR\n\n\0");
    assert_eq!(error.to_string(), "the broker refused the connection: no reason given");
}

#[test]
fn n6_a_refusal_is_cut_short_and_tells_no_secret() {
    let mut answer = b"ERROR\nmessage:some-user is not s3:cr\\et\x1b[2J\n\n".to_vec();
    answer.extend_from_slice("x".repeat(1020).as_bytes());
    answer.extend_from_slice("s3:cr\\et at line 1\n".repeat(1000).as_bytes());
    answer.push(0);
    let SessionError::Refused { message, body } = refusal(&config(), &answer) else { panic!() };
    assert_eq!(message, "(redacted) is not (redacted) [2J");
    assert_eq!(body.len(), 1024 + "...".len());
    assert!(!body.contains("s3"), "{body}");
}

#[test]
fn secrets_are_in_no_debug_output() {
    let client = Client::new(&config());
    for shown in [format!("{:?}", config()), format!("{:?}", client.session)] {
        assert!(!shown.contains("s3") && !shown.contains("some-user"), "{shown}");
    }
    assert!(format!("{:?}", config()).contains("passcode: Some((redacted))"));
}

#[test]
fn connected_must_come_in_time() {
    let mut client = Client::new(&config());
    client.receive(b"\n").unwrap();
    assert_eq!(client.session.deadline(), Some(client.now + 5000 * MS));
    assert_eq!(client.pass(4999 * MS), Ok(vec![]));
    let error = client.pass(1 * MS).unwrap_err();
    assert_eq!(error, SessionError::ConnectTimeout { timeout: 5000 * MS });
    assert_eq!(error.to_string(), "the broker did not answer CONNECT within 5000 ms");
    let patient = Client::new(&SessionConfig { connect_timeout: Duration::MAX, ..config() });
    assert_eq!(patient.session.deadline(), None);
}

#[test]
fn a_session_that_failed_keeps_nothing_of_what_comes() {
    let mut client = Client::new(&config());
    client.receive(b"CONNECTED\nversion").unwrap();
    client.pass(5000 * MS).unwrap_err();
    assert_eq!(client.session.buffered(), 0);
    client.receive(b":1.2\n\n\0").unwrap_err();
    assert_eq!(client.session.buffered(), 0);
}

#[test]
fn b1_a_bad_heart_beat_header_is_an_error() {
    for value in ["", "1000", "-1,0", "a,b"] {
        let answer = format!("CONNECTED\nversion:1.2\nheart-beat:{value}\n\n\0");
        let error = refusal(&config(), answer.as_bytes());
        assert_eq!(error, SessionError::BadHeartBeat { value: value.into() });
    }
    let client = Client::connected(&config(), "CONNECTED\nversion:1.2\n\n\0");
    assert_eq!(client.session.deadline(), None);
}

#[test]
fn b2_intervals_are_agreed_on() {
    let client = Client::connected(&config(), "CONNECTED\nversion:1.2\nheart-beat:500,4000\n\n\0");
    let heart_beat = client.session.heart_beat().unwrap();
    assert_eq!(heart_beat.send_interval(), Some(4000 * MS));
    assert_eq!(heart_beat.receive_interval(), Some(2000 * MS));
}

#[test]
fn b3_beats_go_out_at_half_the_interval() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\nheart-beat:0,1000\n\n\0");
    assert_eq!(client.pass(2100 * MS), Ok(vec![500, 1000, 1500, 2000]));
    // Frames are as good as beats.
    client.flush();
    assert_eq!(client.pass(600 * MS), Ok(vec![500]));
}

#[test]
fn b3_a_silent_broker_is_given_up_on() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\nheart-beat:2000,0\n\n\0");
    assert_eq!(client.pass(4000 * MS), Ok(vec![]));
    assert!(client.receive(b"\n").unwrap().is_empty());
    assert_eq!(client.pass(4199 * MS), Ok(vec![]));
    let error = client.pass(1 * MS).unwrap_err();
    assert_eq!(error, SessionError::PeerSilent { silence: 4000 * MS });
    assert_eq!(error.to_string(), "the broker has been silent for more than 4000 ms");
    assert_eq!(client.session.deadline(), None);
}

#[test]
fn b4_octets_of_a_large_frame_count_both_ways() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\nheart-beat:2000,1000\n\n\0");
    client.receive(b"MESSAGE\ncontent-length:100\n\n").unwrap();
    for _ in 0..100 {
        assert_eq!(client.pass(400 * MS), Ok(vec![]));
        assert!(client.receive(b"x").unwrap().is_empty());
        client.session.sent(client.now);
    }
    assert_eq!(client.receive(b"\0").unwrap().len(), 1);
}

#[test]
fn b5_no_beat_goes_into_a_frame() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\nheart-beat:0,1000\n\n\0");
    client.out.extend_from_slice(b"half of a fra");
    // Deadlines go on, each later than the one before, or the driver would spin.
    assert_eq!(client.pass(5000 * MS), Ok(vec![]));
    assert_eq!(client.out, b"half of a fra");
    client.flush();
    assert_eq!(client.pass(500 * MS), Ok(vec![500]));
}

#[test]
fn a4_an_ack_id_is_opaque() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\n\n\0");
    let events = client.receive(b"MESSAGE\nack:ID\\cvm-1-2\\c3\n\n\0").unwrap();
    let [Event::Message(frame)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(frame.headers.text("ack"), Some("ID:vm-1-2:3"));
}

#[test]
fn a7_events_come_in_the_order_of_frames() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\n\n\0");
    let events = client.receive(b"\nMESSAGE\n\n1\0\nRECEIPT\nreceipt-id:s\n\n\0\n\nMESSAGE\n\n2\0").unwrap();
    assert!(matches!(events[..], [Event::Message(_), Event::Receipt(_), Event::Message(_)]), "{events:?}");
}

#[test]
fn r1_receipt_ids_come_back_verbatim() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\n\n\0");
    for (sent, id) in [("", ""), ("a\\cb\\\\\\n", "a:b\\\n"), (" ä ", " ä ")] {
        let events = client.receive(format!("RECEIPT\nreceipt-id:{sent}\n\n\0").as_bytes()).unwrap();
        assert_eq!(events, [Event::Receipt(id.into())]);
    }
    let missing = SessionError::MissingHeader { command: Command::Receipt, header: "receipt-id" };
    assert_eq!(client.receive(b"RECEIPT\n\n\0"), Err(missing));
}

#[test]
fn r3_an_error_is_an_event_once_connected() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\n\n\0");
    let events = client.receive(b"ERROR\nreceipt-id:1\n\ntrace\0RECEIPT\nreceipt-id:1\n\n\0").unwrap();
    let [Event::Error(error), Event::Receipt(_)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(error.headers.text("receipt-id"), Some("1"));
    assert!(client.session.is_connected());
}

#[test]
fn frames_of_a_client_are_unexpected() {
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\n\n\0");
    let error = client.receive(b"SEND\n\n\0").unwrap_err();
    assert_eq!(error.to_string(), "the broker sent an unexpected SEND");
}

#[test]
fn h10_the_session_is_lenient_unless_told_otherwise() {
    let poison = b"MESSAGE\nk:\\t\n\n\0";
    let mut client = Client::connected(&config(), "CONNECTED\nversion:1.2\n\n\0");
    assert_eq!(client.receive(poison).unwrap().len(), 1);
    let strict = SessionConfig { lenient_escapes: false, ..config() };
    let mut client = Client::connected(&strict, "CONNECTED\nversion:1.2\n\n\0");
    let error = client.receive(poison).unwrap_err();
    assert!(matches!(error, SessionError::Parse(ParseError::UndefinedEscape { .. })));
}

#[test]
fn limits_are_those_of_the_configuration() {
    let small = SessionConfig { limits: Limits { body: 3, ..Limits::default() }, ..config() };
    let error = refusal(&small, b"ERROR\n\nlong\0");
    assert_eq!(error.to_string(), "the broker sent a bad frame: the body of ERROR is longer than 3 octets");
}

#[test]
fn a_message_beyond_the_limits_ends_the_session_unless_it_is_to_be_cut() {
    let small = SessionConfig { limits: Limits { body: 3, ..Limits::default() }, ..config() };
    let stream = b"MESSAGE\na:b\n\nlong\0\nMESSAGE\n\nabc\0";
    let connected = "CONNECTED\nversion:1.2\n\n\0";
    let error = Client::connected(&small, connected).receive(stream).unwrap_err();
    assert!(matches!(error, SessionError::Parse(ParseError::BodyTooLong { limit: 3, .. })));

    let cutting = SessionConfig { cut_long_messages: true, ..small };
    let mut client = Client::connected(&cutting, connected);
    let events = client.receive(stream).unwrap();
    let [Event::Message(cut), Event::Message(whole)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((cut.headers.text("a"), &cut.body[..], cut.cut), (Some("b"), &b""[..], Some(Cut::Body(4))));
    assert_eq!((&whole.body[..], whole.cut), (&b"abc"[..], None));
    let error = client.receive(b"ERROR\n\nlong\0").unwrap_err();
    assert!(matches!(error, SessionError::Parse(ParseError::BodyTooLong { limit: 3, .. })));
}

/// While a body is dropped octet by octet, its broker is not silent, and our beats go on.
#[test]
fn a_long_message_that_trickles_in_is_as_good_as_beats() {
    let cutting = SessionConfig {
        limits: Limits { body: 3, ..Limits::default() },
        cut_long_messages: true,
        ..config()
    };
    let mut client = Client::connected(&cutting, "CONNECTED\nversion:1.2\nheart-beat:1000,1000\n\n\0");
    client.receive(b"MESSAGE\ncontent-length:60\n\n").unwrap();
    let mut beats = 0;
    for _ in 0..60 {
        beats += client.pass(1500 * MS).unwrap().len();
        assert_eq!(client.receive(b"\n").unwrap(), []);
    }
    assert!(beats >= 60, "{beats}");
    let events = client.receive(b"\0").unwrap();
    assert!(
        matches!(&events[..], [Event::Message(message)] if message.cut == Some(Cut::Body(60))),
        "{events:?}"
    );
}
