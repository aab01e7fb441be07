//! Reports for tests. No figure in here was measured.

use super::report::{Load, Machine, Method, Outcome, Report, Round, SCHEMA, Start};

/// With a round for each of these throughputs; the other figures follow from them.
pub(super) fn outcome(app: &str, load: Load, reactor: &str, throughputs: &[f64]) -> Outcome {
    let rounds: Vec<Round> = throughputs.iter().map(|throughput| round(load, *throughput)).collect();
    let mut sorted = throughputs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    Outcome {
        app: app.into(),
        load,
        reactor: reactor.into(),
        rounds,
        median: round(load, median),
        latency: latency(&round(load, median)),
    }
}

fn round(load: Load, throughput: f64) -> Round {
    if throughput == 0.0 {
        return Round::default();
    }
    let waiting = match load {
        Load::InFlight(number) => number as f64,
        Load::Rate(_) => 4.0,
    };
    let p50_us = 0.9e6 * waiting / throughput;
    Round {
        throughput,
        p50_us,
        p90_us: 1.3 * p50_us,
        p99_us: 1.9 * p50_us,
        p999_us: 3.0 * p50_us,
        max_us: 9.0 * p50_us,
        cpu_us: 0.9e6 / throughput,
        switches: 1.0 / waiting,
        syscalls: None,
        memory_mib: 24.0,
        threads: 5.0,
        driver: 0.4,
        noise: 0.01,
        errors: 0,
    }
}

/// A curve through the percentiles of a round.
fn latency(round: &Round) -> Vec<(f64, f64)> {
    let known = [
        (0.0, 0.6 * round.p50_us),
        (50.0, round.p50_us),
        (90.0, round.p90_us),
        (99.0, round.p99_us),
        (99.9, round.p999_us),
        (100.0, round.max_us),
    ];
    let between = |(from, to): (f64, f64), (low, high): (f64, f64)| {
        (0..8).map(move |step| {
            let part = f64::from(step) / 8.0;
            (from + (to - from) * part, low + (high - low) * part * part)
        })
    };
    let curve = known.windows(2).flat_map(|pair| between((pair[0].0, pair[1].0), (pair[0].1, pair[1].1)));
    curve.chain([known[known.len() - 1]]).collect()
}

/// Around these results.
pub(super) fn report(results: Vec<Outcome>) -> Report {
    let mut reactors: Vec<String> = results.iter().map(|outcome| outcome.reactor.clone()).collect();
    reactors.sort();
    reactors.dedup();
    let starts = reactors.into_iter().zip(1..).map(|(reactor, nth)| Start {
        reactor,
        subscribed_ms: 60.0 + f64::from(nth),
        answered_ms: 70.0 + 2.0 * f64::from(nth),
        memory_mib: 19.0 + f64::from(nth),
    });
    Report {
        schema: SCHEMA,
        began: 1_750_000_000,
        machine: Machine {
            cpu: "An Invented Processor 3000".into(),
            cores: 2,
            memory_mib: 8_192,
            kernel: "Linux 6.1.0".into(),
            version: "0.1.0".into(),
            python: "3.11.2".into(),
            optimised: true,
        },
        method: Method {
            broker: "direct".into(),
            rounds: 3,
            seconds: 2.0,
            warm_up: 0.5,
            threads: 4,
            destinations: 1,
        },
        starts: starts.collect(),
        results,
        doubts: Vec::new(),
    }
}

/// Four reactors with every application under every kind of load, as one might expect them.
pub(super) fn whole() -> Report {
    const REACTORS: [&str; 4] = ["thread-pool", "tokio", "mio", "async-std"];
    // Requests per second with 1, 32 and 256 in flight; those of thread-pool, tokio, async-std in parts of mio's.
    const APPS: [(&str, [f64; 3], [f64; 3]); 7] = [
        ("hello", [12e3, 205e3, 490e3], [0.93, 0.92, 0.72]),
        ("json", [4.6e3, 8.9e3, 9.2e3], [0.97, 1.02, 1.01]),
        ("blocking", [192.0, 197.0, 198.0], [0.99, 31.2, 31.5]),
        ("cpu", [480.0, 489.0, 490.0], [0.98, 0.97, 0.96]),
        ("mixed", [900.0, 950.0, 960.0], [0.98, 3.4, 3.9]),
        ("stream", [3.1e3, 14e3, 15e3], [0.9, 1.1, 1.15]),
        ("upload", [310.0, 520.0, 530.0], [0.95, 1.02, 1.04]),
    ];
    let mut results = Vec::new();
    for (app, of_mio, parts) in APPS {
        for (nth, in_flight) in [1, 32, 256].into_iter().enumerate() {
            for (reactor, lag) in REACTORS.into_iter().zip([0.98, 1.0, 0.0, 0.9]) {
                let part = if lag == 0.0 { 1.0 } else { parts[nth] * lag };
                let middle = of_mio[nth] * part;
                let rounds = [0.985 * middle, middle, 1.01 * middle];
                let mut outcome = outcome(app, Load::InFlight(in_flight), reactor, &rounds);
                if app != "hello" {
                    // Sleeping costs no time of a processor.
                    outcome.median.cpu_us =
                        (2.0 / part.sqrt() + 1.0) * if app == "cpu" { 700.0 } else { 9.0 };
                }
                outcome.median.syscalls =
                    (reactor != "async-std").then_some(8.0 / in_flight as f64 + 0.1 * lag);
                outcome.median.memory_mib = 22.0 + nth as f64 + 3.0 * lag;
                results.push(outcome);
            }
        }
    }
    for reactor in REACTORS {
        let part = if reactor == "mio" { 1.0 } else { 0.8 };
        results.push(outcome(
            "hello",
            Load::Rate(10e3),
            reactor,
            &[9_990.0 * part, 10e3 * part, 10_010.0 * part],
        ));
    }
    let mut report = report(results);
    report.doubts = vec![
        "hello, 256 in flight, mio: the load generator was busy for 98 % of the time; \
                          the server may be faster than this"
            .into(),
    ];
    report
}
