//! One message, answered: from the frame that came to the frames that go back.
//!
//! This is what a job does, on a worker, without the link: map the message to a request, have the
//! application answer, map the answer to frames, and decide what becomes of the message.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    activity::Activity,
    app::{AppError, Application, Flow, Reply},
    http::{self, EmptyJms, Head, Mapping, Rejected, Request, Responder, Status},
    link::{Dialect, Earlier, FrameLimits, Jms, jms},
    stomp::{Frame, Shown, Version},
};

/// Applications, and the rules by which messages reach them.
pub struct Service {
    /// By subscription; one alone answers all.
    apps: Vec<Arc<dyn Application>>,
    mapping: Mapping,
    policy: Policy,
    /// Messages that came too late to be served.
    expired: AtomicU64,
    activity: Activity,
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

impl Policy {
    /// Where a message goes that came `from` there and cannot be handled: one destination, whatever `from` is.
    pub(crate) fn dead_letter_of(&self, from: &str) -> String {
        self.dead_letters_of(from, http::harmless)
    }

    /// The same for all messages that come by a subscription to `from`, which may be a pattern.
    pub(crate) fn dead_letters_of(&self, from: &str, spelt: impl FnOnce(&str) -> String) -> String {
        let kinds = ["/queue/", "/topic/", "/amq/queue/"];
        let queue = kinds.iter().find_map(|kind| from.strip_prefix(kind)).unwrap_or(from);
        // RabbitMQ takes no slash within a name.
        let queue = queue.trim_start_matches('/').replace('/', ".");
        self.dead_letter.replace("{queue}", &spelt(&queue))
    }
}

/// A connection that messages come by.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Counts connections: an ACK goes to the one that delivered, or to none.
    pub(crate) epoch: u64,
    pub(crate) broker: Arc<str>,
    pub(crate) version: Version,
    pub(crate) dialect: Dialect,
    /// Whether the broker is known to be of this dialect. One that we do not know is taken for ActiveMQ.
    pub(crate) known: bool,
    pub(crate) jms: Jms,
    /// What a frame may hold that goes there.
    pub(crate) limits: &'static FrameLimits,
    /// The server stops: what has not begun is left to the broker.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// A message as its job gets it.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) message: Frame,
    pub(crate) origin: Arc<Origin>,
    /// Counts from 1, or on from what the broker says of earlier deliveries.
    pub(crate) attempt: u32,
    pub(crate) earlier: Earlier,
    pub(crate) receipt: Receipt,
    pub(crate) progress: Progress,
    /// When it came; it may have been tried before.
    pub(crate) since: Instant,
    /// It is acknowledged, and so can be left to nobody.
    pub(crate) acknowledged: bool,
}

impl Delivered {
    /// The same for one more job.
    pub(crate) fn again(&self, now: Instant, attempt: u32, acknowledged: bool) -> Self {
        let Self { ref message, ref origin, earlier, receipt, since, .. } = *self;
        let (message, origin) = (message.clone(), Arc::clone(origin));
        Self { message, origin, attempt, earlier, receipt, progress: Progress::new(now), since, acknowledged }
    }

    fn may_begin(&self, now: Instant) -> bool {
        (self.acknowledged || !self.origin.stopping.load(Ordering::Relaxed)) && self.progress.begin(now)
    }
}

/// How far a job is: what its worker and its link tell each other.
#[derive(Debug)]
pub(crate) struct Progress {
    since: Instant,
    /// [`WAITING`], [`CANCELLED`], or the microseconds after `since` at which it began.
    begun: AtomicU64,
    /// Why its message became a dead letter.
    buried: OnceLock<Box<str>>,
    /// So many servers ended with its message in hand that it is not served again.
    given_up: AtomicBool,
}

const WAITING: u64 = u64::MAX;
const CANCELLED: u64 = u64::MAX - 1;

/// When a job began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It waits for a worker.
    NotYet,
    At(Instant),
    /// It was cancelled: it does not begin any more, and ends soon if it had begun.
    Never,
}

impl Progress {
    /// A job that was made `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            begun: AtomicU64::new(WAITING),
            buried: OnceLock::new(),
            given_up: AtomicBool::new(false),
        }
    }

    /// Whether the job may begin. It may not where nobody waits any more.
    pub(crate) fn begin(&self, now: Instant) -> bool {
        let waited = u64::try_from(self.waited(now).as_micros()).unwrap_or(CANCELLED).min(CANCELLED - 1);
        self.begun.compare_exchange(WAITING, waited, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn begun(&self) -> Begun {
        match self.begun.load(Ordering::Relaxed) {
            WAITING => Begun::NotYet,
            CANCELLED => Begun::Never,
            waited => Begun::At(self.since + Duration::from_micros(waited)),
        }
    }

    /// Nobody waits any more.
    pub(crate) fn cancel(&self) {
        self.begun.store(CANCELLED, Ordering::Relaxed);
    }

    /// The same for a job that has not begun; `false` where it has.
    pub(crate) fn cancel_unbegun(&self) -> bool {
        self.begun.compare_exchange(WAITING, CANCELLED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == CANCELLED
    }

    /// What is sent of it is a dead letter, for the first of the reasons given.
    pub(crate) fn bury(&self, reason: &str) {
        self.buried.get_or_init(|| reason.into());
    }

    /// Its message is not served again.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Why, if it is.
    pub(crate) fn buried(&self) -> Option<&str> {
        self.buried.get().map(|reason| &**reason)
    }

    fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
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
    /// What tells a requester that there will be no other reply; a dead letter follows.
    Notice,
    /// The ACK of a message that is acknowledged first.
    Ack,
    /// The COMMIT of a reply and its ACK.
    Commit,
}

impl Receipt {
    pub(crate) fn parse(id: &[u8]) -> Option<(Self, Part)> {
        let id = id.strip_prefix(b"job-")?;
        let (job, part) = match memchr::memchr(b'/', id) {
            None => (id, Part::Last),
            Some(slash) => (
                &id[..slash],
                match &id[slash + 1..] {
                    b"dead" => Part::DeadLetter,
                    b"notice" => Part::Notice,
                    b"ack" => Part::Ack,
                    b"commit" => Part::Commit,
                    _ => Part::Block,
                },
            ),
        };
        Some((Self(http::decimal(job)?), part))
    }

    /// What the broker is to say when it has the last of the job's frames.
    pub(crate) fn id(self) -> String {
        const LONGEST: usize = "job-18446744073709551615".len();
        let mut id = String::with_capacity(LONGEST);
        id.push_str("job-");
        id.push_str(itoa::Buffer::new().format(self.0));
        id
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
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
        Self { apps, mapping, policy, expired: AtomicU64::new(0), activity: Activity::default() }
    }

    /// The calls of all applications.
    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// What every thread is doing, by the first application that can tell.
    pub(crate) fn stacks(&self) -> Option<String> {
        self.apps.iter().find_map(|app| app.stacks())
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

    /// Whether the deployer says so, without which that word does not count.
    pub(crate) fn all_senders_use_stomp(&self) -> bool {
        self.mapping.all_senders_use_stomp
    }

    /// Whether somebody waits for an answer to this message, and may be sent one, be it a request or not.
    pub(crate) fn can_answer(&self, message: &Frame, dialect: Dialect) -> bool {
        let refused = |reply_to| (dialect.row().refuses)(reply_to).is_some();
        self.mapping.can_answer(message) && !message.headers.get("reply-to").is_some_and(refused)
    }

    /// Why this broker would not take the dead letters of what comes from there, if so.
    pub(crate) fn refused_dead_letter(&self, dialect: Dialect, from: &str) -> Option<String> {
        let destination = self.policy.dead_letter_of(from);
        let why = (dialect.row().refuses)(destination.as_bytes())?;
        Some(format!("--dead-letter: {destination:?}, for what comes from {from}: {why}"))
    }

    /// Whether a broker with these limits takes this frame.
    pub(crate) fn fits_frame(&self, frame: &[u8], limits: &FrameLimits) -> bool {
        self.mapping.fits_frame(frame, limits)
    }

    pub(crate) fn max_attempts(&self) -> u32 {
        self.policy.max_attempts
    }

    pub(crate) fn may_retry(&self, attempt: u32) -> bool {
        attempt < self.policy.max_attempts
    }

    /// Answers one message. `Some` is what settles it (nothing to send: only the ACK), `None` asks for
    /// another try.
    pub(crate) fn serve(&self, delivered: &Delivered, more: &mut dyn FnMut(Vec<u8>)) -> Option<Vec<u8>> {
        let begun = Instant::now();
        if !delivered.may_begin(begun) {
            return None;
        }
        let Delivered { origin, progress, .. } = delivered;
        let version = origin.version;
        let receipt = delivered.receipt.id();
        let request = self.request(delivered, begun);
        let request = match &request {
            Ok(request) => request,
            Err(rejected) => {
                tracing::warn!(reason = %rejected, "a message that is no request");
                return Some(if rejected.can_answer() {
                    http::reject(version, &self.mapping, rejected, &receipt)
                } else {
                    self.bury(delivered, &rejected.to_string())
                });
            }
        };
        if request.delivery.has_expired() {
            let expired = self.expired.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::info!(method = %request.method, path = %Shown(&request.path), expired, "expired before it was served");
            return Some(Vec::new());
        }
        if progress.is_given_up() {
            return Some(self.give_up(delivered, request, more));
        }
        let Some(app) = self.app(&delivered.message) else {
            return Some(self.bury(delivered, "it came by no subscription of ours"));
        };
        let span = tracing::info_span!("request", method = %request.method, path = %Shown(&request.path), job = delivered.receipt.0);
        let _entered = span.enter();

        let busy = self.activity.begin();
        let mut more = |bytes| busy.pause(|| more(bytes));
        let mut responder = Responder::new(version, &self.mapping, request, &receipt, &mut more);
        let mut watched = Watched { responder: &mut responder, progress };
        let result = catch_unwind(AssertUnwindSafe(|| app.call(request, &mut watched)))
            .unwrap_or_else(|_| Err(AppError("the application panicked".to_owned())));
        let finished = responder.finish(result);
        drop(busy);
        tracing::info!(
            target: "stomp_wsgi::access",
            status = finished.status,
            bytes = finished.body_len,
            ms = begun.elapsed().as_micros() as f64 / 1000.0,
            destination = %Shown(request.delivery.destination()),
            "{}",
            match (request.delivery.one_way, finished.status, finished.broken) {
                _ if progress.is_cancelled() => "of no use any more",
                (true, 200..400, _) => "taken",
                (true, ..) => "not taken",
                (false, _, true) => "broken off",
                (false, _, false) if request.delivery.has_expired() => "answered after it had expired",
                (false, _, false) => "answered",
            },
        );
        if request.delivery.one_way {
            self.fate(delivered, request, finished.status)
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
                let reason = format!("{} {} was answered {status}", request.method, Shown(&request.path));
                Some(self.bury(delivered, &reason))
            }
        }
    }

    /// What becomes of a message that kills servers, by all that is known: it is not served. Whoever waits is told, and the
    /// dead letter is there to be looked at.
    fn give_up(&self, delivered: &Delivered, request: &Request, more: &mut dyn FnMut(Vec<u8>)) -> Vec<u8> {
        let lost = delivered.earlier.lost;
        let reason = format!("not served: {lost} servers or connections ended while they had this message");
        tracing::error!(method = %request.method, path = %Shown(&request.path), lost,
            "a message is not served: as often a server or its connection ended that had it");
        if !request.delivery.one_way {
            let (version, status) = (delivered.origin.version, Status::of(500));
            let text = format!("{reason}\n");
            more(http::answer(version, &self.mapping, &request.delivery, &status, &text, ""));
        }
        self.bury(delivered, &reason)
    }

    fn request(&self, delivered: &Delivered, now: Instant) -> Result<Request, Rejected> {
        let Delivered { message, origin, .. } = delivered;
        let repaired = jms::repaired_message(message, origin.jms);
        let message = repaired.as_ref().unwrap_or(message);
        let mut request = self.mapping.request(message, &origin.broker, delivered.attempt);
        http::check_reply(&mut request, origin.dialect, origin.known);
        let delivery = match &mut request {
            Ok(request) => &mut request.delivery,
            Err(rejected) => &mut rejected.delivery,
        };
        let ago = || now.saturating_duration_since(delivered.since);
        delivery.came_from(origin.dialect, origin.jms, origin.limits, ago);
        match request {
            Ok(request) if self.mapping.lacks_its_body(&request, origin.jms) => {
                self.mapping.with_its_body(request, origin.jms)
            }
            request => request,
        }
    }

    /// Whether a message has to be left to the broker: it has a body, for all that is known, and only the broker has it.
    pub(crate) fn is_withheld(&self, message: &Frame, jms: Jms) -> bool {
        message.body.is_empty()
            && self.mapping.empty_jms == EmptyJms::Reject
            && self.mapping.is_withheld(message, jms)
    }

    /// What tells a requester that the application has not answered in time: 504, or 503 where its request was
    /// not even begun. A stream of which so many `blocks` were sent is broken off. `None` where nobody waits.
    pub(crate) fn overdue(&self, delivered: &Delivered, begun: bool, blocks: u64) -> Option<Vec<u8>> {
        let request = self.request(delivered, Instant::now()).ok()?;
        if request.delivery.one_way {
            return None;
        }
        let (version, receipt) = (delivered.origin.version, delivered.receipt.id());
        let code = if begun { 504 } else { 503 };
        tracing::warn!(method = %request.method, path = %Shown(&request.path), job = delivered.receipt.0, status = code,
            blocks, "not answered in time");
        if blocks > 0 {
            return Some(http::break_off(version, &self.mapping, &request.delivery, blocks, &receipt));
        }
        let status = Status::of(code);
        let text = format!("{}\n", String::from_utf8_lossy(&status.reason));
        Some(http::answer(version, &self.mapping, &request.delivery, &status, &text, &receipt))
    }

    /// The end of a stream of which a block was lost, in place of the one that the application gave. `None` where
    /// nobody waits for it.
    pub(crate) fn broken_off(&self, delivered: &Delivered, blocks: u64) -> Option<Vec<u8>> {
        let request = self.request(delivered, Instant::now()).ok()?;
        let (version, receipt) = (delivered.origin.version, delivered.receipt.id());
        Some(http::break_off(version, &self.mapping, &request.delivery, blocks, &receipt))
    }

    /// What tells a requester that its request is not served again, as the reply to it ended the connection each time.
    /// `None` where nobody waits, or may be told.
    pub(crate) fn notice(&self, delivered: &Delivered) -> Option<Vec<u8>> {
        const TEXT: &str = "the reply to this request ended the connection to the broker each time that it was sent; it may \
                            be larger than the broker takes. The request is not tried again\n";
        let request = self.request(delivered, Instant::now()).ok()?;
        if request.delivery.one_way {
            return None;
        }
        let (version, receipt) = (delivered.origin.version, format!("{}/notice", delivered.receipt));
        Some(http::answer(version, &self.mapping, &request.delivery, &Status::of(500), TEXT, &receipt))
    }

    fn bury(&self, delivered: &Delivered, reason: &str) -> Vec<u8> {
        delivered.progress.bury(reason);
        let Delivered { origin, message, receipt, .. } = delivered;
        self.dead_letter(origin.version, origin.dialect, message, reason, *receipt)
    }

    /// Where this message goes if it becomes a dead letter.
    pub(crate) fn dead_letter_of(&self, message: &Frame) -> String {
        self.policy.dead_letter_of(message.headers.text("destination").unwrap_or_default())
    }

    /// The frame that moves a message to the dead letters. It is empty where there is none that we may send to.
    pub(crate) fn dead_letter(
        &self,
        version: Version,
        dialect: Dialect,
        message: &Frame,
        reason: &str,
        receipt: Receipt,
    ) -> Vec<u8> {
        if let Some(cut) = message.cut {
            let (octets, headers, why) = cut.explain();
            tracing::error!(
                octets,
                headers,
                why,
                "a dead letter without its body: the broker cannot be told to keep the message"
            );
        }
        let destination = self.dead_letter_of(message);
        let shown = Shown(destination.as_bytes());
        if let Err(error) = http::check_dead_letter(&destination, &self.mapping.consumed) {
            tracing::error!(destination = %shown, %error, "a dead letter cannot be sent");
            return Vec::new();
        }
        tracing::warn!(destination = %shown, %reason, "dead letter");
        let receipt = format!("{receipt}/dead");
        http::dead_letter(version, dialect, &self.mapping, message, &destination, reason, &receipt)
    }
}

/// Ends a stream that nobody reads.
struct Watched<'a, 'r> {
    responder: &'a mut Responder<'r>,
    progress: &'a Progress,
}

impl Reply for Watched<'_, '_> {
    fn start(&mut self, head: Head) {
        self.responder.start(head);
    }

    fn block(&mut self, block: &[u8]) -> Flow {
        if self.progress.is_cancelled() {
            return Flow::Gone;
        }
        self.responder.block(block)
    }
}
