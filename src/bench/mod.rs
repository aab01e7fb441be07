//! Measures the concurrency models: every reactor, with several applications, under several loads.
//!
//! A server is a process of its own (this program's `serve`), and a [`driver`](self) asks it over one connection. Driven
//! directly, the driver plays the broker, so that the server alone is measured. Reactors take turns in each round, so that
//! what else the machine does hits all of them alike, and medians over the rounds count.
//!
//! | file | what |
//! |---|---|
//! | `driver` | the load: closed or open loop, latency from the intended start |
//! | `server` | a server's process, and what the kernel counts of it |
//! | `machine` | what a run ran on, and what of its figures is to be doubted |
//! | `report` | what was measured, as it is kept |
//! | `figure`, `verdict` | which figures there are, and which reactor is ahead |
//! | `table`, `html`, `csv`, `compare` | how it is shown |

pub mod compare;
pub mod csv;
mod driver;
pub mod figure;
pub mod html;
mod machine;
pub mod report;
mod server;
pub mod table;
pub mod verdict;

#[cfg(test)]
mod invented;

use std::{ffi::OsString, path::PathBuf, process, thread, time::Duration};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    driver::{Direct, Driver, Measured, Request},
    report::{Load, Method, Outcome, Report, Round, SCHEMA, Start},
    server::{Ended, Server, Setup},
};
use crate::uri::Brokers;

/// What to measure, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Names of reactors.
    pub reactors: Vec<String>,
    /// Names of [`APPS`], or `module:attribute`.
    pub apps: Vec<String>,
    /// How each is asked.
    pub loads: Vec<Load>,
    /// Rounds of which the median counts.
    pub rounds: usize,
    /// How long each is measured.
    pub time: Duration,
    /// How long it runs before that.
    pub warm_up: Duration,
    /// Workers of a server.
    pub threads: usize,
    /// Destinations of a server; requests go to each in turn.
    pub destinations: usize,
    /// A real broker; without one, this program plays it.
    pub broker: Option<Broker>,
    /// Whether to count system calls, by `perf`, in a round of their own.
    pub syscalls: bool,
    /// The program whose `serve` is measured.
    pub program: PathBuf,
}

/// A broker at which load and servers meet.
#[derive(Debug, Clone)]
pub struct Broker {
    /// How the load finds it.
    pub brokers: Brokers,
    /// How servers do: variables of their environment.
    pub variables: Vec<(&'static str, OsString)>,
}

/// The applications that come along.
pub const APPS: [&str; 7] = ["hello", "json", "blocking", "cpu", "mixed", "stream", "upload"];

/// Octets of what `upload` is sent.
const UPLOAD: usize = 1024 * 1024;
/// More of these at once would be all memory and no rounds.
const MOST_UPLOADS: usize = 32;
/// So many workers wait at once where applications do nothing but wait.
const WAITING_THREADS: usize = 32;
/// What an open loop may have a server hold.
const OPEN_PREFETCH: usize = 1000;
/// The exit code of a server whose application cannot be loaded.
const NO_APPLICATION: i32 = 3;

impl Plan {
    /// Measures all of it. `progress` shows how far it is.
    ///
    /// # Errors
    /// Where a server cannot be started or stops answering, or the broker will not have us.
    pub fn run(&self, progress: &ProgressBar) -> anyhow::Result<Report> {
        let mut report = Report {
            schema: SCHEMA,
            began: machine::now(),
            machine: machine::this(),
            method: Method {
                broker: "direct".to_owned(),
                rounds: self.rounds,
                seconds: self.time.as_secs_f64(),
                warm_up: self.warm_up.as_secs_f64(),
                threads: self.threads,
                destinations: self.destinations,
            },
            starts: Vec::new(),
            results: Vec::new(),
            doubts: Vec::new(),
        };
        progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} (about {eta} left)")?);
        let loads: usize = self.apps.iter().map(|app| self.loads(app).count()).sum();
        progress.set_length((loads * self.reactors.len() * self.rounds) as u64);
        for app in &self.apps {
            self.measure_app(app, &mut report, progress)?;
        }
        progress.finish_and_clear();
        report.doubts.extend(machine::doubts(&report));
        Ok(report)
    }

    /// How this application is asked.
    fn loads(&self, app: &str) -> impl Iterator<Item = Load> {
        let most = if app == "upload" { MOST_UPLOADS } else { usize::MAX };
        self.loads.iter().copied().filter(move |load| !matches!(load, Load::InFlight(n) if *n > most))
    }

    /// All loads of one application. Its servers stay while they take turns.
    fn measure_app(&self, app: &str, report: &mut Report, progress: &ProgressBar) -> anyhow::Result<()> {
        let mut beds = Vec::new();
        for reactor in &self.reactors {
            progress.set_message(format!("{app}, starting {reactor}"));
            match self.bed(app, reactor, report) {
                Ok(bed) => beds.push(bed),
                // Flask is not everywhere.
                Err(error) if app == "json" && is_missing(&error) => {
                    report.doubts.push(
                        "json was left out: there is no Flask where the servers look for it".to_owned(),
                    );
                    progress.inc((self.loads(app).count() * self.reactors.len() * self.rounds) as u64);
                    return Ok(());
                }
                Err(error) => return Err(error.context(format!("{app} on {reactor}"))),
            }
        }
        for load in self.loads(app) {
            let mut measured: Vec<Vec<Measured>> = self.reactors.iter().map(|_| Vec::new()).collect();
            for round in 1..=self.rounds {
                for ((bed, measured), reactor) in beds.iter_mut().zip(&mut measured).zip(&self.reactors) {
                    progress.set_message(format!("{app}, {}, round {round}, {reactor}", load.text()));
                    let one = bed.driver.round(load, self.warm_up, self.time, &mut bed.server);
                    measured.push(one.with_context(|| format!("{app}, {}, on {reactor}", load.text()))?);
                    progress.inc(1);
                }
            }
            for ((bed, measured), reactor) in beds.iter_mut().zip(&measured).zip(&self.reactors) {
                let syscalls = if self.syscalls { Some(self.syscalls(bed, load)?) } else { None };
                report.results.push(outcome(app, load, reactor, measured, syscalls, self.broker.is_none()));
            }
        }
        beds.into_iter().try_for_each(|bed| bed.server.stop(bed.driver))
    }

    /// A server of this application on this reactor, and what asks it. It has answered once.
    fn bed(&self, app: &str, reactor: &str, report: &mut Report) -> anyhow::Result<Bed> {
        let most = self.loads.iter().map(|load| match load {
            Load::InFlight(n) => *n,
            Load::Rate(_) => OPEN_PREFETCH,
        });
        let threads = if app == "blocking" { self.threads.max(WAITING_THREADS) } else { self.threads };
        let run = fastrand::u64(..);
        let request = Request {
            destinations: (0..self.destinations).map(|nth| format!("/queue/bench.{run:x}.{nth}")).collect(),
            body: if app == "upload" { UPLOAD } else { 0 },
        };
        let setup = |variables| Setup {
            reactor: reactor.to_owned(),
            app: match app {
                // A factory, since not everybody has Flask.
                "json" => "stomp_wsgi.bench:json()".to_owned(),
                app if app.contains(':') => app.to_owned(),
                app => format!("stomp_wsgi.bench:{app}"),
            },
            threads,
            prefetch: most.max().unwrap_or(1) + threads + 16,
            variables,
            destinations: request.destinations.clone(),
        };
        let (mut server, mut driver) = match &self.broker {
            None => {
                let direct = Direct::bind()?;
                // Without us it has nothing to do. It says who it is, whatever the environment has for other brokers.
                let address = direct.address()?;
                let uri = format!("failover:(stomp://bench:bench@{address})?maxReconnectAttempts=1");
                let setup = setup(vec![("STOMP_WSGI_BROKER", uri.into())]);
                let mut server = Server::start(&self.program, &setup)?;
                let driver = direct.accept(&mut server, &request)?;
                (server, driver)
            }
            Some(broker) => {
                let (driver, name) = Driver::connect(&broker.brokers, &request)?;
                report.method.broker = name;
                (Server::start(&self.program, &setup(broker.variables.clone()))?, driver)
            }
        };
        let subscribed = server.started.elapsed();
        driver.once(&mut server)?;
        let answered = server.started.elapsed();
        if !report.starts.iter().any(|start| start.reactor == reactor) {
            report.starts.push(Start {
                reactor: reactor.to_owned(),
                subscribed_ms: millis(subscribed),
                answered_ms: millis(answered),
                memory_mib: mib(server.usage()?.memory),
            });
        }
        Ok(Bed { server, driver })
    }

    /// System calls per request, counted by `perf` while a round runs.
    fn syscalls(&self, bed: &mut Bed, load: Load) -> anyhow::Result<f64> {
        let counter = process::Command::new("perf")
            .args(["stat", "-x", ";", "-e", "raw_syscalls:sys_enter", "-p", &bed.server.pid().to_string()])
            .stdin(process::Stdio::null())
            .stderr(process::Stdio::piped())
            .spawn()
            .context("cannot count system calls: is `perf` installed?")?;
        // It says nothing when it is ready.
        thread::sleep(Duration::from_millis(200));
        let measured = bed.driver.round(load, Duration::ZERO, self.time, &mut bed.server)?;
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&counter),
            rustix::process::Signal::INT,
        )?;
        let said = counter.wait_with_output()?;
        let said = String::from_utf8_lossy(&said.stderr);
        let count: Option<f64> = said.lines().find_map(|line| line.split(';').next()?.parse().ok());
        let Some(count) = count else { bail!("perf cannot count system calls: {}", said.trim()) };
        Ok(count / measured.sent.max(1) as f64)
    }
}

/// A server, and what asks it.
struct Bed {
    server: Server,
    driver: Driver,
}

/// Whether a server has ended since its application cannot be loaded.
fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Ended>().is_some_and(|ended| ended.code == Some(NO_APPLICATION))
}

fn outcome(
    app: &str,
    load: Load,
    reactor: &str,
    measured: &[Measured],
    syscalls: Option<f64>,
    alone: bool,
) -> Outcome {
    let rounds: Vec<Round> = measured.iter().map(|one| round(one, syscalls, alone)).collect();
    let mut all = Histogram::<u64>::new(3).expect("three digits are allowed");
    for one in measured {
        all += &one.latency;
    }
    let latency = all.iter_quantiles(4).map(|at| (at.percentile(), micros(at.value_iterated_to()))).collect();
    let median = median(&rounds);
    Outcome { app: app.to_owned(), load, reactor: reactor.to_owned(), rounds, median, latency }
}

fn round(measured: &Measured, syscalls: Option<f64>, alone: bool) -> Round {
    let Measured { latency, before, after, time, .. } = measured;
    let (answered, seconds) = (latency.len().max(1) as f64, time.as_secs_f64());
    let at = |quantile| micros(latency.value_at_quantile(quantile));
    let cpu = after.cpu.saturating_sub(before.cpu);
    let (busy, all) = measured.machine;
    let ours = (cpu + measured.driver).as_secs_f64() / (seconds * machine::cores() as f64);
    Round {
        throughput: latency.len() as f64 / seconds,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: micros(latency.max()),
        cpu_us: cpu.as_secs_f64() * 1e6 / answered,
        switches: after.switches.saturating_sub(before.switches) as f64 / answered,
        syscalls,
        memory_mib: mib(after.memory),
        threads: after.threads as f64,
        driver: measured.driver.as_secs_f64() / seconds,
        noise: if alone { (busy as f64 / all.max(1) as f64 - ours).max(0.0) } else { 0.0 },
        errors: measured.errors,
    }
}

/// The median of each figure.
fn median(rounds: &[Round]) -> Round {
    let of = |figure: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        match all.len() {
            0 => 0.0,
            n if n % 2 == 1 => all[n / 2],
            n => f64::midpoint(all[n / 2 - 1], all[n / 2]),
        }
    };
    Round {
        throughput: of(|it| it.throughput),
        p50_us: of(|it| it.p50_us),
        p90_us: of(|it| it.p90_us),
        p99_us: of(|it| it.p99_us),
        p999_us: of(|it| it.p999_us),
        max_us: of(|it| it.max_us),
        cpu_us: of(|it| it.cpu_us),
        switches: of(|it| it.switches),
        syscalls: rounds.first().and_then(|it| it.syscalls),
        memory_mib: of(|it| it.memory_mib),
        threads: of(|it| it.threads),
        driver: of(|it| it.driver),
        noise: of(|it| it.noise),
        errors: rounds.iter().map(|it| it.errors).sum(),
    }
}

fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}
