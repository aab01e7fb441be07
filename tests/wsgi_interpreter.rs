//! Starting and ending CPython. There is one interpreter in a process and it starts once, so each case runs
//! in a process of its own: this test binary again, with the ignored test `child`.
#![cfg(feature = "python")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pyo3::prelude::*;
use stomp_wsgi::app::wsgi::Setup;

const VERSION: &str = env!("STOMP_WSGI_PYTHON_VERSION");
const PYTHON: &str = env!("STOMP_WSGI_PYTHON");

/// What the child process prints: an expression's value, or the error.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let mut setup = Setup::new();
    if let Some(venv) = std::env::var_os("CHILD_VENV") {
        setup = setup.venv(venv);
    }
    if let Some(directory) = std::env::var_os("CHILD_DIRECTORY") {
        setup = setup.directory(directory);
    }
    setup = setup.python_path(std::env::var_os("CHILD_PATH"));
    let interpreter = match setup.start() {
        Ok(interpreter) => interpreter,
        Err(error) => {
            println!("<<error: {error}>>");
            return;
        }
    };
    let code = std::ffi::CString::new(std::env::var("CHILD_CODE").unwrap()).unwrap();
    Python::attach(|py| py.run(&code, None, None).unwrap());
    assert!(matches!(setup.start(), Err(stomp_wsgi::app::wsgi::StartError::Running)));
    interpreter.finalize();
}

struct Child(Command);

impl Child {
    fn new(code: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--ignored", "--nocapture"]);
        for variable in ["VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "FALCON_CUSTOM_HTTP_METHODS"] {
            command.env_remove(variable);
        }
        command.env("CHILD_CODE", code).env("CHILD_DIRECTORY", "/");
        Self(command)
    }

    fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// What it printed between the marks.
    #[track_caller]
    fn says(mut self) -> String {
        let output = self.0.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{errors}");
        let start = text.find("<<").unwrap_or_else(|| panic!("{text}\n{errors}"));
        let end = text.rfind(">>").unwrap();
        text[start + 2..end].to_owned()
    }
}

/// A directory that goes away again.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stomp-wsgi-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    /// A virtual environment without pip, made by the Python that this was built with.
    fn venv(&self, name: &str) -> PathBuf {
        let venv = self.0.join(name);
        let made = Command::new(PYTHON).args(["-m", "venv", "--without-pip"]).arg(&venv).status().unwrap();
        assert!(made.success());
        let packages = venv.join(format!("lib/python{VERSION}/site-packages"));
        fs::write(packages.join("only_here.py"), "name = 'only here'\n").unwrap();
        venv
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const WHERE: &str = "import sys, only_here; print(f'<<{sys.prefix} {sys.executable} {only_here.name}>>')";

fn expected(venv: &Path) -> String {
    format!("{0} {0}/bin/python only here", venv.display())
}

#[test]
fn without_a_virtual_environment() {
    let code = "import sys, json, ctypes; print(f'<<{sys.version_info[0]}.{sys.version_info[1]}>>')";
    assert_eq!(Child::new(code).says(), VERSION);
    assert_eq!(Child::new(code).env("PATH", "").says(), VERSION);
    let code = "import sys; print(f'<<{sys.prefix == sys.base_prefix}>>')";
    assert_eq!(Child::new(code).says(), "True");
}

#[test]
fn the_virtual_environment_is_asked_for() {
    let scratch = Scratch::new("option");
    let venv = scratch.venv("env");
    assert_eq!(Child::new(WHERE).env("CHILD_VENV", &venv).says(), expected(&venv));
    // It is stronger than the variable, and independent of PATH.
    let child = Child::new(WHERE).env("CHILD_VENV", &venv).env("VIRTUAL_ENV", "/nowhere").env("PATH", "");
    assert_eq!(child.says(), expected(&venv));
}

#[test]
fn the_virtual_environment_is_active() {
    let scratch = Scratch::new("variable");
    let venv = scratch.venv("env");
    assert_eq!(Child::new(WHERE).env("VIRTUAL_ENV", &venv).says(), expected(&venv));
}

#[test]
fn the_virtual_environment_is_near() {
    let scratch = Scratch::new("search");
    let venv = scratch.venv(".venv");
    let below = scratch.0.join("src/shop");
    fs::create_dir_all(&below).unwrap();
    // A directory of that name that is none is passed over.
    fs::create_dir_all(scratch.0.join("src/.venv")).unwrap();
    assert_eq!(Child::new(WHERE).env("CHILD_DIRECTORY", &below).says(), expected(&venv));
}

#[test]
fn children_of_the_application_are_of_the_same_environment() {
    let scratch = Scratch::new("children");
    let venv = scratch.venv("env");
    let code = "import subprocess, sys
out = subprocess.run([sys.executable, '-c', 'import only_here; print(only_here.name)'], capture_output=True, text=True)
print(f'<<{out.stdout.strip()}{out.stderr}>>')";
    assert_eq!(Child::new(code).env("CHILD_VENV", &venv).says(), "only here");
}

#[test]
fn virtual_environments_that_cannot_be_used() {
    let scratch = Scratch::new("broken");
    let none = scratch.0.join("none");
    let error = Child::new("").env("CHILD_VENV", &none).says();
    let text = format!(
        "error: there is no virtual environment in {} (as asked for): it has no pyvenv.cfg",
        none.display()
    );
    assert_eq!(error, text);
    let error = Child::new("").env("VIRTUAL_ENV", &none).says();
    assert!(error.contains("(from VIRTUAL_ENV)"), "{error}");

    let venv = scratch.venv("env");
    fs::remove_file(venv.join("bin/python")).unwrap();
    std::os::unix::fs::symlink("/nowhere/python", venv.join("bin/python")).unwrap();
    let error = Child::new("").env("CHILD_VENV", &venv).says();
    assert!(error.contains("has no") && error.contains("make it anew"), "{error}");

    fs::write(venv.join("pyvenv.cfg"), "home = /usr/bin\nversion = 3.8.18\n").unwrap();
    let error = Child::new("").env("CHILD_VENV", &venv).says();
    let text = format!(
        "this build embeds Python {VERSION}, the virtual environment {} (as asked for) is for 3.8: ",
        venv.display()
    );
    assert!(error.contains(&text), "{error}");
}

#[test]
fn sys_path_begins_with_the_directory_and_then_what_was_given() {
    let code = "import sys; print(f'<<{sys.path[:2]}>>')";
    let child = Child::new(code).env("CHILD_DIRECTORY", "/usr/share").env("CHILD_PATH", "/usr/lib");
    assert_eq!(child.says(), "['/usr/share', '/usr/lib']");
    let code = "import sys, os; print(f'<<{sys.path[0] == os.getcwd()}>>')";
    let mut child = Child::new(code);
    child.0.env_remove("CHILD_DIRECTORY");
    assert_eq!(child.says(), "True");
    let child =
        Child::new("import sys; print(f\"<<{'/from/env' in sys.path}>>\")").env("PYTHONPATH", "/from/env");
    assert_eq!(child.says(), "True");
}

#[test]
fn falcon_is_told_of_notify() {
    let code = "import os; print(f\"<<{os.environ['FALCON_CUSTOM_HTTP_METHODS']}>>\")";
    assert_eq!(Child::new(code).says(), "NOTIFY");
    assert_eq!(Child::new(code).env("FALCON_CUSTOM_HTTP_METHODS", "PURGE").says(), "PURGE,NOTIFY");
}

#[test]
fn our_package_comes_with_the_program() {
    let code =
        "import os, stomp_wsgi; print(f'<<{stomp_wsgi.__version__} {os.path.exists(stomp_wsgi.__file__)}>>')";
    assert_eq!(Child::new(code).says(), concat!(env!("CARGO_PKG_VERSION"), " False"));
    let code = "import inspect, stomp_wsgi
try:
    import stomp_wsgi.nothing
except ModuleNotFoundError as error:
    print(f'<<{error.name} {inspect.getsource(stomp_wsgi).splitlines()[-1]}>>')";
    let last = concat!("stomp_wsgi.nothing __version__ = \"", env!("CARGO_PKG_VERSION"), "\"");
    assert_eq!(Child::new(code).says(), last);
}

#[test]
fn tracebacks_show_the_lines_of_our_package() {
    // Python has no asgiref without Django.
    let code = "import traceback
try:
    import stomp_wsgi.django
except ModuleNotFoundError:
    print(f'<<{traceback.format_exc()}>>')";
    let says = Child::new(code).says();
    let file = std::env::current_exe().unwrap().join("stomp_wsgi/django.py");
    assert!(says.contains(&format!("File \"{}\"", file.display())), "{says}");
    assert!(says.contains("    from asgiref.sync import"), "{says}");
}

#[test]
fn an_installed_package_comes_before_ours() {
    let scratch = Scratch::new("installed");
    let package = scratch.0.join("stomp_wsgi");
    fs::create_dir_all(&package).unwrap();
    fs::write(package.join("__init__.py"), "__version__ = 'installed'\n").unwrap();
    // Nor is it mixed with ours.
    let code = "import stomp_wsgi
try:
    import stomp_wsgi.django
except ModuleNotFoundError as error:
    print(f'<<{stomp_wsgi.__version__} {error.name}>>')";
    let child = Child::new(code).env("CHILD_PATH", &scratch.0);
    assert_eq!(child.says(), "installed stomp_wsgi.django");
}

#[test]
fn the_applications_modules_do_not_take_the_place_of_pythons() {
    let scratch = Scratch::new("shadow");
    for name in
        ["signal", "threading", "traceback", "inspect", "difflib", "typing", "tokenize", "contextvars"]
    {
        fs::write(scratch.0.join(format!("{name}.py")), "raise RuntimeError(__file__)\n").unwrap();
    }
    let child = Child::new("import _signal; print('<<started>>')").env("CHILD_DIRECTORY", &scratch.0);
    assert_eq!(child.says(), "started");
    // Here they do, since Python itself finds them first; but it is said which file it is.
    let error = Child::new("").env("PYTHONPATH", &scratch.0).says();
    let file = scratch.0.join("threading.py");
    let hint = format!("\n{} has the name of a module of Python's standard library", file.display());
    assert!(error.starts_with("error: ") && error.contains(&hint), "{error}");
    assert!(!error.contains("difflib.py"), "{error}");
}

#[test]
fn signals_are_left_alone() {
    let code = "import signal, threading
assert threading.current_thread() is threading.main_thread()
print(f'<<{[signal.getsignal(s) == signal.SIG_DFL for s in (signal.SIGTERM, signal.SIGUSR1)]}>>')";
    assert_eq!(Child::new(code).says(), "[True, True]");
}

#[test]
fn the_end_waits_for_threads_then_runs_atexit_and_flushes() {
    let code = "import atexit, sys, threading, time
sys.stdout.write('<<')
def work():
    time.sleep(0.2)
    sys.stdout.write('thread ')
threading.Thread(target=work).start()
atexit.register(lambda: sys.stdout.write('atexit>>'))";
    assert_eq!(Child::new(code).says(), "thread atexit");
}
