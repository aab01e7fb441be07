//! The figures by which reactors are told apart, and when a difference counts.

use super::report::{Load, Outcome, Round};

/// A difference that is smaller than this part counts as none, however little the rounds scatter.
pub const SMALLEST: f64 = 0.05;

/// One figure of a [`Round`].
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    of: fn(&Round) -> f64,
    more_is_better: bool,
    /// As text, with its unit.
    pub text: fn(f64) -> String,
}

/// Requests answered per second.
pub static THROUGHPUT: Figure =
    Figure { name: "throughput", of: |round| round.throughput, more_is_better: true, text: rate };
/// The median latency.
pub static P50: Figure =
    Figure { name: "p50", of: |round| round.p50_us, more_is_better: false, text: duration };
/// The latency that one of 100 requests exceeds.
pub static P99: Figure =
    Figure { name: "p99", of: |round| round.p99_us, more_is_better: false, text: duration };
/// The server's processor time per request.
pub static CPU: Figure =
    Figure { name: "CPU/request", of: |round| round.cpu_us, more_is_better: false, text: duration };

impl Figure {
    /// Its median; none where nothing was measured, such as the latency of no answer.
    pub fn of(&self, outcome: &Outcome) -> Option<f64> {
        Some((self.of)(&outcome.median)).filter(|value| value.is_finite() && *value > 0.0)
    }

    /// The distance between the best and the worst round, as a part of the median.
    pub fn spread(&self, outcome: &Outcome) -> f64 {
        let values = outcome.rounds.iter().map(self.of);
        let (least, most) =
            values.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)));
        self.of(outcome).map_or(0.0, |median| (most - least).max(0.0) / median)
    }

    /// By what part `other` is worse than `this`; negative where it is better. None where one has no value, except
    /// that a throughput of 0 is all of it worse.
    pub fn loss(&self, this: &Outcome, other: &Outcome) -> Option<f64> {
        let this = self.of(this)?;
        if self.more_is_better {
            Some(1.0 - self.of(other).unwrap_or(0.0) / this)
        } else {
            Some(self.of(other)? / this - 1.0)
        }
    }

    /// Whether `other` is worse than `this` by more than chance: by more than the [spread](Self::spread) of each of
    /// the two, and by more than [`SMALLEST`].
    pub fn clearly_worse(&self, this: &Outcome, other: &Outcome) -> bool {
        let chance = self.spread(this).max(self.spread(other)).max(SMALLEST);
        self.loss(this, other).is_some_and(|loss| loss > chance)
    }

    /// The best first; those without a value are left out.
    pub fn ranked<'a>(&self, outcomes: &[&'a Outcome]) -> Vec<&'a Outcome> {
        let mut ranked: Vec<_> =
            outcomes.iter().filter_map(|outcome| Some((self.of(outcome)?, *outcome))).collect();
        ranked.sort_by(|(a, _), (b, _)| if self.more_is_better { b.total_cmp(a) } else { a.total_cmp(b) });
        ranked.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Those that are not [clearly worse](Self::clearly_worse) than the best, and the rest, each with the best first.
    pub fn leaders<'a>(&self, outcomes: &[&'a Outcome]) -> (Vec<&'a Outcome>, Vec<&'a Outcome>) {
        let ranked = self.ranked(outcomes);
        ranked.iter().partition(|outcome| !self.clearly_worse(ranked[0], outcome))
    }
}

impl Outcome {
    /// Requests that failed in any round; a median would hide them.
    pub fn errors(&self) -> u64 {
        self.rounds.iter().map(|round| round.errors).sum()
    }
}

impl Load {
    /// As text: `32 in flight`, `10 k req/s offered`.
    pub fn text(&self) -> String {
        match self {
            Load::InFlight(number) => format!("{number} in flight"),
            Load::Rate(per_second) => {
                // It was asked for, not measured: digits that say nothing are left out.
                format!("{} offered", rate(*per_second).replace(".00 ", " ").replace(".0 ", " "))
            }
        }
    }
}

/// Outcomes of the same application and load, in the order of the report.
pub fn groups(outcomes: &[Outcome]) -> Vec<Vec<&Outcome>> {
    let mut groups: Vec<Vec<&Outcome>> = Vec::new();
    for outcome in outcomes {
        match groups.iter_mut().find(|group| group[0].app == outcome.app && group[0].load == outcome.load) {
            Some(group) => group.push(outcome),
            None => groups.push(vec![outcome]),
        }
    }
    groups
}

/// Requests per second: `483 k req/s`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        v if v >= 999_500.0 => format!("{} M req/s", digits(v / 1e6)),
        v if v >= 999.5 => format!("{} k req/s", digits(v / 1e3)),
        v => format!("{} req/s", digits(v)),
    }
}

/// A duration, of microseconds: `12.3 µs`, `5.06 ms`.
pub fn duration(us: f64) -> String {
    match us {
        v if v >= 999_500.0 => format!("{} s", digits(v / 1e6)),
        v if v >= 999.5 => format!("{} ms", digits(v / 1e3)),
        v => format!("{} µs", digits(v)),
    }
}

/// Three significant digits, as measurements here seldom have more.
pub fn digits(value: f64) -> String {
    let decimals = match value {
        v if !v.is_finite() => return "-".into(),
        v if v >= 99.95 || v == 0.0 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.0995 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::invented::outcome;
    use super::*;

    #[test]
    fn three_digits_and_a_unit_that_fits() {
        assert_eq!(rate(483_210.0), "483 k req/s");
        assert_eq!(rate(999_600.0), "1.00 M req/s");
        assert_eq!(rate(999.4), "999 req/s");
        assert_eq!(duration(1.7), "1.70 µs");
        assert_eq!(duration(12.34), "12.3 µs");
        assert_eq!(duration(999.6), "1.00 ms");
        assert_eq!(duration(5_060.0), "5.06 ms");
        assert_eq!(duration(2_500_000.0), "2.50 s");
        assert_eq!(duration(f64::NAN), "- µs");
        assert_eq!([0.0, 0.00391, 0.1].map(digits), ["0", "0.0039", "0.10"]);
    }

    #[test]
    fn a_difference_counts_beyond_the_spread_of_both() {
        let calm = outcome("hello", Load::InFlight(32), "mio", &[99.0, 100.0, 101.0]);
        let less = outcome("hello", Load::InFlight(32), "tokio", &[89.0, 90.0, 91.0]);
        let wild = outcome("hello", Load::InFlight(32), "tokio", &[80.0, 90.0, 105.0]);
        let near = outcome("hello", Load::InFlight(32), "tokio", &[96.0, 96.0, 96.0]);
        assert!(THROUGHPUT.clearly_worse(&calm, &less));
        assert!(!THROUGHPUT.clearly_worse(&less, &calm));
        assert!(!THROUGHPUT.clearly_worse(&calm, &wild), "10 % less, but it scatters by 28 %");
        assert!(!THROUGHPUT.clearly_worse(&calm, &near), "4 % is no difference");
    }

    #[test]
    fn no_answer_is_the_worst_throughput_and_no_latency() {
        let some = outcome("hello", Load::InFlight(1), "mio", &[100.0]);
        let none = outcome("hello", Load::InFlight(1), "tokio", &[0.0]);
        assert!(THROUGHPUT.clearly_worse(&some, &none));
        assert_eq!(THROUGHPUT.loss(&none, &some), None);
        assert_eq!(P99.loss(&some, &none), None);
        assert_eq!(THROUGHPUT.ranked(&[&none, &some]).len(), 1);
    }

    #[test]
    fn leaders_are_those_that_cannot_be_told_from_the_best() {
        let outcomes = [
            outcome("blocking", Load::InFlight(32), "mio", &[199.0, 199.0]),
            outcome("blocking", Load::InFlight(32), "tokio", &[6_100.0, 6_100.0]),
            outcome("blocking", Load::InFlight(32), "thread-pool", &[6_200.0, 6_200.0]),
        ];
        let (leaders, rest) = THROUGHPUT.leaders(&outcomes.iter().collect::<Vec<_>>());
        let names = |of: &[&Outcome]| of.iter().map(|outcome| outcome.reactor.clone()).collect::<Vec<_>>();
        assert_eq!(names(&leaders), ["thread-pool", "tokio"]);
        assert_eq!(names(&rest), ["mio"]);
    }
}
