//! `stomp-wsgi bench`: what the concurrency models cost.

use std::{
    fs,
    io::{self, Write},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;

use super::{BrokerArgs, Exit, Failed, call::parse_seconds, parse_count};
use crate::{
    bench::{APPS, Plan, report::Load},
    select::{self, MODELS},
};

/// Servers are started, asked and measured; nothing else should run meanwhile.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// A concurrency model; may be repeated [default: all of this build]
    #[arg(long = "reactor", value_name = "NAME", value_delimiter = ',')]
    reactors: Vec<String>,
    /// hello, json (Flask), blocking, cpu, mixed, stream, upload, or MODULE:ATTRIBUTE; may be repeated
    /// [default: all seven]
    #[arg(long = "app", value_name = "APP", value_delimiter = ',')]
    apps: Vec<String>,
    /// Closed loop: requests that wait at each moment
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,32,256", conflicts_with = "rate")]
    #[arg(value_parser = parse_count::<NonZeroUsize>)]
    in_flight: Vec<NonZeroUsize>,
    /// Open loop: requests a second, whatever becomes of them
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = parse_rate)]
    rate: Vec<f64>,
    /// Of which the median counts; in each, the models take turns
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_count::<NonZeroUsize>)]
    rounds: NonZeroUsize,
    /// Seconds of each round that are measured
    #[arg(long, value_name = "SECONDS", default_value = "0.8", value_parser = parse_seconds)]
    seconds: Duration,
    /// Seconds of each round before that
    #[arg(long, value_name = "SECONDS", default_value = "0.2", value_parser = parse_seconds)]
    warm_up: Duration,
    /// Requests that an application works on at once (mio: always 1; blocking: at least 32)
    #[arg(long, value_name = "N", default_value = "4", value_parser = parse_count::<NonZeroUsize>)]
    threads: NonZeroUsize,
    /// Count system calls as well, with perf
    #[arg(long)]
    syscalls: bool,
    #[command(flatten)]
    broker: BrokerArgs,
    /// Measure the servers of another build [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Keep everything that was measured in this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Bench {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let plan = self.plan()?;
        let report = plan.run(&ProgressBar::new(0))?;
        let json = serde_json::to_string_pretty(&report)?;
        if let Some(file) = &self.json {
            fs::write(file, &json).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let mut out = io::stdout().lock();
        for one in &report.results {
            let m = &one.median;
            writeln!(out, "{:<10} {:<16} {:<12} {:>9.0}/s ±{:.0}%  p50 {:>8.1} p99 {:>8.1} us  cpu {:>6.2} us  sw {:.3} sys {:?} rss {:.1} thr {} driver {:.2} noise {:.2}",
                one.app, one.load.to_string(), one.reactor, m.throughput, one.spread * 100.0, m.p50_us, m.p99_us, m.cpu_us, m.switches, m.syscalls, m.memory_mib, m.threads, m.driver, m.noise)?;
        }
        for start in &report.starts {
            writeln!(out, "{start:?}")?;
        }
        for doubt in &report.doubts {
            writeln!(out, "{doubt}")?;
        }
        Ok(())
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let usage = |why: String| anyhow::Error::from(Failed::new(Exit::Usage, why));
        let mut reactors = self.reactors.clone();
        if reactors.is_empty() {
            reactors = MODELS.iter().filter(|model| model.built).map(|model| model.name.to_owned()).collect();
        }
        for reactor in &reactors {
            select::reactor(reactor, NonZeroUsize::MIN).map_err(|error| usage(error.to_string()))?;
        }
        let mut apps = self.apps.clone();
        if apps.is_empty() {
            apps = APPS.map(|(name, _)| name.to_owned()).into();
        }
        if let Some(app) = apps.iter().find(|app| !app.contains(':') && !APPS.iter().any(|(name, _)| name == app)) {
            let names = APPS.map(|(name, _)| name).join(", ");
            return Err(usage(format!("--app {app}: one of {names}, or MODULE:ATTRIBUTE")));
        }
        let loads = if self.rate.is_empty() {
            self.in_flight.iter().map(|n| Load::InFlight(n.get())).collect()
        } else {
            self.rate.iter().copied().map(Load::Rate).collect()
        };
        let broker = match (self.broker.named()?, &self.broker.broker) {
            (Some(brokers), Some(uri)) => Some((brokers, uri.clone())),
            _ => None,
        };
        Ok(Plan {
            reactors,
            apps,
            loads,
            rounds: self.rounds.get(),
            time: self.seconds,
            warm_up: self.warm_up,
            threads: self.threads.get(),
            broker,
            syscalls: self.syscalls,
            program: self.program.clone().map_or_else(std::env::current_exe, Ok)?,
        })
    }
}

fn parse_rate(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0).ok_or("a rate is a number above 0")
}
