//! `start_response` and the `write` that it returns (PEP 3333, "The start_response() Callable").
//!
//! What is given is checked at the call, where the application can still do something about it, but kept
//! until there is something to send: the first non-empty block, the first `write()`, or the end. Until then
//! the list may be changed, as late middleware does, and `start_response` be called again with `exc_info`.
//!
//! | state   | `start_response` without exc_info | with exc_info | a block or `write()`    | the end        |
//! |---------|-----------------------------------|---------------|-------------------------|----------------|
//! | Idle    | Held, or Refused and raises       | the same      | error                   | error          |
//! | Refused | `AssertionError`                  | Held, Refused | error                   | error          |
//! | Held    | `AssertionError`                  | Held, Refused | starts the reply: Sent  | the same       |
//! | Sent    | `AssertionError`                  | raises it     | a block of the reply    | nothing        |
//! | Over    | `AssertionError`                  | raises it     | error                   |                |

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{
    PyAssertionError, PyBaseException, PyConnectionAbortedError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use super::text;
use super::wire::{self, Ticket};
use crate::app::Flow;
use crate::http::{Head, Request, Status};

/// The callable of one request.
#[pyclass(frozen, module = "stomp_wsgi", name = "StartResponse")]
pub(super) struct StartResponse {
    ticket: Ticket,
    /// Sending may wait for the broker, which others should not wait for.
    streamed: bool,
    /// A HEAD request: nobody sees the body.
    head_only: bool,
    /// A message that nobody answers: it is there for what is done about it.
    one_way: bool,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Octets that the application's Content-Length still has room for.
    room: Option<u64>,
    /// Nothing more will be sent, whatever the application yields.
    enough: bool,
    /// Nobody waits for it any more.
    gone: bool,
}

enum Phase {
    Idle,
    Refused,
    Held(Held),
    Sent,
    Over,
}

/// A response that has not begun.
struct Held {
    head: Head,
    /// The application's list, and what was in it when `head` was made of it. Pairs are tuples of strings
    /// and cannot change, so a list with the same pairs makes the same head.
    list: Py<PyList>,
    pairs: Py<PyTuple>,
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        this.admit(py, exc_info)?;
        // The application's objects are looked at, and let go of, without the lock.
        let held = Held::new(status, headers)?;
        let before = std::mem::replace(&mut this.lock(py).phase, Phase::Held(held));
        drop(before);
        slf.as_any().getattr(intern!(py, "write"))
    }

    /// Sends a block before all that the application returns; for code that cannot return an iterable.
    #[pyo3(signature = (block, /))]
    fn write(&self, py: Python<'_>, block: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(block) = block.cast::<PyBytes>() else {
            let given = block.get_type().name()?;
            return Err(PyTypeError::new_err(format!("write() takes bytes, not {given}")));
        };
        let block = block.as_bytes();
        self.commit(py, None)?;
        let mut state = self.lock(py);
        if state.gone {
            drop(state);
            return Err(gone());
        }
        if state.enough {
            return Ok(());
        }
        if let Some(room) = &mut state.room {
            let length = block.len() as u64;
            if length > *room {
                let message = format!("write() of {length} bytes where Content-Length leaves {room}");
                drop(state);
                return Err(PyValueError::new_err(message));
            }
            *room -= length;
        }
        drop(state);
        if block.is_empty() {
            return Ok(());
        }
        self.send(py, block)?;
        if self.lock(py).gone { Err(gone()) } else { Ok(()) }
    }
}

impl StartResponse {
    pub(super) fn new(ticket: Ticket, request: &Request) -> Self {
        let state = State { phase: Phase::Idle, room: None, enough: false, gone: false };
        Self {
            ticket,
            streamed: request.delivery.accept_stream,
            head_only: request.method == "HEAD",
            one_way: request.delivery.one_way,
            state: Mutex::new(state),
        }
    }

    /// Whether this is a copy, in a process that the application forked.
    pub(super) fn is_forked(&self) -> bool {
        self.ticket.is_forked()
    }

    /// Whether nobody sees the body, so that its length is worth a look.
    pub(super) fn head_only(&self) -> bool {
        self.head_only
    }

    /// A block of the application's iterable. `sole` where it is known to be the only one.
    pub(super) fn block(&self, py: Python<'_>, block: &[u8], sole: bool) -> PyResult<Flow> {
        if block.is_empty() {
            return Ok(self.flow(py));
        }
        if self.is_forked() {
            return Err(self.elsewhere());
        }
        self.commit(py, sole.then_some(block.len()))?;
        let mut state = self.lock(py);
        if state.enough {
            return Ok(Flow::Enough);
        }
        let mut fits = block;
        if let Some(room) = &mut state.room {
            let length = usize::try_from(*room).unwrap_or(usize::MAX).min(block.len());
            fits = &block[..length];
            *room -= length as u64;
            if fits.len() < block.len() {
                state.enough = true;
                tracing::warn!(
                    extra = block.len() - fits.len(),
                    "the body goes on beyond Content-Length: cut"
                );
            }
        }
        drop(state);
        if fits.is_empty() {
            return Ok(Flow::Enough);
        }
        self.send(py, fits)?;
        Ok(self.flow(py))
    }

    /// The application has no more blocks: starts the reply if none did. Answers how many octets short of its
    /// Content-Length the body is.
    pub(super) fn end(&self, py: Python<'_>, sole: Option<usize>) -> PyResult<u64> {
        self.commit(py, sole)?;
        let state = self.lock(py);
        Ok(if state.enough || self.head_only { 0 } else { state.room.unwrap_or(0) })
    }

    /// Whether the requester has all of its Content-Length, so that no later failure concerns it.
    pub(super) fn is_whole(&self, py: Python<'_>) -> bool {
        let state = self.lock(py);
        !self.one_way && matches!(state.phase, Phase::Sent) && state.room == Some(0)
    }

    /// The request is over, however it went. The application may still have this object and use it.
    pub(super) fn close(&self, py: Python<'_>) {
        let before = std::mem::replace(&mut self.lock(py).phase, Phase::Over);
        drop(before);
    }

    /// Whether another response may be begun.
    fn admit(&self, py: Python<'_>, exc_info: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let exc_info = exc_info.map(ExcInfo::of).transpose()?;
        let mut state = self.lock(py);
        let error = match (&state.phase, exc_info) {
            (Phase::Idle, _) | (Phase::Refused | Phase::Held(_), Some(_)) => {
                let before = std::mem::replace(&mut state.phase, Phase::Refused);
                drop(state);
                drop(before);
                return Ok(());
            }
            (Phase::Refused | Phase::Held(_) | Phase::Sent, None) => {
                PyAssertionError::new_err("start_response was called before, and exc_info was not given")
            }
            (Phase::Over, None) => PyAssertionError::new_err("start_response was called after the request"),
            (Phase::Sent | Phase::Over, Some(exc_info)) => {
                drop(state);
                return Err(exc_info.raised());
            }
        };
        drop(state);
        Err(error)
    }

    /// Starts the reply, if that is still to be done.
    fn commit(&self, py: Python<'_>, sole: Option<usize>) -> PyResult<()> {
        let mut state = self.lock(py);
        let held = match &state.phase {
            Phase::Sent => return Ok(()),
            // Before anything is taken for sent that cannot be.
            Phase::Held(_) if !wire::reaches(self.ticket) => return Err(self.elsewhere()),
            Phase::Held(_) => match std::mem::replace(&mut state.phase, Phase::Sent) {
                Phase::Held(held) => held,
                _ => unreachable!("the phase was Held under this very lock"),
            },
            Phase::Idle => return Err(PyAssertionError::new_err("start_response was not called")),
            Phase::Refused => {
                return Err(PyAssertionError::new_err("start_response raised, and was not called again"));
            }
            Phase::Over => return Err(PyRuntimeError::new_err("write() was called after the request")),
        };
        drop(state);
        let mut head = held.head(py)?;
        if let (Some(length), None, true) = (sole, head.content_length(), head.status.has_body()) {
            let length = itoa::Buffer::new().format(length).to_owned();
            head.header(b"Content-Length", length.as_bytes()).map_err(invalid)?;
        }
        // A 304's Content-Length is about another response (RFC 9110 section 8.6).
        self.lock(py).room = head.content_length().filter(|_| head.status.has_body());
        wire::with(self.ticket, |reply| reply.start(head)).ok_or_else(|| self.elsewhere())
    }

    fn send(&self, py: Python<'_>, block: &[u8]) -> PyResult<()> {
        let send = || wire::with(self.ticket, |reply| reply.block(block));
        let flow = if self.streamed { py.detach(send) } else { send() };
        let flow = flow.ok_or_else(|| self.elsewhere())?;
        if flow == Flow::Gone {
            let mut state = self.lock(py);
            (state.enough, state.gone) = (true, true);
        } else if flow == Flow::Enough {
            // An application that has given all that it promised may have more to do, as a2wsgi has, which
            // runs background tasks there. It is left to end by itself, unless it gives another block.
            let mut state = self.lock(py);
            state.enough |= state.room != Some(0);
        }
        Ok(())
    }

    fn flow(&self, py: Python<'_>) -> Flow {
        if self.lock(py).enough { Flow::Enough } else { Flow::Continue }
    }

    /// Why the reply cannot be reached from here.
    fn elsewhere(&self) -> PyErr {
        PyRuntimeError::new_err(if self.is_forked() {
            "a forked process cannot answer its parent's request: end it by os._exit()"
        } else {
            "write() works only on the thread that runs the application, during its request"
        })
    }

    fn lock<'a>(&'a self, py: Python<'_>) -> MutexGuard<'a, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<Self> {
        // Subclasses of str are as good: Django's SafeString, StrEnum. A list of another kind may iterate its own way.
        let Ok(line) = status.cast::<PyString>() else {
            let given = status.get_type().name()?;
            return Err(PyTypeError::new_err(format!("the status must be a str, not {given}")));
        };
        let Ok(list) = headers.cast_exact::<PyList>() else {
            let given = headers.get_type().name()?;
            return Err(PyTypeError::new_err(format!("the headers must be a list, not {given}")));
        };
        let status = text::bytes(line).ok_or_else(|| not_latin1("the status"))?;
        let pairs = list.to_tuple();
        let head = head(Status::parse(&status).map_err(invalid)?, &pairs)?;
        Ok(Self { head, list: list.clone().unbind(), pairs: pairs.unbind() })
    }

    /// The head, with what became of the list meanwhile.
    fn head(self, py: Python<'_>) -> PyResult<Head> {
        let (list, pairs) = (self.list.bind(py), self.pairs.bind(py));
        let same =
            list.len() == pairs.len() && list.iter().zip(pairs.iter()).all(|(now, then)| now.is(&then));
        if same { Ok(self.head) } else { head(self.head.status, &list.to_tuple()) }
    }
}

fn head(status: Status, pairs: &Bound<'_, PyTuple>) -> PyResult<Head> {
    let mut head = Head::new(status);
    for (index, pair) in pairs.iter_borrowed().enumerate() {
        let Ok(pair) = pair.cast_exact::<PyTuple>() else {
            let given = pair.get_type().name()?;
            return Err(PyTypeError::new_err(format!("header {index} must be a tuple, not {given}")));
        };
        if pair.len() != 2 {
            let length = pair.len();
            let message = format!("header {index} must be a tuple of name and value, not of {length}");
            return Err(PyTypeError::new_err(message));
        }
        let (name, value) = (pair.get_borrowed_item(0)?, pair.get_borrowed_item(1)?);
        let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast::<PyString>()) else {
            let given = (name.get_type().name()?, value.get_type().name()?);
            let message =
                format!("header {index} must be a tuple of two str, not of {} and {}", given.0, given.1);
            return Err(PyTypeError::new_err(message));
        };
        let name = text::bytes(&name).ok_or_else(|| not_latin1("a header's name"))?;
        let value = text::bytes(&value).ok_or_else(|| not_latin1("a header's value"))?;
        head.header(&name, &value).map_err(invalid)?;
    }
    Ok(head)
}

/// What `sys.exc_info()` gave.
struct ExcInfo<'py> {
    value: Bound<'py, PyBaseException>,
    traceback: Bound<'py, PyAny>,
}

impl<'py> ExcInfo<'py> {
    fn of(exc_info: &Bound<'py, PyAny>) -> PyResult<Self> {
        let wrong = || PyTypeError::new_err("exc_info must be what sys.exc_info() returns for an exception");
        let (_, value, traceback): (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>) =
            exc_info.cast::<PyTuple>().map_err(|_| wrong())?.extract().map_err(|_| wrong())?;
        Ok(Self { value: value.cast_into().map_err(|_| wrong())?, traceback })
    }

    /// The exception itself, to be raised out of start_response.
    fn raised(self) -> PyErr {
        let py = self.value.py();
        match self.value.call_method1(intern!(py, "with_traceback"), (self.traceback,)) {
            Ok(value) => PyErr::from_value(value),
            Err(error) => error,
        }
    }
}

/// Code that writes, unlike an iterable, has to be told that nobody listens, or it may never end.
fn gone() -> PyErr {
    PyConnectionAbortedError::new_err("nobody waits for this reply any more")
}

fn invalid(error: crate::http::InvalidHead) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn not_latin1(what: &str) -> PyErr {
    PyValueError::new_err(format!("{what} has characters above U+00FF: encode them"))
}
