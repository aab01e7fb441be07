//! What a run ran on, and what of its figures is to be doubted.

use std::{fs, thread, time::SystemTime};

use super::{
    figure::THROUGHPUT,
    report::{Machine, Report},
    server::field,
};

/// A round's throughput that is so far from another's says little.
const SPREAD: f64 = 0.15;
/// A driver that is so busy is the limit, or nearly.
const BUSY: f64 = 0.9;
/// So much else on the machine is in the way.
const NOISE: f64 = 0.1;

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn this() -> Machine {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = rustix::system::uname();
    Machine {
        cpu: cpu.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned()),
        cores: cores(),
        memory_mib: field(&read("/proc/meminfo"), "MemTotal") / 1024,
        kernel: format!("{} {}", kernel.sysname().to_string_lossy(), kernel.release().to_string_lossy()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        python: option_env!("STOMP_WSGI_PYTHON_VERSION").unwrap_or("none").to_owned(),
        optimised: !cfg!(debug_assertions),
    }
}

/// Where figures are doubtful, and what to do about it.
pub(super) fn doubts(report: &Report) -> Vec<String> {
    let mut doubts = Vec::new();
    if !report.machine.optimised {
        doubts.push("this build is not optimised: build with `cargo build --release`".to_owned());
    }
    if report.machine.cores < 2 {
        doubts.push("with one core the load and the server are in each other's way".to_owned());
    }
    let where_ = |found: &dyn Fn(&super::Outcome) -> bool| {
        let all: Vec<_> = report.results.iter().filter(|one| found(one)).collect();
        let names =
            all.iter().take(3).map(|one| format!("{}, {}, {}", one.app, one.load.text(), one.reactor));
        let names = names.collect::<Vec<_>>().join("; ");
        (!all.is_empty()).then(|| {
            format!(
                "{} of {} ({names}{})",
                all.len(),
                report.results.len(),
                if all.len() > 3 { "; ..." } else { "" }
            )
        })
    };
    if let Some(those) = where_(&|one| THROUGHPUT.spread(one) > SPREAD) {
        doubts.push(format!("rounds differ by more than {:.0} % in {those}: take longer or more rounds (--seconds, --rounds) on a quiet machine", SPREAD * 100.0));
    }
    if let Some(those) = where_(&|one| one.median.driver > BUSY) {
        doubts.push(format!("the load itself was at its limit in {those}: the server may do more than is shown; compare its CPU per request"));
    }
    if let Some(those) = where_(&|one| one.median.noise > NOISE) {
        doubts
            .push(format!("something else used more than {:.0} % of the machine in {those}", NOISE * 100.0));
    }
    if let Some(those) = where_(&|one| one.errors() > 0) {
        doubts.push(format!("not every answer was 200 in {those}"));
    }
    doubts
}
