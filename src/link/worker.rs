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
    Company, Connection, ConnectionConfig, Dialect, Earlier, Event, Ledger,
    connection::Down,
    ledger::{Next, State},
    quarantine::{Frames, Kind, Quarantine},
    redelivered::Redelivered,
    refusals::{
        LETTER_SENDS, NO_ROOM_DELAY, NO_ROOM_SENDS, PATIENCE, REPLY_SENDS, Refusal, Refusing, blames,
        is_lasting, letter_delay, reply_delay,
    },
    suspects::{BY_END, BY_ERROR, Suspects, Verdict},
};
use crate::{
    config::{DeliveryMode, Source},
    http::sent_to,
    service::{Begun, Delivered, Origin, Part, Receipt, Service},
    stomp::{Command, Cut, Encoder, Frame, Shown, Version},
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
    /// Somebody says when all workers are stuck: then nothing is taken.
    pub(crate) withdraws: bool,
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
    quarantine: Quarantine,
    redelivered: Redelivered,
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
    /// How many of our SUBSCRIBEs this connection has confirmed; brokers answer them in order.
    subscribed: usize,
    /// Where the broker refuses dead letters.
    refusing: Refusing,
    /// The earliest retry.
    retry: Option<Instant>,
    /// When to look next for requests that take too long.
    look: Option<Instant>,
    /// When to look next whether all workers are stuck.
    glance: Option<Instant>,
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
    /// All workers are stuck. Waits for the RECEIPTs of what was sent, until then.
    Withdrawing(Instant),
    /// Sent DISCONNECT for that; waits for its RECEIPT, until then.
    Disconnecting(Instant),
    /// Waits for a free worker, without a connection.
    Withdrawn,
    /// Sent DISCONNECT; waits for its RECEIPT, until then.
    Leaving(Instant),
    Over,
}

/// How long DISCONNECT waits for its RECEIPT.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a link looks whether all workers are stuck, or one is free again, where nothing else happens.
const GLANCE: Duration = Duration::from_secs(1);
/// A link that has nothing to do has left a broker that answers in no more time than this, once all workers are stuck.
pub(crate) const WITHDRAWAL: Duration = Duration::from_secs(2 * LEAVE_TIMEOUT.as_secs() + GLANCE.as_secs());
const GOODBYE: &str = "goodbye";
/// The receipt of a NACK whose id may be the wrong one.
const TAMPERED: &str = "tampered";
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
            quarantine: Quarantine::default(),
            redelivered: Redelivered::new(fastrand::Rng::with_seed(config.connection.seed).bool()),
            held: VecDeque::new(),
            phase: Phase::Serving,
            stopping,
            fatal,
            span,
            was_up: false,
            was_subscribed: vec![false; config.sources.len()],
            subscribed: 0,
            refusing: Refusing::default(),
            retry: None,
            look: None,
            glance: None,
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
                Some(verified) if verified == header => {
                    if !self.service.all_senders_use_stomp() {
                        return Err(format!(
                            "--trust-user-header {header}: {dialect} verifies this header of messages that were sent by \
                             STOMP; whoever sends by another protocol (OpenWire, AMQP, HTTP, or another broker of a \
                             network) can put any user there. Where the broker takes messages for these destinations by \
                             STOMP alone, say so with --all-senders-use-stomp; else serve without --trust-user-header"
                        ));
                    }
                    tracing::warn!(
                        header,
                        "REMOTE_USER is what the broker says in this header. That is verified for senders that use STOMP \
                         only; --all-senders-use-stomp says that there are no others, which the server cannot check"
                    );
                }
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
        let refused = |source: &Source| self.service.refused_dead_letter(dialect, &source.destination);
        if let Some(why) = self.config.sources.iter().find_map(refused) {
            return Err(why);
        }
        self.subscribed = 0;
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
            if self.connection.jms().is_activemq() && is_tampered_with(&message) {
                return self.refuse_tampered(&message);
            }
            let message = self.sourced(message);
            // Nobody is told, and we have no body for a dead letter.
            let dialect = self.connection.dialect();
            let lost = message.cut.is_some() && !self.service.can_answer(&message, dialect);
            let unclear = message.cut == Some(Cut::Unclear);
            let mut past = self.redelivered.judge(&message, dialect, self.window());
            let at_most_once = self.config.delivery == DeliveryMode::AtMostOnce;
            if at_most_once {
                // What was begun was acknowledged first, so that this was not.
                (past.apart, past.earlier.lost) = (false, 0);
            }
            if unclear || lost && self.nack().is_some() {
                let why = message.cut.map_or("", |cut| cut.explain().2);
                let job = self.ledger.deliver(now, message, &self.origin, State::Replied, past.earlier);
                self.bury(now, job, why);
                if unclear {
                    self.reconnect(
                        now,
                        "the frames behind that message may be lost until they are delivered again",
                    );
                }
                return;
            }
            if self.service.is_withheld(&message, self.connection.jms()) && self.nack().is_some() {
                let job = self.ledger.deliver(now, message, &self.origin, State::Replied, past.earlier);
                return self.give_up(job, "the broker has handed over no body of it");
            }
            let verdict = self.suspects.verdict(&message);
            let first = match verdict {
                Verdict::Condemned | Verdict::Hopeless => State::Due,
                // Whatever the mode, the ACK of one that would be lost must not go first.
                _ if at_most_once && !lost => State::Held,
                _ => State::Running,
            };
            let job = self.ledger.deliver(now, message, &self.origin, first, past.earlier);
            self.ledger.suspect(job, verdict != Verdict::Innocent);
            match verdict {
                Verdict::Innocent | Verdict::Suspect if first == State::Held => self.held.push_back(job),
                Verdict::Innocent | Verdict::Suspect
                    if past.apart && !self.service.is_spent(past.earlier) =>
                {
                    self.redelivered.push(now, job, past.earlier);
                }
                Verdict::Innocent | Verdict::Suspect => self.ready.push_back(job),
                Verdict::Condemned => self.bury(now, job, "its reply ended the connection each time"),
                Verdict::Hopeless => {
                    self.give_up(job, "its reply, and its dead letter, ended the connection each time");
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
        self.give_back(now);
        // Its body is not to be trusted.
        let message = Frame { body: Bytes::new(), cut: Some(Cut::Unclear), ..message };
        let job = self.ledger.deliver(now, message, &self.origin, State::Replied, Earlier::default());
        self.bury(now, job, "the connection could not be read behind it, three times");
        if let Some(entry) = self.ledger.remove(job) {
            entry.ack(self.connection.version(), None, self.connection.out());
        }
        self.disconnect();
        self.connection.leaving();
        self.phase = Phase::Parting(now + LEAVE_TIMEOUT);
    }

    /// Leaves a message to ActiveMQ's dead letters of which it is not known by which subscription it came, or how it is
    /// acknowledged: to serve it would be to let its sender choose the application, and an ACK of the wrong id ends the
    /// connection, each time that the message is delivered. Each id is tried but those of other messages; an ERROR about
    /// one is expected.
    fn refuse_tampered(&mut self, message: &Frame) {
        let destination = Shown(message.headers.get("destination").unwrap_or_default());
        tracing::error!(
            %destination,
            "refused a message (NACK) that has two 'ack' or 'subscription' headers: a property of it has a line feed in its \
             name. The broker's dead letters have it, if it keeps any"
        );
        let version = self.connection.version();
        let acks = message.headers.iter().filter(|(name, _)| *name == b"ack").map(|(_, id)| id);
        let unknown: Vec<&[u8]> = acks.filter(|id| !self.ledger.holds(id)).collect();
        for id in unknown {
            Encoder::new(self.connection.out(), version, Command::Nack)
                .header("id", id)
                .header("receipt", TAMPERED)
                .finish();
        }
    }

    /// The message with a `destination` that its sender cannot have made up: that of our subscription, or one that it
    /// matches. Everything else goes by this header.
    fn sourced(&self, mut message: Frame) -> Frame {
        let source = match &self.config.sources[..] {
            [only] => Some(only),
            // The broker's own, on any broker: it sets it last, or first.
            several => {
                let id = message.headers.text("subscription").and_then(|id| id.parse::<usize>().ok());
                id.and_then(|id| several.get(id)).or(several.first())
            }
        };
        let Some(source) = source else { return message };
        let client = self.config.connection.client_id.as_deref();
        let said = message.headers.get("destination");
        let sent_to = sent_to(&source.destination, said, || source.consumed(client).collect());
        if said != Some(sent_to) {
            tracing::debug!(subscription = %source, "a message names a destination that is not ours");
            message.headers = message.headers.with("destination", sent_to);
        }
        message
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
                self.send(now, job, bytes, Kind::Block);
            }
            (State::Running, Some(End::Done)) if entry.delivered.progress.buried().is_some() => {
                self.send_letter(now, job, bytes);
            }
            (State::Running, Some(End::Done)) if bytes.is_empty() => self.settle(job),
            (State::Running, Some(End::Done)) => self.answer(now, job, bytes),
            (State::Running | State::Late, Some(_)) => self.failed(now, job),
            // Too late: it was answered in its place.
            _ => {}
        }
    }

    /// Sends what a job gave, or has it wait for its turn.
    fn send(&mut self, now: Instant, job: u64, bytes: Vec<u8>, kind: Kind) {
        let suspect = self.ledger.get(job).is_some_and(|entry| entry.suspect);
        let frames = Frames { job, bytes, kind };
        if self.quarantine.keeps(job, suspect) {
            if kind != Kind::Block {
                self.ledger.set(job, State::Due);
            }
            self.quarantine.keep(now, suspect, frames);
        } else {
            self.transmit(frames);
        }
    }

    fn transmit(&mut self, Frames { job, bytes, kind }: Frames) {
        match kind {
            Kind::Block => {
                self.ledger.sent(job);
                self.connection.push(bytes);
            }
            Kind::Answer => self.send_reply(job, bytes),
            Kind::DeadLetter => {
                self.connection.push(bytes);
                self.ledger.set(job, State::Replied);
            }
        }
    }

    /// Sends what answers a message. Where the broker may still refuse a block of a stream, its end waits for that.
    fn answer(&mut self, now: Instant, job: u64, bytes: Vec<u8>) {
        match self.ledger.get(job) {
            Some(entry) if entry.blocks > 0 && self.connection.survives_error() => {
                if entry.is_confirmed() {
                    self.end_stream(now, job, bytes);
                } else {
                    self.ledger.keep(job, bytes);
                    self.ledger.set(job, State::Ending);
                }
            }
            _ => self.send(now, job, bytes, Kind::Answer),
        }
    }

    /// Sends the end of a stream, which says so where a block was lost.
    fn end_stream(&mut self, now: Instant, job: u64, bytes: Vec<u8>) {
        let Some(entry) = self.ledger.get(job) else { return };
        match entry.lost {
            None => self.send(now, job, bytes, Kind::Answer),
            Some(Refusal::Gone) => self.settle(job),
            Some(_) => {
                let broken = self.service.broken_off(&entry.delivered, entry.blocks);
                self.send(now, job, broken.unwrap_or(bytes), Kind::Answer);
            }
        }
    }

    /// Sends a reply, for the first time or again. Where the connection survives it if the broker refuses the reply, it
    /// is kept until it is confirmed.
    fn send_reply(&mut self, job: u64, bytes: Vec<u8>) {
        let Some(entry) = self.ledger.get(job) else { return };
        let survives = self.connection.survives_error();
        let within = self.is_transactional() && !entry.acknowledged;
        let state = match bytes.strip_prefix(b"SEND\n").filter(|_| within) {
            Some(send) => {
                let version = self.connection.version();
                let transaction = Receipt(job).to_string();
                let out = self.connection.out();
                Encoder::new(out, version, Command::Begin).header("transaction", &transaction).finish();
                out.extend_from_slice(b"SEND\ntransaction:");
                out.extend_from_slice(transaction.as_bytes());
                out.push(b'\n');
                out.extend_from_slice(send);
                if !survives {
                    return self.commit(job);
                }
                // A refused SEND does not keep the broker from carrying out the rest of the transaction.
                State::Sent
            }
            None if survives && self.ledger.has_room(bytes.len()) => {
                self.connection.append(&bytes);
                self.ledger.keep(job, bytes);
                return self.ledger.set(job, State::Replied);
            }
            None => {
                self.connection.push(bytes);
                return self.ledger.set(job, State::Replied);
            }
        };
        if self.ledger.has_room(bytes.len()) {
            self.ledger.keep(job, bytes);
        }
        self.ledger.set(job, state);
    }

    /// Sends the rest of the transaction in which a reply was sent.
    fn commit(&mut self, job: u64) {
        let Some(entry) = self.ledger.get(job) else { return };
        let version = self.connection.version();
        let transaction = Receipt(job).to_string();
        let out = self.connection.out();
        entry.ack(version, Some(("transaction", &*transaction)), out);
        Encoder::new(out, version, Command::Commit)
            .header("transaction", &transaction)
            .header("receipt", format!("{transaction}/commit"))
            .finish();
        self.ledger.acknowledged(job, State::Committing);
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
                        // Where it is the end of a stream, that says that it is broken off.
                        self.send(now, job, reply, Kind::Answer);
                    }
                }
                None if begun => self.late(now, job, timeout),
                None => drop(self.ledger.heard(now, job, false)),
            }
        }
        self.look = self.ledger.next_deadline(timeout);
    }

    /// A message that nobody waits for takes too long. It has failed; but it is not run again while it runs.
    fn late(&mut self, now: Instant, job: u64, timeout: Duration) {
        let Some(entry) = self.ledger.get(job) else { return };
        let attempt = entry.delivered.attempt;
        entry.delivered.progress.cancel();
        if entry.acknowledged || !self.service.may_retry(attempt) {
            self.bury(now, job, &format!("not done within {timeout:?}, attempt {attempt}"));
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
            self.retry_at(job, now + delay, Next::Run);
        } else {
            self.bury(now, job, &format!("failed {attempt} times"));
        }
    }

    /// Sends a message to the dead letters.
    fn bury(&mut self, now: Instant, job: u64, reason: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let Delivered { message, progress, .. } = &*entry.delivered;
        // Only the broker has it whole.
        if message.cut.is_some() && !entry.acknowledged && self.nack().is_some() {
            return self.give_up(job, reason);
        }
        progress.bury(reason);
        let (version, dialect) = (self.connection.version(), self.connection.dialect());
        let frame = self.service.dead_letter(version, dialect, message, reason, Receipt(job));
        self.send_letter(now, job, frame);
    }

    /// Sends a dead letter, unless none may be sent to its destination now: it is empty then, or the broker refuses it.
    fn send_letter(&mut self, now: Instant, job: u64, frame: Vec<u8>) {
        let Some(entry) = self.ledger.get(job) else { return };
        let can_refuse = entry.acknowledged || self.nack().is_some();
        let message = &entry.delivered.message;
        let closed = || self.refusing.is_closed(&self.service.dead_letter_of(message), now);
        if frame.is_empty() || can_refuse && !self.refusing.is_empty() && closed() {
            return self.give_up(job, "its dead letter cannot be sent");
        }
        self.send(now, job, frame, Kind::DeadLetter);
    }

    /// Leaves a message to the broker's own dead letters, where it can be told to keep it. Else it is dropped.
    fn give_up(&mut self, job: u64, why: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let Delivered { message, progress, .. } = &*entry.delivered;
        let destination = Shown(message.headers.get("destination").unwrap_or_default());
        let (octets, headers) = message.cut.map_or((None, None), |cut| (cut.explain().0, cut.explain().1));
        let reason = progress.buried();
        match self.nack().filter(|_| !entry.acknowledged) {
            Some(requeue) => {
                tracing::error!(
                    %destination,
                    octets,
                    headers,
                    reason,
                    why,
                    "refused a message (NACK): the broker's dead letters have it, if it keeps any"
                );
                self.suspects.acquit(message);
                entry.nack(self.connection.version(), requeue, self.connection.out());
                let entry = self.ledger.remove(job);
                entry.into_iter().for_each(|entry| self.ledger.outlive(job, entry));
            }
            None => {
                tracing::error!(
                    %destination,
                    octets,
                    headers,
                    reason,
                    why,
                    "dropped a message: its dead letter is refused, and the broker cannot be told to keep it"
                );
                self.settle(job);
            }
        }
    }

    /// The headers of a NACK that has the broker keep a message among its dead letters. `None`: it cannot be told.
    fn nack(&self) -> Option<&'static [(&'static str, &'static str)]> {
        self.connection.dialect().nack(self.connection.version())
    }

    fn retry_at(&mut self, job: u64, at: Instant, next: Next) {
        self.ledger.set(job, State::Retrying(at));
        self.ledger.set_next(job, next);
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
        if !self.connection.is_up() {
            // RabbitMQ confirms frames that it has refused, behind the ERROR.
            return;
        }
        if id == GOODBYE.as_bytes() && self.returns() {
            self.connection.leave();
        } else if id == GOODBYE.as_bytes() && self.is_withdrawing() {
            self.connection.fail("left, as no worker is free".to_owned());
        } else if id == GOODBYE.as_bytes() {
            self.connection.end();
            self.phase = Phase::Over;
        } else if let Some((Receipt(job), part)) = Receipt::parse(id) {
            let Some(entry) = self.ledger.get(job) else { return };
            match (entry.state, part) {
                (State::Replied, Part::Last | Part::DeadLetter) | (State::Committing, Part::Commit) => {
                    if part == Part::DeadLetter {
                        if !self.refusing.is_empty() {
                            self.refusing.open(&self.service.dead_letter_of(&entry.delivered.message));
                        }
                    } else {
                        self.company.confirmed(entry.heard);
                        self.ledger.served(job);
                    }
                    self.connection.served();
                    self.settle(job);
                }
                (State::Sent, Part::Last) => self.commit(job),
                (_, Part::Block) => self.block_confirmed(now, job, None),
                (State::Acking, Part::Ack) => {
                    self.run(now, job);
                }
                _ => {}
            }
        } else if let Some(id) = self.subscription(id) {
            self.was_subscribed[id] = true;
            self.subscribed += 1;
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

    /// The source that this ERROR refuses, where it will do so each time: its options are to blame, or what there is
    /// at the broker.
    fn refused_source(&self, frame: &Frame, said: &str) -> Option<&Source> {
        let lasting = is_lasting(frame, said);
        let id = match frame.headers.get("receipt-id") {
            Some(receipt) => self.subscription(receipt)?,
            // RabbitMQ does not say; but it obeys in order, and it may be about an answer that is on its way.
            None if lasting && self.ledger.unconfirmed().next().is_none() => self.subscribed,
            None => return None,
        };
        let source = self.config.sources.get(id)?;
        let optional = source.selector.is_some() || source.durable.is_some();
        ((optional || lasting) && !self.was_subscribed[id]).then_some(source)
    }

    fn error(&mut self, now: Instant, frame: &Frame) {
        if !self.connection.is_up() {
            // RabbitMQ goes on with what it had read, and complains of each frame: one connection, one suspicion.
            return;
        }
        let said = self.connection.complaint(frame);
        if frame.headers.get("receipt-id") == Some(TAMPERED.as_bytes()) {
            tracing::debug!(error = %said, "one of several ids of a message was not its own");
            return;
        }
        if let Some(source) = self.refused_source(frame, &said) {
            let by = [("selector", &source.selector), ("durable", &source.durable)];
            let options: String = by
                .iter()
                .filter_map(|(name, value)| Some(format!(", {name} {:?}", value.as_ref()?)))
                .collect();
            let hint = match source.destination.strip_prefix("/queue/") {
                Some(queue) if frame.headers.get("message") == Some(b"precondition_failed") => format!(
                    "; the queue was declared with other arguments: serve /amq/queue/{queue}, which takes it as it is"
                ),
                _ => String::new(),
            };
            self.fatal.set(format!("the broker refuses the subscription to {source}{options}: {said}{hint}"));
            return self.leave_at_once();
        }
        let of = frame.headers.get("receipt-id").and_then(Receipt::parse);
        // Of an ACK or a COMMIT that failed nobody knows what became.
        let of = of.filter(|(_, part)| !matches!(part, Part::Ack | Part::Commit));
        // The failure of one frame, and not of the connection.
        if let (Some((Receipt(job), part)), true) = (of, self.connection.survives_error()) {
            return self.refused(now, job, part, Refusal::of(frame), &said);
        }
        if !self.blame_letters(now, frame, &said) {
            self.suspects.accuse(BY_ERROR, self.ledger.unconfirmed());
        }
        self.connection.fail(format!("the broker reported an error: {said}"));
    }

    /// Finds out whether this ERROR, which ends the connection, is about our dead letters. Whatever else was on its way
    /// is not to blame then.
    fn blame_letters(&mut self, now: Instant, frame: &Frame, said: &str) -> bool {
        if self.nack().is_none() {
            // There is nothing to be done but to find out which message it is.
            return false;
        }
        let letters: Vec<String> =
            self.ledger.unconfirmed_letters().map(|message| self.service.dead_letter_of(message)).collect();
        let alone = letters.len() == self.ledger.unconfirmed().count()
            && letters.windows(2).all(|two| two[0] == two[1]);
        let mut blamed = false;
        for destination in &letters {
            if blames(frame, said, destination, alone) {
                blamed = true;
                self.refuses_letters(now, destination, said);
            }
        }
        blamed
    }

    /// The broker takes no dead letters there.
    fn refuses_letters(&mut self, now: Instant, destination: &str, said: &str) {
        if !self.refusing.is_closed(destination, now) {
            let pause = self.refusing.close(destination, now);
            tracing::error!(
                destination,
                error = said,
                ?pause,
                "the broker refuses dead letters: none is sent there for a while, and the messages are refused (NACK)"
            );
        }
    }

    /// The broker has refused one frame.
    fn refused(&mut self, now: Instant, job: u64, part: Part, refusal: Refusal, said: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        match (entry.state, part) {
            (_, Part::Block) => {
                tracing::warn!(
                    job,
                    error = said,
                    "a block of a streamed reply was refused: the stream is broken off"
                );
                entry.delivered.progress.cancel();
                self.block_confirmed(now, job, Some(refusal));
            }
            (State::Replied, Part::DeadLetter) => self.letter_refused(now, job, refusal, said),
            (State::Replied | State::Sent, Part::Last) => self.reply_refused(now, job, refusal, said),
            _ => {}
        }
    }

    /// A block of a stream was confirmed, or refused. If the end of the stream has waited for that, it goes.
    fn block_confirmed(&mut self, now: Instant, job: u64, refusal: Option<Refusal>) {
        if !self.ledger.block(job, refusal) {
            return;
        }
        if let Some(end) = self.ledger.take_reply(job) {
            self.end_stream(now, job, end);
        }
    }

    /// The broker has refused a reply: there is nobody any more to read it, or it is sent again, or its request becomes
    /// a dead letter.
    fn reply_refused(&mut self, now: Instant, job: u64, refusal: Refusal, said: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let (acknowledged, kept) = (entry.acknowledged, entry.keeps_reply());
        if entry.state == State::Sent {
            let version = self.connection.version();
            let transaction = Receipt(job).to_string();
            Encoder::new(self.connection.out(), version, Command::Abort)
                .header("transaction", transaction)
                .finish();
        }
        if refusal == Refusal::Gone {
            tracing::warn!(job, error = said, "a reply could not be delivered: the requester has gone");
            return self.settle(job);
        }
        if self.leaves_to_the_broker(job) {
            return;
        }
        let crowded = self.is_crowded(now, job);
        let Some(refused) = self.ledger.refuse(now, job) else { return };
        refused.replies += 1;
        let sent = refused.replies;
        // Where the broker has room for nobody, nobody waits for the place of this one.
        let (most, crowded) = match refusal {
            Refusal::NoRoom => (NO_ROOM_SENDS, crowded && refused.others_served),
            _ => (REPLY_SENDS, crowded),
        };
        if !kept && !acknowledged && !self.ledger.is_busy(job) {
            tracing::warn!(job, error = said, "a reply was refused, and is too large to be kept");
            self.failed(now, job);
        } else if kept && sent < most && !crowded && self.phase == Phase::Serving {
            let delay = reply_delay(sent);
            tracing::warn!(job, error = said, ?delay, "a reply was refused, and will be sent again");
            self.retry_at(job, now + delay, Next::Reply);
        } else {
            self.bury(now, job, &format!("its reply was refused: {said}"));
        }
    }

    /// The broker has refused a dead letter: it is sent again, or the message is left to the broker's own dead letters.
    /// A broker that has no room for either keeps the message for a while.
    fn letter_refused(&mut self, now: Instant, job: u64, refusal: Refusal, said: &str) {
        let Some(entry) = self.ledger.get(job) else { return };
        let destination = self.service.dead_letter_of(&entry.delivered.message);
        let next = if entry.keeps_reply() { Next::Reply } else { Next::Letter };
        if self.leaves_to_the_broker(job) {
            return;
        }
        let crowded = self.is_crowded(now, job);
        let Some(refused) = self.ledger.refuse(now, job) else { return };
        refused.letters += 1;
        let (since, sent) = (refused.since, refused.letters);
        let serving = self.phase == Phase::Serving;
        let patient = !crowded || next == Next::Reply && !refused.others_served;
        let waited = now.saturating_duration_since(since);
        if serving && refusal == Refusal::NoRoom && patient && waited < PATIENCE {
            tracing::warn!(job, error = said, "the broker has no room for a dead letter; trying again");
            self.retry_at(job, now + NO_ROOM_DELAY, next);
        } else if serving && refusal != Refusal::NoRoom && sent < LETTER_SENDS && !crowded {
            let delay = letter_delay(sent);
            tracing::warn!(job, error = said, ?delay, "a dead letter was refused, and will be sent again");
            self.retry_at(job, now + delay, Next::Letter);
        } else {
            if refusal != Refusal::NoRoom {
                self.refuses_letters(now, &destination, said);
            }
            self.give_up(job, said);
        }
    }

    /// While we leave, a message that is not acknowledged is the broker's again.
    fn leaves_to_the_broker(&mut self, job: u64) -> bool {
        let leaves =
            self.phase != Phase::Serving && self.ledger.get(job).is_some_and(|entry| !entry.acknowledged);
        if leaves {
            let entry = self.ledger.remove(job);
            entry.into_iter().for_each(|entry| self.ledger.outlive(job, entry));
        }
        leaves
    }

    /// Whether what was refused, with this one, takes more than half of the places that one destination has: then others
    /// wait for them.
    fn is_crowded(&mut self, now: Instant, job: u64) -> bool {
        self.ledger.refuse(now, job);
        self.ledger.refused() > (self.config.prefetch as usize / 2).max(1)
    }

    fn down(&mut self, now: Instant, down: &Down) {
        if self.is_withdrawing() {
            return self.withdrawn(now, &down.why);
        }
        if self.phase == Phase::Serving {
            self.suspects.accuse(BY_END, self.ledger.unconfirmed());
            self.redelivered.remember(self.ledger.of(self.connection.epoch()));
        }
        self.quarantine.clear();
        self.give_back(now);
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
            self.give_back(now);
        }
    }

    /// Takes nothing while all workers are stuck: what has not begun goes back to the broker, which has others for it.
    /// Connects again when one is free.
    fn mind_the_stuck(&mut self, now: Instant) {
        if !self.config.withdraws {
            return;
        }
        let stuck = self.service.activity().is_stuck();
        if self.phase == Phase::Serving && stuck {
            self.withdraw(now);
        } else if self.phase == Phase::Withdrawn && !stuck {
            tracing::info!("a worker is free: connecting again");
            self.service.activity().returns();
            self.phase = Phase::Serving;
            self.connection.resume();
        }
        if self.glance.is_none_or(|at| at <= now) {
            self.glance = Some(now + GLANCE);
        }
    }

    fn withdraw(&mut self, now: Instant) {
        let waiting = self.ready.len() + self.held.len();
        self.give_back(now);
        let returned = waiting + self.ledger.recall();
        let running = self.ledger.running();
        tracing::warn!(
            returned,
            running,
            "leaving the broker until a worker is free: what has not begun goes back"
        );
        self.connection.hold();
        if self.connection.is_up() {
            self.phase = Phase::Withdrawing(now + LEAVE_TIMEOUT);
        } else {
            self.phase = Phase::Withdrawn;
            self.service.activity().withdrew();
        }
    }

    fn is_withdrawing(&self) -> bool {
        matches!(self.phase, Phase::Withdrawing(_) | Phase::Disconnecting(_) | Phase::Withdrawn)
    }

    /// There is no connection any more.
    fn withdrawn(&mut self, now: Instant, why: &str) {
        self.give_back(now);
        self.ledger.lost();
        self.look = None;
        self.company = Company::default();
        if self.phase != Phase::Withdrawn {
            tracing::warn!(%why, "not connected until a worker is free");
            self.phase = Phase::Withdrawn;
            self.service.activity().withdrew();
        }
    }

    fn returns(&self) -> bool {
        matches!(self.phase, Phase::Returning(_) | Phase::Parting(_))
    }

    fn stop(&mut self, now: Instant) {
        self.phase = match self.phase {
            Phase::Serving | Phase::Returning(_) | Phase::Withdrawing(_) | Phase::Withdrawn => {
                Phase::Draining(now + self.config.drain_timeout)
            }
            Phase::Parting(_) | Phase::Disconnecting(_) => Phase::Leaving(now + LEAVE_TIMEOUT),
            _ => return,
        };
        self.stopping.store(true, Ordering::Relaxed);
        self.give_back(now);
        tracing::info!(running = self.ledger.running(), "draining");
    }

    /// What has not begun goes back to the broker, which keeps it until it is acknowledged. What is acknowledged
    /// already is still served.
    fn give_back(&mut self, now: Instant) {
        let Self { ready, held, redelivered, ledger, .. } = self;
        let keep = |job: &u64, ledger: &mut Ledger| {
            let acknowledged = ledger.get(*job).is_some_and(|entry| entry.acknowledged);
            if !acknowledged {
                // Nobody was given the job, so nobody would tell of its end.
                ledger.give_back(*job);
            }
            acknowledged
        };
        ready.retain(|job| keep(job, ledger));
        held.retain(|job| keep(job, ledger));
        redelivered.retain(|job| keep(job, ledger));
        ledger.abandon_retries(now);
        self.retry = self.ledger.next_retry();
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
            Phase::Withdrawing(until) if now >= until || self.ledger.waiting() == 0 => {
                self.disconnect();
                // From here on nothing may be sent. What still runs is the broker's again.
                self.ledger.lost();
                self.phase = Phase::Disconnecting(now + LEAVE_TIMEOUT);
            }
            Phase::Disconnecting(until) if now >= until => {
                self.connection.fail("it does not answer DISCONNECT".to_owned());
            }
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
                let Some(entry) = self.ledger.get(job) else { continue };
                match entry.next {
                    Next::Run => self.run(now, job),
                    Next::Reply => {
                        if let Some(reply) = self.ledger.take_reply(job) {
                            self.send(now, job, reply, Kind::Answer);
                        }
                    }
                    Next::Letter => {
                        let delivered = Arc::clone(&entry.delivered);
                        self.bury(now, job, delivered.progress.buried().unwrap_or_default());
                    }
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

    /// Has those go whose turn it is: answers that were kept back, and the next that is served apart.
    fn isolate(&mut self, now: Instant) {
        for frames in self.quarantine.release(now, &mut self.ledger) {
            if self.ledger.get(frames.job).is_some_and(|entry| entry.is_of(self.connection.epoch())) {
                self.transmit(frames);
            }
        }
        self.ready.extend(self.redelivered.next(now, &self.ledger, self.connection.is_sent()));
    }

    /// What to do next.
    fn next_action(&mut self) -> Action {
        if let Some(action) = self.connection.action() {
            return action;
        }
        if self.phase == Phase::Over {
            return Action::Finished;
        }
        while let Some(job) = self.ready.pop_front() {
            if let Some(job) = self.job(job) {
                return Action::Run(job);
            }
        }
        let phase = match self.phase {
            Phase::Draining(at) | Phase::Leaving(at) | Phase::Returning(at) | Phase::Parting(at) => Some(at),
            Phase::Withdrawing(at) | Phase::Disconnecting(at) => Some(at),
            Phase::Serving | Phase::Withdrawn => self.glance,
            Phase::Over => None,
        };
        let timers = [
            self.connection.deadline(),
            phase,
            self.retry,
            self.look,
            self.quarantine.until(),
            self.redelivered.until(),
            self.company.until(),
        ];
        let until = timers.into_iter().flatten().min();
        Action::Wait { until, read: self.reads() }
    }
}

/// Whether a message of ActiveMQ has been given headers by its sender that are the broker's own. The broker has one of each,
/// but does not escape the names of properties: a line feed in one makes a header line of what follows, which may come
/// before the broker's.
fn is_tampered_with(message: &Frame) -> bool {
    let (mut acks, mut subscriptions) = (0, 0);
    for (name, _) in message.headers.iter() {
        match name {
            b"ack" => acks += 1,
            b"subscription" => subscriptions += 1,
            _ => {}
        }
    }
    acks > 1 || subscriptions > 1
}

fn origin(connection: &Connection, stopping: &Arc<AtomicBool>) -> Arc<Origin> {
    Arc::new(Origin {
        epoch: connection.epoch(),
        broker: Arc::clone(connection.peer()),
        version: connection.version(),
        dialect: connection.dialect(),
        jms: connection.jms(),
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
        self.mind_the_stuck(now);
        self.acknowledge_first();
        self.isolate(now);
        self.connection.pause(now, !self.reads());
        self.drain(now);
        self.release(now);
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
