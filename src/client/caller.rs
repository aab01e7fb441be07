//! The link of a requester.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use reactors::{Action, Input, Link};

use super::{Call, CallError, Part, Workload, structured};
use crate::{
    http,
    link::{Connection, ConnectionConfig, Event, FrameLimits, Replies, jms},
    stomp::{Command, Cut, Encoder, Frame, HeartBeatOffer, Limits},
    uri::Brokers,
};

/// How a requester goes about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallerConfig {
    /// Where the broker is.
    pub brokers: Brokers,
    /// Where requests go.
    pub destination: String,
    /// How long a reply, or its next part, may take; requests expire then, too.
    pub timeout: Duration,
    /// Calls that may wait for their replies at once.
    pub in_flight: usize,
    /// How large the body of a request may be, in octets; a larger one is not sent. `None`: what the broker takes with its own
    /// settings ([`CallError::RequestTooLarge`]).
    pub max_request: Option<usize>,
}

impl CallerConfig {
    /// One call at a time, 30 s each.
    pub fn new(brokers: Brokers, destination: impl Into<String>) -> Self {
        let timeout = Duration::from_secs(30);
        Self { brokers, destination: destination.into(), timeout, in_flight: 1, max_request: None }
    }
}

/// Carries a [`Workload`]'s calls, and ends with it. A connection that breaks fails the calls in flight;
/// nothing is sent twice.
pub struct Caller<W> {
    config: CallerConfig,
    workload: W,
    connection: Connection,
    /// Random, so that no two requesters share a reply queue or a correlation-id.
    name: String,
    /// Calls in flight.
    waiting: BTreeMap<u64, Waiting>,
    /// Deadlines in order, some of them outdated.
    deadlines: VecDeque<(Instant, u64)>,
    sent: u64,
    /// The workload has no more.
    exhausted: bool,
    leaving: Option<Instant>,
    over: bool,
    /// What turns the reactor's time into the time of day, for `expires`.
    began: (Instant, SystemTime),
}

/// A call that is not done.
struct Waiting {
    /// When it fails.
    deadline: Instant,
    structured: bool,
}

const GOODBYE: &str = "goodbye";
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

impl<W: Workload> Caller<W> {
    /// A link that will carry `workload`. `began` is one moment, told by both clocks.
    pub fn new(mut config: CallerConfig, workload: W, began: (Instant, SystemTime)) -> Self {
        // One round over the brokers: a caller wants an answer, if only that there is none.
        config.brokers.backoff.startup_attempts = Some(1);
        config.brokers.backoff.attempts = Some(1);
        let connection = Connection::new(ConnectionConfig {
            brokers: config.brokers.clone(),
            timeout: config.timeout.min(Duration::from_secs(10)),
            heart_beat: HeartBeatOffer { send: Duration::from_secs(10), receive: Duration::from_secs(10) },
            limits: Limits::default(),
            client_id: None,
            seed: fastrand::u64(..),
            priority: None,
        });
        Self {
            config,
            workload,
            connection,
            name: format!("{:016x}", fastrand::u64(..)),
            waiting: BTreeMap::new(),
            deadlines: VecDeque::new(),
            sent: 0,
            exhausted: false,
            leaving: None,
            over: false,
            began,
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Up => self.up(),
            Event::Unreadable(_) => self.connection.fail("a reply cannot be read".to_owned()),
            Event::Message(message) => self.message(now, &message),
            Event::Receipt(id) if &id[..] == GOODBYE.as_bytes() => self.end(),
            Event::Receipt(id) => {
                if let Some(call) = self.number(&id) {
                    self.done(call, Ok(()));
                }
            }
            // It takes the first broker that it finds, and is not there for long.
            Event::Return => {}
            Event::Error(frame) => {
                let said = self.connection.complaint(&frame);
                self.lose(&format!("the broker reported an error: {said}"));
            }
            // There is another broker to try, and nothing was sent that could be lost.
            Event::Down(down) if down.retry_in.is_some() && self.sent == 0 => {}
            Event::Down(down) => self.lose(&down.why),
        }
    }

    fn up(&mut self) {
        let version = self.connection.version();
        let dialect = self.connection.dialect();
        if dialect.row().replies == Replies::Implied {
            return;
        }
        let reply_to = self.reply_to();
        let mut frame = Encoder::new(self.connection.out(), version, Command::Subscribe)
            .header("id", "replies")
            .header("destination", &reply_to)
            .header("ack", "auto");
        if let Some((name, value)) = dialect.subscription_type(&reply_to) {
            frame = frame.header(name, value);
        }
        frame.finish();
    }

    fn reply_to(&self) -> String {
        let kind = match self.connection.dialect().row().replies {
            Replies::Subscribed | Replies::Implied => "temp-queue",
            Replies::Plain => "queue",
        };
        format!("/{kind}/reply-{}", self.name)
    }

    /// Sends while there is room in flight.
    fn send(&mut self, now: Instant) {
        while self.connection.is_up()
            && !self.exhausted
            && self.waiting.len() < self.config.in_flight
            && self.connection.outbox().len() < reactors::OUTBOX_HIGH_WATER
        {
            let Some(call) = self.workload.next() else {
                self.exhausted = true;
                break;
            };
            let number = self.sent;
            self.sent += 1;
            let structured = match self.request(now, number, &call) {
                Ok(structured) => structured,
                Err(error) => {
                    self.workload.done(number, Err(error));
                    continue;
                }
            };
            let deadline = now + self.config.timeout;
            self.waiting.insert(number, Waiting { deadline, structured });
            self.deadlines.push_back((deadline, number));
        }
        if self.exhausted && self.waiting.is_empty() && self.leaving.is_none() && self.connection.is_up() {
            let version = self.connection.version();
            Encoder::new(self.connection.out(), version, Command::Disconnect)
                .header("receipt", GOODBYE)
                .finish();
            self.leaving = Some(now + LEAVE_TIMEOUT);
        }
    }

    /// Sends this call if the broker takes it. Returns whether it was sent structured: brokers limit how many headers a
    /// message has, and how long they are, and do not say so when a message has more.
    fn request(&mut self, now: Instant, number: u64, call: &Call) -> Result<bool, CallError> {
        let limits = self.connection.limits();
        let structured = call.structured || !fit(call, limits);
        if structured && call.stream {
            return Err(CallError::Headers);
        }
        let start = self.connection.out().len();
        self.encode(now, number, call, structured);
        let out = self.connection.out();
        let octets = out.len() - start;
        let (limit, fits) = match self.config.max_request {
            Some(limit) => (limit, true),
            None => (limits.longest().min(limits.body), limits.fits(octets)),
        };
        if call.body.len() > limit || !fits {
            out.truncate(start);
            return Err(CallError::RequestTooLarge { octets, limit });
        }
        Ok(structured)
    }

    fn encode(&mut self, now: Instant, number: u64, call: &Call, structured: bool) {
        let version = self.connection.version();
        let dialect = self.connection.dialect();
        let (id, reply_to) = (format!("{}-{number}", self.name), self.reply_to());
        let mut frame = Encoder::new(self.connection.out(), version, Command::Send)
            .header("destination", &self.config.destination)
            .header("correlation-id", &id);
        if let Some((name, value)) = dialect.destination_type(self.config.destination.as_bytes()) {
            frame = frame.header(name, value);
        }
        if call.one_way {
            frame = frame.header("receipt", &id);
        } else {
            frame = frame.header("reply-to", reply_to);
            // A reply that nobody waits for any more need not be worked out.
            let life = u64::try_from(self.config.timeout.as_millis()).unwrap_or(u64::MAX);
            let time = self.began.1 + now.saturating_duration_since(self.began.0);
            let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
            let time = u64::try_from(time).unwrap_or(u64::MAX);
            let (name, value) = dialect.expiry(time, time.saturating_add(life));
            frame = frame.number(name, value);
        }
        if call.persistent {
            frame = frame.header("persistent", "true");
        }
        if structured {
            return frame.header("content-type", structured::MEDIA_TYPE).body(&structured::request(call));
        }
        frame = frame.header("http_requestMethod", &call.method).header("http_requestUrl", &call.target);
        if call.stream {
            frame = frame.header("http_acceptStream", "true");
        }
        for (name, value) in &call.headers {
            let name = if name.eq_ignore_ascii_case("content-type") { "content-type" } else { name };
            frame = frame.header(name, value);
        }
        frame.body(&call.body);
    }

    fn message(&mut self, now: Instant, message: &Frame) {
        let Some(call) = message.headers.get("correlation-id").and_then(|id| self.number(id)) else {
            return;
        };
        if let Some(cut) = message.cut {
            let error = match cut {
                Cut::Body(octets) => CallError::TooLarge { octets, limit: Limits::default().body },
                Cut::Head(_) | Cut::Unclear => CallError::Unreadable,
            };
            return self.done(call, Err(error));
        }
        let Some(waiting) = self.waiting.get_mut(&call) else { return };
        waiting.deadline = now + self.config.timeout;
        self.deadlines.push_back((waiting.deadline, call));
        let repaired = jms::repaired_message(message, self.connection.jms());
        let part = Part::of(repaired.as_ref().unwrap_or(message));
        let part = if waiting.structured { structured::opened(part) } else { part };
        let more = part.more;
        self.workload.part(call, part);
        if !more {
            self.done(call, Ok(()));
        }
    }

    /// The call that a correlation-id or receipt-id of ours stands for.
    fn number(&self, id: &[u8]) -> Option<u64> {
        std::str::from_utf8(id).ok()?.strip_prefix(&self.name)?.strip_prefix('-')?.parse().ok()
    }

    fn done(&mut self, call: u64, result: Result<(), CallError>) {
        if self.waiting.remove(&call).is_some() {
            self.workload.done(call, result);
        }
    }

    /// Fails what is late.
    fn expire(&mut self, now: Instant) {
        while let Some((at, call)) = self.deadlines.front().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_front();
            if self.waiting.get(&call).is_some_and(|waiting| waiting.deadline == at) {
                self.done(call, Err(CallError::Timeout(self.config.timeout)));
            }
        }
        // Most calls are answered in time: do not keep their deadlines.
        let outdated = |(at, call): &(Instant, u64)| {
            self.waiting.get(call).is_none_or(|waiting| waiting.deadline != *at)
        };
        while self.deadlines.front().is_some_and(outdated) {
            self.deadlines.pop_front();
        }
        if self.leaving.is_some_and(|at| at <= now) {
            self.end();
        }
    }

    /// No broker: what is in flight fails, or the first call where none was sent.
    fn lose(&mut self, why: &str) {
        let calls: Vec<u64> = self.waiting.keys().copied().collect();
        for call in calls {
            self.done(call, Err(CallError::Broker(why.to_owned())));
        }
        if self.sent == 0 && self.workload.next().is_some() {
            self.workload.done(0, Err(CallError::Broker(why.to_owned())));
        }
        self.exhausted = true;
        self.end();
    }

    fn end(&mut self) {
        self.connection.end();
        self.over = true;
    }

    /// What to do next.
    fn next_action(&mut self) -> Action {
        if let Some(action) = self.connection.action() {
            return action;
        }
        if self.over {
            return Action::Finished;
        }
        let next = self.deadlines.front().map(|(at, _)| *at);
        let until = [self.connection.deadline(), next, self.leaving].into_iter().flatten().min();
        Action::Wait { until, read: true }
    }
}

/// Whether the broker takes the headers of this call, and those that we add.
fn fit(call: &Call, limits: &FrameLimits) -> bool {
    /// `destination`, `correlation-id`, `reply-to`, `content-length` and what else a SEND of ours may have; 20 leaves room.
    const OURS: usize = 20;
    let fits = |name: &str, value: &str| {
        let known = if name.eq_ignore_ascii_case("content-type") { "content-type" } else { name };
        // Each octet may be escaped.
        limits.takes(known.as_bytes(), value.as_bytes())
            && 2 * (name.len() + value.len()) + 2 <= limits.header_line
    };
    let head = call.headers.iter().map(|(name, value)| 2 * (name.len() + value.len()) + 2).sum::<usize>();
    let kept = !call.persistent || limits.keeps(head + 2 * call.target.len() + 1024, call.body.len());
    kept && call.headers.len() + OURS <= limits.headers
        && fits("http_requestUrl", &call.target)
        && call.headers.iter().all(|(name, value)| fits(name, value))
}

impl<W: Workload> Link for Caller<W> {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Stop => self.lose("interrupted"),
            input => {
                self.connection.handle(now, input);
                while let Some(event) = self.connection.next_event() {
                    self.event(now, event);
                }
            }
        }
        if !self.over {
            self.expire(now);
            self.send(now);
        }
    }

    fn poll(&mut self) -> Action {
        let action = self.next_action();
        // After a TLS error there is a new action: to close the socket.
        let sealed = self.connection.seal();
        if !sealed && matches!(action, Action::Wait { .. }) { self.next_action() } else { action }
    }

    fn outbox(&self) -> &[u8] {
        self.connection.outbox()
    }
}

impl Part {
    fn of(message: &Frame) -> Self {
        let header = |name| message.headers.text(name);
        let number = |name| header(name).and_then(|value| value.parse().ok());
        let is = |name| header(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let code = number("http_statusCode").and_then(|code| u16::try_from(code).ok());
        let reason = || header("http_reasonPhrase").unwrap_or_default().to_owned();
        let headers = message
            .headers
            .iter()
            .filter(|(name, _)| {
                *name == b"content-type" || !http::is_reserved(name) && *name != b"content_type"
            })
            .map(|(name, value)| {
                (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned())
            })
            .collect();
        Self {
            sequence: number("http_chunkSeq").unwrap_or(0),
            more: is("http_moreContent"),
            is_error: is("http_isError"),
            status: code.map(|code| (code, reason())),
            headers,
            body: message.body.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Results = Vec<(u64, Result<(), CallError>)>;
    type Done = Arc<Mutex<Results>>;

    struct Two(usize, Done);

    impl Workload for Two {
        fn next(&mut self) -> Option<Call> {
            self.0 = self.0.checked_sub(1)?;
            Some(Call { method: "GET".to_owned(), target: "/".to_owned(), ..Call::default() })
        }
        fn part(&mut self, call: u64, part: Part) {
            assert_eq!((call, &part.body[..]), (1, &b"pong"[..]));
        }
        fn done(&mut self, call: u64, result: Result<(), CallError>) {
            self.1.lock().unwrap().push((call, result));
        }
    }

    #[test]
    fn a_reply_that_is_too_large_costs_only_its_call() {
        let (now, done) = (Instant::now(), Done::default());
        let mut config = CallerConfig::new("stomp://h".parse().unwrap(), "/queue/a");
        config.in_flight = 2;
        let mut caller = Caller::new(config, Two(2, Arc::clone(&done)), (now, SystemTime::now()));
        let _ = caller.poll();
        caller.handle(now, Input::Connected);
        caller.handle(now, Input::Received(b"CONNECTED\nversion:1.2\n\n\0"));
        let limit = Limits::default().body;
        let head = format!("MESSAGE\ncorrelation-id:{}-0\ncontent-length:{}\n\n", caller.name, limit + 1);
        caller.handle(now, Input::Received(head.as_bytes()));
        let piece = vec![b'x'; limit / 100];
        for _ in 0..100 {
            caller.handle(now, Input::Received(&piece));
        }
        let rest = format!("x\0MESSAGE\ncorrelation-id:{}-1\n\npong\0", caller.name);
        caller.handle(now, Input::Received(rest.as_bytes()));
        let too_large = CallError::TooLarge { octets: limit + 1, limit };
        assert_eq!(*done.lock().unwrap(), [(0, Err(too_large)), (1, Ok(()))]);
    }

    struct These(Vec<Call>, Done);

    impl Workload for These {
        fn next(&mut self) -> Option<Call> {
            self.0.pop()
        }
        fn part(&mut self, _: u64, _: Part) {}
        fn done(&mut self, call: u64, result: Result<(), CallError>) {
            self.1.lock().unwrap().push((call, result));
        }
    }

    /// What becomes of these calls at once, and what is sent for them to this broker.
    fn sent(server: &str, calls: Vec<Call>) -> (Results, String) {
        sent_with(None, server, calls)
    }

    fn sent_with(max_request: Option<usize>, server: &str, mut calls: Vec<Call>) -> (Results, String) {
        let (now, done) = (Instant::now(), Done::default());
        let mut config = CallerConfig::new("stomp://h".parse().unwrap(), "/queue/a");
        config.in_flight = calls.len();
        config.max_request = max_request;
        calls.reverse();
        let mut caller = Caller::new(config, These(calls, Arc::clone(&done)), (now, SystemTime::now()));
        let _ = caller.poll();
        caller.handle(now, Input::Connected);
        let connect = caller.outbox().len();
        caller.handle(now, Input::Sent(connect));
        caller.handle(
            now,
            Input::Received(format!("CONNECTED\nversion:1.2\nserver:{server}\n\n\0").as_bytes()),
        );
        let out = String::from_utf8_lossy(caller.outbox()).into_owned();
        (done.lock().unwrap().clone(), out)
    }

    fn with_body(octets: usize) -> Call {
        Call { method: "POST".into(), target: "/".into(), body: vec![b'x'; octets].into(), ..Call::default() }
    }

    #[test]
    fn a_request_that_the_broker_would_not_take_is_not_sent() {
        const LIMIT: usize = 4 << 20;
        let (done, out) = sent("RabbitMQ/4.0.5", vec![with_body(LIMIT), with_body(3)]);
        assert!(
            matches!(&done[..], [(0, Err(CallError::RequestTooLarge { octets, limit }))] if octets > limit && *limit < LIMIT),
            "{done:?}"
        );
        assert_eq!(out.matches("SEND\n").count(), 1, "the other is: {}", out.len());
        assert!(out.ends_with("\n\nxxx\0"), "{}", out.len());
        for (server, octets) in
            [("RabbitMQ/3.10.8", LIMIT), ("RabbitMQ/4.0.5", LIMIT - 1000), ("ActiveMQ/6.3.1", LIMIT)]
        {
            let (done, out) = sent(server, vec![with_body(octets)]);
            assert!(done.is_empty() && out.len() > octets, "{server}: {done:?}");
        }
        let (done, _) = sent("ActiveMQ/6.3.1", vec![with_body((100 << 20) + 1)]);
        assert!(matches!(&done[..], [(0, Err(CallError::RequestTooLarge { .. }))]), "{done:?}");
        // A broker that was set up otherwise.
        let (done, _) =
            sent_with(Some(LIMIT), "RabbitMQ/4.0.5", vec![with_body(LIMIT + 1), with_body(LIMIT)]);
        assert!(matches!(&done[..], [(0, Err(CallError::RequestTooLarge { .. }))]), "{done:?}");
    }

    #[test]
    fn headers_that_the_broker_would_not_take_go_in_the_body() {
        let many = |count: usize| {
            let headers = (0..count).map(|n| (format!("X-{n}"), n.to_string())).collect();
            Call { headers, ..with_body(1) }
        };
        let long = Call { headers: vec![("X-Long".into(), "x".repeat(11_000))], ..with_body(1) };
        let name = Call { headers: vec![("x".repeat(256), "1".into())], ..with_body(1) };
        let heavy = (0..20).map(|n| (format!("X-{n}"), "v".repeat(10_000))).collect();
        let heavy = Call { headers: heavy, ..with_body(1) };
        for (server, call, structured) in [
            ("RabbitMQ/4.0.5", many(60), false),
            ("RabbitMQ/4.0.5", many(100), true),
            ("RabbitMQ/3.10.8", many(100), true),
            ("ActiveMQ/6.3.1", many(100), false),
            ("ActiveMQ/6.3.1", long.clone(), true),
            ("RabbitMQ/4.0.5", long, false),
            ("RabbitMQ/4.0.5", name.clone(), true),
            ("RabbitMQ/3.10.8", name, false),
            // Beyond what Artemis keeps of a persistent message.
            ("ActiveMQ-Artemis/2.40.0", Call { persistent: true, ..heavy.clone() }, true),
            ("ActiveMQ-Artemis/2.40.0", heavy, false),
        ] {
            let (done, out) = sent(server, vec![call.clone()]);
            assert!(done.is_empty());
            assert_eq!(out.contains("application/http"), structured, "{server} {out}");
            if structured {
                let (done, _) = sent(server, vec![Call { stream: true, ..call }]);
                assert_eq!(done, [(0, Err(CallError::Headers))]);
            }
        }
    }
}
