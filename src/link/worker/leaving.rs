//! The end of a connection: lost, left for another broker, left while all workers are stuck, or for good.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{GLANCE, GOODBYE, HASTE, LEAVE_TIMEOUT, Phase, Worker};
use crate::{
    link::{Company, Ledger, connection::Down},
    stomp::{Command, Encoder},
};

impl Worker {
    pub(super) fn down(&mut self, now: Instant, down: &Down) {
        let blamed = self.blamed.take();
        self.leave_by = None;
        if self.is_withdrawing() {
            return self.withdrawn(now, &down.why);
        }
        let mut retry_in = down.retry_in;
        if self.phase == Phase::Serving && blamed.unwrap_or_else(|| self.suspect(now, false)) {
            self.connection.hasten(now, HASTE);
            retry_in = retry_in.map(|delay| delay.min(HASTE));
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
            let retry_in_ms = retry_in.unwrap_or_default().as_millis();
            tracing::warn!(why = %down.why, retry_in_ms, "not connected; trying again");
        }
    }

    /// Ends what there is with this broker, to go to one of choice. What is not begun is left to others.
    pub(super) fn go_back(&mut self, now: Instant) {
        if self.phase == Phase::Serving {
            self.reconnect(now, self.config.drain_timeout, "a broker of choice is there: going back to it");
        }
    }

    /// Ends this connection in good order, and begins the next. What runs has so much time.
    fn reconnect(&mut self, now: Instant, time: Duration, why: &str) {
        tracing::info!(running = self.ledger.running(), "{why}");
        self.phase = Phase::Returning(now + time);
        self.give_back(now);
    }

    /// Leaves a connection on which frames may be lost.
    pub(super) fn leave_if_due(&mut self, now: Instant) {
        let Some(at) = self.leave_by.filter(|_| self.phase == Phase::Serving) else { return };
        if now >= at || self.ledger.running() == 0 {
            self.leave_by = None;
            self.reconnect(
                now,
                LEAVE_TIMEOUT,
                "connecting again: the frames behind a message may be lost until they are delivered again",
            );
        }
    }

    /// Takes nothing while all workers are stuck: what has not begun goes back to the broker, which has others for it.
    /// Connects again when one is free.
    pub(super) fn mind_the_stuck(&mut self, now: Instant) {
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

    pub(super) fn withdraw(&mut self, now: Instant) {
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

    pub(super) fn is_withdrawing(&self) -> bool {
        matches!(self.phase, Phase::Withdrawing(_) | Phase::Disconnecting(_) | Phase::Withdrawn)
    }

    /// There is no connection any more.
    pub(super) fn withdrawn(&mut self, now: Instant, why: &str) {
        self.quarantine.clear();
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

    pub(super) fn returns(&self) -> bool {
        matches!(self.phase, Phase::Returning(_) | Phase::Parting(_))
    }

    pub(super) fn stop(&mut self, now: Instant) {
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
    pub(super) fn give_back(&mut self, now: Instant) {
        // All that is in hand is delivered again, without a server that has died of it.
        self.redelivered.remember(self.ledger.of(self.connection.epoch()));
        let Self { ready, held, redelivered, suspects, ledger, .. } = self;
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
        suspects.retain(|job| keep(job, ledger));
        ledger.abandon_retries(now);
        self.retry = self.ledger.next_retry();
        if self.connection.is_up() {
            // Before DISCONNECT: what is acknowledged has no other way back.
            self.retry_due(now);
        }
    }

    /// Moves a drain on.
    pub(super) fn drain(&mut self, now: Instant) {
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
                self.part(now);
            }
            Phase::Parting(until) if now >= until => self.connection.leave(),
            Phase::Withdrawing(until) if now >= until || self.ledger.waiting() == 0 => {
                self.disconnect();
                self.phase = Phase::Disconnecting(now + LEAVE_TIMEOUT);
            }
            Phase::Disconnecting(until) if now >= until => {
                self.connection.fail("it does not answer DISCONNECT".to_owned());
            }
            _ => {}
        }
    }

    /// Leaves the connection for a new one.
    pub(super) fn part(&mut self, now: Instant) {
        self.disconnect();
        self.connection.leaving();
        self.phase = Phase::Parting(now + LEAVE_TIMEOUT);
    }

    /// The last frame on this connection. What still runs is the broker's again: its replies are dropped.
    fn disconnect(&mut self) {
        self.quarantine.clear();
        self.ledger.lost();
        let version = self.connection.version();
        Encoder::new(self.connection.out(), version, Command::Disconnect).header("receipt", GOODBYE).finish();
    }

    pub(super) fn leave_at_once(&mut self) {
        // A stream without an end would keep its worker, and so the process.
        self.ledger.lost();
        self.connection.end();
        self.phase = Phase::Over;
    }
}
