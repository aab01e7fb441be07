//! The part of environ that hardly ever changes.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::config::Config;
use super::errors::Errors;
use super::text::native;
use crate::http::Request;

/// A dictionary to copy for each request. It has a place for each key that all requests set, since a dictionary
/// copies faster than it grows, and what the last request had where the next one mostly has the same.
pub(super) struct Template {
    dict: Py<PyDict>,
    method: Lasting,
    destination: Lasting,
    subscription: Lasting,
    broker: Lasting,
}

/// A value that stays in the template until a request has another.
struct Lasting {
    key: Py<PyString>,
    bytes: Vec<u8>,
}

impl Template {
    pub(super) fn new(py: Python<'_>, config: &Config) -> PyResult<Self> {
        let lasting = |key| Lasting { key: PyString::intern(py, key).unbind(), bytes: Vec::new() };
        Ok(Self {
            dict: template(py, config)?.unbind(),
            method: lasting("REQUEST_METHOD"),
            destination: lasting("stomp.destination"),
            subscription: lasting("stomp.subscription"),
            broker: lasting("stomp.broker"),
        })
    }

    /// A copy for this request.
    pub(super) fn environ<'py>(
        &mut self,
        py: Python<'py>,
        request: &Request,
    ) -> PyResult<Bound<'py, PyDict>> {
        let dict = self.dict.bind(py);
        self.method.set(dict, request.method.as_bytes())?;
        self.destination.set(dict, &request.delivery.destination)?;
        self.subscription.set(dict, &request.delivery.subscription)?;
        self.broker.set(dict, request.delivery.broker.as_bytes())?;
        dict.copy()
    }
}

impl Lasting {
    fn set(&mut self, dict: &Bound<'_, PyDict>, bytes: &[u8]) -> PyResult<()> {
        if self.bytes == bytes {
            return Ok(());
        }
        let py = dict.py();
        dict.set_item(self.key.bind(py), native(py, bytes))?;
        // Last: should setting it fail, the template is not what this says.
        bytes.clone_into(&mut self.bytes);
        Ok(())
    }
}

fn template<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyDict>> {
    let template = PyDict::new(py);
    let text =
        |name: &str, value: &str| template.set_item(PyString::intern(py, name), native(py, value.as_bytes()));
    text("REQUEST_METHOD", "")?;
    text("SCRIPT_NAME", &config.script_name)?;
    text("PATH_INFO", "")?;
    text("QUERY_STRING", "")?;
    text("REQUEST_URI", "")?;
    text("RAW_URI", "")?;
    text("SERVER_NAME", &config.server_name)?;
    let port = config.server_port.map(|port| port.to_string());
    text("SERVER_PORT", port.as_deref().unwrap_or(config.default_port()))?;
    text("SERVER_PROTOCOL", "HTTP/1.1")?;
    text("SERVER_SOFTWARE", concat!("stomp-wsgi/", env!("CARGO_PKG_VERSION")))?;
    text("REMOTE_ADDR", "")?;

    let wsgi = |name: &str, value: Bound<'py, PyAny>| template.set_item(PyString::intern(py, name), value);
    let flag = |value: bool| value.into_pyobject(py).map(|value| value.to_owned().into_any());
    wsgi("wsgi.version", (1, 0).into_pyobject(py)?.into_any())?;
    wsgi("wsgi.url_scheme", native(py, config.url_scheme.as_bytes()).into_any())?;
    wsgi("wsgi.input", py.None().into_bound(py))?;
    wsgi("wsgi.errors", Bound::new(py, Errors)?.into_any())?;
    wsgi("wsgi.multithread", flag(config.multithread)?)?;
    wsgi("wsgi.multiprocess", flag(config.multiprocess)?)?;
    wsgi("wsgi.run_once", flag(false)?)?;
    wsgi("wsgi.input_terminated", flag(true)?)?;
    if config.file_wrapper {
        wsgi("wsgi.file_wrapper", py.import("wsgiref.util")?.getattr("FileWrapper")?)?;
    }
    for name in ["stomp.destination", "stomp.subscription", "stomp.message_id", "stomp.broker"] {
        wsgi(name, native(py, b"").into_any())?;
    }
    wsgi("stomp.headers", py.None().into_bound(py))?;
    wsgi("stomp.redelivered", flag(false)?)?;
    wsgi("stomp.one_way", flag(false)?)?;
    wsgi("stomp.attempt", 1_u32.into_pyobject(py)?.into_any())?;
    for (name, value) in &config.environ {
        text(name, value)?;
    }
    Ok(template)
}
