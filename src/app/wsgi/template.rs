//! The part of environ that hardly ever changes.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::config::Config;
use super::errors::{Errors, Stream};
use super::names::Names;
use super::text::native;
use crate::stomp::Headers;

/// Dictionaries to copy, which is quicker than to fill them: one for each kind of request.
pub(super) struct Template {
    /// What no request changes.
    base: Py<PyDict>,
    keys: [Vec<Py<PyString>>; FIELDS],
    names: Names,
    /// Those that came last, the last one first.
    kinds: Vec<Kind>,
}

/// How many kinds of request are remembered. Who sends ever new ones gains nothing by it and takes no memory.
const KINDS: usize = 8;

/// Octets of a request that is remembered.
const LONGEST: usize = 16 << 10;

/// The environ of the last request of a kind, without what is no string in it. A kind has the same fields and the
/// same headers, whatever they say.
struct Kind {
    dict: Py<PyDict>,
    fields: [Option<Vec<u8>>; FIELDS],
    headers: Vec<Header>,
}

struct Header {
    name: Box<[u8]>,
    /// None for one that must not be in environ.
    key: Option<Py<PyString>>,
    value: Option<Vec<u8>>,
}

/// What a request says besides its headers.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Method,
    Path,
    Query,
    Target,
    Destination,
    Subscription,
    Broker,
    MessageId,
    // The rest may be missing.
    ServerName,
    ServerPort,
    ContentType,
    ContentLength,
    ReplyTo,
    CorrelationId,
    User,
}

const FIELDS: usize = Field::User as usize + 1;

/// The keys that each has in environ.
const KEYS: [&[&str]; FIELDS] = [
    &["REQUEST_METHOD"],
    &["PATH_INFO"],
    &["QUERY_STRING"],
    &["REQUEST_URI", "RAW_URI"],
    &["stomp.destination"],
    &["stomp.subscription"],
    &["stomp.broker"],
    &["stomp.message_id"],
    &["SERVER_NAME"],
    &["SERVER_PORT"],
    &["CONTENT_TYPE"],
    &["CONTENT_LENGTH"],
    &["stomp.reply_to"],
    &["stomp.correlation_id"],
    &["REMOTE_USER"],
];

/// The values of a request's fields.
#[derive(Default)]
pub(super) struct Fields<'a>([Option<&'a [u8]>; FIELDS]);

impl<'a> Fields<'a> {
    pub(super) fn set(&mut self, field: Field, value: &'a [u8]) {
        self.0[field as usize] = Some(value);
    }

    fn octets(&self) -> usize {
        self.0.iter().flatten().map(|value| value.len()).sum()
    }
}

impl Template {
    pub(super) fn new(py: Python<'_>, config: &Config) -> PyResult<Self> {
        Ok(Self {
            base: base(py, config)?.unbind(),
            keys: KEYS.map(|keys| keys.iter().map(|key| PyString::intern(py, key).unbind()).collect()),
            names: Names::default(),
            kinds: Vec::new(),
        })
    }

    /// A copy for this request.
    pub(super) fn environ<'py>(
        &mut self,
        py: Python<'py>,
        fields: &Fields<'_>,
        headers: &Headers,
    ) -> PyResult<Bound<'py, PyDict>> {
        if fields.octets() + headers.octets() > LONGEST {
            let mut kind = Kind::new(self.base.bind(py).copy()?, headers, &mut self.names);
            return kind.fill(py, &self.keys, fields, headers).cloned();
        }
        match self.kinds.iter().position(|kind| kind.is_of(fields, headers)) {
            Some(at) => self.kinds[..=at].rotate_right(1),
            None => {
                self.kinds.truncate(KINDS - 1);
                self.kinds.insert(0, Kind::new(self.base.bind(py).copy()?, headers, &mut self.names));
            }
        }
        self.kinds[0].fill(py, &self.keys, fields, headers)?.copy()
    }
}

impl Kind {
    fn new(dict: Bound<'_, PyDict>, headers: &Headers, names: &mut Names) -> Self {
        let py = dict.py();
        let header = |(name, _): (&[u8], _)| {
            let key = names.key(py, name).map(Bound::unbind);
            Header { name: name.into(), key, value: None }
        };
        let headers = headers.iter().map(header).collect();
        Self { dict: dict.unbind(), fields: [const { None }; FIELDS], headers }
    }

    /// Makes the dictionary that of a request of this kind.
    fn fill<'py>(
        &mut self,
        py: Python<'py>,
        keys: &[Vec<Py<PyString>>; FIELDS],
        fields: &Fields<'_>,
        headers: &Headers,
    ) -> PyResult<&Bound<'py, PyDict>> {
        let dict = self.dict.bind(py);
        for ((keys, last), now) in keys.iter().zip(&mut self.fields).zip(&fields.0) {
            match now {
                Some(now) if last.as_deref() != Some(now) => set(dict, keys, last, now)?,
                _ => {}
            }
        }
        for (Header { key, value, .. }, (_, now)) in self.headers.iter_mut().zip(headers.iter()) {
            if value.as_deref() != Some(now) {
                set(dict, key.as_slice(), value, now)?;
            }
        }
        Ok(dict)
    }

    fn is_of(&self, fields: &Fields<'_>, headers: &Headers) -> bool {
        self.headers.len() == headers.len()
            && self.fields.iter().zip(&fields.0).all(|(known, now)| known.is_some() == now.is_some())
            && self.headers.iter().zip(headers.iter()).all(|(known, (name, _))| *known.name == *name)
    }
}

/// Sets what is not as in the last request.
fn set(
    dict: &Bound<'_, PyDict>,
    keys: &[Py<PyString>],
    last: &mut Option<Vec<u8>>,
    now: &[u8],
) -> PyResult<()> {
    let value = native(dict.py(), now);
    for key in keys {
        dict.set_item(key, &value)?;
    }
    // Last: should setting it fail, the dictionary is not what this says.
    now.clone_into(last.get_or_insert_default());
    Ok(())
}

fn base<'py>(py: Python<'py>, config: &Config) -> PyResult<Bound<'py, PyDict>> {
    let base = PyDict::new(py);
    let text =
        |name: &str, value: &str| base.set_item(PyString::intern(py, name), native(py, value.as_bytes()));
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

    let wsgi = |name: &str, value: Bound<'py, PyAny>| base.set_item(PyString::intern(py, name), value);
    let flag = |value: bool| value.into_pyobject(py).map(|value| value.to_owned().into_any());
    wsgi("wsgi.version", (1, 0).into_pyobject(py)?.into_any())?;
    wsgi("wsgi.url_scheme", native(py, config.url_scheme.as_bytes()).into_any())?;
    wsgi("wsgi.input", py.None().into_bound(py))?;
    wsgi("wsgi.errors", Bound::new(py, Errors { stream: Stream::Request })?.into_any())?;
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
    Ok(base)
}
