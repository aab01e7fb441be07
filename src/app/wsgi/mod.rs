//! A Python WSGI application (PEP 3333) as an [`Application`].
//!
//! - [`Setup`] starts CPython, with the right virtual environment; [`Interpreter`] ends it.
//! - [`Wsgi::load`] imports an application, named as `module:attribute`.
//! - [`Config`] is what goes into every environ.
//!
//! ```no_run
//! use stomp_wsgi::app::wsgi::{Config, Setup, Wsgi};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let interpreter = Setup::new().start()?;
//! let app = Wsgi::load("shop:app", &Config::default())?;
//! // ... serve it, on any threads, and join these ...
//! # drop(app);
//! interpreter.finalize();
//! # Ok(())
//! # }
//! ```
//!
//! # Threads and the GIL
//!
//! A call attaches its thread to Python and detaches it in the end. The thread's Python state outlives the
//! call, so `threading.local` means what it says; the context does not, so context variables are the request's
//! own. While the application runs, its thread is attached, except when a block of a streamed reply is handed
//! over: that may wait for the broker. To hold on to the GIL over several calls would save 1 % of what a request costs.
//!
//! Nothing that a Python application raises comes through, be it `SystemExit` or `KeyboardInterrupt`: it
//! is logged with its traceback, and is that request's error.

mod callable;
mod children;
mod config;
mod context;
mod embedded;
mod environ;
mod errors;
mod fork;
mod interpreter;
mod load;
mod names;
mod output;
mod raw_headers;
mod report;
mod respond;
mod shadow;
#[cfg(unix)]
mod signals;
mod stacks;
mod start_response;
mod template;
mod text;
mod thread;
mod wire;

use std::ffi::CString;

use pyo3::prelude::*;
use pyo3::types::PyDict;

pub use children::terminate_children;
pub use config::Config;
pub use interpreter::{FoundBy, Interpreter, Setup, StartError};
pub use load::LoadError;
#[cfg(unix)]
pub use signals::Signals;

use super::{AppError, Application, Reply};
use crate::http::Request;
use callable::Callable;
use environ::Environ;
use start_response::Call;

/// A WSGI application, loaded.
pub struct Wsgi {
    app: Py<PyAny>,
    environ: Environ,
}

impl Wsgi {
    /// Imports an application: `module`, `module:attribute`, `module:object.attribute` or
    /// `module:factory()`. A module alone means its `application`, or else its `app`.
    ///
    /// # Errors
    /// [`LoadError`], which says what to do about it, or has the traceback of what failed.
    ///
    /// # Panics
    /// If no interpreter runs.
    pub fn load(spec: &str, config: &Config) -> Result<Self, LoadError> {
        let spec = load::Spec::parse(spec)?;
        thread::attach(|py| {
            let app = spec.load(py)?;
            Self::new(app, config).map_err(|error| LoadError::import(py, &error))
        })
    }

    /// Runs `source` as the module `name`, and serves its `attribute`. For applications that come with a
    /// program, such as a demonstration.
    ///
    /// # Errors
    /// [`LoadError`], as for [`load`](Self::load).
    ///
    /// # Panics
    /// If no interpreter runs, or an argument holds a NUL.
    pub fn from_source(
        name: &str,
        source: &str,
        attribute: &str,
        config: &Config,
    ) -> Result<Self, LoadError> {
        let text = |text: &str| CString::new(text).expect("the caller gives no NUL");
        thread::attach(|py| {
            PyModule::from_code(py, &text(source), &text(&format!("{name}.py")), &text(name))
                .and_then(|module| Self::new(module.getattr(attribute)?, config))
                .map_err(|error| LoadError::import(py, &error))
        })
    }

    /// The same application behind `wsgiref.validate`, which fails each request where the application, or this
    /// server, does what PEP 3333 forbids. For development: it costs more than a small request.
    ///
    /// # Errors
    /// Where Python's standard library is not whole.
    ///
    /// # Panics
    /// If no interpreter runs.
    pub fn validated(self) -> PyResult<Self> {
        thread::attach(|py| {
            let app = py.import("wsgiref.validate")?.call_method1("validator", (self.app,))?;
            Ok(Self { app: app.unbind(), ..self })
        })
    }

    /// The environ that `request` makes: names, and values as Python shows them, in Python's order.
    ///
    /// # Errors
    /// Where Python fails, which it does for want of memory.
    pub fn environ(&self, request: &Request) -> PyResult<Vec<(String, String)>> {
        thread::attach(|py| {
            let environ = self.environ_dict(py, request)?;
            environ.iter().map(|(name, value)| Ok((name.to_string(), value.repr()?.to_string()))).collect()
        })
    }

    /// The environ that `request` makes, a new one each time.
    ///
    /// # Errors
    /// Where Python fails, which it does for want of memory.
    pub fn environ_dict<'py>(&self, py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyDict>> {
        self.environ.of(py, request)
    }

    /// Wraps a callable.
    ///
    /// # Errors
    /// Where `config` has what PEP 3333 forbids, or Python's standard library cannot be imported.
    pub fn new(app: Bound<'_, PyAny>, config: &Config) -> PyResult<Self> {
        Ok(Self { environ: Environ::new(app.py(), config)?, app: app.unbind() })
    }
}

impl Application for Wsgi {
    fn call(&self, request: &Request, reply: &mut dyn Reply) -> Result<(), AppError> {
        thread::attach(|py| {
            wire::lend(reply, |ticket| {
                let outcome = self.serve(py, request, ticket);
                if ticket.is_forked() {
                    fork::leave(py, outcome);
                }
                errors::flush();
                outcome.map_err(|error| {
                    let traceback = report::traceback(py, &error);
                    tracing::error!("the application failed\n{traceback}");
                    AppError(report::summary(py, &error))
                })
            })
        })
    }

    fn stacks(&self) -> Option<String> {
        Some(stacks::of_all_threads())
    }
}

impl Wsgi {
    fn serve(&self, py: Python<'_>, request: &Request, ticket: wire::Ticket) -> PyResult<()> {
        let environ = self.environ.of(py, request)?;
        let call = Call::new(ticket, request);
        let start = Callable::begin(py, call)?;
        context::fresh(py, || {
            let outcome = respond::respond(self.app.bind(py), environ, &start, call);
            start.end();
            outcome
        })
    }
}

impl std::fmt::Debug for Wsgi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wsgi").finish_non_exhaustive()
    }
}
