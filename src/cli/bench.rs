//! `stomp-wsgi bench`: what the concurrency models cost.

use std::{
    fs,
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;

use super::{BrokerArgs, Exit, Failed, MOST_THREADS, call::parse_seconds, parse_count, parse_count_to};
use crate::{
    bench::{
        self, APPS, Broker, Plan,
        report::{Load, Report, Start},
    },
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
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,32,256",
        conflicts_with = "rate"
    )]
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
    /// Requests that an application works on at once, from 1 to 10000 (mio: always 1; blocking: at least 32)
    #[arg(long, value_name = "N", default_value = "4", value_parser = parse_count_to::<MOST_THREADS>)]
    threads: NonZeroUsize,
    /// Destinations of a server, from 1 to 1000; each is asked in turn
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1000))]
    destinations: u16,
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
    /// The figures of each round, a line each
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// A page with charts, all in one file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Measure nothing: compare what was kept with --json; exits 1 where something became worse
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], exclusive = true)]
    compare: Vec<PathBuf>,
}

impl Bench {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if let [old, new] = &self.compare[..] {
            return compare(old, new);
        }
        // Before anything is measured that could not be kept.
        let open = |path: &Option<PathBuf>| -> anyhow::Result<Option<fs::File>> {
            let create = |path: &PathBuf| {
                fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))
            };
            path.as_ref().map(create).transpose()
        };
        let (plan, json, csv, html) = (self.plan()?, open(&self.json)?, open(&self.csv)?, open(&self.html)?);
        let report = plan.run(&ProgressBar::new(0))?;
        if let Some(file) = json {
            serde_json::to_writer_pretty(file, &report)?;
        }
        if let Some(file) = csv {
            bench::csv::write(&report, file)?;
        }
        if let Some(mut file) = html {
            file.write_all(bench::html::render(&report).as_bytes())?;
        }
        match show(&report) {
            // The reader of a pipe that has seen enough is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
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
            apps = APPS.map(str::to_owned).into();
        }
        if let Some(app) = apps.iter().find(|app| !app.contains(':') && !APPS.contains(&app.as_str())) {
            let names = APPS.join(", ");
            return Err(usage(format!("--app {app}: one of {names}, or MODULE:ATTRIBUTE")));
        }
        let loads = if self.rate.is_empty() {
            self.in_flight.iter().map(|n| Load::InFlight(n.get())).collect()
        } else {
            self.rate.iter().copied().map(Load::Rate).collect()
        };
        let broker = self.broker.named()?.map(|brokers| match &brokers.addresses[..] {
            [address] => Ok(Broker { variables: self.broker.variables(address), brokers }),
            all => Err(usage(format!(
                "--broker names {} brokers, and the load and the servers have to meet at one: name one of them",
                all.len()
            ))),
        });
        if broker.is_none() && (self.broker.expects_one() || self.broker.dialect().is_some()) {
            let why = "what is said of a user, TLS, a virtual host or a dialect has no effect without a broker: name it with --broker URI";
            return Err(usage(why.to_owned()));
        }
        Ok(Plan {
            reactors,
            apps,
            loads,
            rounds: self.rounds.get(),
            time: self.seconds,
            warm_up: self.warm_up,
            threads: self.threads.get(),
            destinations: self.destinations.into(),
            broker: broker.transpose()?,
            syscalls: self.syscalls,
            program: self.program.clone().map_or_else(std::env::current_exe, Ok)?,
        })
    }
}

/// A table, how soon the servers were there, and what is doubtful.
fn show(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{}", bench::table::render(report))?;
    for Start { reactor, subscribed_ms, answered_ms, memory_mib } in &report.starts {
        writeln!(
            out,
            "{reactor}: subscribed {subscribed_ms:.0} ms after its start, answered after {answered_ms:.0} ms, \
             {memory_mib:.1} MiB"
        )?;
    }
    for doubt in &report.doubts {
        writeln!(out, "doubtful: {doubt}")?;
    }
    Ok(())
}

fn compare(old: &Path, new: &Path) -> anyhow::Result<()> {
    let usage = |error: bench::compare::CompareError| Failed::new(Exit::Usage, error);
    let (old, new) = (bench::compare::read(old).map_err(usage)?, bench::compare::read(new).map_err(usage)?);
    let comparison = bench::compare::compare(&old, &new).map_err(usage)?;
    write!(io::stdout().lock(), "{}", comparison.text)?;
    match comparison.regressions.len() {
        0 => Ok(()),
        n => Err(Failed::new(Exit::Failure, format!("{n} figures became worse")).into()),
    }
}

fn parse_rate(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0).ok_or("a rate is a number above 0")
}
