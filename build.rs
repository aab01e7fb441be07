//! Finds the CPython to embed: link and rpath arguments, `cfg(Py_3_x)`, and what the program says about it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "python")]
    python();
}

#[cfg(feature = "python")]
fn python() {
    pyo3_build_config::use_pyo3_cfgs();
    // A libpython outside the system's library path (pyenv, uv) is then found without LD_LIBRARY_PATH.
    pyo3_build_config::add_libpython_rpath_link_args();
    let python = pyo3_build_config::get();
    let version = python.version();
    println!("cargo:rustc-env=STOMP_WSGI_PYTHON_VERSION={}.{}", version.major, version.minor);
    println!("cargo:rustc-env=STOMP_WSGI_PYTHON={}", python.executable().map(base).unwrap_or_default());
}

/// The interpreter that a virtual environment was made of: the one that is active at build time says nothing
/// about where the program will run.
#[cfg(feature = "python")]
fn base(executable: &str) -> String {
    let code = "import sys; print(getattr(sys, '_base_executable', None) or sys.executable)";
    let found = std::process::Command::new(executable).args(["-c", code]).output().ok();
    let found = found
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    found.map_or_else(|| executable.to_owned(), |path| path.trim().to_owned())
}
