//! The link that serves: takes messages from queues, has them answered, and settles them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reactors::{Action, End, Input, Job, Link, Output, Stop};

use super::{Connection, ConnectionConfig, Event, Ledger, connection::Down, ledger::State};
use crate::{
    service::{Delivered, Part, Receipt, Service},
    stomp::{Command, Encoder, Frame},
};

/// What a worker link serves, and how.
#[derive(Debug, Clone)]
pub(crate) struct WorkerConfig {
    pub(crate) connection: ConnectionConfig,
    /// Queues and topics to subscribe to.
    pub(crate) destinations: Vec<String>,
    /// Unacknowledged messages that the broker may have given us, per destination.
    pub(crate) prefetch: u32,
    /// How long a stop waits for what runs.
    pub(crate) drain_timeout: Duration,
    /// Before the second try of a message that failed; doubles with each.
    pub(crate) retry_delay: Duration,
}

/// Why a link ended although nobody asked it to.
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
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.stop.stop();
    }

    pub(crate) fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A worker link: one connection to the broker, reconnecting by itself.
pub(crate) struct Worker {
    config: WorkerConfig,
    service: Arc<Service>,
    connection: Connection,
    ledger: Ledger,
    /// Messages whose jobs are still to be handed out, in order.
    ready: VecDeque<u64>,
    phase: Phase,
    /// Jobs that have not begun are not to begin any more.
    stopping: Arc<AtomicBool>,
    fatal: Fatal,
    span: tracing::Span,
    was_up: bool,
    /// The earliest retry.
    retry: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Waits for what runs, until then.
    Draining(Instant),
    /// Sent DISCONNECT; waits for its RECEIPT, until then.
    Leaving(Instant),
    Over,
}

/// How long DISCONNECT waits for its RECEIPT.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
const GOODBYE: &str = "goodbye";
/// A message is dead-lettered when the connection ended over its reply so often, and given up when even that
/// ends it.
const SUSPICIOUS: u32 = 3;
const HOPELESS: u32 = 6;
/// No retry waits longer than this.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

impl Worker {
    /// A link that will have `service` answer what comes. What ends it before its time is left in `fatal`.
    pub(crate) fn new(config: WorkerConfig, service: Arc<Service>, fatal: Fatal) -> Self {
        let span = tracing::info_span!("link", broker = %config.connection.brokers);
        Self {
            connection: Connection::new(config.connection.clone()),
            config,
            service,
            ledger: Ledger::default(),
            ready: VecDeque::new(),
            phase: Phase::Serving,
            stopping: Arc::default(),
            fatal,
            span,
            was_up: false,
            retry: None,
        }
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Up => self.up(),
            Event::Message(message) => self.deliver(message),
            Event::Receipt(id) => self.receipt(&id),
            Event::Error(frame) => self.error(now, &frame),
            Event::Down(down) => self.down(&down),
        }
    }

    fn up(&mut self) {
        if self.phase != Phase::Serving {
            return;
        }
        let dialect = self.connection.dialect();
        let version = self.connection.version();
        tracing::info!(to = %self.connection.peer(), version = version.as_str(), "connected");
        self.was_up = true;
        for (id, destination) in self.config.destinations.iter().enumerate() {
            let (prefetch, window) = dialect.prefetch(self.config.prefetch);
            Encoder::new(self.connection.out(), version, Command::Subscribe)
                .header("id", id.to_string())
                .header("destination", destination)
                .header("ack", "client-individual")
                .number(prefetch, window)
                .header("receipt", format!("subscribe-{id}"))
                .finish();
        }
    }

    fn deliver(&mut self, message: Frame) {
        // Draining: unacknowledged, it goes back to the broker when we leave.
        if self.phase == Phase::Serving {
            let job = self.ledger.deliver(message, self.connection.epoch());
            match self.ledger.suspicion(job) {
                0..SUSPICIOUS => self.ready.push_back(job),
                SUSPICIOUS..HOPELESS => self.bury(job, "its reply ended the connection each time"),
                _ => {
                    tracing::error!(
                        "dropped a message: its reply, and its dead letter, ended the connection each time"
                    );
                    self.settle(job);
                }
            }
        }
    }

    fn job(&self, job: u64) -> Option<Job> {
        let entry = self.ledger.get(job)?;
        let delivered = Delivered {
            message: entry.message.clone(),
            version: self.connection.version(),
            attempt: entry.attempt,
            broker: Arc::clone(self.connection.peer()),
            receipt: Receipt(job),
            cancelled: Arc::clone(&entry.cancelled),
            stopping: Arc::clone(&self.stopping),
        };
        let service = Arc::clone(&self.service);
        Some(Job::new(job, move |more| service.serve(&delivered, more)))
    }

    fn output(&mut self, now: Instant, output: Output) {
        let Output { job, bytes, end } = output;
        let Some(entry) = self.ledger.get(job) else { return };
        if !entry.is_of(self.connection.epoch()) {
            // It was delivered on a connection that is gone: the broker delivers it again.
            if end.is_some() {
                self.ledger.remove(job);
            }
            return;
        }
        match end {
            None => self.connection.push(bytes),
            Some(End::Done) if bytes.is_empty() => self.settle(job),
            Some(End::Done) => {
                self.connection.push(bytes);
                self.ledger.set(job, State::Replied);
            }
            Some(End::Failed) => self.failed(now, job),
        }
    }

    /// The application never answered: again after a while, or to the dead letters.
    fn failed(&mut self, now: Instant, job: u64) {
        if self.phase != Phase::Serving {
            // Unacknowledged, it is the broker's again when we leave.
            self.ledger.remove(job);
            return;
        }
        let Some(entry) = self.ledger.get(job) else { return };
        let attempt = entry.attempt;
        if self.service.may_retry(attempt) {
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
        let frame = self.service.dead_letter(version, &entry.message, reason, Receipt(job));
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
            self.ledger.clear_suspicion(&entry);
            let version = self.connection.version();
            entry.ack(version, self.connection.out());
        }
    }

    fn receipt(&mut self, id: &[u8]) {
        if id == GOODBYE.as_bytes() {
            self.connection.end();
            self.phase = Phase::Over;
        } else if let Some((Receipt(job), part)) = Receipt::parse(id) {
            let replied = self.ledger.get(job).is_some_and(|entry| entry.state == State::Replied);
            if replied && part != Part::Block {
                self.settle(job);
            }
        } else if let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.strip_prefix("subscribe-")) {
            let destination = id.parse().ok().and_then(|id: usize| self.config.destinations.get(id));
            tracing::info!(destination, prefetch = self.config.prefetch, "subscribed");
        }
    }

    fn error(&mut self, now: Instant, frame: &Frame) {
        let said = frame.complaint();
        let of = frame.headers.get("receipt-id").and_then(Receipt::parse);
        // The failure of one reply, and not of the connection: a requester that is gone.
        if let (Some((Receipt(job), part)), true) = (of, self.connection.dialect().survives_error()) {
            let Some(entry) = self.ledger.get(job) else { return };
            entry.cancelled.store(true, Ordering::Relaxed);
            if part == Part::DeadLetter {
                tracing::error!(error = %said, "the broker refused a dead letter; the message will be tried again");
                self.retry_at(job, now + MAX_RETRY_DELAY);
            } else {
                tracing::warn!(job, error = %said, "a reply could not be delivered: the requester has gone");
                if entry.state == State::Replied {
                    self.settle(job);
                }
            }
            return;
        }
        self.ledger.suspect();
        self.connection.fail(format!("the broker reported an error: {said}"));
    }

    fn down(&mut self, down: &Down) {
        // Nobody was given these jobs, so nobody would tell of their end.
        for job in self.ready.drain(..) {
            self.ledger.remove(job);
        }
        let running = self.ledger.running();
        self.ledger.lost();
        self.retry = None;
        let fatal = down.refused && !self.was_up || down.retry_in.is_none();
        if self.phase != Phase::Serving {
            tracing::warn!(why = %down.why, "lost the broker while draining");
            self.leave_at_once();
        } else if fatal {
            if running > 0 {
                tracing::error!(why = %down.why, running, "not trying again; waiting for what runs");
            }
            self.fatal.set(down.why.clone());
            self.leave_at_once();
        } else {
            let retry_in = down.retry_in.unwrap_or_default();
            let retry_in_ms = retry_in.as_millis();
            tracing::warn!(why = %down.why, retry_in_ms, "not connected; trying again");
        }
    }

    fn stop(&mut self, now: Instant) {
        if self.phase != Phase::Serving {
            return;
        }
        self.stopping.store(true, Ordering::Relaxed);
        self.phase = Phase::Draining(now + self.config.drain_timeout);
        // What has not begun goes back to the broker, which keeps it until it is acknowledged.
        for job in self.ready.drain(..) {
            self.ledger.remove(job);
        }
        self.ledger.abandon_retries();
        self.retry = None;
        tracing::info!(running = self.ledger.running(), "draining");
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
                        "gave up waiting for what runs; the broker keeps those messages"
                    );
                    self.leave_at_once();
                } else if idle && self.connection.is_up() {
                    let version = self.connection.version();
                    Encoder::new(self.connection.out(), version, Command::Disconnect)
                        .header("receipt", GOODBYE)
                        .finish();
                    self.phase = Phase::Leaving(now + LEAVE_TIMEOUT);
                } else if idle {
                    self.leave_at_once();
                }
            }
            Phase::Leaving(until) if now >= until => self.leave_at_once(),
            _ => {}
        }
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
                self.ledger.again(job);
                self.ready.push_back(job);
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
        // Jobs of a lost connection must not keep the next one from coming up.
        !self.connection.is_up()
            || self.ledger.running()
                < 2 * self.config.prefetch as usize * self.config.destinations.len().max(1)
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
            Phase::Draining(at) | Phase::Leaving(at) => Some(at),
            _ => None,
        };
        let until = [self.connection.deadline(), phase, self.retry].into_iter().flatten().min();
        Action::Wait { until, read: self.reads() }
    }
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
        self.connection.pause(now, !self.reads());
        self.drain(now);
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
