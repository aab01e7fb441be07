//! A server to be measured: a process of its own, and what the kernel counts of it.

use std::{
    ffi::OsString,
    fs, io,
    io::Read,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How a server is started.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) reactor: String,
    pub(super) app: String,
    pub(super) threads: usize,
    pub(super) prefetch: usize,
    /// Where its broker is and how to meet it. Secrets are among it, so it is not put into its arguments.
    pub(super) variables: Vec<(&'static str, OsString)>,
    pub(super) destinations: Vec<String>,
}

/// A running server. It ends with this.
pub(super) struct Server {
    child: Child,
    /// The end of what it said.
    said: Arc<Mutex<String>>,
    pub(super) started: Instant,
}

/// No more than this is kept of what a server says.
const KEPT: usize = 4096;
/// How long a server has to end in good order.
const PATIENCE: Duration = Duration::from_secs(5);

impl Server {
    pub(super) fn start(program: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(["serve", &setup.app, "--reactor", &setup.reactor])
            .args(["--destination", &setup.destinations.join(",")])
            .args(["--threads", &setup.threads.to_string(), "--prefetch", &setup.prefetch.to_string()])
            .args(["--heart-beat", "0,0", "--drain-timeout", "2", "--log-level", "warn"])
            // What is in it has been read, and a pipe can be read once.
            .env_remove("STOMP_WSGI_PASSCODE_FILE")
            .envs(setup.variables.iter().map(|(name, value)| (name, value)))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let said = Arc::default();
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || keep_end(stderr, &said));
        }
        Ok(Self { child, said, started })
    }

    /// An error if it has ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let why = said.trim().lines().last().unwrap_or("it said nothing");
        Ended { code: status.code(), why: why.to_owned() }.into()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the kernel has counted so far.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.pid()).context("cannot read what the server used; it takes Linux's /proc")
    }

    /// Ends it in good order: it is to leave `broker`, which does not say goodbye.
    pub(super) fn stop<T>(mut self, broker: T) -> anyhow::Result<()> {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        drop(broker);
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("a server did not end within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is only waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("the server ended: {why}")]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    why: String,
}

fn keep_end(mut from: impl Read, said: &Mutex<String>) {
    let mut buffer = [0; KEPT];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&String::from_utf8_lossy(&buffer[..n]));
        let surplus = said.len().saturating_sub(KEPT);
        let start = (surplus..).find(|at| said.is_char_boundary(*at)).unwrap_or_default();
        said.drain(..start);
    }
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// Of processor time, user and system, all threads.
    pub(super) cpu: Duration,
    /// Context switches, wanted and not.
    pub(super) switches: u64,
    pub(super) threads: usize,
    /// Octets in memory.
    pub(super) memory: u64,
}

impl Usage {
    fn of(pid: u32) -> io::Result<Self> {
        let mut usage = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            // A thread that has ended by now counts no more.
            let (Ok(times), Ok(status)) =
                (fs::read_to_string(task.join("schedstat")), fs::read_to_string(task.join("status")))
            else {
                continue;
            };
            let nanoseconds = times.split(' ').next().and_then(|time| time.parse().ok());
            usage.cpu += Duration::from_nanos(nanoseconds.ok_or(io::ErrorKind::InvalidData)?);
            usage.switches +=
                field(&status, "voluntary_ctxt_switches") + field(&status, "nonvoluntary_ctxt_switches");
            usage.threads += 1;
        }
        usage.memory = field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS") * 1024;
        Ok(usage)
    }
}

/// The number behind a name in one of /proc's tables.
pub(super) fn field(table: &str, name: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Processor time of the whole machine: (busy, all), in ticks.
pub(super) fn machine_time() -> io::Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guests are in user already.
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|tick| tick.parse().ok()).collect();
    let idle = ticks.get(3).copied().unwrap_or_default() + ticks.get(4).copied().unwrap_or_default();
    let all: u64 = ticks.iter().sum();
    Ok((all - idle, all))
}
