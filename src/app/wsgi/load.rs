//! Finds the application that a command line names.

use pyo3::exceptions::{
    PyAttributeError, PyException, PyKeyboardInterrupt, PyModuleNotFoundError, PyTypeError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::{report, shadow};

/// What a module alone may mean, in this order.
const USUAL: [&str; 2] = ["application", "app"];

/// Why there is no application to serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It is not of the form `module:attribute`.
    #[error("{spec:?} names no application: {reason}")]
    Spec {
        /// As given.
        spec: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },
    /// Python finds no such module.
    #[error("there is no module {module:?} in {}", searched(path))]
    NoModule {
        /// The module.
        module: String,
        /// `sys.path` without the standard library.
        path: Vec<String>,
    },
    /// The module is there, and has no such attribute.
    #[error("module {module:?} has no {wanted}{}", hint(similar))]
    NoAttribute {
        /// The module.
        module: String,
        /// What was looked for.
        wanted: String,
        /// Names in the module that look alike.
        similar: Vec<String>,
    },
    /// The attribute is there, and is no WSGI application.
    #[error("{spec} is no WSGI application: {reason}")]
    NotWsgi {
        /// What was found.
        spec: String,
        /// What it is, and what to do about it.
        reason: String,
    },
    /// SIGINT came first.
    #[error("interrupted while the application was being loaded")]
    Interrupted,
    /// Python code failed while it was being imported, or while a factory made the application.
    #[error("the application could not be loaded\n{traceback}")]
    Import {
        /// What Python would print, and which files may be the cause because of their names.
        traceback: String,
    },
}

impl LoadError {
    pub(super) fn import(py: Python<'_>, error: &PyErr) -> Self {
        if error.is_instance_of::<PyKeyboardInterrupt>(py) {
            return Self::Interrupted;
        }
        let mut traceback = report::traceback(py, error);
        if let Some(hint) = shadow::hint(py, &traceback) {
            traceback += &hint;
        }
        Self::Import { traceback }
    }
}

fn searched(path: &[String]) -> String {
    if path.is_empty() { "sys.path, which is empty".into() } else { path.join(", ") }
}

fn hint(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!("; did you mean {}?", similar.join(" or ")) }
}

/// Where an application is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spec<'a> {
    module: &'a str,
    /// Names joined by dots, or nothing.
    attribute: Option<&'a str>,
    /// The attribute makes the application.
    factory: bool,
}

impl<'a> Spec<'a> {
    pub(super) fn parse(spec: &'a str) -> Result<Self, LoadError> {
        let wrong = |reason: String| Err(LoadError::Spec { spec: spec.to_owned(), reason });
        let (module, attribute) = match spec.split_once(':') {
            Some((module, attribute)) => (module, Some(attribute)),
            None => (spec, None),
        };
        if let Some(advice) = path_advice(module, attribute) {
            return wrong(format!("it must be a module, not a file: {advice}"));
        }
        if !is_dotted_name(module) {
            return wrong("write module:attribute, as in shop.web:app".into());
        }
        let Some(attribute) = attribute else { return Ok(Self { module, attribute: None, factory: false }) };
        let (attribute, factory) = match attribute.split_once('(') {
            Some((name, ")")) => (name, true),
            Some((name, _)) => {
                return wrong(format!(
                    "a factory is called without arguments, as in {module}:{name}(); \
                     where it needs some, write a module that calls it"
                ));
            }
            None => (attribute, false),
        };
        if !is_dotted_name(attribute) {
            return wrong(format!("{attribute:?} is no name of an attribute, as in {module}:app"));
        }
        Ok(Self { module, attribute: Some(attribute), factory })
    }

    /// Imports the module and gets the application out of it.
    pub(super) fn load<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>, LoadError> {
        let module = py.import(self.module).map_err(|error| self.import_error(py, error))?;
        let Some(attribute) = self.attribute else { return self.usual(&module) };
        let mut found = module.clone().into_any();
        for name in attribute.split('.') {
            found = match found.getattr_opt(name) {
                Ok(Some(next)) => next,
                Ok(None) => return Err(self.no_attribute(&found, name)),
                Err(error) => return Err(LoadError::import(py, &error)),
            };
        }
        if self.factory {
            self.check_callable(&found, attribute)?;
            found = found.call0().map_err(|error| LoadError::import(py, &error))?;
        }
        self.check(&found, attribute)?;
        Ok(found)
    }

    fn usual<'py>(&self, module: &Bound<'py, PyModule>) -> Result<Bound<'py, PyAny>, LoadError> {
        let py = module.py();
        for name in USUAL {
            if let Some(found) = module.getattr_opt(name).map_err(|error| LoadError::import(py, &error))? {
                self.check(&found, name)?;
                return Ok(found);
            }
        }
        let similar = callables(module).unwrap_or_default();
        let similar = similar.into_iter().map(|name| format!("{}:{name}", self.module)).collect();
        let wanted = format!("{} and no {}", USUAL[0], USUAL[1]);
        Err(LoadError::NoAttribute { module: self.module.to_owned(), wanted, similar })
    }

    fn no_attribute(&self, within: &Bound<'_, PyAny>, name: &str) -> LoadError {
        let similar = similar(within, name).unwrap_or_default();
        let wanted = self.attribute.filter(|attribute| *attribute != name).map_or_else(
            || format!("attribute {name:?}"),
            |attribute| format!("attribute {attribute:?}: there is no {name:?}"),
        );
        LoadError::NoAttribute { module: self.module.to_owned(), wanted, similar }
    }

    /// Tells a missing module from one whose own imports fail.
    fn import_error(&self, py: Python<'_>, error: PyErr) -> LoadError {
        let missing = error.is_instance_of::<PyModuleNotFoundError>(py);
        let name = || error.value(py).getattr("name").ok()?.extract::<String>().ok();
        let ours = |name: &String| {
            self.module
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match name().filter(ours) {
            // The shop of shop.web may be there and ask for itself in vain; only its traceback tells.
            Some(name) if missing && error.traceback(py).is_none() => {
                LoadError::NoModule { module: name, path: search_path(py).unwrap_or_default() }
            }
            _ => LoadError::import(py, &error),
        }
    }

    fn check_callable(&self, found: &Bound<'_, PyAny>, name: &str) -> Result<(), LoadError> {
        if found.is_callable() {
            return Ok(());
        }
        let kind = found.get_type().name().map_or_else(|_| "?".into(), |kind| kind.to_string());
        Err(self.not_wsgi(name, format!("it is of type {kind}, which cannot be called")))
    }

    fn check(&self, found: &Bound<'_, PyAny>, name: &str) -> Result<(), LoadError> {
        self.check_callable(found, name)?;
        if self.sure(found, is_async)? {
            let advice = "it is asynchronous (ASGI); wrap it: application = a2wsgi.ASGIMiddleware(app)";
            return Err(self.not_wsgi(name, advice.into()));
        }
        if !self.factory && self.sure(found, is_factory)? {
            let advice = format!("it takes no arguments; if it makes one, write {}:{name}()", self.module);
            return Err(self.not_wsgi(name, advice));
        }
        Ok(())
    }

    /// What cannot be told is not so; but what is no mere exception, such as `KeyboardInterrupt`, is for all of us.
    fn sure(
        &self,
        found: &Bound<'_, PyAny>,
        question: impl Fn(&Bound<'_, PyAny>) -> PyResult<bool>,
    ) -> Result<bool, LoadError> {
        let py = found.py();
        match question(found) {
            Err(error) if !error.is_instance_of::<PyException>(py) => Err(LoadError::import(py, &error)),
            answer => Ok(answer.unwrap_or(false)),
        }
    }

    fn not_wsgi(&self, name: &str, reason: String) -> LoadError {
        let call = if self.factory { "()" } else { "" };
        LoadError::NotWsgi { spec: format!("{}:{name}{call}", self.module), reason }
    }
}

/// For `pkg/web.py:app`, what was probably meant.
fn path_advice(module: &str, attribute: Option<&str>) -> Option<String> {
    let path = module.strip_suffix(".py");
    if path.is_none() && !module.contains(['/', '\\']) {
        return None;
    }
    let path = path.unwrap_or(module).trim_start_matches("./");
    let dotted = path.replace(['/', '\\'], ".");
    let attribute = attribute.map(|attribute| format!(":{attribute}")).unwrap_or_default();
    Some(match is_dotted_name(&dotted) {
        true => format!("write {dotted}{attribute}"),
        false => {
            let (directory, file) = path.rsplit_once(['/', '\\']).unwrap_or((".", path));
            format!("write {file}{attribute}, and have {directory} on the Python path")
        }
    })
}

fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|name| {
        let mut chars = name.chars();
        chars.next().is_some_and(|first| first == '_' || first.is_alphabetic())
            && chars.all(|char| char == '_' || char.is_alphanumeric())
    })
}

/// Whether a call makes a coroutine.
fn is_async(callable: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = callable.py();
    let test = py.import(intern!(py, "inspect"))?.getattr(intern!(py, "iscoroutinefunction"))?;
    let of_type = callable.get_type().getattr(intern!(py, "__call__"))?;
    Ok(test.call1((callable,))?.is_truthy()? || test.call1((of_type,))?.is_truthy()?)
}

/// Whether it can be called with nothing, and not with environ and start_response.
fn is_factory(callable: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = callable.py();
    let signature = py.import(intern!(py, "inspect"))?.call_method1(intern!(py, "signature"), (callable,))?;
    let refused = |result: PyResult<Bound<'_, PyAny>>| match result {
        Err(error) if error.is_instance_of::<PyTypeError>(py) => Ok(true),
        Err(error) => Err(error),
        Ok(_) => Ok(false),
    };
    let bind = intern!(py, "bind");
    Ok(refused(signature.call_method1(bind, (py.None(), py.None())))?
        && !refused(signature.call_method0(bind))?)
}

fn similar(within: &Bound<'_, PyAny>, name: &str) -> PyResult<Vec<String>> {
    let py = within.py();
    py.import("difflib")?.call_method1("get_close_matches", (name, within.dir()?))?.extract()
}

/// What the module itself defines that can be called, for a hint.
fn callables(module: &Bound<'_, PyModule>) -> PyResult<Vec<String>> {
    let mut names = Vec::new();
    for (name, value) in module.dict() {
        let (Ok(name), Ok(of)) = (name.cast::<PyString>(), value.getattr("__module__")) else { continue };
        let name = name.to_string_lossy();
        // Classes are mostly views and models; instances have the module of their class.
        let candidate =
            value.is_callable() && !name.starts_with('_') && !value.is_instance_of::<pyo3::types::PyType>();
        let imported = value.hasattr("__qualname__")? && !of.eq(module.name()?)?;
        if candidate && !imported {
            names.push(name.into_owned());
        }
    }
    names.truncate(3);
    Ok(names)
}

/// Where Python looks for applications: `sys.path` without the standard library.
fn search_path(py: Python<'_>) -> PyResult<Vec<String>> {
    let sys = py.import("sys")?;
    let standard: String = py.import("sysconfig")?.call_method1("get_path", ("stdlib",))?.extract()?;
    let path =
        sys.getattr("path")?.cast_into::<PyList>().map_err(|_| PyAttributeError::new_err("sys.path"))?;
    let path = path.iter().filter_map(|entry| entry.extract::<String>().ok());
    Ok(path
        .filter(|entry| {
            let library = entry.strip_prefix(&standard).is_some_and(|rest| !rest.contains("site-packages"));
            !library && !entry.ends_with(".zip")
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        for (spec, module, attribute, factory) in [
            ("shop", "shop", None, false),
            ("shop.web", "shop.web", None, false),
            ("shop.web:app", "shop.web", Some("app"), false),
            ("shop:site.wsgi", "shop", Some("site.wsgi"), false),
            ("shop:create_app()", "shop", Some("create_app"), true),
        ] {
            assert_eq!(Spec::parse(spec).unwrap(), Spec { module, attribute, factory }, "{spec}");
        }
    }

    #[test]
    fn wrong_specs_say_what_to_write() {
        for (spec, advice) in [
            ("", "write module:attribute"),
            (":app", "write module:attribute"),
            ("shop:", "is no name of an attribute, as in shop:app"),
            ("shop:a..b", "is no name of an attribute"),
            ("flask_app.py", "write flask_app"),
            ("flask_app.py:app", "write flask_app:app"),
            ("pkg/app.py:app", "write pkg.app:app"),
            ("./pkg/app.py:app", "write pkg.app:app"),
            ("../my-shop/app.py:app", "write app:app, and have ../my-shop on the Python path"),
            ("/srv/shop/app.py", "write app, and have /srv/shop on the Python path"),
            ("shop:create_app('x', n=1)", "called without arguments, as in shop:create_app()"),
            ("shop:create_app(", "called without arguments"),
        ] {
            let error = Spec::parse(spec).unwrap_err().to_string();
            assert!(error.contains(advice), "{spec}: {error}");
        }
    }
}
