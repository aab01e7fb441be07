//! Signals, as far as the application minds them.
//!
//! Python runs signal handlers on its main thread, and only while that thread runs Python. So the main thread
//! of a server serves nothing: it waits for signals that the application has handlers for
//! ([`Signals::run_beside`]). Those that stop a server are the server's ([`Signals::claim`]): `import signal`
//! alone would have SIGINT raise `KeyboardInterrupt` wherever the main thread happens to be.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;

use super::{Interpreter, fork, report};

/// Python's signals, from when the application is loaded to its end. To be used on Python's main thread.
#[derive(Debug)]
pub struct Signals {
    /// Where Python's own signal handler, which may run on any thread, writes a signal's number.
    waker: UnixStream,
    woken: UnixStream,
    /// The application's handlers of the signals that were taken from it.
    claimed: Vec<(i32, Py<PyAny>)>,
}

impl Interpreter {
    /// Takes note of signals from now on; to be called before the application is loaded.
    ///
    /// # Errors
    /// Where the system has no socket pair.
    pub fn signals(&self) -> io::Result<Signals> {
        let (woken, waker) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        wake_by(waker.as_raw_fd())?;
        Ok(Signals { waker, woken, claimed: Vec::new() })
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
            let module = py.import("signal")?;
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
            while self.next()? != Done::BYTE {
                Python::attach(|py| {
                    let outcome = py.check_signals();
                    if fork::generation() != generation {
                        fork::leave(py, outcome);
                    }
                    match outcome {
                        Err(error) if exits(py, &error) => exit(),
                        Err(error) => log(py, &error),
                        Ok(()) => {}
                    }
                });
            }
            worker.join().map_err(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn next(&self) -> io::Result<u8> {
        let mut byte = [0];
        loop {
            match (&self.woken).read_exact(&mut byte) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other.map(|()| byte[0]),
            }
        }
    }

    /// What came until now.
    fn came(&self) -> io::Result<Vec<i32>> {
        self.woken.set_nonblocking(true)?;
        let mut came = Vec::new();
        let ended = loop {
            match self.next() {
                Ok(signal) => came.push(signal.into()),
                Err(error) => break error,
            }
        };
        self.woken.set_nonblocking(false)?;
        if ended.kind() == ErrorKind::WouldBlock { Ok(came) } else { Err(ended) }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Before the socket goes, whose number may be another file's then.
        if let Err(error) = wake_by(-1) {
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

fn wake_by(fd: i32) -> PyResult<()> {
    Python::attach(|py| py.import("signal")?.call_method1("set_wakeup_fd", (fd,)).map(drop))
}

fn exits(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

fn log(py: Python<'_>, error: &PyErr) {
    tracing::error!("a signal handler of the application failed\n{}", report::traceback(py, error));
}
