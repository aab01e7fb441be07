//! What signals do to a server.
//!
//! A thread of its own waits for them, since the main thread may be in the application's code. Handlers that the
//! application installs for other signals than SIGINT and SIGTERM take the place of ours.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use reactors::Stop;
use signal_hook::{
    consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1},
    iterator::{SignalsInfo, exfiltrator::WithRawSiginfo},
    low_level,
};

/// Signals that the application's handlers hear of after the last reply.
#[cfg(feature = "python")]
pub(super) const CLAIMED: [i32; 2] = [SIGINT, SIGTERM];

/// Other signals that stop a server, unless the application has handlers for them.
#[cfg(any(feature = "python", test))]
const STOPPING: [i32; 2] = [SIGQUIT, signal_hook::consts::SIGUSR2];

/// Signals that would end or suspend a process by default, and do nothing to a server.
#[cfg(any(feature = "python", test))]
const HARMLESS: [i32; 5] = [SIGHUP, SIGUSR1, SIGTTIN, SIGTTOU, SIGALRM];

/// How long an end by force waits for Python to say which children there are.
#[cfg(feature = "python")]
const PATIENCE: Duration = Duration::from_millis(500);

/// How often they are looked for where nothing tells of them.
const CHECK: Duration = Duration::from_millis(100);

/// Has signals do what they are to do.
pub(super) struct Watch {
    #[cfg(feature = "python")]
    handle: signal_hook::iterator::Handle,
    #[cfg_attr(not(feature = "python"), allow(dead_code))]
    state: Arc<State>,
}

impl Watch {
    /// For a server, which is not ready to stop in good order yet. Signals that the application may have handlers for are
    /// watched from now on, before it is loaded, so that its handlers replace ours. `in_child` is what is true in the
    /// processes that it forks: there these signals do what they do by default.
    #[cfg(feature = "python")]
    pub(super) fn before_loading(
        stop: &Stop,
        in_child: impl Fn(&[i32]) -> anyhow::Result<Arc<AtomicBool>>,
    ) -> anyhow::Result<Self> {
        let watched = watched();
        let in_child = in_child(&watched)?;
        for &signal in &watched {
            // Before the watch's own handler: they run in the order in which they were registered.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&in_child))?;
        }
        Self::spawn(stop, &watched, false)
    }

    /// For a program that has nothing but to stop.
    #[cfg(feature = "broker")]
    pub(super) fn stopping(stop: &Stop) -> anyhow::Result<Self> {
        Self::spawn(stop, &[SIGINT, SIGTERM, SIGQUIT], true)
    }

    /// From now on the server stops in good order, by SIGINT and SIGTERM, too. The application has been loaded, and may
    /// have undone handlers of ours, as `asyncio` does that removes its own: then Python calls them.
    #[cfg(feature = "python")]
    pub(super) fn serve(&self, python: &crate::app::wsgi::Signals) -> anyhow::Result<()> {
        self.state.serving.store(true, Ordering::SeqCst);
        for signal in CLAIMED {
            // Handlers run in the order of their registration: the thread that the watch's handler wakes finds the signal here.
            signal_hook::flag::register_usize(signal, Arc::clone(&self.state.came), signal as usize)?;
            self.handle.add_signal(signal)?;
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        for signal in undone(&status, &watched()) {
            let state = Arc::clone(&self.state);
            python.handle_by(signal, move |in_child| {
                if in_child {
                    // Known signals do not fail.
                    let _ = low_level::emulate_default_handler(signal);
                } else {
                    state.react(signal, false);
                }
            })?;
        }
        Ok(())
    }

    /// The signal that asked for the stop, if one did.
    #[cfg(feature = "python")]
    pub(super) fn stopped_by(&self) -> Option<i32> {
        self.state.stopped_by.get().copied()
    }

    fn spawn(stop: &Stop, signals: &[i32], serving: bool) -> anyhow::Result<Self> {
        let signals = SignalsInfo::<WithRawSiginfo>::new(signals)?;
        #[cfg(feature = "python")]
        let handle = signals.handle();
        let state = Arc::new(State {
            stop: stop.clone(),
            serving: AtomicBool::new(serving),
            stopped_by: OnceLock::new(),
            came: Arc::default(),
        });
        let watching = Arc::clone(&state);
        super::start_thread("stomp-wsgi-signals", move || watching.run(signals))?;
        Ok(Self {
            #[cfg(feature = "python")]
            handle,
            state,
        })
    }
}

/// What a server watches before the application is loaded.
#[cfg(feature = "python")]
fn watched() -> Vec<i32> {
    [&STOPPING[..], &HARMLESS].concat()
}

/// Which of `signals` this process neither catches nor ignores, as `/proc/self/status` has it. None where there is none.
#[cfg(feature = "python")]
fn undone(status: &str, signals: &[i32]) -> Vec<i32> {
    let mask = |name: &str| {
        let mut values = status.lines().filter_map(|line| line.strip_prefix(name));
        u64::from_str_radix(values.next()?.trim(), 16).ok()
    };
    match (mask("SigCgt:"), mask("SigIgn:")) {
        (Some(caught), Some(ignored)) => {
            let by_default = |signal: &&i32| (caught | ignored) >> (**signal - 1) & 1 == 0;
            signals.iter().filter(by_default).copied().collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the process may use its terminal, as `/proc/self/stat` (proc(5)) has it. False where there is no such file.
fn in_foreground(stat: &str) -> bool {
    // The name of the program, in parentheses, may be anything.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return false };
    let fields: Vec<&str> = fields.split(' ').collect();
    // The process group, and the one that the terminal belongs to.
    matches!((fields.get(2), fields.get(5)), (Some(group), Some(foreground)) if group == foreground)
}

/// Ends the process at once, whatever still runs. The children that Python would terminate at its end are told to end.
pub(super) fn end_at_once(status: i32) -> ! {
    #[cfg(feature = "python")]
    crate::app::wsgi::terminate_children(PATIENCE);
    low_level::exit(status)
}

/// What a signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Drains, and ends.
    Stop,
    /// Ends at once.
    End,
    /// Nothing, but for a line in the log.
    Reopen,
    Ignore,
    /// The process is suspended, for its terminal belongs to another.
    Suspend,
}

impl Effect {
    /// `by_kernel`: nobody sent it. `serving`: there is something to end in good order. `second`: another signal has asked
    /// for a stop before.
    fn of(signal: i32, by_kernel: bool, serving: bool, second: bool) -> Self {
        match signal {
            SIGTTIN | SIGTTOU if by_kernel => Self::Suspend,
            SIGTTIN | SIGTTOU | SIGALRM => Self::Ignore,
            SIGHUP | SIGUSR1 => Self::Reopen,
            _ if second || !serving => Self::End,
            _ => Self::Stop,
        }
    }
}

/// What the thread that waits for signals goes by.
struct State {
    stop: Stop,
    serving: AtomicBool,
    /// The first signal that asked for it.
    stopped_by: OnceLock<i32>,
    /// The SIGINT or SIGTERM that came and to which nothing was done yet, or 0.
    came: Arc<AtomicUsize>,
}

impl State {
    fn run(&self, mut signals: SignalsInfo<WithRawSiginfo>) {
        let mut silent = false;
        loop {
            let mut suspended = false;
            // It fails, and panics then, where the application has closed what it waits by.
            let heard = panic::catch_unwind(AssertUnwindSafe(|| signals.wait().collect::<Vec<_>>()));
            let Ok(heard) = heard else { break };
            // Twice nothing: it waits by something else, which the application has put in the place of ours.
            if std::mem::replace(&mut silent, heard.is_empty()) && heard.is_empty() {
                break;
            }
            for info in heard {
                suspended |= self.react(info.si_signo, info.si_code > 0) == Effect::Suspend;
            }
            // The thread that wants the terminal asks again and again until the process is suspended, and it goes on when a
            // shell has the process go on. A signal from before that may arrive only now, in the foreground.
            if suspended && !in_foreground(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default()) {
                let _ = low_level::raise(signal_hook::consts::SIGSTOP);
            }
        }
        // The numbers of its descriptors are none of ours any more.
        std::mem::forget(signals);
        tracing::error!(
            "the application has closed descriptors that are the server's: of signals only SIGINT and SIGTERM are heard from now on"
        );
        loop {
            std::thread::sleep(CHECK);
            match self.came.load(Ordering::SeqCst) {
                0 => {}
                // What it stops may need such a descriptor, too, but a second signal is to end the process in any case.
                signal => drop(panic::catch_unwind(AssertUnwindSafe(|| self.react(signal as i32, false)))),
            }
        }
    }

    fn react(&self, signal: i32, by_kernel: bool) -> Effect {
        self.came.store(0, Ordering::SeqCst);
        let serving = self.serving.load(Ordering::SeqCst);
        let effect = Effect::of(signal, by_kernel, serving, self.stopped_by.get().is_some());
        let signal_name = low_level::signal_name(signal).unwrap_or("unknown");
        match effect {
            Effect::Stop => {
                // Once is enough.
                let _ = self.stopped_by.set(signal);
                if self.stop.is_stopped() {
                    tracing::info!(
                        signal = signal_name,
                        "stopping already: draining; a second signal ends the process at once"
                    );
                } else {
                    tracing::info!(
                        signal = signal_name,
                        "stopping: draining; a second signal ends the process at once"
                    );
                    self.stop.stop();
                }
            }
            Effect::End if serving => {
                tracing::warn!(
                    signal = signal_name,
                    "a second signal: ending at once; the broker redelivers what was not answered"
                );
                end_at_once(128 + signal);
            }
            Effect::End => {
                tracing::info!(signal = signal_name, "ending at once: the application is still being loaded");
                end_at_once(128 + signal);
            }
            Effect::Reopen => {
                tracing::info!(
                    signal = signal_name,
                    "the log goes to standard error: there is no log file to reopen"
                );
            }
            Effect::Ignore if signal == SIGALRM => {
                tracing::warn!(
                    signal = signal_name,
                    "ignored: the application has set an alarm, and has no handler for it"
                );
            }
            Effect::Ignore => {
                tracing::info!(
                    signal = signal_name,
                    "ignored: the number of threads does not change while the server runs"
                );
            }
            Effect::Suspend => {}
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::SIGUSR2;

    use super::*;

    #[test]
    fn the_first_signal_stops_and_the_second_ends() {
        for signal in [SIGINT, SIGTERM, SIGQUIT, SIGUSR2] {
            assert_eq!(Effect::of(signal, false, true, false), Effect::Stop);
            assert_eq!(Effect::of(signal, false, true, true), Effect::End);
            // Ctrl-C in a terminal.
            assert_eq!(Effect::of(signal, true, true, false), Effect::Stop);
        }
    }

    #[test]
    fn there_is_nothing_to_drain_while_the_application_is_loaded() {
        for signal in STOPPING {
            assert_eq!(Effect::of(signal, false, false, false), Effect::End);
        }
    }

    #[test]
    fn other_signals_neither_stop_nor_end() {
        for signal in HARMLESS {
            for (serving, second) in [(false, false), (true, false), (true, true)] {
                let effect = Effect::of(signal, false, serving, second);
                assert!(matches!(effect, Effect::Reopen | Effect::Ignore), "{signal}: {effect:?}");
            }
        }
    }

    #[cfg(feature = "python")]
    #[test]
    fn what_the_application_has_undone() {
        // SIGHUP is ignored, SIGUSR1 caught.
        let status = "Name:\tx\nSigIgn:\t0000000000000001\nSigCgt:\t0000000000000200\n";
        assert_eq!(undone(status, &[SIGHUP, SIGQUIT, SIGUSR1, SIGTTOU]), [SIGQUIT, SIGTTOU]);
        assert!(undone("no such thing", &[SIGHUP]).is_empty());
    }

    #[test]
    fn a_process_is_in_the_foreground_where_the_terminal_is_its_group_s() {
        assert!(in_foreground("42 (a b) c) S 1 42 7 34816 42 4194560 0"));
        assert!(!in_foreground("42 (x) S 1 42 7 34816 43 4194560 0"));
        // It has no terminal.
        assert!(!in_foreground("42 (x) S 1 42 7 0 -1 4194560 0"));
        assert!(!in_foreground(""));
    }

    #[test]
    fn a_terminal_may_suspend_it() {
        for signal in [SIGTTIN, SIGTTOU] {
            assert_eq!(Effect::of(signal, true, true, false), Effect::Suspend);
        }
        for signal in [SIGHUP, SIGALRM, SIGUSR1] {
            assert_ne!(Effect::of(signal, true, true, false), Effect::Suspend);
        }
    }
}
