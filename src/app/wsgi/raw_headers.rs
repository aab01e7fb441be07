//! `stomp.headers`: the headers of the message as they came. `stomp.http_headers`: those of a request within.

use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyIterator, PyList};

use super::text;
use crate::stomp::Headers;

/// A sequence of (name, value) pairs of native strings, in their order, repeats included. It is
/// built when somebody looks at it: few applications do, and a message has a dozen or two of them.
#[pyclass(frozen, sequence, module = "stomp_wsgi", name = "RawHeaders")]
pub(super) struct RawHeaders {
    headers: Headers,
    pairs: PyOnceLock<Py<PyList>>,
}

impl RawHeaders {
    pub(super) fn new(headers: Headers) -> Self {
        Self { headers, pairs: PyOnceLock::new() }
    }

    fn pairs<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyList>> {
        self.pairs
            .get_or_try_init(py, || {
                let pairs = self.headers.iter();
                let pairs = pairs.map(|(name, value)| (text::native(py, name), text::native(py, value)));
                PyList::new(py, pairs).map(Bound::unbind)
            })
            .map(|pairs| pairs.bind(py))
    }
}

#[pymethods]
impl RawHeaders {
    /// The value of the first header of that name, as STOMP 1.2 has it, or `default`.
    #[pyo3(signature = (name, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        let value = self.headers.get(name).map(|value| text::native(py, value).into_any());
        value.or(default)
    }

    fn __len__(&self) -> usize {
        self.headers.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.pairs(py)?.as_any().get_item(index)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.pairs(py)?.try_iter()
    }

    fn __contains__(&self, py: Python<'_>, pair: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.pairs(py)?.as_any().contains(pair)
    }

    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        match other.cast::<Self>() {
            Ok(other) => self.pairs(py)?.rich_compare(other.get().pairs(py)?, operator),
            Err(_) => self.pairs(py)?.rich_compare(other, operator),
        }
    }

    /// Names only: values may be secrets, and representations end in logs.
    fn __repr__(&self) -> String {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        format!("<stomp.headers {}>", names.join(" "))
    }
}
