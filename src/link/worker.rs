//! The link that serves: takes messages from queues, has them answered, and settles them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use reactors::{Action, End, Input, Job, Link, Output, Stop};

use super::{
    Company, Connection, ConnectionConfig, Dialect, Event, Ledger,
    connection::Down,
    ledger::State,
    suspects::{BY_END, BY_ERROR, Suspects, Verdict},
};
use crate::{
    config::{DeliveryMode, Source},
    service::{Begun, Delivered, Origin, Part, Receipt, Service},
    stomp::{Command, Cut, Encoder, Frame, Version},
};

/// What a worker link serves, and how.
#[derive(Debug, Clone)]
pub(crate) struct WorkerConfig {
    pub(crate) connection: ConnectionConfig,
    /// Which of several connections this is, for the log.
    pub(crate) number: Option<usize>,
    /// Queues and topics to subscribe to; their places are the ids of the subscriptions.
    pub(crate) sources: Vec<Source>,
    /// Unacknowledged messages that the broker may have given us, per destination.
    pub(crate) prefetch: u32,
    /// How long a stop waits for what runs.
    pub(crate) drain_timeout: Duration,
    /// Before the second try of a message that failed; doubles with each.
    pub(crate) retry_delay: Duration,
    /// When a message is acknowledged.
    pub(crate) delivery: DeliveryMode,
    /// How long a request waits for a worker, and then for its answer, or the next block of it.
    pub(crate) request_timeout: Option<Duration>,
}

/// Why a link ended although nobody asked it to. Shared by all links: none goes on without the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fatal {
    why: Arc<Mutex<Option<String>>>,
    stop: Stop,
}

impl Fatal {
    /// Has `stop` asked for, so that what still runs is waited for only as long as at any stop.
    pub(crate) fn new(stop: Stop) -> Self {
        Self { why: Arc::default(), stop }
    }

    fn set(&self, why: String) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.stop.stop();
    }

    /// The first reason, if there was any.
    pub(crate) fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A worker link: one connection to the broker, reconnecting by itself.
pub(crate) struct Worker {
    config: WorkerConfig,
    service: Arc<Service>,
    connection: Connection,
    /// The same as jobs see it.
    origin: Arc<Origin>,
    ledger: Ledger,
    /// Messages whose jobs are still to be handed out, in order.
    ready: VecDeque<u64>,
    suspects: Suspects,
    /// At most once: messages that are not acknowledged yet, in order.
    held: VecDeque<u64>,
    phase: Phase,
    /// Jobs that have not begun are not to begin any more.
    stopping: Arc<AtomicBool>,
    fatal: Fatal,
    span: tracing::Span,
    was_up: bool,
    /// The sources that a broker once let us subscribe to.
    was_subscribed: Vec<bool>,
    /// The earliest retry.
    retry: Option<Instant>,
    /// When to look next for requests that take too long.
    look: Option<Instant>,
    company: Company,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Waits for what runs, until then.
    Draining(Instant),
    /// The same, to go to a broker of choice then.
    Returning(Instant),
    /// Sent DISCONNECT on the way there.
    Parting(Instant),
    /// Sent DISCONNECT; waits for its RECEIPT, until then.
    Leaving(Instant),
    Over,
}

/// How long DISCONNECT waits for its RECEIPT.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
const GOODBYE: &str = "goodbye";
/// Messages that are not settled, where more than four times the prefetch: from a broker that ignores that we take
/// no more. Those that run are fewer: while they are too many, nothing is read.
const MOST: usize = 10_000;
/// No retry waits longer than this.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

impl Worker {
    /// A link that will have `service` answer what comes. What ends it before its time is left in `fatal`.
    pub(crate) fn new(config: WorkerConfig, service: Arc<Service>, fatal: Fatal) -> Self {
        let span = tracing::info_span!("link", broker = %config.connection.brokers, number = config.number);
        let connection = Connection::new(config.connection.clone());
        let stopping = Arc::default();
        Self {
            origin: origin(&connection, &stopping),
            connection,
            service,
            ledger: Ledger::default(),
            ready: VecDeque::new(),
            suspects: Suspects::default(),
            held: VecDeque::new(),
            phase: Phase::Serving,
            stopping,
            fatal,
            span,
            was_up: false,
            was_subscribed: vec![false; config.sources.len()],
            retry: None,
            look: None,
            company: Company::default(),
            config,
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Up => self.up(),
            Event::Message(message) => self.deliver(now, message),
            Event::Unreadable(message) => self.unreadable(now, message),
            Event::Receipt(id) => self.receipt(now, &id),
            Event::Error(frame) => self.error(now, &frame),
            Event::Return => self.go_back(now),
            Event::Down(down) => self.down(now, &down),
        }
    }

    fn up(&mut self) {
        self.origin = origin(&self.connection, &self.stopping);
        if self.phase != Phase::Serving {
            return;
        }
        let dialect = self.connection.dialect();
        let version = self.connection.version();
        tracing::info!(to = %self.connection.peer(), %dialect, version = version.as_str(), "connected");
        self.was_up = true;
        if self.config.delivery == DeliveryMode::Transactional && !dialect.acks_in_transactions() {
            tracing::warn!(
                "this broker acknowledges at once within a transaction: replies are sent and confirmed first, \
                 as with --delivery at-least-once"
            );
        }
        // All subscriptions are acknowledged one by one.
        self.connection.set_needed(match version {
            Version::V1_2 => &["message-id", "subscription", "ack"],
            _ => &["message-id", "subscription"],
        });
        if let Err(why) = self.subscribe(dialect, version) {
            self.fatal.set(why);
            self.leave_at_once();
        }
    }

    fn subscribe(&mut self, dialect: Dialect, version: Version) -> Result<(), String> {
        if let Some(header) = self.service.trusted_header() {
            match self.connection.user_header() {
                Some(verified) if verified == header => {}
                Some(verified) => {
                    return Err(format!(
                        "--trust-user-header {header}: this broker lets anyone say that; what it verifies is {verified}"
                    ));
                }
                None => {
                    return Err(format!(
                        "--trust-user-header {header}: of this broker it is not known that it verifies who sent a \
                         message; serve without that option, or, where it is ActiveMQ or RabbitMQ, say so with --dialect"
                    ));
                }
            }
        }
        let client = self.config.connection.client_id.as_deref().unwrap_or_default();
        for (id, source) in self.config.sources.iter().enumerate() {
            let options = dialect.options(source, client)?;
            let (prefetch, window) = dialect.prefetch(self.config.prefetch);
            let mut frame = Encoder::new(self.connection.out(), version, Command::Subscribe)
                .header("id", id.to_string())
                .header("destination", &source.destination)
                .header("ack", "client-individual")
                .number(prefetch, window)
                .header("receipt", format!("subscribe-{id}"));
            let kind =
                dialect.subscription_type(&source.destination).map(|(name, value)| (name, value.to_owned()));
            for (name, value) in options.into_iter().chain(kind) {
                frame = frame.header(name, value);
            }
            frame.finish();
        }
        Ok(())
    }

    fn deliver(&mut self, now: Instant, message: Frame) {
        if self.ledger.len() >= MOST.max(4 * self.window()) {
            let why = format!(
                "the broker ignores the prefetch, and has not confirmed {} replies",
                self.ledger.len()
            );
            return self.connection.fail(why);
        }
        // Draining: unacknowledged, it goes back to the broker when we leave.
        if self.phase == Phase::Serving {
            // Nobody is told, and we have no body for a dead letter.
            let lost = message.cut.is_some() && !self.service.can_answer(&message);
            let unclear = message.cut == Some(Cut::Unclear);
            if unclear || lost && self.connection.dialect().nack(self.connection.version()).is_some() {
                let why = message.cut.map_or("", |cut| cut.explain().2);
                let job = self.ledger.deliver(now, message, &self.origin, State::Replied);
                self.bury(job, why);
                if unclear {
                    self.reconnect(
                        now,
                        "the frames behind that message may be lost until they are delivered again",
                    );
                }
                return;
            }
            let verdict = self.suspects.verdict(&message);
            let first = match verdict {
                Verdict::Condemned | Verdict::Hopeless => State::Condemned,
                // Whatever the mode, the ACK of one that would be lost must not go first.
                Verdict::Innocent if self.config.delivery == DeliveryMode::AtMostOnce && !lost => State::Held,
                _ => State::Running,
            };
            let job = self.ledger.deliver(now, message, &self.origin, first);
            match verdict {
                Verdict::Innocent if first == State::Held => self.held.push_back(job),
                Verdict::Innocent => self.ready.push_back(job),
                Verdict::Suspect | Verdict::Condemned => self.suspects.push(job),
                Verdict::Hopeless => {
                    tracing::error!(
                        "dropped a message: its reply, and its dead letter, ended the connection each time"
                    );
                    self.settle(job);
                }
            }
            self.keep_an_eye(now);
        }
    }

    /// Settles a message behind which the connection cannot be read on, without its answer or any RECEIPT, and leaves:
    /// the broker carries out what it was sent before it closes the connection.
    fn unreadable(&mut self, now: Instant, message: Frame) {
        if self.phase != Phase::Serving {
            return self.connection.fail("a message cannot be read".to_owned());
        }
        self.give_back();
        // Its body is not to be trusted.
        let message = Frame { body: Bytes::new(), cut: Some(Cut::Unclear), ..message };
        let job = self.ledger.deliver(now, message, &self.origin, State::Replied);
        self.bury(job, "the connection could not be read behind it, three times");
        if let Some(entry) = self.ledger.remove(job) {
            entry.ack(self.connection.version(), None, self.connection.out());
        }
        self.disconnect();
        self.connection.leaving();
        self.phase = Phase::Parting(now + LEAVE_TIMEOUT);
    }

    /// On requests that may take too long.
    fn keep_an_eye(&mut self, now: Instant) {
        if self.look.is_none() {
            self.look = self.config.request_timeout.and_then(|timeout| now.checked_add(timeout));
        }
    }

    /// At most once: acknowledges what there is room for. It is served when the broker has confirmed the ACK.
    fn acknowledge_first(&mut self) {
        while !self.held.is_empty() && self.ledger.unsettled() < self.window() {
            let Some(job) = self.held.pop_front() else { return };
            let Some(entry) = self.ledger.get(job) else { continue };
            let receipt = format!("{}/ack", Receipt(job));
            let version = self.connection.version();
            entry.ack(version, Some(("receipt", &receipt)), self.connection.out());
            self.ledger.acknowledged(job, State::Acking);
        }
    }

    fn job(&self, job: u64) -> Option<Job> {
        let delivered = Arc::clone(&self.ledger.get(job)?.delivered);
        let service = Arc::clone(&self.service);
        Some(Job::new(job, move |more| service.serve(&delivered, more)))
    }

    fn output(&mut self, now: Instant, output: Output) {
        let Output { job, bytes, end } = output;
        let Some(entry) = self.ledger.heard(now, job, end.is_some()) else { return };
        if !entry.is_of(self.connection.epoch()) {
            // It was answered in its place, or its connection is gone and the broker delivers it again.
            match end {
                Some(_) => drop(self.ledger.remove(job)),
                None => entry.delivered.progress.cancel(),
            }
            return;
        }
        match (entry.state, end) {
            (State::Running, None) => {
                entry.blocks += 1;
                self.connection.push(bytes);
            }
            (State::Running, Some(End::Done)) if bytes.is_empty() => self.settle(job),
            (State::Running, Some(End::Done)) => {
                let buried = entry.delivered.progress.buried().is_some();
                self.answer(job, bytes, buried);
            }
            (State::Running | State::Late, Some(_)) => self.failed(now, job),
            // Too late: it was answered in its place.
            _ => {}
        }
    }

    /// Sends what answers a message, or the dead letter that it has become.
    fn answer(&mut self, job: u64, bytes: Vec<u8>, buried: bool) {
        // A dead letter may be refused, and its message must not be acknowledged then.
        let send = if buried { None } else { bytes.strip_prefix(b"SEND\n") };
        match (send, self.ledger.get(job)) {
            (Some(send), Some(entry)) if self.is_transactional() => {
                let version = self.connection.version();
                let transaction = Receipt(job).to_string();
                let within = Some(("transaction", &*transaction));
                let out = self.connection.out();
                Encoder::new(out, version, Command::Begin).header("transaction", &transaction).finish();
                out.extend_from_slice(b"SEND\ntransaction:");
                out.extend_from_slice(transaction.as_bytes());
                out.push(b'\n');
                out.extend_from_slice(send);
                entry.ack(version, within, out);
                Encoder::new(out, version, Command::Commit)
                    .header("transaction", &transaction)
                    .header("receipt", format!("{transaction}/commit"))
                    .finish();
                self.ledger.acknowledged(job, State::Committing);
            }
            _ => {
                self.connection.push(bytes);
                self.ledger.set(job, State::Replied);
            }
        }
    }

    fn is_transactional(&self) -> bool {
        self.config.delivery == DeliveryMode::Transactional
            && self.connection.dialect().acks_in_transactions()
    }

    /// Answers requests that take too long in the application's place. Its jobs go on: nothing can end them.
    fn overdue(&mut self, now: Instant) {
        let Some(timeout) = self.config.request_timeout else { return };
        if self.look.is_none_or(|at| at > now) {
            return;
        }
        for job in self.ledger.overdue(now, timeout) {
            let Some(entry) = self.ledger.get(job) else { continue };
            let delivered = Arc::clone(&entry.delivered);
            let progress = &delivered.progress;
            let begun = progress.begun() != Begun::NotYet;
            match self.service.overdue(&delivered, begun, entry.blocks) {
                Some(reply) => {
                    // Where it has begun in the meantime, it has its time.
                    if begun || progress.cancel_unbegun() {
                        progress.cancel();
                        self.ledger.heard(now, job, false);
                        self.answer(job, reply, false);
                    }
                }
                None if begun => self.late(job, timeout),
                None => drop(self.ledger.heard(now, job, false)),
            }
        }
        self.look = self.ledger.next_deadline(timeout);
    }

    /// A message that nobody waits for takes too long. It has failed; but it is not run again while it runs.
    fn late(&mut self, job: u64, timeout: Duration) {
        let Some(entry) = self.ledger.get(job) else { return };
        let attempt = entry.delivered.attempt;
        entry.delivered.progress.cancel();
        if entry.acknowledged || !self.service.may_retry(attempt) {
            self.bury(job, &format!("not done within {timeout:?}, attempt {attempt}"));
        } else {
            tracing::warn!(
                job,
                attempt,
                ?timeout,
                "a message takes too long, and will be tried again when it has ended"
            );
            self.ledger.set(job, State::Late);
        }
    }

    /// The application never answered: again after a while, or to the dead letters.
    fn failed(&mut self, now: Instant, job: u64) {
        let Some(entry) = self.ledger.get(job) else { return };
        let (attempt, acknowledged) = (entry.delivered.attempt, entry.acknowledged);
        if self.phase != Phase::Serving && !acknowledged {
            // Unacknowledged, it is the broker's again when we leave.
            self.ledger.remove(job);
            return;
        }
        if self.service.may_retry(attempt) && !acknowledged {
            let delay =
                self.config.retry_delay.saturating_mul(1 << (attempt - 1).min(16)).min(MAX_RETRY_DELAY);
            tracing::warn!(attempt, ?delay, "a message failed and will be tried again");
            self.retry_at(job, now + delay);
        } else {
            self.bury(job, &format!("failed {attempt} times"));
        }
    }

    /// Sends a message to the dead letters.
    fn bury(&mut self, job: u64, reason: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let version = self.connection.version();
        let dialect = self.connection.dialect();
        let nack = dialect.nack(version).filter(|_| !entry.acknowledged);
        let Delivered { message, progress, .. } = &*entry.delivered;
        if let (Some(cut), Some(requeue)) = (message.cut, nack) {
            // Only the broker has it whole.
            let destination = message.headers.text("destination");
            let (octets, headers, _) = cut.explain();
            tracing::error!(
                destination,
                octets,
                headers,
                reason,
                "refused a message (NACK): the broker's dead letters have it, if it keeps any"
            );
            entry.nack(version, requeue, self.connection.out());
            let entry = self.ledger.remove(job);
            return entry.into_iter().for_each(|entry| self.ledger.outlive(job, entry));
        }
        progress.bury(reason);
        let frame = self.service.dead_letter(version, dialect, message, reason, Receipt(job));
        self.connection.push(frame);
        self.ledger.set(job, State::Replied);
    }

    fn retry_at(&mut self, job: u64, at: Instant) {
        self.ledger.set(job, State::Retrying(at));
        self.retry = Some(self.retry.map_or(at, |earliest| earliest.min(at)));
    }

    /// Acknowledges.
    fn settle(&mut self, job: u64) {
        if let Some(entry) = self.ledger.remove(job) {
            self.suspects.acquit(&entry.delivered.message);
            if !entry.acknowledged {
                let version = self.connection.version();
                let waits = self.phase == Phase::Serving && self.company.joins();
                let out = if waits { self.connection.later() } else { self.connection.out() };
                entry.ack(version, None, out);
            }
            self.ledger.outlive(job, entry);
        }
    }

    /// Has ACKs go out alone, if it is time.
    fn release(&mut self, now: Instant) {
        self.company.learn(now);
        if self.connection.later().is_empty() {
            self.company.leave(now);
        } else if self.company.lets_go(now, &self.ledger, self.config.prefetch as usize) {
            self.connection.release();
        }
    }

    fn receipt(&mut self, now: Instant, id: &[u8]) {
        if id == GOODBYE.as_bytes() && self.returns() {
            self.connection.leave();
        } else if id == GOODBYE.as_bytes() {
            self.connection.end();
            self.phase = Phase::Over;
        } else if let Some((Receipt(job), part)) = Receipt::parse(id) {
            let Some(entry) = self.ledger.get(job) else { return };
            match (entry.state, part) {
                (State::Replied, Part::Last | Part::DeadLetter) | (State::Committing, Part::Commit) => {
                    if part != Part::DeadLetter {
                        self.company.confirmed(entry.heard);
                    }
                    self.connection.served();
                    self.settle(job);
                }
                (State::Acking, Part::Ack) => {
                    self.run(now, job);
                }
                _ => {}
            }
        } else if let Some(id) = self.subscription(id) {
            self.was_subscribed[id] = true;
            let destination = &self.config.sources[id].destination;
            tracing::info!(%destination, prefetch = self.config.prefetch, "subscribed");
        }
    }

    /// Has a job handed out that waited for something.
    fn run(&mut self, now: Instant, job: u64) {
        self.ledger.run(now, job);
        self.ready.push_back(job);
        self.keep_an_eye(now);
    }

    /// Which of our SUBSCRIBEs this receipt is for.
    fn subscription(&self, receipt: &[u8]) -> Option<usize> {
        let id = std::str::from_utf8(receipt).ok()?.strip_prefix("subscribe-")?.parse().ok()?;
        (id < self.config.sources.len()).then_some(id)
    }

    /// The source that this ERROR refuses, where it will do so each time: its options are to blame.
    fn refused(&self, frame: &Frame) -> Option<&Source> {
        let id = self.subscription(frame.headers.get("receipt-id")?)?;
        let source = &self.config.sources[id];
        let optional = source.selector.is_some() || source.durable.is_some();
        (optional && !self.was_subscribed[id]).then_some(source)
    }

    fn error(&mut self, now: Instant, frame: &Frame) {
        if !self.connection.is_up() {
            // RabbitMQ goes on with what it had read, and complains of each frame: one connection, one suspicion.
            return;
        }
        let said = frame.complaint();
        if let Some(source) = self.refused(frame) {
            let by = [("selector", &source.selector), ("durable", &source.durable)];
            let options: String = by
                .iter()
                .filter_map(|(name, value)| Some(format!(", {name} {:?}", value.as_ref()?)))
                .collect();
            self.fatal.set(format!("the broker refuses the subscription to {source}{options}: {said}"));
            return self.leave_at_once();
        }
        let of = frame.headers.get("receipt-id").and_then(Receipt::parse);
        // Of an ACK or a COMMIT that failed nobody knows what became.
        let of = of.filter(|(_, part)| !matches!(part, Part::Ack | Part::Commit));
        // The failure of one reply, and not of the connection: a requester that is gone.
        if let (Some((Receipt(job), part)), true) = (of, self.connection.dialect().survives_error()) {
            let Some(entry) = self.ledger.get(job) else { return };
            entry.delivered.progress.cancel();
            if part == Part::DeadLetter {
                tracing::error!(error = %said, "the broker refused a dead letter; it will be sent again");
                self.retry_at(job, now + MAX_RETRY_DELAY);
            } else {
                tracing::warn!(job, error = %said, "a reply could not be delivered: the requester has gone");
                if entry.state == State::Replied {
                    self.settle(job);
                }
            }
            return;
        }
        self.suspects.accuse(BY_ERROR, self.ledger.unconfirmed());
        self.connection.fail(format!("the broker reported an error: {said}"));
    }

    fn down(&mut self, now: Instant, down: &Down) {
        if self.phase == Phase::Serving {
            self.suspects.accuse(BY_END, self.ledger.unconfirmed());
        }
        self.give_back();
        let running = self.ledger.running();
        self.ledger.lost();
        (self.retry, self.look) = (None, None);
        self.company = Company::default();
        // Where there is another broker at once, that one may have us.
        let refused = down.refused && !self.was_up && down.retry_in != Some(Duration::ZERO);
        let fatal = refused || down.retry_in.is_none();
        if self.returns() {
            self.phase = Phase::Serving;
        }
        if self.phase != Phase::Serving {
            tracing::warn!(why = %down.why, "lost the broker while draining");
            self.connection.end();
            if !matches!(self.phase, Phase::Draining(_)) {
                self.leave_at_once();
            }
        } else if fatal {
            if running > 0 {
                tracing::error!(why = %down.why, running, "not trying again; waiting for what runs");
            }
            self.fatal.set(down.why.clone());
            self.connection.end();
            self.phase = Phase::Draining(now + self.config.drain_timeout);
        } else {
            let retry_in = down.retry_in.unwrap_or_default();
            let retry_in_ms = retry_in.as_millis();
            tracing::warn!(why = %down.why, retry_in_ms, "not connected; trying again");
        }
    }

    /// Ends what there is with this broker, to go to one of choice. What is not begun is left to others.
    fn go_back(&mut self, now: Instant) {
        if self.phase == Phase::Serving {
            self.reconnect(now, "a broker of choice is there: going back to it");
        }
    }

    /// Ends this connection in good order, and begins the next.
    fn reconnect(&mut self, now: Instant, why: &str) {
        if self.phase == Phase::Serving {
            tracing::info!(running = self.ledger.running(), "{why}");
            self.phase = Phase::Returning(now + self.config.drain_timeout);
            self.give_back();
        }
    }

    fn returns(&self) -> bool {
        matches!(self.phase, Phase::Returning(_) | Phase::Parting(_))
    }

    fn stop(&mut self, now: Instant) {
        self.phase = match self.phase {
            Phase::Serving | Phase::Returning(_) => Phase::Draining(now + self.config.drain_timeout),
            Phase::Parting(_) => Phase::Leaving(now + LEAVE_TIMEOUT),
            _ => return,
        };
        self.stopping.store(true, Ordering::Relaxed);
        self.give_back();
        tracing::info!(running = self.ledger.running(), "draining");
    }

    /// What has not begun goes back to the broker, which keeps it until it is acknowledged. What is acknowledged
    /// already is still served.
    fn give_back(&mut self) {
        let Self { ready, held, suspects, ledger, .. } = self;
        let keep = |job: &u64, ledger: &mut Ledger| {
            let acknowledged = ledger.get(*job).is_some_and(|entry| entry.acknowledged);
            if !acknowledged {
                // Nobody was given the job, so nobody would tell of its end.
                ledger.remove(*job);
            }
            acknowledged
        };
        ready.retain(|job| keep(job, ledger));
        held.retain(|job| keep(job, ledger));
        suspects.retain(|job| keep(job, ledger));
        ledger.abandon_retries();
        self.retry = None;
    }

    /// Moves a drain on.
    fn drain(&mut self, now: Instant) {
        match self.phase {
            Phase::Draining(until) => {
                let idle = if self.connection.is_up() {
                    self.ledger.unsettled() == 0
                } else {
                    self.ledger.running() == 0
                };
                if now >= until {
                    tracing::warn!(
                        running = self.ledger.running(),
                        "gave up waiting for what runs; the broker keeps what is not acknowledged"
                    );
                    self.leave_at_once();
                } else if idle && self.connection.is_up() {
                    self.disconnect();
                    self.phase = Phase::Leaving(now + LEAVE_TIMEOUT);
                } else if idle {
                    self.leave_at_once();
                }
            }
            Phase::Leaving(until) if now >= until => self.leave_at_once(),
            // Not later: who streams for ever would keep us here. The broker keeps what is not answered.
            Phase::Returning(until) if now >= until || self.ledger.unsettled() == 0 => {
                self.disconnect();
                self.connection.leaving();
                self.phase = Phase::Parting(now + LEAVE_TIMEOUT);
            }
            Phase::Parting(until) if now >= until => self.connection.leave(),
            _ => {}
        }
    }

    fn disconnect(&mut self) {
        let version = self.connection.version();
        Encoder::new(self.connection.out(), version, Command::Disconnect).header("receipt", GOODBYE).finish();
    }

    fn leave_at_once(&mut self) {
        // A stream without an end would keep its worker, and so the process.
        self.ledger.lost();
        self.connection.end();
        self.phase = Phase::Over;
    }

    fn retry_due(&mut self, now: Instant) {
        if self.retry.is_some_and(|at| at <= now) {
            for job in self.ledger.due(now) {
                let delivered = self.ledger.get(job).map(|entry| Arc::clone(&entry.delivered));
                match delivered.as_ref().and_then(|delivered| delivered.progress.buried()) {
                    Some(reason) => self.bury(job, reason),
                    None => self.run(now, job),
                }
            }
            self.retry = self.ledger.next_retry();
        }
    }

    #[cfg(test)]
    pub(super) fn ledger_entry(&self, job: u64) -> &super::ledger::Entry {
        self.ledger.get(job).expect("the test knows the job")
    }

    /// Whether to take in more: a broker that ignores prefetch is held back by TCP.
    fn reads(&self) -> bool {
        let in_hand = self.ledger.in_hand();
        // Jobs of a lost connection must not keep the next one from coming up; and where nothing moves on by
        // itself, only what the broker says can help.
        !self.connection.is_up() || in_hand == 0 || in_hand + self.held.len() < 2 * self.window()
    }

    /// Messages that the broker may have given us and that are not acknowledged.
    fn window(&self) -> usize {
        self.config.prefetch as usize * self.config.sources.len().max(1)
    }

    /// Lets the next suspect go.
    fn isolate(&mut self, now: Instant) {
        let Some(job) = self.suspects.next(now, &self.ledger) else { return };
        match self.ledger.get(job).map(|entry| entry.state) {
            Some(State::Condemned) => self.bury(job, "its reply ended the connection each time"),
            _ => self.ready.push_front(job),
        }
    }

    /// The next to be served.
    fn next_job(&mut self) -> Option<u64> {
        self.ready.front().filter(|job| self.suspects.allow(**job))?;
        self.ready.pop_front()
    }

    /// What to do next.
    fn next_action(&mut self) -> Action {
        if let Some(action) = self.connection.action() {
            return action;
        }
        if self.phase == Phase::Over {
            return Action::Finished;
        }
        while let Some(job) = self.next_job() {
            if let Some(job) = self.job(job) {
                return Action::Run(job);
            }
        }
        let phase = match self.phase {
            Phase::Draining(at) | Phase::Leaving(at) | Phase::Returning(at) | Phase::Parting(at) => Some(at),
            _ => None,
        };
        let timers = [
            self.connection.deadline(),
            phase,
            self.retry,
            self.look,
            self.suspects.until(),
            self.company.until(),
        ];
        let until = timers.into_iter().flatten().min();
        Action::Wait { until, read: self.reads() }
    }
}

fn origin(connection: &Connection, stopping: &Arc<AtomicBool>) -> Arc<Origin> {
    Arc::new(Origin {
        epoch: connection.epoch(),
        broker: Arc::clone(connection.peer()),
        version: connection.version(),
        dialect: connection.dialect(),
        stopping: Arc::clone(stopping),
    })
}

impl Link for Worker {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        let span = self.span.clone();
        let _entered = span.enter();
        match input {
            Input::Output(output) => self.output(now, output),
            Input::Stop => self.stop(now),
            input => {
                self.connection.handle(now, input);
                while let Some(event) = self.connection.next_event() {
                    self.event(now, event);
                }
            }
        }
        self.retry_due(now);
        self.overdue(now);
        self.acknowledge_first();
        self.isolate(now);
        self.connection.pause(now, !self.reads());
        self.drain(now);
        self.release(now);
    }

    fn poll(&mut self) -> Action {
        let action = self.next_action();
        self.connection.seal();
        action
    }

    fn outbox(&self) -> &[u8] {
        self.connection.outbox()
    }
}
