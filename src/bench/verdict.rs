//! What the figures say, in a few words: which reactor for which kind of application.

use serde::Serialize;

use super::figure::{self, CPU, Figure, P50, P99, THROUGHPUT, digits, duration, rate};
use super::report::{Load, Outcome, Report};

/// For one application.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Its name.
    pub app: String,
    /// The load that decides: the most in flight, or else the highest rate.
    pub load: Load,
    /// Who answers most of it (of a rate, who does so soonest), the best first: several where they cannot be told
    /// apart, none where that is all of several.
    pub best: Vec<String>,
    /// How it compares, a sentence each.
    pub sentences: Vec<String>,
}

/// A verdict for each application of the report, in its order.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let groups = figure::groups(&report.results);
    let mut apps: Vec<&str> = Vec::new();
    for group in &groups {
        if !apps.contains(&group[0].app.as_str()) {
            apps.push(&group[0].app);
        }
    }
    let of = |app| verdict(groups.iter().filter(|group| group[0].app == app).map(Vec::as_slice).collect());
    apps.into_iter().filter_map(of).collect()
}

/// Of the groups of one application, each with another load.
fn verdict(mut groups: Vec<&[&Outcome]>) -> Option<Verdict> {
    // Rates before what is in flight, both ascending.
    let weight = |load: Load| match load {
        Load::Rate(per_second) => (0, per_second),
        Load::InFlight(number) => (1, number as f64),
    };
    groups.sort_by(|a, b| weight(a[0].load).partial_cmp(&weight(b[0].load)).expect("rates are numbers"));
    let heaviest = *groups.last()?;
    let (app, load) = (heaviest[0].app.clone(), heaviest[0].load);

    let mut sentences = Vec::new();
    let figure = match load {
        Load::InFlight(_) => &THROUGHPUT,
        Load::Rate(_) => &P99,
    };
    match load {
        Load::InFlight(_) => sentences.extend(throughput(heaviest)),
        Load::Rate(per_second) => sentences.extend(open_loop(heaviest, per_second)),
    }
    if let Some(lightest) =
        groups.iter().find(|group| matches!(group[0].load, Load::InFlight(_)) && group[0].load != load)
    {
        sentences.extend(soonest(lightest, &P50, "half of the answers within"));
    }
    if let Some(group) =
        groups.iter().rfind(|group| matches!(group[0].load, Load::Rate(_)) && group[0].load != load)
    {
        if let Load::Rate(per_second) = group[0].load {
            sentences.extend(open_loop(group, per_second));
        }
    }
    for outcome in groups.iter().copied().flatten() {
        let errors = outcome.errors();
        if errors > 0 {
            let requests = if errors == 1 { "request" } else { "requests" };
            sentences.push(format!(
                "{}, {}: {errors} {requests} failed.",
                outcome.reactor,
                outcome.load.text()
            ));
        }
    }
    let (leaders, rest) = figure.leaders(&keeping_up(heaviest));
    let best = if rest.is_empty() && leaders.len() > 1 && leaders.len() == heaviest.len() {
        Vec::new()
    } else {
        names(&leaders)
    };
    Some(Verdict { app, load, best, sentences })
}

/// How many are answered, and at what cost.
fn throughput(group: &[&Outcome]) -> Option<String> {
    let (leaders, rest) = THROUGHPUT.leaders(group);
    let (first, last) = (*leaders.first()?, *leaders.last()?);
    let load = first.load.text();
    let value = |outcome| THROUGHPUT.of(outcome).unwrap_or_default();
    let cost =
        |outcome| CPU.of(outcome).map_or(String::new(), |cpu| format!(" for {} of CPU each", duration(cpu)));
    let Some(next) = rest.first() else {
        return Some(if leaders.len() == 1 {
            format!("{load}: {} answers {}{}.", first.reactor, rate(value(first)), cost(first))
        } else {
            let range = range(rate(value(last)), rate(value(first)));
            format!("{load}: no clear difference in throughput, {range}{}.", cheapest(&leaders))
        });
    };
    let ratio = |slower| times(value(first) / value(slower));
    let slowest = match rest.last() {
        Some(slowest) if value(next) >= 1.5 * value(slowest) => {
            format!(", {} that of {}", ratio(slowest), slowest.reactor)
        }
        _ => String::new(),
    };
    Some(if leaders.len() == 1 {
        let price = price(first, next);
        format!(
            "{load}: {} answers {} the throughput of {}{price}{slowest}.",
            first.reactor,
            ratio(next),
            next.reactor
        )
    } else {
        let (all, range) = (list(&names(&leaders)), range(rate(value(last)), rate(value(first))));
        let cheapest = cheapest(&leaders);
        format!(
            "{load}: {all} answer {range}, up to {} the throughput of {}{slowest}{cheapest}.",
            ratio(next),
            next.reactor
        )
    })
}

/// What the better throughput of `first` costs.
fn price(first: &Outcome, next: &Outcome) -> String {
    match (CPU.of(first), CPU.of(next)) {
        (Some(this), Some(that)) if CPU.clearly_worse(first, next) || CPU.clearly_worse(next, first) => {
            format!(", at {} its CPU per request", times(this / that))
        }
        (Some(_), Some(_)) => ", at the same CPU per request".into(),
        _ => String::new(),
    }
}

/// Which of them spends clearly less processor time than each other, if one does.
fn cheapest(alike: &[&Outcome]) -> String {
    match CPU.leaders(alike) {
        (leaders, rest) if leaders.len() == 1 && !rest.is_empty() => {
            let (least, next) = (leaders[0], rest[0]);
            let part = CPU.of(least).unwrap_or_default() / CPU.of(next).unwrap_or(1.0);
            format!("; {} needs the least CPU, {} of {}", least.reactor, digits(part), next.reactor)
        }
        _ => String::new(),
    }
}

/// Who answers first.
fn soonest(group: &[&Outcome], figure: &Figure, what: &str) -> Option<String> {
    let (leaders, rest) = figure.leaders(group);
    let (first, last) = (*leaders.first()?, *leaders.last()?);
    let load = first.load.text();
    let value = |outcome| figure.of(outcome).map_or(String::new(), duration);
    let (all, range) = (list(&names(&leaders)), range(value(first), value(last)));
    let have = if leaders.len() == 1 { "has" } else { "have" };
    Some(match rest.first() {
        None if leaders.len() > 1 => format!("{load}: no clear difference, {what} {range}."),
        None => format!("{load}: {all} {have} {what} {range}."),
        Some(next) => {
            format!("{load}: {all} {have} {what} {range}, {} within {}.", next.reactor, value(next))
        }
    })
}

/// Who keeps up with a rate, and how soon they answer.
fn open_loop(group: &[&Outcome], per_second: f64) -> Vec<String> {
    let load = Load::Rate(per_second).text();
    let keeping_up = keeping_up(group);
    let behind = |outcome: &&&Outcome| !keeps_up(outcome, per_second);
    let behind: Vec<String> = group.iter().filter(behind).map(|outcome| outcome.reactor.clone()).collect();
    let behind = (!behind.is_empty()).then(|| match behind.len() == group.len() {
        true => format!("{load}: none keeps up."),
        false => {
            format!("{load}: {} {} behind.", list(&behind), if behind.len() == 1 { "falls" } else { "fall" })
        }
    });
    soonest(&keeping_up, &P99, "99 of 100 answers within").into_iter().chain(behind).collect()
}

/// Who answers nearly all that is offered; the latency of the others only says for how long they fell behind.
fn keeping_up<'a>(group: &[&'a Outcome]) -> Vec<&'a Outcome> {
    let keeps = |outcome: &&&'a Outcome| match outcome.load {
        Load::InFlight(_) => true,
        Load::Rate(per_second) => keeps_up(outcome, per_second),
    };
    group.iter().filter(keeps).copied().collect()
}

fn keeps_up(outcome: &Outcome, per_second: f64) -> bool {
    THROUGHPUT.of(outcome).is_some_and(|answered| answered >= (1.0 - figure::SMALLEST) * per_second)
}

fn names(outcomes: &[&Outcome]) -> Vec<String> {
    outcomes.iter().map(|outcome| outcome.reactor.clone()).collect()
}

/// `a`, `a and b`, `a, b and c`.
fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `480 to 490 req/s`: one unit where both have the same.
fn range(from: String, to: String) -> String {
    let unit = to.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    match from.strip_suffix(unit) {
        _ if from == to => to,
        Some(number) if number.parse::<f64>().is_ok() => format!("{number} to {to}"),
        _ => format!("{from} to {to}"),
    }
}

/// `1.42×`.
fn times(ratio: f64) -> String {
    format!("{}×", digits(ratio))
}

#[cfg(test)]
mod tests {
    use super::super::invented::{self, outcome, report};
    use super::*;

    fn of(results: Vec<Outcome>) -> Verdict {
        let mut verdicts = verdicts(&report(results));
        assert_eq!(verdicts.len(), 1);
        verdicts.remove(0)
    }

    #[test]
    fn one_is_faster() {
        let load = Load::InFlight(256);
        let mut mio = outcome("hello", load, "mio", &[420e3, 420e3]);
        let mut tokio = outcome("hello", load, "tokio", &[300e3, 300e3]);
        let last = outcome("hello", load, "thread-pool", &[200e3, 200e3]);
        (mio.median.cpu_us, tokio.median.cpu_us) = (1.5, 2.5);
        // Medians alone, without a spread.
        for outcome in [&mut mio, &mut tokio] {
            outcome.rounds.clear();
        }
        let verdict = of(vec![last, tokio, mio]);
        assert_eq!(verdict.best, ["mio"]);
        assert_eq!(
            verdict.sentences,
            ["256 in flight: mio answers 1.40× the throughput of tokio, at 0.60× its CPU per request, \
              2.10× that of thread-pool."]
        );
    }

    #[test]
    fn some_are_alike_and_faster_than_the_rest() {
        let load = Load::InFlight(32);
        let verdict = of(vec![
            outcome("blocking", load, "mio", &[200.0]),
            outcome("blocking", load, "tokio", &[6_000.0]),
            outcome("blocking", load, "thread-pool", &[6_100.0]),
        ]);
        assert_eq!(verdict.best, ["thread-pool", "tokio"]);
        assert_eq!(
            verdict.sentences,
            [
                "32 in flight: thread-pool and tokio answer 6.00 to 6.10 k req/s, up to 30.5× the throughput of mio."
            ]
        );
    }

    #[test]
    fn all_are_alike_but_one_needs_less_cpu() {
        let load = Load::InFlight(32);
        let mut mio = outcome("cpu", load, "mio", &[490.0]);
        mio.median.cpu_us = 1_000.0;
        let verdict = of(vec![outcome("cpu", load, "tokio", &[480.0]), mio]);
        assert_eq!(verdict.best, [""; 0]);
        assert_eq!(
            verdict.sentences,
            [
                "32 in flight: no clear difference in throughput, 480 to 490 req/s; mio needs the least CPU, 0.53 of tokio."
            ]
        );
    }

    #[test]
    fn the_least_in_flight_says_who_answers_soonest() {
        let verdict = of(vec![
            outcome("hello", Load::InFlight(32), "mio", &[200e3]),
            outcome("hello", Load::InFlight(1), "mio", &[10e3]),
            outcome("hello", Load::InFlight(1), "tokio", &[9e3]),
        ]);
        assert_eq!(verdict.load, Load::InFlight(32));
        assert_eq!(
            verdict.sentences,
            [
                "32 in flight: mio answers 200 k req/s for 4.50 µs of CPU each.",
                "1 in flight: mio has half of the answers within 90.0 µs, tokio within 100 µs.",
            ]
        );
    }

    #[test]
    fn of_a_rate_the_soonest_of_those_that_keep_up() {
        let load = Load::Rate(10e3);
        let mut tokio = outcome("hello", load, "tokio", &[10e3]);
        tokio.median.p99_us = 2_000.0;
        let verdict = of(vec![
            outcome("hello", load, "thread-pool", &[8e3]),
            tokio,
            outcome("hello", load, "mio", &[10e3]),
        ]);
        assert_eq!(verdict.best, ["mio"]);
        assert_eq!(
            verdict.sentences,
            [
                "10 k req/s offered: mio has 99 of 100 answers within 684 µs, tokio within 2.00 ms.",
                "10 k req/s offered: thread-pool falls behind.",
            ]
        );
    }

    #[test]
    fn failures_are_told_and_no_answers_do_no_harm() {
        let mut none = outcome("hello", Load::InFlight(1), "mio", &[0.0]);
        none.rounds[0].errors = 1;
        let verdict = of(vec![none]);
        assert_eq!(verdict.best, [""; 0]);
        assert_eq!(verdict.sentences, ["mio, 1 in flight: 1 request failed."]);
    }

    #[test]
    fn each_application_once_in_order() {
        let apps: Vec<String> = verdicts(&invented::whole()).into_iter().map(|verdict| verdict.app).collect();
        assert_eq!(apps, ["hello", "json", "blocking", "cpu", "mixed", "stream", "upload"]);
    }
}
