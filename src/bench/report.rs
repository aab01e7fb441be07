//! What was measured, as it is kept (`--json`) and shown.

use serde::{Deserialize, Serialize};

/// One run of `stomp-wsgi bench`: all that a page or a comparison needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Of this layout; see [`SCHEMA`].
    pub schema: u32,
    /// When the run began, in seconds since 1970 (UTC).
    pub began: u64,
    /// What it ran on.
    pub machine: Machine,
    /// How it was measured.
    pub method: Method,
    /// From the start of a server to its first answer, for each reactor.
    pub starts: Vec<Start>,
    /// A result for each application, load and reactor, in the order in which they were asked for.
    pub results: Vec<Outcome>,
    /// Where figures are to be doubted, and why.
    pub doubts: Vec<String>,
}

/// The layout that this version writes and reads.
pub const SCHEMA: u32 = 2;

/// What a run ran on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// The processor, as the kernel names it.
    pub cpu: String,
    /// How many threads of execution it has.
    pub cores: usize,
    /// MiB of memory.
    pub memory_mib: u64,
    /// The kernel's name and version.
    pub kernel: String,
    /// The version of this crate.
    pub version: String,
    /// The embedded Python's version.
    pub python: String,
    /// Whether it was built with optimisation.
    pub optimised: bool,
}

/// How a run was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Method {
    /// `direct` (this tool played the broker), or what the broker calls itself.
    pub broker: String,
    /// Rounds of which the median counts; in each, reactors take turns.
    pub rounds: usize,
    /// Seconds of a round that are measured.
    pub seconds: f64,
    /// Seconds before them that are not.
    pub warm_up: f64,
    /// Workers that a server had, except for the single one of mio; `blocking` had 32 at least.
    pub threads: usize,
    /// Destinations of a server, which the requests went to in turn.
    pub destinations: usize,
}

/// How soon a server is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    /// Whose.
    pub reactor: String,
    /// Milliseconds until it had subscribed.
    pub subscribed_ms: f64,
    /// Milliseconds until it had answered.
    pub answered_ms: f64,
    /// MiB of memory then.
    pub memory_mib: f64,
}

/// One application under one load on one reactor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name, or `module:attribute`.
    pub app: String,
    /// How it was asked.
    pub load: Load,
    /// What answered.
    pub reactor: String,
    /// Each round.
    pub rounds: Vec<Round>,
    /// The median of each figure over the rounds.
    pub median: Round,
    /// Latency of all rounds: (percentile, microseconds), ascending.
    pub latency: Vec<(f64, f64)>,
}

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// Closed loop: so many requests wait at each moment.
    InFlight(usize),
    /// Open loop: so many a second, whatever becomes of them.
    Rate(f64),
}

/// The figures of one round; latencies count from when a request was to be sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Round {
    /// Requests answered per second.
    pub throughput: f64,
    /// Microseconds: half of the requests were answered faster.
    pub p50_us: f64,
    /// Microseconds: nine tenths were.
    pub p90_us: f64,
    /// Microseconds: 99 of 100 were.
    pub p99_us: f64,
    /// Microseconds: 999 of 1,000 were.
    pub p999_us: f64,
    /// Microseconds: all were.
    pub max_us: f64,
    /// Microseconds of processor time that the server spent, user and system, per request.
    pub cpu_us: f64,
    /// Context switches of the server per request.
    pub switches: f64,
    /// System calls of the server per request, where they could be counted.
    pub syscalls: Option<f64>,
    /// MiB of the server's memory at the end.
    pub memory_mib: f64,
    /// Threads of the server.
    pub threads: f64,
    /// The part of the time that the driver's own thread was busy: near 1, it is the limit.
    pub driver: f64,
    /// The part of the machine that neither driver, server nor broker used, and that was not idle.
    pub noise: f64,
    /// Requests that were answered otherwise than with 200.
    pub errors: u64,
}
