//! `environ`: one dictionary for each request (PEP 3333, "environ Variables").
//!
//! What no request changes stands in a template that is copied, which costs a tenth of setting the keys one
//! by one. All CGI-style values are native strings: bytes as latin-1, whatever encoding the sender used.
//!
//! Where PEP 3333 and CGI leave a choice:
//! - `CONTENT_LENGTH` is the length of the body, and left out where that is empty.
//! - `REMOTE_ADDR` is empty, as it is behind a Unix socket: a message has a sender but no address, and
//!   applications that index it must not fail.
//! - `REMOTE_USER` is whom the broker names, where that is trusted, and is not there else.
//! - `SERVER_NAME` and `SERVER_PORT` are those of the request, where it names a host.
//! - `stomp.http_headers` are the headers of a request that came whole (`application/http`), as they came:
//!   here repeats are still apart. It is not there else; `stomp.headers` has them then.
//! - `REQUEST_URI` and `RAW_URI` are the target as it came.

use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::config::Config;
use super::names::{Names, Value};
use super::raw_headers::RawHeaders;
use super::template::Template;
use super::text::native;
use crate::http::{Delivery, Request};

/// Makes environs.
pub(super) struct Environ {
    shared: Mutex<Shared>,
    bytes_io: Py<PyAny>,
    default_port: Py<PyString>,
    script_name: Vec<u8>,
}

/// What one request leaves for the next.
struct Shared {
    template: Template,
    names: Names,
}

impl Environ {
    pub(super) fn new(py: Python<'_>, config: &Config) -> PyResult<Self> {
        config.check()?;
        Ok(Self {
            shared: Mutex::new(Shared { template: Template::new(py, config)?, names: Names::default() }),
            bytes_io: py.import("io")?.getattr("BytesIO")?.unbind(),
            default_port: PyString::intern(py, config.default_port()).unbind(),
            script_name: config.script_name.clone().into_bytes(),
        })
    }

    /// The environ of a request. It belongs to the application, which may do with it what it likes.
    pub(super) fn of<'py>(&self, py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyDict>> {
        // Attached threads must not simply wait for a lock: whoever has it may be waiting for the GIL.
        let mut shared = self.shared.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let Shared { template, names } = &mut *shared;
        let environ = template.environ(py, request)?;
        let path = names.value(py, Value::Path, self.path_info(&request.path));
        environ.set_item(intern!(py, "PATH_INFO"), path)?;
        let target = names.value(py, Value::Target, &request.target);
        environ.set_item(intern!(py, "REQUEST_URI"), &target)?;
        environ.set_item(intern!(py, "RAW_URI"), target)?;
        if !request.query.is_empty() {
            environ.set_item(intern!(py, "QUERY_STRING"), native(py, &request.query))?;
        }
        if let Some(media_type) = &request.content_type {
            let media_type = names.value(py, Value::ContentType, media_type);
            environ.set_item(intern!(py, "CONTENT_TYPE"), media_type)?;
        }
        for (name, value) in request.headers.iter() {
            if let Some(key) = names.key(py, name) {
                environ.set_item(key, native(py, value))?;
            }
        }
        if let Some(host) = &request.host {
            let text = names.value(py, Value::Host, host);
            self.set_host(&environ, host, text)?;
        }
        if let Some(reply_to) = &request.delivery.reply_to {
            environ.set_item(intern!(py, "stomp.reply_to"), names.value(py, Value::ReplyTo, reply_to))?;
        }
        drop(shared);
        if request.delivery.structured {
            let headers = Bound::new(py, RawHeaders::new(request.raw_headers.clone()))?;
            environ.set_item(intern!(py, "stomp.http_headers"), headers)?;
        }
        self.set_input(&environ, &request.body)?;
        set_delivery(&environ, &request.delivery)?;
        Ok(environ)
    }

    /// The path below the mount point.
    fn path_info<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        let below = match path.strip_prefix(&*self.script_name) {
            Some(rest) if rest.first().is_none_or(|&byte| byte == b'/') => rest,
            _ => path,
        };
        match below.first() {
            Some(b'/') => below,
            None if !self.script_name.is_empty() => below,
            // `OPTIONS *` is about the server as a whole, which PATH_INFO cannot say: it is a path.
            _ => b"/",
        }
    }

    fn set_host(&self, environ: &Bound<'_, PyDict>, host: &[u8], text: Bound<'_, PyString>) -> PyResult<()> {
        let py = environ.py();
        let (name, port) = split_host(host);
        if name.is_empty() {
            return Ok(());
        }
        let whole = name.len() == host.len();
        environ.set_item(intern!(py, "SERVER_NAME"), if whole { text } else { native(py, name) })?;
        let port = port.map_or_else(|| self.default_port.bind(py).clone(), |port| native(py, port));
        environ.set_item(intern!(py, "SERVER_PORT"), port)
    }

    /// `io.BytesIO` is what PEP 3333 wants of an input stream and more, and it ends where the body does.
    fn set_input(&self, environ: &Bound<'_, PyDict>, body: &[u8]) -> PyResult<()> {
        let py = environ.py();
        let bytes_io = self.bytes_io.bind(py);
        let input = if body.is_empty() {
            bytes_io.call0()?
        } else {
            let length = native(py, itoa::Buffer::new().format(body.len()).as_bytes());
            environ.set_item(intern!(py, "CONTENT_LENGTH"), length)?;
            bytes_io.call1((PyBytes::new(py, body),))?
        };
        environ.set_item(intern!(py, "wsgi.input"), input)
    }
}

/// What the broker knows, under keys of our own.
fn set_delivery(environ: &Bound<'_, PyDict>, delivery: &Delivery) -> PyResult<()> {
    let py = environ.py();
    environ.set_item(intern!(py, "stomp.message_id"), native(py, &delivery.message_id))?;
    let headers = Bound::new(py, RawHeaders::new(delivery.headers.clone()))?;
    environ.set_item(intern!(py, "stomp.headers"), headers)?;
    if let Some(id) = &delivery.correlation_id {
        environ.set_item(intern!(py, "stomp.correlation_id"), native(py, id))?;
    }
    if let Some(expires) = delivery.expires {
        environ.set_item(intern!(py, "stomp.expires"), expires)?;
    }
    if let Some(user) = &delivery.user {
        environ.set_item(intern!(py, "REMOTE_USER"), native(py, user))?;
    }
    if delivery.redelivered {
        environ.set_item(intern!(py, "stomp.redelivered"), true)?;
    }
    if delivery.one_way {
        environ.set_item(intern!(py, "stomp.one_way"), true)?;
    }
    if delivery.attempt > 1 {
        environ.set_item(intern!(py, "stomp.attempt"), delivery.attempt)?;
    }
    Ok(())
}

/// `host[:port]`, `[::1]:80`. What follows the last colon is a port only if it is a number.
fn split_host(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memrchr(b':', host) {
        Some(colon) if !host[colon + 1..].contains(&b']') => {
            let port = &host[colon + 1..];
            let number = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
            (&host[..colon], number.then_some(port))
        }
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (host, name, port) in [
            ("example.org", "example.org", None),
            ("example.org:8080", "example.org", Some("8080")),
            ("example.org:", "example.org", None),
            ("example.org:x", "example.org", None),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some("80")),
            ("", "", None),
            (":80", "", Some("80")),
        ] {
            let expected = (name.as_bytes(), port.map(str::as_bytes));
            assert_eq!(split_host(host.as_bytes()), expected, "{host}");
        }
    }
}
