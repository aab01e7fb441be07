//! Messages that were delivered before, to a server that may have died of them.
//!
//! A message whose handler kills the process kills every server that takes it, and all that the server had in hand comes
//! back with it. So that it takes as little as possible along each time, and is found out:
//!
//! - What was delivered before, and not to this process, is served one at a time, beside what is delivered for the first
//!   time. The next begins when the ACK of the one before has left.
//! - At first those go first that came last, and after the next death those that came first: with a single killer all
//!   others are served then. The third and the fourth time that is repeated, for those that were too slow. After that, and
//!   where the broker does not count, they go in random order. So each message
//!   that does not kill is served in the end, wherever several killers stand in the queue, and however often each was
//!   delivered.
//! - A count alone does not condemn: what waits beside a killer is delivered as often, and so is what waits while servers
//!   are stopped in good order. A message is given up at `--max-attempts` if this process has seen no other that was
//!   delivered so often, for then all others were served; else after six more deliveries for each of the others.
//! - What this process had in hand when a connection of its broke is not suspicious: the process is alive.
//! - One that runs long keeps the next one waiting, longer after each death, so that a slow one is not taken along by one
//!   that kills.
//! - More in a row than a server may have in hand are no server's end, but a broker's that was restarted (RabbitMQ marks
//!   all that it has): they are served as any others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Dialect, Ledger, identity::Identity, ledger::Entry};
use crate::{
    service::Begun,
    stomp::{Frame, Headers},
};

/// One that has run for so long has not killed us, and does not keep the next one waiting: after the first server that may
/// have died of it. It doubles with each further one, up to the longest.
const APART: Duration = Duration::from_secs(2);
const LONGEST_APART: Duration = Duration::from_secs(32);
/// The same where the broker does not count.
const UNCOUNTED_APART: Duration = Duration::from_secs(10);
/// How long to wait for more of them, to know their order.
const GATHER: Duration = Duration::from_millis(50);
/// Messages of lost connections that are remembered; beyond them we begin anew.
const MOST: usize = 10_000;
/// Further deliveries of a message that is given up, for each other that was delivered as often.
const MORE: u32 = 6;
/// The highest count that is believed.
const HIGHEST: u32 = 1_000_000;

/// What the broker says of earlier deliveries of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Earlier {
    /// How often it came back from another process, unsettled, as the broker counts; 0 where it does not count.
    pub(crate) lost: u32,
    /// How often it was delivered before; 1 where the broker says no more than that it was.
    pub(crate) count: u32,
}

impl Earlier {
    /// How long such a message keeps the next one waiting.
    fn apart(self) -> Duration {
        match self.lost {
            0 => UNCOUNTED_APART,
            lost => (APART * (1 << (lost - 1).min(8))).min(LONGEST_APART),
        }
    }
}

/// What this process had in hand when a connection ended. All its links share it: another one may be given the message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    identity: Arc<Identity>,
    messages: Arc<Mutex<HashMap<u64, Earlier>>>,
}

impl Known {
    fn messages(&self) -> MutexGuard<'_, HashMap<u64, Earlier>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, message: &Frame) -> Option<Earlier> {
        let messages = self.messages();
        if messages.is_empty() { None } else { messages.get(&self.identity.of(message)).copied() }
    }
}

/// One that waits for its turn.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    job: u64,
    earlier: Earlier,
}

#[derive(Debug)]
pub(super) struct Redelivered {
    known: Known,
    waiting: Vec<Waiting>,
    /// The one that is served apart from the others, and for how long.
    apart: Option<(u64, Duration)>,
    /// When the next may go at the earliest, and when it no longer waits for what is still to be sent.
    gather: Option<(Instant, Instant)>,
    /// When to ask for the next again, if nothing else happens.
    wake: Option<Instant>,
    in_a_row: usize,
    random: fastrand::Rng,
    /// How many servers may end with a message, and how many messages came of which so many did.
    most: u32,
    worn: u32,
}

/// How a message is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) earlier: Earlier,
    /// One at a time.
    pub(super) apart: bool,
}

impl Redelivered {
    pub(super) fn new(random: fastrand::Rng, most: u32, known: Known) -> Self {
        Self {
            known,
            waiting: Vec::new(),
            apart: None,
            gather: None,
            wake: None,
            in_a_row: 0,
            random,
            most,
            worn: 0,
        }
    }

    /// What is to be known of a message that is delivered. A server may have had so many in hand.
    pub(super) fn judge(&mut self, message: &Frame, dialect: Dialect, in_hand: usize) -> Past {
        let Some((count, counted)) = deliveries(&message.headers, dialect) else {
            self.in_a_row = 0;
            return Past { earlier: Earlier::default(), apart: false };
        };
        let known = self.known.get(message);
        let lost = if counted { lost(count, known) } else { 0 };
        // Since we had it, another process may have had it, too.
        let elsewhere = known.is_none() || lost > 0;
        if elsewhere {
            self.in_a_row += 1;
        }
        let apart = elsewhere && self.in_a_row <= in_hand;
        Past { earlier: Earlier { count, lost }, apart }
    }

    /// The connection is lost or left. These come back, although no server has died of them.
    pub(super) fn remember<'a>(&mut self, in_hand: impl Iterator<Item = &'a Entry>) {
        let mut known = self.known.messages();
        if known.len() > MOST {
            known.clear();
        }
        for entry in in_hand {
            known.insert(self.known.identity.of(&entry.delivered.message), entry.delivered.earlier);
        }
    }

    /// A job that is to wait for its turn.
    pub(super) fn push(&mut self, now: Instant, job: u64, earlier: Earlier) {
        self.worn = self.worn.saturating_add(u32::from(earlier.lost >= self.most));
        self.waiting.push(Waiting { job, earlier });
        self.gather = Some((now + GATHER, now + GATHER + APART));
    }

    /// The next whose turn it is, and whether it is given up. `sent`: nothing waits to be sent, such as the ACK of the one
    /// before.
    pub(super) fn next(&mut self, now: Instant, ledger: &mut Ledger, sent: bool) -> Option<(u64, bool)> {
        if let Some((job, apart)) = self.apart {
            let runs = ledger.get(job).filter(|entry| entry.state.is_under_way());
            let until = runs.and_then(|entry| match entry.delivered.progress.begun() {
                Begun::NotYet => Some(now + apart),
                Begun::At(begun) => Some(begun + apart),
                Begun::Never => None,
            });
            self.wake = until.filter(|until| now < *until);
            if self.wake.is_some() {
                return None;
            }
            self.apart = None;
            self.gather = self.gather.map(|(from, _)| (from, now + APART));
        }
        let (from, until) = self.gather?;
        let at = if now < from || sent { from } else { until };
        self.wake = Some(at).filter(|at| now < *at);
        if self.wake.is_some() {
            return None;
        }
        if let Some(job) = self.look_again(ledger) {
            return Some((job, false));
        }
        let (job, earlier, given_up) = self.take()?;
        self.apart = Some((job, earlier.apart()));
        if self.waiting.is_empty() {
            self.gather = None;
        }
        self.wake = Some(now + earlier.apart());
        Some((job, given_up))
    }

    /// Another link may have found out only now that it has lost the connection by which it had some of them. One that is
    /// not suspicious with that, which waits no longer.
    fn look_again(&mut self, ledger: &mut Ledger) -> Option<u64> {
        for at in 0..self.waiting.len() {
            let Waiting { job, earlier } = &mut self.waiting[at];
            let known = ledger.get(*job).and_then(|entry| self.known.get(&entry.delivered.message));
            let Some(known) = known else { continue };
            let corrected = lost(earlier.count, Some(known)).min(earlier.lost);
            let worn = earlier.lost >= self.most && corrected < self.most;
            self.worn = self.worn.saturating_sub(u32::from(worn));
            earlier.lost = corrected;
            ledger.correct(*job, *earlier);
            if corrected == 0 {
                return Some(self.waiting.remove(at).job);
            }
        }
        None
    }

    fn take(&mut self) -> Option<(u64, Earlier, bool)> {
        let least = self.waiting.iter().map(|waiting| waiting.earlier).min()?;
        let at = match self.waiting.iter().map(|waiting| waiting.earlier.lost).max()? {
            1 | 3 => self.waiting.iter().rposition(|waiting| waiting.earlier == least)?,
            2 | 4 => self.waiting.iter().position(|waiting| waiting.earlier == least)?,
            _ => self.random.usize(..self.waiting.len()),
        };
        let Waiting { job, earlier } = *self.waiting.get(at)?;
        self.waiting.remove(at);
        let others = self.worn.saturating_sub(1);
        Some((job, earlier, earlier.lost >= self.most.saturating_add(others.saturating_mul(MORE))))
    }

    /// When to ask again, if nothing else happens.
    pub(super) fn until(&self) -> Option<Instant> {
        self.wake
    }

    /// The turn is over; of those that wait, only these go on waiting.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&u64) -> bool) {
        (self.apart, self.wake) = (None, None);
        self.waiting.retain(|waiting| keep(&waiting.job));
        if self.waiting.is_empty() {
            self.gather = None;
        }
    }
}

/// How many of so many deliveries ended with another process. The one that ended with our own connection does not count:
/// this process is alive.
fn lost(count: u32, known: Option<Earlier>) -> u32 {
    known.map_or(count, |before| before.lost + count.saturating_sub(before.count + 1))
}

/// How often a message was delivered before, and whether the broker counts that. `None`: never.
fn deliveries(headers: &Headers, dialect: Dialect) -> Option<(u32, bool)> {
    // The broker's word, which comes first: a count in a message that is new is the sender's invention.
    if headers.get("redelivered") != Some(b"true") {
        return None;
    }
    let counts = dialect.row().delivery_counts.iter();
    let count = counts.filter_map(|name| number(headers.get(name)?)).max();
    Some((count.unwrap_or(1).clamp(1, HIGHEST), count.is_some()))
}

/// A number as anybody may write it: too large a one counts as the largest.
fn number(value: &[u8]) -> Option<u32> {
    let digits = value.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).map(|number| number.unwrap_or(HIGHEST))
}
