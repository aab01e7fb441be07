//! Files of the application's that have the name of a module of Python's standard library.
//!
//! `import signal` finds the application's `signal.py`, also where a library means Python's, or finds Python's where the
//! application means its own: that depends on who was first. What fails then says little about the file.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;

/// Names the files that this traceback may be about, as further lines of it.
pub(super) fn hint(py: Python<'_>, traceback: &str) -> Option<String> {
    // No more is known where even this fails.
    let shadows = shadows(py).unwrap_or_default();
    let mut lines = String::new();
    for (name, file) in shadows {
        if is_about(traceback, &name, &file) {
            lines += &format!(
                "\n{} has the name of a module of Python's standard library, which may be the cause: rename it",
                file.display()
            );
        }
    }
    (!lines.is_empty()).then_some(lines)
}

/// Whether it goes through the file, imports the module, or quotes its name.
fn is_about(traceback: &str, name: &str, file: &Path) -> bool {
    traceback.contains(&*file.to_string_lossy())
        || traceback.contains(&format!("'{name}'"))
        || traceback.lines().any(|line| {
            let mut words = line.split([' ', ',', '.']).filter(|word| !word.is_empty());
            matches!(words.next(), Some("import" | "from")) && words.any(|word| word == name)
        })
}

/// Modules and packages on `sys.path` that have such a name, but for the standard library itself.
fn shadows(py: Python<'_>) -> PyResult<Vec<(String, PathBuf)>> {
    let sys = py.import("sys")?;
    let standard = sys.getattr("stdlib_module_names")?;
    let path: Vec<PathBuf> = sys.getattr("path")?.extract()?;
    let mut found = Vec::new();
    // The standard library comes after the application's directories and before site-packages.
    let library: Option<PathBuf> = py.import("os")?.getattr("__file__")?.extract().ok();
    let library = library.as_deref().and_then(Path::parent);
    let is_library = |entry: &PathBuf| {
        Some(entry.as_path()) == library || entry.extension().is_some_and(|extension| extension == "zip")
    };
    for directory in path.into_iter().take_while(|entry| !is_library(entry)) {
        // Empty is the current directory.
        let directory = if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let file = entry.path();
            let name = match file.extension() {
                Some(extension) if extension == "py" => file.file_stem(),
                None if file.join("__init__.py").is_file() => file.file_name(),
                _ => None,
            };
            if let Some(name) = name.and_then(|name| name.to_str()) {
                if standard.contains(name)? {
                    found.push((name.to_owned(), file));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_traceback_is_about() {
        let file = Path::new("/srv/shop/signal.py");
        for (traceback, about) in [
            ("  File \"/srv/shop/signal.py\", line 1", true),
            ("AttributeError: module 'signal' has no attribute 'SIGTERM'", true),
            ("    import signal\nNameError: x", true),
            ("    from signal import SIGTERM", true),
            ("    import os, signal", true),
            ("    import signals", false),
            ("    a signal\nNameError: name 'shop' is not defined", false),
        ] {
            assert_eq!(is_about(traceback, "signal", file), about, "{traceback}");
        }
    }
}
