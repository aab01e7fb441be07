//! `environ`: one dictionary for each request (PEP 3333, "environ Variables").
//!
//! What the last request of its kind had stands in a template that is copied, which costs a tenth of setting
//! the keys one by one; what this one has different is set. All CGI-style values are native strings: bytes as
//! latin-1, whatever encoding the sender used.
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
use pyo3::types::{PyBytes, PyDict};

use super::config::Config;
use super::raw_headers::RawHeaders;
use super::template::{Field, Fields, Template};
use crate::http::Request;

/// Makes environs.
pub(super) struct Environ {
    template: Mutex<Template>,
    bytes_io: Py<PyAny>,
    default_port: &'static str,
    script_name: Vec<u8>,
}

impl Environ {
    pub(super) fn new(py: Python<'_>, config: &Config) -> PyResult<Self> {
        config.check()?;
        Ok(Self {
            template: Mutex::new(Template::new(py, config)?),
            bytes_io: py.import("io")?.getattr("BytesIO")?.unbind(),
            default_port: config.default_port(),
            script_name: config.script_name.clone().into_bytes(),
        })
    }

    /// The environ of a request. It belongs to the application, which may do with it what it likes.
    pub(super) fn of<'py>(&self, py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyDict>> {
        let delivery = &request.delivery;
        let mut length = itoa::Buffer::new();
        let mut fields = Fields::default();
        fields.set(Field::Method, request.method.as_bytes());
        fields.set(Field::Path, self.path_info(&request.path));
        fields.set(Field::Query, &request.query);
        fields.set(Field::Target, &request.target);
        fields.set(Field::Destination, delivery.destination());
        fields.set(Field::Subscription, delivery.subscription());
        fields.set(Field::Broker, delivery.broker.as_bytes());
        fields.set(Field::MessageId, delivery.message_id());
        if let Some((name, port)) = request.host().map(split_host).filter(|(name, _)| !name.is_empty()) {
            fields.set(Field::ServerName, name);
            fields.set(Field::ServerPort, port.unwrap_or(self.default_port.as_bytes()));
        }
        if !request.body.is_empty() {
            fields.set(Field::ContentLength, length.format(request.body.len()).as_bytes());
        }
        for (field, value) in [
            (Field::ContentType, request.content_type.as_deref()),
            (Field::ReplyTo, delivery.reply_to()),
            (Field::CorrelationId, delivery.correlation_id()),
            (Field::User, delivery.user.as_deref()),
        ] {
            if let Some(value) = value {
                fields.set(field, value);
            }
        }
        // Attached threads must not simply wait for a lock: whoever has it may be waiting for the GIL.
        let mut template = self.template.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let environ = template.environ(py, &fields, &request.headers)?;
        drop(template);
        environ.set_item(intern!(py, "wsgi.input"), self.input(py, &request.body)?)?;
        environ.set_item(intern!(py, "stomp.headers"), RawHeaders::new(delivery.headers().clone()))?;
        if delivery.structured {
            let headers = RawHeaders::new(request.raw_headers.clone());
            environ.set_item(intern!(py, "stomp.http_headers"), headers)?;
        }
        if let Some(expires) = delivery.expires {
            environ.set_item(intern!(py, "stomp.expires"), expires)?;
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

    /// `io.BytesIO` is what PEP 3333 wants of an input stream and more, and it ends where the body does.
    fn input<'py>(&self, py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let bytes_io = self.bytes_io.bind(py);
        if body.is_empty() { bytes_io.call0() } else { bytes_io.call1((PyBytes::new(py, body),)) }
    }
}

/// `host[:port]`, `[::1]:80`. What follows the last colon is a port only if it is a number.
fn split_host(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    match host.iter().rposition(|&byte| byte == b':') {
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
