//! Back to the broker of choice (`priorityBackup`).
//!
//! A worker has one socket, and must not give up a broker that works for one that may not. So a link of its own, the
//! [`Probe`], finds out whether a broker of choice is there: while a worker asks for it, it logs in there from time to
//! time. Then one worker after another finishes what it has, leaves its broker in good order, and goes over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reactors::{Action, Input, Link};

use super::{Connection, ConnectionConfig, Event};

/// How often a broker of choice is looked for, and how often a worker asks whether it was found.
pub(super) const CHECK: Duration = Duration::from_secs(5);

/// What workers and the probe tell each other.
#[derive(Debug, Default)]
pub(crate) struct Priority {
    wanted: AtomicBool,
    reachable: AtomicBool,
}

impl Priority {
    /// A worker has come to a broker that is not of choice: what was found before is old.
    pub(super) fn forget(&self) {
        self.reachable.store(false, Ordering::Relaxed);
    }

    /// A worker wants to go back. Whether it may: one at a time.
    pub(super) fn may_return(&self) -> bool {
        self.wanted.store(true, Ordering::Relaxed);
        self.reachable.swap(false, Ordering::Relaxed)
    }
}

/// The link that looks for brokers of choice.
pub(crate) struct Probe {
    config: ConnectionConfig,
    priority: Arc<Priority>,
    connection: Option<Connection>,
    next: Instant,
    over: bool,
}

impl Probe {
    /// One that looks where `config` connects first; nothing where it has no choice.
    pub(crate) fn new(mut config: ConnectionConfig, now: Instant) -> Option<Self> {
        let priority = config.priority.take()?;
        config.brokers.addresses.retain(|address| address.priority);
        // Under the worker's name it would not be let in beside it.
        config.client_id = None;
        config.brokers.backoff.attempts = Some(1);
        config.brokers.backoff.startup_attempts = Some(1);
        Some(Self { config, priority, connection: None, next: now + CHECK, over: false })
    }

    fn events(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while let Some(event) = connection.next_event() {
            if let Event::Up = event {
                tracing::debug!(broker = %connection.peer(), "a broker of choice is there");
                self.priority.reachable.store(true, Ordering::Relaxed);
                connection.end();
            }
        }
    }
}

impl Link for Probe {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match (&mut self.connection, input) {
            (connection, Input::Stop) => {
                self.over = true;
                if let Some(connection) = connection {
                    connection.end();
                }
            }
            (Some(connection), input) => {
                let closed = matches!(input, Input::Closed(_));
                connection.handle(now, input);
                self.events();
                if closed && self.connection.as_ref().is_some_and(|connection| !connection.has_socket()) {
                    self.connection = None;
                    self.next = now + CHECK;
                }
            }
            (None, _) => {}
        }
        if self.connection.is_none() && !self.over && self.next <= now {
            self.next = now + CHECK;
            if self.priority.wanted.swap(false, Ordering::Relaxed) {
                self.connection = Some(Connection::new(self.config.clone()));
            }
        }
    }

    fn poll(&mut self) -> Action {
        let Some(connection) = &mut self.connection else {
            return if self.over {
                Action::Finished
            } else {
                Action::Wait { until: Some(self.next), read: true }
            };
        };
        let action = connection.action();
        let sealed = connection.seal();
        match if sealed { action } else { action.or_else(|| connection.action()) } {
            Some(action) => action,
            None if self.over => Action::Finished,
            None => Action::Wait { until: connection.deadline(), read: true },
        }
    }

    fn outbox(&self) -> &[u8] {
        self.connection.as_ref().map_or(&[], Connection::outbox)
    }
}
