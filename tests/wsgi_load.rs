//! Finding an application: what a spec may be, and what is said where there is none.
#![cfg(feature = "python")]

#[path = "python/harness.rs"]
mod harness;

use std::path::Path;

use harness::{get, serve};
use pyo3::prelude::*;
use stomp_wsgi::app::wsgi::{Config, LoadError, Wsgi};

fn load(spec: &str) -> Result<Wsgi, LoadError> {
    harness::python();
    Python::attach(|py| {
        let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").into_os_string();
        let path = py.import("sys").unwrap().getattr("path").unwrap();
        if !path.contains(&apps).unwrap() {
            path.call_method1("append", (apps,)).unwrap();
        }
    });
    Wsgi::load(spec, &Config::default())
}

#[track_caller]
fn refused(spec: &str) -> String {
    match load(spec) {
        Ok(_) => panic!("{spec} was loaded"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn applications_by_name() {
    for (spec, body) in [
        ("apps.both", "application"),
        ("apps.short", "app"),
        ("apps.both:app", "app"),
        ("apps.short:site.wsgi", "site"),
        ("apps.short:make()", "made"),
        ("apps.short:Factory.make()", "made"),
        ("apps.short:Class", "class"),
        ("apps:application", "package"),
    ] {
        let app = load(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
        assert_eq!(serve(&app, &get("/")).ok().body(), body, "{spec}");
    }
}

#[test]
fn missing_modules() {
    let error = refused("apps.nowhere");
    assert!(error.starts_with("there is no module \"apps.nowhere\" in "), "{error}");
    assert!(error.contains("tests/python"), "it says where it looked: {error}");
    let error = refused("nowhere.at.all:app");
    assert!(error.starts_with("there is no module \"nowhere\""), "{error}");
}

#[test]
fn missing_attributes() {
    let error = refused("apps.both:aplication");
    assert!(
        error.contains(r#"module "apps.both" has no attribute "aplication"; did you mean application"#),
        "{error}"
    );
    let error = refused("apps.short:site.wsg");
    assert!(error.contains(r#"no attribute "site.wsg": there is no "wsg"; did you mean wsgi"#), "{error}");
    let error = refused("apps.neither");
    assert_eq!(
        error,
        r#"module "apps.neither" has no application and no app; did you mean apps.neither:main_app?"#
    );
}

#[test]
fn what_is_no_application() {
    for (spec, reason) in [
        (
            "apps.wrong:number",
            "apps.wrong:number is no WSGI application: it is of type int, which cannot be called",
        ),
        ("apps.wrong:number()", "apps.wrong:number() is no WSGI application: it is of type int"),
        (
            "apps.wrong:none_factory()",
            "apps.wrong:none_factory() is no WSGI application: it is of type NoneType",
        ),
        ("apps.wrong:asgi", "a2wsgi.ASGIMiddleware"),
        ("apps.wrong:asgi_instance", "a2wsgi.ASGIMiddleware"),
        (
            "apps.wrong:none_factory",
            "it takes no arguments; if it makes one, write apps.wrong:none_factory()",
        ),
    ] {
        let error = refused(spec);
        assert!(error.contains(reason), "{spec}: {error}");
    }
}

#[test]
fn failing_imports_carry_their_traceback() {
    for (spec, last) in [
        ("apps.raises", "ZeroDivisionError: division by zero"),
        ("apps.exits", "SystemExit: bye"),
        ("apps.imports_nothing", "ModuleNotFoundError: No module named 'not_installed'"),
        ("apps.imports_itself", "ModuleNotFoundError: No module named 'apps.missing'"),
        ("apps.syntax", "SyntaxError"),
        ("apps.wrong:failing_factory()", "RuntimeError: no database"),
        ("apps.wrong:failing.attribute", "RuntimeError: no attribute for you"),
    ] {
        match load(spec) {
            Err(LoadError::Import { traceback }) => {
                assert!(traceback.lines().last().unwrap().contains(last), "{spec}: {traceback}");
                assert!(
                    spec.ends_with("syntax") || traceback.starts_with("Traceback"),
                    "{spec}: {traceback}"
                );
            }
            other => panic!("{spec}: {other:?}"),
        }
    }
}

#[test]
fn files_are_no_modules() {
    assert!(refused("flask_app.py").contains("write flask_app"));
    assert!(refused("pkg/app.py:app").contains("write pkg.app:app"));
}
