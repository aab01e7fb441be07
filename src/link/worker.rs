//! The link that serves: takes messages from queues, has them answered, and settles them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use reactors::{Action, End, Input, Job, Link, Output, Stop};

use super::{
    Company, Connection, ConnectionConfig, Event, Ledger,
    ledger::State,
    quarantine::{Kind, Quarantine},
    redelivered::{Known, Redelivered},
    refusals::Refusing,
    suspects::Suspects,
};
use crate::{
    config::{DeliveryMode, Source},
    service::{Begun, Origin, Part, Receipt, Service},
};

mod answering;
mod delivering;
mod failing;
mod leaving;
mod refused;

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
    /// How many connections the process has: when it ends, a message may come back so often, from one to the next.
    pub(crate) connections: u32,
    /// What any of them had in hand when it ended.
    pub(crate) known: Known,
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
    /// An ERROR ends this connection; and whether an answer may be what it is about.
    blamed: Option<bool>,
    /// The earliest retry.
    retry: Option<Instant>,
    /// When to look next for requests that take too long.
    look: Option<Instant>,
    /// Frames behind a message may be lost on this connection, so that it is left as soon as nothing runs, and then at the
    /// latest. Until then others are served: a slow one must not keep them waiting.
    leave_by: Option<Instant>,
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

/// The longest delay before the next connection where an answer may be what ended the last: each end brings us nearer to
/// knowing which, so that the broker is not to blame, and meanwhile others wait.
const HASTE: Duration = Duration::from_secs(1);
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
        let random = fastrand::Rng::with_seed(config.connection.seed);
        let most = service.max_attempts().saturating_mul(config.connections);
        let redelivered = Redelivered::new(random, most, config.known.clone());
        Self {
            origin: origin(&connection, &stopping),
            connection,
            service,
            ledger: Ledger::default(),
            ready: VecDeque::new(),
            suspects: Suspects::default(),
            quarantine: Quarantine::default(),
            redelivered,
            held: VecDeque::new(),
            phase: Phase::Serving,
            stopping,
            fatal,
            span,
            was_up: false,
            was_subscribed: vec![false; config.sources.len()],
            subscribed: 0,
            refusing: Refusing::default(),
            blamed: None,
            retry: None,
            look: None,
            leave_by: None,
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
            self.leave_at_once();
        } else if let Some((Receipt(job), part)) = Receipt::parse(id) {
            let Some(entry) = self.ledger.get(job) else { return };
            match (entry.state, part) {
                (State::Replied, Part::Last | Part::DeadLetter) | (State::Committing, Part::Commit) => {
                    if part == Part::DeadLetter {
                        if !self.refusing.is_empty() {
                            self.refusing.open(&self.service.dead_letter_of(&entry.delivered.message));
                        }
                    } else {
                        self.suspects.answered(&entry.delivered.message);
                        self.company.confirmed(entry.heard);
                        self.ledger.served(job);
                    }
                    self.connection.served();
                    self.settle(job);
                }
                (State::Replied, Part::Notice) => {
                    self.suspects.answered(&entry.delivered.message);
                    self.bury_condemned(now, job);
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

    #[cfg(test)]
    pub(super) fn unconfirmed_letters(&self) -> usize {
        self.ledger.unconfirmed_letters().count()
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
        if !self.quarantine.is_idle() {
            for frames in self.quarantine.release(now, &mut self.ledger) {
                let entry = self.ledger.get(frames.job).filter(|entry| entry.is_of(self.connection.epoch()));
                if let Some(suspect) = entry.map(|entry| entry.suspect) {
                    self.transmit(frames, suspect);
                }
            }
        }
        self.ready.extend(self.suspects.next(now, &self.ledger));
        let sent = self.connection.is_sent();
        while let Some((job, given_up)) = self.redelivered.next(now, &mut self.ledger, sent) {
            if let Some(entry) = self.ledger.get(job).filter(|_| given_up) {
                entry.delivered.progress.give_up();
            }
            self.ready.push_back(job);
        }
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
            self.leave_by.filter(|_| self.phase == Phase::Serving),
            self.quarantine.until(),
            self.redelivered.until(),
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
        known: connection.knows_broker(),
        jms: connection.jms(),
        limits: connection.limits(),
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
        self.leave_if_due(now);
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
