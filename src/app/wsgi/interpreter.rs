//! Starts CPython inside this program, and ends it.
//!
//! An embedded interpreter is not told which virtual environment to use by `VIRTUAL_ENV`, nor by the current
//! directory: only by where it believes its own program to be. So it is given the `bin/python` of the
//! environment, and then finds prefix, site-packages and `sys.executable` as if started there.
#![allow(unsafe_code)]

use std::env;
use std::ffi::{CStr, CString, OsString};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::{embedded, fork, output, report, shadow, thread};

/// The minor version of CPython that this program is linked with, `3.11`.
const VERSION: &str = env!("STOMP_WSGI_PYTHON_VERSION");

/// The interpreter that was found when this program was built; it may be elsewhere now.
const BUILD_PYTHON: &str = env!("STOMP_WSGI_PYTHON");

/// Methods that Falcon is to know besides those of HTTP, or else it refuses to route them.
const FALCON_METHODS: &str = "FALCON_CUSTOM_HTTP_METHODS";

/// How to start the interpreter.
///
/// Its virtual environment is the first of: the one [given](Self::venv), the one that `VIRTUAL_ENV` names, a
/// `.venv` in the application's directory or above it, and none.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    venv: Option<PathBuf>,
    directory: Option<PathBuf>,
    python_path: Vec<PathBuf>,
    logs_standard_error: bool,
}

impl Setup {
    /// The current directory, and whatever environment is found.
    pub fn new() -> Self {
        Self::default()
    }

    /// The virtual environment to use.
    #[must_use]
    pub fn venv(mut self, directory: impl Into<PathBuf>) -> Self {
        self.venv = Some(directory.into());
        self
    }

    /// Where the application is: first on `sys.path`. The current directory unless set.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Directories to import from besides, after the application's own.
    #[must_use]
    pub fn python_path<P: Into<PathBuf>>(mut self, directories: impl IntoIterator<Item = P>) -> Self {
        self.python_path.extend(directories.into_iter().map(Into::into));
        self
    }

    /// Whether what Python writes to `sys.stderr` becomes events of the log (target `python.stderr`), and records of
    /// `logging` that no handler of the application's takes, too (target `python.logging`). For a log that is to be all
    /// that standard error holds. What is written to the file descriptor past Python, by C code or by other processes,
    /// stays as it is.
    #[must_use]
    pub fn log_standard_error(mut self, logged: bool) -> Self {
        self.logs_standard_error = logged;
        self
    }

    /// Starts CPython. The calling thread becomes Python's main thread; it is detached when this returns.
    ///
    /// No signal handlers are installed: signals are the program's business. Standard output is written line by line,
    /// to pipes and files, too.
    ///
    /// # Errors
    /// [`StartError`] where the virtual environment cannot be used, or CPython does not start.
    pub fn start(&self) -> Result<Interpreter, StartError> {
        let directory = self.absolute_directory()?;
        let program = match self.find_venv(&directory)? {
            Some(venv) => Some(venv.python()?),
            None => Some(PathBuf::from(BUILD_PYTHON)).filter(|python| python.exists()),
        };
        initialize(program.as_deref())?;
        let interpreter = Interpreter { main_thread: PhantomData };
        self.prepare()?;
        Python::attach(|py| output::prepare(py, self.logs_standard_error))
            .map_err(|error| StartError::Python(error.to_string()))?;
        Ok(interpreter)
    }

    /// Makes a Python that runs already ready to import an application, as [`start`](Self::start) does the
    /// one that it starts: `sys.path`, our package `stomp_wsgi`, and what frameworks must know before they are
    /// imported. For a program that is itself a Python extension.
    ///
    /// # Errors
    /// [`StartError`], where it is a peculiar Python.
    ///
    /// # Panics
    /// If no interpreter runs.
    pub fn prepare(&self) -> Result<(), StartError> {
        let directory = self.absolute_directory()?;
        Python::attach(|py| {
            prepare(py, &directory, &self.python_path).map_err(|error| {
                // `PYTHONPATH` may have put such a directory there before us.
                let hint = shadow::hint(py, &report::traceback(py, &error));
                StartError::Python(format!("{error}{}", hint.unwrap_or_default()))
            })
        })
    }

    fn absolute_directory(&self) -> Result<PathBuf, StartError> {
        match &self.directory {
            Some(directory) => std::path::absolute(directory),
            None => env::current_dir(),
        }
        .map_err(|source| StartError::Directory { directory: self.directory.clone(), source })
    }

    fn find_venv(&self, directory: &Path) -> Result<Option<Venv>, StartError> {
        let variable = || env::var_os("VIRTUAL_ENV").filter(|value| !value.is_empty());
        let (directory, found_by) = if let Some(given) = &self.venv {
            (given.clone(), FoundBy::Option)
        } else if let Some(named) = variable() {
            (PathBuf::from(named), FoundBy::Variable)
        } else {
            let above = directory.ancestors().map(|directory| directory.join(".venv"));
            match above.into_iter().find(|venv| venv.join("pyvenv.cfg").is_file()) {
                Some(venv) => (venv, FoundBy::Search),
                None => return Ok(None),
            }
        };
        Venv { directory, found_by }.checked().map(Some)
    }
}

/// Why there is no interpreter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The application's directory cannot be had.
    #[error("the application's directory{} cannot be used", directory.as_ref().map(|d| format!(" {}", d.display())).unwrap_or_default())]
    Directory {
        /// As given; none: the current one.
        directory: Option<PathBuf>,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no virtual environment where there should be one.
    #[error("there is no virtual environment in {} ({found_by}): it has no pyvenv.cfg", directory.display())]
    NoVenv {
        /// Where it was looked for.
        directory: PathBuf,
        /// Who said so.
        found_by: FoundBy,
    },
    /// The virtual environment has lost its Python.
    #[error(
        "the virtual environment {} ({found_by}) has no {}: the Python that it was made with is gone; make it anew",
        directory.display(),
        python.display()
    )]
    BrokenVenv {
        /// The virtual environment.
        directory: PathBuf,
        /// Who said so.
        found_by: FoundBy,
        /// The program that is missing.
        python: PathBuf,
    },
    /// A file of the virtual environment cannot be reached.
    #[error("the virtual environment {} ({found_by}) cannot be used: {} is out of reach", directory.display(), file.display())]
    Unreachable {
        /// The virtual environment.
        directory: PathBuf,
        /// Who said so.
        found_by: FoundBy,
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The virtual environment is of another Python than this program.
    #[error(
        "this build embeds Python {VERSION}, the virtual environment {} ({found_by}) is for {version}: \
         make one with python{VERSION} -m venv, or build with PYO3_PYTHON=python{version}",
        directory.display()
    )]
    OtherVersion {
        /// The virtual environment.
        directory: PathBuf,
        /// Who said so.
        found_by: FoundBy,
        /// Its version, `3.12`.
        version: String,
    },
    /// An interpreter runs in this process already.
    #[error("Python was started before in this process")]
    Running,
    /// CPython did not start.
    #[error("Python does not start: {0}")]
    Python(String),
}

/// How a virtual environment came to be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoundBy {
    /// It was asked for.
    Option,
    /// By the variable `VIRTUAL_ENV`.
    Variable,
    /// It is the nearest `.venv`.
    Search,
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Option => "as asked for",
            Self::Variable => "from VIRTUAL_ENV",
            Self::Search => "the nearest .venv",
        })
    }
}

/// A running CPython. Dropping it does what [`finalize`](Self::finalize) does.
///
/// It stays on the thread that started it, which is Python's main thread.
#[derive(Debug)]
#[must_use = "dropping it ends the interpreter"]
pub struct Interpreter {
    main_thread: PhantomData<*const ()>,
}

impl Interpreter {
    /// Ends Python as the end of a script would: waits for its non-daemon threads, runs what `atexit` was
    /// given, and flushes standard output and error. Threads that serve requests should be joined before.
    ///
    /// The interpreter's memory is left to the system: a handler that never came back may still run in it.
    pub fn finalize(self) {}

    /// What was started, for a report: version, `sys.prefix` and `sys.executable`.
    pub fn describe(&self) -> String {
        let describe = |py: Python<'_>| -> PyResult<String> {
            let names = PyDict::new(py);
            names.set_item("sys", py.import("sys")?)?;
            let code = c"f'Python {sys.version.split()[0]}, prefix {sys.prefix}, program {sys.executable}'";
            py.eval(code, None, Some(&names))?.extract()
        };
        Python::attach(|py| describe(py).unwrap_or_else(|error| error.to_string()))
    }

    /// Gives it up without any of this, for when a handler does not come back and the process is to end at
    /// once. What Python has buffered for standard output and error is lost.
    pub fn abandon(self) {
        std::mem::forget(self);
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        thread::close();
        Python::attach(|py| {
            for (module, function) in [("threading", "_shutdown"), ("atexit", "_run_exitfuncs")] {
                if let Err(error) = py.import(module).and_then(|module| module.call_method0(function)) {
                    // Not by Python, whose standard error may block.
                    let traceback = super::report::traceback(py, &error);
                    tracing::error!("{module}.{function}() failed at the end\n{traceback}");
                }
            }
            flush(py);
        });
    }
}

/// Writes what Python has buffered for standard output and error.
pub(super) fn flush(py: Python<'_>) {
    for stream in ["stdout", "stderr"] {
        // A closed pipe is no news at this point, and None no stream.
        let _ = py.import("sys").and_then(|sys| sys.getattr(stream)?.call_method0("flush"));
    }
}

/// What we need of the standard library, now or later. The application's directory may have modules of the same names,
/// which must not take their place. The thread that imports `threading` first is taken for the main thread.
const STANDARD: [&str; 7] =
    ["threading", "traceback", "inspect", "io", "wsgiref.util", "difflib", "sysconfig"];

fn prepare(py: Python<'_>, directory: &Path, python_path: &[PathBuf]) -> PyResult<()> {
    for module in STANDARD {
        py.import(module)?;
    }
    fork::watch(py)?;
    embedded::register(py)?;
    let path = py.import("sys")?.getattr("path")?.cast_into::<PyList>()?;
    for (index, entry) in
        std::iter::once(directory).chain(python_path.iter().map(PathBuf::as_path)).enumerate()
    {
        let entry = std::path::absolute(entry).unwrap_or_else(|_| entry.to_owned());
        path.insert(index, entry.into_os_string())?;
    }
    let environ = py.import("os")?.getattr("environ")?;
    let before: Option<String> = environ.call_method1("get", (FALCON_METHODS,))?.extract()?;
    environ.set_item(FALCON_METHODS, with_notify(before.as_deref().unwrap_or_default()))
}

/// The list of methods with NOTIFY in it.
fn with_notify(methods: &str) -> String {
    let known = methods.split(',').any(|method| method.trim().eq_ignore_ascii_case("NOTIFY"));
    match methods.trim() {
        "" => "NOTIFY".to_owned(),
        methods if known => methods.to_owned(),
        methods => format!("{methods},NOTIFY"),
    }
}

/// A virtual environment.
struct Venv {
    directory: PathBuf,
    found_by: FoundBy,
}

impl Venv {
    fn checked(self) -> Result<Self, StartError> {
        let Ok(text) = std::fs::read_to_string(self.directory.join("pyvenv.cfg")) else {
            return Err(StartError::NoVenv { directory: self.directory, found_by: self.found_by });
        };
        match minor_version(&text) {
            Some(version) if version != VERSION => {
                let Self { directory, found_by } = self;
                Err(StartError::OtherVersion { directory, found_by, version })
            }
            _ => Ok(self),
        }
    }

    fn python(self) -> Result<PathBuf, StartError> {
        let program = if cfg!(windows) { r"Scripts\python.exe" } else { "bin/python" };
        let python = self.directory.join(program);
        // False for a link to a Python that was removed, too.
        let Self { directory, found_by } = self;
        match python.try_exists() {
            Ok(true) => Ok(std::path::absolute(&python).unwrap_or(python)),
            Ok(false) => Err(StartError::BrokenVenv { directory, found_by, python }),
            // The user that the server runs as may not look into the directory where the link leads.
            Err(source) => Err(StartError::Unreachable { directory, found_by, file: python, source }),
        }
    }
}

/// `3.11` out of `version = 3.11.7` (venv) or `version_info = 3.11.7.final.0` (virtualenv, uv).
fn minor_version(pyvenv_cfg: &str) -> Option<String> {
    let version = pyvenv_cfg.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key.trim(), "version" | "version_info").then(|| value.trim())
    })?;
    let mut numbers = version.split('.');
    Some(format!("{}.{}", numbers.next()?, numbers.next()?))
}

/// `Py_InitializeFromConfig`, and back off the interpreter.
fn initialize(program: Option<&Path>) -> Result<(), StartError> {
    // SAFETY: may be called at any time.
    if unsafe { ffi::Py_IsInitialized() } != 0 {
        return Err(StartError::Running);
    }
    let program = program.map(c_path).transpose()?;
    let mut config = std::mem::MaybeUninit::<ffi::PyConfig>::uninit();
    // SAFETY: PyConfig_InitPythonConfig fills in all of the struct, which the other functions then take
    // by a pointer that lives until after PyConfig_Clear, as does the path that one of them copies.
    // Python was not initialised, and this thread is the one that becomes its main thread.
    unsafe {
        let config = config.as_mut_ptr();
        ffi::PyConfig_InitPythonConfig(config);
        // Our command line is no Python's, and our signals are the program's.
        (*config).parse_argv = 0;
        (*config).install_signal_handlers = 0;
        let mut status = ffi::PyStatus_Ok();
        if let Some(program) = &program {
            let name = std::ptr::addr_of_mut!((*config).program_name);
            status = ffi::PyConfig_SetBytesString(config, name, program.as_ptr());
        }
        if ffi::PyStatus_Exception(status) == 0 {
            status = ffi::Py_InitializeFromConfig(config);
        }
        ffi::PyConfig_Clear(config);
        if ffi::PyStatus_Exception(status) != 0 {
            let reason = match status.err_msg.is_null() {
                true => "no reason given".to_owned(),
                false => CStr::from_ptr(status.err_msg).to_string_lossy().into_owned(),
            };
            return Err(StartError::Python(reason));
        }
        // Initialising leaves this thread attached, and others could never be.
        ffi::PyEval_SaveThread();
    }
    Ok(())
}

fn c_path(path: &Path) -> Result<CString, StartError> {
    let bytes = OsString::from(path).into_encoded_bytes();
    CString::new(bytes).map_err(|_| StartError::Python(format!("{} contains a NUL", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_virtual_environments() {
        for (text, version) in [
            ("home = /usr/bin\nversion = 3.11.7\n", Some("3.11")),
            ("home=/usr/bin\nversion_info = 3.12.1.final.0\n", Some("3.12")),
            ("uv = 0.9\nversion_info = 3.13\n", Some("3.13")),
            ("home = /usr/bin\n", None),
            ("version = x", None),
        ] {
            assert_eq!(minor_version(text).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn falcon_learns_the_method_once() {
        for (before, after) in [
            ("", "NOTIFY"),
            ("NOTIFY", "NOTIFY"),
            ("PURGE", "PURGE,NOTIFY"),
            ("PURGE, notify", "PURGE, notify"),
        ] {
            assert_eq!(with_notify(before), after);
        }
    }
}
