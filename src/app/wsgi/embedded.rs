//! The Python package `stomp_wsgi`, which every application can import without installing it.

use std::ffi::CString;

use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

/// Its modules.
const SOURCES: [(&str, &str); 3] = [
    ("stomp_wsgi", include_str!("../../../python/stomp_wsgi/__init__.py")),
    ("stomp_wsgi.bench", include_str!("../../../python/stomp_wsgi/bench.py")),
    ("stomp_wsgi.django", include_str!("../../../python/stomp_wsgi/django.py")),
];

const FINDER: &str = "_stomp_wsgi_embedded";

/// Has Python look for it here after it has looked everywhere else. To do so twice makes no difference.
pub(super) fn register(py: Python<'_>) -> PyResult<()> {
    if py.import("sys")?.getattr("modules")?.contains(FINDER)? {
        return Ok(());
    }
    let program = std::env::current_exe().unwrap_or_else(|_| "stomp-wsgi".into());
    let text = |text: &str| CString::new(text).expect("no source of ours holds a NUL");
    let file = program.join("embedded.py");
    let finder = PyModule::from_code(
        py,
        &text(include_str!("embedded.py")),
        &text(&file.to_string_lossy()),
        &text(FINDER),
    )?;
    finder.call_method1("register", (program, SOURCES.into_py_dict(py)?))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_embedded() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("python/stomp_wsgi");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "py") {
                found.push(match path.file_stem().unwrap().to_str().unwrap() {
                    "__init__" => "stomp_wsgi".to_owned(),
                    name => format!("stomp_wsgi.{name}"),
                });
            }
        }
        found.sort();
        assert_eq!(found, SOURCES.map(|(name, _)| name));
    }

    #[test]
    fn it_has_the_version_of_the_server() {
        assert!(SOURCES[0].1.contains(&format!("__version__ = {:?}", env!("CARGO_PKG_VERSION"))));
    }
}
