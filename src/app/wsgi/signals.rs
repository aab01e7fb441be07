//! Signals, as far as the application minds them.
//!
//! Python runs signal handlers on its main thread, and only while that thread runs Python. So the main thread
//! of a server serves nothing: it waits for signals that the application has handlers for
//! ([`Signals::run_beside`]). Those that stop a server are the server's ([`Signals::claim`]): `import signal`
//! alone would have SIGINT raise `KeyboardInterrupt` wherever the main thread happens to be.
//!
//! Python's own C handler wakes the main thread by a byte to the wake-up fd (`signal.set_wakeup_fd`), of which there is
//! one in a process. The application may take it: `asyncio` does for `add_signal_handler`, and leaves none behind. So the
//! main thread sets it again after the application was loaded, and looks every second ([`CHECK`]).

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use reactors::CloseOnFork;

use super::{Interpreter, children, fork, report};

/// How often the main thread looks for signals of which it was not told.
const CHECK: Duration = Duration::from_secs(1);

/// Signals that a server reacts to. The program that starts it may have blocked them, as one does that waits for signals
/// by `sigwait`, and a process inherits that.
const UNBLOCKED: [&str; 9] =
    ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGALRM"];

/// Python's signals, from when the application is loaded to its end. To be used on Python's main thread.
#[derive(Debug)]
pub struct Signals {
    /// Of the two sockets, which are shared with forked children otherwise; dropped first.
    _marks: [CloseOnFork; 2],
    /// Python's own, whatever the application makes of `signal.set_wakeup_fd`.
    set_wakeup_fd: Py<PyAny>,
    /// Where Python's own signal handler, which may run on any thread, writes a signal's number.
    waker: UnixStream,
    woken: UnixStream,
    /// The application's handlers of the signals that were taken from it.
    claimed: Vec<(i32, Py<PyAny>)>,
}

impl Interpreter {
    /// Takes note of signals from now on; to be called before the application is loaded. Like Python's own program it
    /// ignores SIGXFSZ: to write to a file that may not grow is an error of that write. The first call unblocks the signals
    /// that a server reacts to, on this thread and so on those that it starts later; what the application blocks as it is
    /// loaded stays blocked.
    ///
    /// # Errors
    /// Where the system has no socket pair.
    pub fn signals(&self) -> io::Result<Signals> {
        let (woken, waker) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_read_timeout(Some(CHECK))?;
        let set_wakeup_fd = Python::attach(|py| {
            // Not `signal`, of which the application may have one of its own.
            let module = py.import("_signal")?;
            let (large, default) = (module.getattr("SIGXFSZ")?, module.getattr("SIG_DFL")?);
            if module.call_method1("getsignal", (&large,))?.eq(default)? {
                module.call_method1("signal", (large, module.getattr("SIG_IGN")?))?;
            }
            unblock(&module)?;
            Ok::<_, PyErr>(module.getattr("set_wakeup_fd")?.unbind())
        })?;
        let marks = [CloseOnFork::new(&woken), CloseOnFork::new(&waker)];
        let signals = Signals { _marks: marks, set_wakeup_fd, waker, woken, claimed: Vec::new() };
        Python::attach(|py| signals.set_wakeup_fd(py, signals.waker.as_raw_fd()))?;
        Ok(signals)
    }
}

/// Undoes what the program that started this one has blocked; once, for later it is the application that has.
fn unblock(module: &Bound<'_, PyModule>) -> PyResult<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let signals = UNBLOCKED.iter().map(|name| module.getattr(name)).collect::<PyResult<Vec<_>>>()?;
    module.call_method1("pthread_sigmask", (module.getattr("SIG_UNBLOCK")?, signals)).map(drop)
}

impl Interpreter {
    /// For when the application is loaded: says whether it has forked meanwhile, and this is the child, as where it makes a
    /// daemon of itself. Then this process is the server, and its [`Signals`] are to be made anew.
    pub fn has_moved(&self) -> bool {
        fork::settle()
    }
}

impl Signals {
    /// Takes these signals from Python, and resets them to what the system does by default. For signals that
    /// the program handles itself; to be called after the application was loaded and before they are.
    /// Answers which of them came meanwhile, and went to the application's handlers.
    ///
    /// # Errors
    /// Where Python has no such signal.
    pub fn claim(&mut self, signals: &[i32]) -> PyResult<Vec<i32>> {
        Python::attach(|py| {
            self.check_wakeup_fd(py);
            let module = py.import("_signal")?;
            let usual = module.getattr("default_int_handler")?;
            for &signal in signals {
                let handler = module.call_method1("getsignal", (signal,))?;
                module.call_method1("signal", (signal, module.getattr("SIG_DFL")?))?;
                if handler.is(&usual) {
                    continue;
                }
                fork::restores(py, signal, &handler)?;
                // Besides functions there are SIG_DFL and SIG_IGN, numbers, and None for one not of Python.
                if handler.is_callable() {
                    self.claimed.push((signal, handler.unbind()));
                }
            }
            Ok::<_, PyErr>(())
        })?;
        let mut early = self.came()?;
        early.retain(|signal| signals.contains(signal));
        Ok(early)
    }

    /// For handlers of the program's own, which forked children inherit. Answers what is true in such a child: there a
    /// handler should do what the system does by default. These signals wait while a process forks.
    ///
    /// # Errors
    /// Where Python fails, which it does for want of memory.
    pub fn in_children(&self, signals: &[i32]) -> PyResult<Arc<AtomicBool>> {
        Python::attach(|py| fork::hold(py, signals))
    }

    /// Has Python call `handler` for this signal, on the main thread, for where the application has undone the program's own
    /// handler. It is told whether it runs in a forked child.
    ///
    /// # Errors
    /// Where Python has no such signal.
    pub fn handle_by(&self, signal: i32, handler: impl Fn(bool) + Send + Sync + 'static) -> PyResult<()> {
        Python::attach(|py| {
            let generation = fork::generation();
            let handler = PyCFunction::new_closure(py, None, None, move |args, _| {
                let in_child = fork::generation() != generation;
                args.py().detach(|| handler(in_child));
            })?;
            py.import("_signal")?.call_method1("signal", (signal, handler)).map(drop)
        })
    }

    /// Runs the handler that the application has for this signal, if it has one, as Python would have.
    /// What it raises, `SystemExit` as a rule, ends only the handler.
    ///
    /// To be called once nothing is served any more.
    pub fn handle(&self, signal: i32) {
        Python::attach(|py| {
            let handlers = self.claimed.iter().filter(|(claimed, _)| *claimed == signal);
            for (_, handler) in handlers {
                match handler.call1(py, (signal, py.None())) {
                    Err(error) if !exits(py, &error) => log(py, &error),
                    _ => {}
                }
            }
        });
    }

    /// Runs `work` on a thread of its own, while this one, Python's main thread, runs the application's signal
    /// handlers. One that raises `SystemExit` or `KeyboardInterrupt` has `exit` called, and what else one
    /// raises is logged.
    ///
    /// # Errors
    /// Where the system has no thread.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run_beside<R: Send>(&self, exit: impl Fn(), work: impl FnOnce() -> R + Send) -> io::Result<R> {
        thread::scope(|scope| {
            let done = Done(&self.waker);
            let main = move || {
                let _done = done;
                work()
            };
            let worker = thread::Builder::new().name("stomp-wsgi".into()).stack_size(reactors::JOB_STACK);
            let worker = worker
                .spawn_scoped(scope, main)
                .map_err(|error| reactors::thread_error("stomp-wsgi", &error))?;
            let generation = fork::generation();
            while self.next()? != Some(Done::BYTE) {
                Python::attach(|py| {
                    // Also where nothing came: the application may have taken the wake-up fd.
                    let outcome = py.check_signals();
                    if fork::generation() != generation {
                        fork::leave(py, outcome);
                    }
                    match outcome {
                        Err(error) if exits(py, &error) => exit(),
                        Err(error) => log(py, &error),
                        Ok(()) => {}
                    }
                    self.check_wakeup_fd(py);
                    children::note(py);
                });
            }
            worker.join().map_err(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Waits for a byte. None where it is time to look: after [`CHECK`], and after a signal on this thread, whose byte
    /// may have gone elsewhere.
    fn next(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        match (&self.woken).read_exact(&mut byte) {
            Ok(()) => Ok(Some(byte[0])),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// What came until now.
    fn came(&self) -> io::Result<Vec<i32>> {
        self.woken.set_nonblocking(true)?;
        let (mut came, mut bytes) = (Vec::new(), [0_u8; 64]);
        let ended = loop {
            match (&self.woken).read(&mut bytes) {
                Ok(0) => break Ok(()),
                Ok(n) => came.extend(bytes[..n].iter().map(|byte| i32::from(*byte))),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.woken.set_nonblocking(false)?;
        ended.map(|()| came)
    }

    /// Takes the wake-up fd back where the application has it.
    fn check_wakeup_fd(&self, py: Python<'_>) {
        let fd = self.waker.as_raw_fd();
        match self.set_wakeup_fd(py, fd) {
            Ok(before) if before == fd => {}
            Ok(before) => {
                tracing::debug!(before, "the application had changed signal.set_wakeup_fd; set again")
            }
            Err(error) => {
                tracing::warn!(%error, "signal.set_wakeup_fd fails: the application's signal handlers run late")
            }
        }
    }

    /// Answers what it was before.
    fn set_wakeup_fd(&self, py: Python<'_>, fd: i32) -> PyResult<i32> {
        self.set_wakeup_fd.call1(py, (fd,))?.extract(py)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Before the socket goes, whose number may be another file's then.
        if let Err(error) = Python::attach(|py| self.set_wakeup_fd(py, -1)) {
            tracing::debug!(%error, "Python goes on waking us");
        }
    }
}

/// Says that the work is done, however it went.
struct Done<'a>(&'a UnixStream);

impl Done<'_> {
    /// Python writes the signal's number, and there is none of this one.
    const BYTE: u8 = 0;
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        // Should the buffer be full of signals, the socket must not stay silent after them.
        if self.0.set_nonblocking(false).is_ok() {
            let _ = self.0.write_all(&[Self::BYTE]);
        }
    }
}

fn exits(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

fn log(py: Python<'_>, error: &PyErr) {
    tracing::error!("a signal handler of the application failed\n{}", report::traceback(py, error));
}
