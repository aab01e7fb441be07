//! Signals, as far as the application minds them.
//!
//! Python runs signal handlers on its main thread, and only while that thread runs Python. So the main thread
//! of a server serves nothing: it waits for signals that the application has handlers for
//! ([`Interpreter::run_beside`]). Those that stop a server are the server's ([`Interpreter::claim`]): `import
//! signal` alone would have SIGINT raise `KeyboardInterrupt` wherever the main thread happens to be.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;

use super::{Interpreter, report};

/// Signals that were taken from Python, with the handlers that the application had for them.
#[derive(Debug)]
pub struct Claimed(Vec<(i32, Py<PyAny>)>);

impl Claimed {
    /// Runs the handler that the application has for this signal, if it has one, as Python would have.
    /// What it raises, `SystemExit` as a rule, ends only the handler.
    ///
    /// To be called on Python's main thread, once nothing is served any more.
    pub fn handle(&self, signal: i32) {
        Python::attach(|py| {
            let handlers = self.0.iter().filter(|(claimed, _)| *claimed == signal);
            for (_, handler) in handlers {
                match handler.call1(py, (signal, py.None())) {
                    Err(error) if !exits(py, &error) => log(py, &error),
                    _ => {}
                }
            }
        });
    }
}

impl Interpreter {
    /// Takes these signals from Python, and resets them to what the system does by default. For signals that
    /// the program handles itself; to be called after the application was loaded and before they are.
    ///
    /// # Errors
    /// Where Python has no such signal.
    pub fn claim(&self, signals: &[i32]) -> PyResult<Claimed> {
        Python::attach(|py| {
            let module = py.import("signal")?;
            let usual = module.getattr("default_int_handler")?;
            let mut claimed = Vec::new();
            for &signal in signals {
                let handler = module.call_method1("getsignal", (signal,))?;
                module.call_method1("signal", (signal, module.getattr("SIG_DFL")?))?;
                // Besides functions there are SIG_DFL and SIG_IGN, numbers, and None for one not of Python.
                if handler.is_callable() && !handler.is(&usual) {
                    claimed.push((signal, handler.unbind()));
                }
            }
            Ok(Claimed(claimed))
        })
    }

    /// Runs `work` on a thread of its own, while this one, Python's main thread, runs the application's signal
    /// handlers. One that raises `SystemExit` or `KeyboardInterrupt` has `exit` called, and what else one
    /// raises is logged.
    ///
    /// # Errors
    /// Where the system has no thread or no socket pair.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run_beside<R: Send>(&self, exit: impl Fn(), work: impl FnOnce() -> R + Send) -> io::Result<R> {
        let (mut signals, waker) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        wake_by(waker.as_raw_fd())?;
        let result = thread::scope(|scope| {
            let done = Done(&waker);
            let main = move || {
                let _done = done;
                work()
            };
            let worker = thread::Builder::new().name("stomp-wsgi".into()).stack_size(reactors::JOB_STACK);
            let worker = worker.spawn_scoped(scope, main)?;
            // Python writes the signal's number, and there is none of this one.
            while next(&mut signals)? != Done::BYTE {
                Python::attach(|py| match py.check_signals() {
                    Err(error) if exits(py, &error) => exit(),
                    Err(error) => log(py, &error),
                    Ok(()) => {}
                });
            }
            worker.join().map_err(|panic| std::panic::resume_unwind(panic))
        });
        wake_by(-1)?;
        result
    }
}

/// Says that the work is done, however it went.
struct Done<'a>(&'a UnixStream);

impl Done<'_> {
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

fn next(mut signals: impl Read) -> io::Result<u8> {
    let mut byte = [0];
    loop {
        match signals.read_exact(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(|()| byte[0]),
        }
    }
}

/// Where Python's own signal handler writes, which may run on any thread.
fn wake_by(fd: i32) -> PyResult<()> {
    Python::attach(|py| py.import("signal")?.call_method1("set_wakeup_fd", (fd,)).map(drop))
}

fn exits(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

fn log(py: Python<'_>, error: &PyErr) {
    tracing::error!("a signal handler of the application failed\n{}", report::traceback(py, error));
}
