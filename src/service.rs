//! One message, answered: from the frame that came to the frames that go back.
//!
//! This is what a job does, on a worker, without the link: map the message to a request, have the
//! application answer, map the answer to frames, and decide what becomes of the message.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use crate::{
    app::{AppError, Application, Flow, Reply},
    http::{self, Head, Mapping, Request, Responder},
    stomp::{Frame, Version},
};

/// Applications, and the rules by which messages reach them.
pub struct Service {
    /// By subscription; one alone answers all.
    apps: Vec<Arc<dyn Application>>,
    mapping: Mapping,
    policy: Policy,
}

/// What becomes of messages that fail.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How often a message is tried in all.
    pub max_attempts: u32,
    /// Where messages go that cannot be handled; `{queue}` is where they came from.
    pub dead_letter: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_attempts: 5, dead_letter: "/queue/DLQ.{queue}".to_owned() }
    }
}

/// A message as its job gets it.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) message: Frame,
    pub(crate) version: Version,
    pub(crate) attempt: u32,
    pub(crate) broker: Arc<str>,
    pub(crate) receipt: Receipt,
    /// Nobody waits any more.
    pub(crate) cancelled: Arc<AtomicBool>,
    /// The server stops: what has not begun is left to the broker.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// Which receipts a job's frames ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt(pub(crate) u64);

/// Which of a job's frames a receipt stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The reply, or its end.
    Last,
    /// A block of a stream that goes on.
    Block,
    DeadLetter,
}

impl Receipt {
    pub(crate) fn parse(id: &[u8]) -> Option<(Self, Part)> {
        let id = std::str::from_utf8(id).ok()?.strip_prefix("job-")?;
        let (job, part) = match id.split_once('/') {
            None => (id, Part::Last),
            Some((job, "dead")) => (job, Part::DeadLetter),
            Some((job, _)) => (job, Part::Block),
        };
        Some((Self(job.parse().ok()?), part))
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job-{}", self.0)
    }
}

impl Service {
    /// Joins an application with the mapping of messages to requests.
    pub fn new(app: Arc<dyn Application>, mapping: Mapping, policy: Policy) -> Self {
        Self::routed(vec![app], mapping, policy)
    }

    /// An application for each subscription, in the order of their ids. The subscription is the broker's word,
    /// while a sender may claim any header besides.
    pub(crate) fn routed(apps: Vec<Arc<dyn Application>>, mapping: Mapping, policy: Policy) -> Self {
        Self { apps, mapping, policy }
    }

    fn app(&self, message: &Frame) -> Option<&dyn Application> {
        if let [app] = &self.apps[..] {
            return Some(&**app);
        }
        let id: usize = message.headers.text("subscription")?.parse().ok()?;
        self.apps.get(id).map(|app| &**app)
    }

    /// Whose word counts for who sent a message.
    pub(crate) fn trusted_header(&self) -> Option<&str> {
        self.mapping.trust_user_header.as_deref()
    }

    pub(crate) fn may_retry(&self, attempt: u32) -> bool {
        attempt < self.policy.max_attempts
    }

    /// Answers one message. `Some` is what settles it (nothing to send: only the ACK), `None` asks for
    /// another try.
    pub(crate) fn serve(&self, delivered: &Delivered, more: &mut dyn FnMut(Vec<u8>)) -> Option<Vec<u8>> {
        if delivered.cancelled.load(Ordering::Relaxed) || delivered.stopping.load(Ordering::Relaxed) {
            return None;
        }
        let begun = Instant::now();
        let Delivered { message, version, .. } = delivered;
        let receipt = delivered.receipt.to_string();
        let request = match self.mapping.request(message, &delivered.broker, delivered.attempt) {
            Ok(request) => request,
            Err(rejected) => {
                tracing::warn!(reason = %rejected, "a message that is no request");
                return Some(if rejected.can_answer() {
                    http::reject(*version, &self.mapping, &rejected, &receipt)
                } else {
                    self.bury(delivered, &rejected.to_string())
                });
            }
        };
        if request.delivery.is_expired(SystemTime::now()) {
            tracing::info!(method = %request.method, path = %Path(&request.path), "expired before it was served");
            return Some(Vec::new());
        }
        let Some(app) = self.app(message) else {
            return Some(self.bury(delivered, "it came by no subscription of ours"));
        };
        let span = tracing::info_span!("request", method = %request.method, path = %Path(&request.path), job = delivered.receipt.0);
        let _entered = span.enter();

        let mut responder = Responder::new(*version, &self.mapping, &request, &receipt, more);
        let mut watched = Watched { responder: &mut responder, cancelled: &delivered.cancelled };
        let result = catch_unwind(AssertUnwindSafe(|| app.call(&request, &mut watched)))
            .unwrap_or_else(|_| Err(AppError("the application panicked".to_owned())));
        let finished = responder.finish(result);
        tracing::info!(
            target: "stomp_wsgi::access",
            status = finished.status,
            bytes = finished.body_len,
            ms = begun.elapsed().as_micros() as f64 / 1000.0,
            destination = %Path(&request.delivery.destination),
            "{}",
            match (request.delivery.one_way, finished.status, finished.broken) {
                (true, 200..400, _) => "taken",
                (true, ..) => "not taken",
                (false, _, true) => "broken off",
                (false, _, false) => "answered",
            },
        );
        if request.delivery.one_way {
            self.fate(delivered, &request, finished.status)
        } else {
            Some(finished.bytes)
        }
    }

    /// A one-way message's fate by the application's status: 2xx and 3xx acknowledge, 4xx is dead at once, 5xx tried again.
    fn fate(&self, delivered: &Delivered, request: &Request, status: u16) -> Option<Vec<u8>> {
        match status {
            200..400 => Some(Vec::new()),
            500.. if self.may_retry(delivered.attempt) => None,
            _ => {
                let reason = format!("{} {} was answered {status}", request.method, Path(&request.path));
                Some(self.bury(delivered, &reason))
            }
        }
    }

    fn bury(&self, delivered: &Delivered, reason: &str) -> Vec<u8> {
        self.dead_letter(delivered.version, &delivered.message, reason, delivered.receipt)
    }

    /// The frame that moves a message to the dead letters.
    pub(crate) fn dead_letter(
        &self,
        version: Version,
        message: &Frame,
        reason: &str,
        receipt: Receipt,
    ) -> Vec<u8> {
        let from = message.headers.text("destination").unwrap_or_default();
        let queue = from.strip_prefix("/queue/").or(from.strip_prefix("/topic/")).unwrap_or(from);
        // RabbitMQ takes no slash within a name.
        let queue = queue.trim_start_matches('/').replace('/', ".");
        let destination = self.policy.dead_letter.replace("{queue}", &queue);
        tracing::warn!(%destination, %reason, "dead letter");
        http::dead_letter(version, &self.mapping, message, &destination, reason, &format!("{receipt}/dead"))
    }
}

/// Ends a stream that nobody reads.
struct Watched<'a, 'r> {
    responder: &'a mut Responder<'r>,
    cancelled: &'a AtomicBool,
}

impl Reply for Watched<'_, '_> {
    fn start(&mut self, head: Head) {
        self.responder.start(head);
    }

    fn block(&mut self, block: &[u8]) -> Flow {
        if self.cancelled.load(Ordering::Relaxed) {
            return Flow::Enough;
        }
        self.responder.block(block)
    }
}

/// Bytes for a log: printable, on one line.
struct Path<'a>(&'a [u8]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}
