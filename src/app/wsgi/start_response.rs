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
use pyo3::types::{PyBytes, PyCFunction, PyList, PyString, PyTuple};

use super::text;
use super::wire::{self, Ticket};
use crate::app::Flow;
use crate::http::{Head, Request, Status};

/// What `start_response` and `write` of a request are methods of.
#[pyclass(frozen, module = "stomp_wsgi", name = "StartResponse")]
pub(super) struct StartResponse {
    state: Mutex<State>,
}

/// The request that it is about.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) ticket: Ticket,
    /// Sending may wait for the broker, which others should not wait for.
    streamed: bool,
    /// A HEAD request: nobody sees the body, so that its length is worth a look.
    pub(super) head_only: bool,
    /// A message that nobody answers: it is there for what is done about it.
    one_way: bool,
}

struct State {
    call: Call,
    phase: Phase,
    /// Octets that the application's Content-Length still has room for.
    room: Option<u64>,
    /// Nothing more will be sent, whatever the application yields.
    enough: bool,
    /// Nobody waits for it any more.
    gone: bool,
    /// What `start_response` returns; not there between requests.
    write: Option<Py<PyCFunction>>,
    /// The last head that was made here.
    last: Option<Last>,
}

enum Phase {
    Idle,
    Refused,
    /// The list of headers that the application gave; what was in it then has become the last head.
    Held(Py<PyList>),
    Sent,
    Over,
}

/// A head, and what it was made of: the same again needs no checks.
struct Last {
    line: Py<PyString>,
    /// Tuples of strings cannot change.
    pairs: Vec<Py<PyAny>>,
    head: Head,
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn start_response(
        &self,
        py: Python<'_>,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyCFunction>>> {
        let mut state = self.admit(py, exc_info)?;
        let write = state.write.as_ref().map(|write| write.clone_ref(py));
        let again = state.last.as_ref().and_then(|last| last.is_of(status, headers));
        let known = again.is_some();
        let before = std::mem::replace(&mut state.phase, again.map_or(Phase::Refused, Phase::Held));
        // The application's objects are let go of without the lock, and looked at where that may run its code.
        drop(state);
        drop(before);
        if !known {
            let (last, list) = Last::new(status, headers)?;
            let mut state = self.lock(py);
            let last = state.last.replace(last);
            let before = std::mem::replace(&mut state.phase, Phase::Held(list));
            drop(state);
            drop((last, before));
        }
        Ok(write)
    }

    /// Sends a block before all that the application returns; for code that cannot return an iterable.
    #[pyo3(signature = (block, /))]
    fn write(&self, py: Python<'_>, block: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(block) = block.cast::<PyBytes>() else {
            let given = block.get_type().name()?;
            return Err(PyTypeError::new_err(format!("write() takes bytes, not {given}")));
        };
        let block = block.as_bytes();
        let mut state = self.commit(py, self.lock(py), None)?;
        if state.gone {
            return Err(gone());
        }
        if state.enough {
            return Ok(());
        }
        if let Some(room) = &mut state.room {
            let length = block.len() as u64;
            if length > *room {
                let message = format!("write() of {length} bytes where Content-Length leaves {room}");
                return Err(PyValueError::new_err(message));
            }
            *room -= length;
        }
        if block.is_empty() {
            return Ok(());
        }
        match self.send(py, state, block)? {
            Flow::Gone => Err(gone()),
            _ => Ok(()),
        }
    }
}

impl StartResponse {
    pub(super) fn new(call: Call) -> Self {
        Self { state: Mutex::new(State::new(call)) }
    }

    /// A request begins, for which the last one has left nothing but its head.
    pub(super) fn begin(&self, py: Python<'_>, call: Call, write: Py<PyCFunction>) {
        let mut state = self.lock(py);
        let last = state.last.take();
        *state = State { write: Some(write), last, ..State::new(call) };
    }

    /// The request is over, however it went. The application may still have this object and use it.
    pub(super) fn end(&self, py: Python<'_>) -> Option<Py<PyCFunction>> {
        let mut state = self.lock(py);
        let before = std::mem::replace(&mut state.phase, Phase::Over);
        let write = state.write.take();
        drop(state);
        drop(before);
        write
    }

    /// A block of the application's iterable. `sole` where it is known to be the only one.
    pub(super) fn block(&self, py: Python<'_>, block: &[u8], sole: bool) -> PyResult<Flow> {
        let state = self.lock(py);
        if block.is_empty() {
            return Ok(if state.enough { Flow::Enough } else { Flow::Continue });
        }
        if state.call.ticket.is_forked() {
            return Err(state.call.elsewhere());
        }
        let mut state = self.commit(py, state, sole.then_some(block.len()))?;
        if state.enough {
            return Ok(Flow::Enough);
        }
        let mut fits = block;
        if let Some(room) = &mut state.room {
            let length = usize::try_from(*room).unwrap_or(usize::MAX).min(block.len());
            fits = &block[..length];
            *room -= length as u64;
        }
        let extra = block.len() - fits.len();
        if extra > 0 {
            state.enough = true;
            tracing::warn!(extra, "the body goes on beyond Content-Length: cut");
        }
        if fits.is_empty() {
            return Ok(Flow::Enough);
        }
        let flow = self.send(py, state, fits)?;
        Ok(if extra > 0 { Flow::Enough } else { flow })
    }

    /// The application has no more blocks: starts the reply if none did. Answers how many octets short of its
    /// Content-Length the body is.
    pub(super) fn finish(&self, py: Python<'_>, sole: Option<usize>) -> PyResult<u64> {
        let state = self.commit(py, self.lock(py), sole)?;
        Ok(if state.enough || state.call.head_only { 0 } else { state.room.unwrap_or(0) })
    }

    /// Whether the requester has all of its Content-Length, so that no later failure concerns it.
    pub(super) fn is_whole(&self, py: Python<'_>) -> bool {
        let state = self.lock(py);
        !state.call.one_way && matches!(state.phase, Phase::Sent) && state.room == Some(0)
    }

    /// Whether another response may be begun.
    fn admit(&self, py: Python<'_>, exc_info: Option<&Bound<'_, PyAny>>) -> PyResult<MutexGuard<'_, State>> {
        let exc_info = exc_info.map(ExcInfo::of).transpose()?;
        let state = self.lock(py);
        match (&state.phase, exc_info) {
            (Phase::Idle, _) | (Phase::Refused | Phase::Held(_), Some(_)) => Ok(state),
            (Phase::Refused | Phase::Held(_) | Phase::Sent, None) => {
                Err(PyAssertionError::new_err("start_response was called before, and exc_info was not given"))
            }
            (Phase::Over, None) => {
                Err(PyAssertionError::new_err("start_response was called after the request"))
            }
            (Phase::Sent | Phase::Over, Some(exc_info)) => {
                drop(state);
                Err(exc_info.raised())
            }
        }
    }

    /// Starts the reply, if that is still to be done.
    fn commit<'a>(
        &'a self,
        py: Python<'_>,
        mut state: MutexGuard<'a, State>,
        sole: Option<usize>,
    ) -> PyResult<MutexGuard<'a, State>> {
        let call = state.call;
        let list = match &state.phase {
            Phase::Sent => return Ok(state),
            // Before anything is taken for sent that cannot be.
            Phase::Held(_) if !wire::reaches(call.ticket) => return Err(call.elsewhere()),
            Phase::Held(_) => match std::mem::replace(&mut state.phase, Phase::Sent) {
                Phase::Held(list) => list.into_bound(py),
                _ => unreachable!("the phase was Held under this very lock"),
            },
            Phase::Idle => return Err(PyAssertionError::new_err("start_response was not called")),
            Phase::Refused => {
                return Err(PyAssertionError::new_err("start_response raised, and was not called again"));
            }
            Phase::Over => return Err(PyRuntimeError::new_err("write() was called after the request")),
        };
        let last = state.last.as_ref().expect("what is Held has become the last head");
        let (head, same) = (last.head.clone(), last.has(&list));
        drop(state);
        // It may have been changed meanwhile.
        let mut head =
            if same { head } else { head_of(head.status.clone(), &list.iter().collect::<Vec<_>>())? };
        drop(list);
        // A 304's Content-Length is about another response (RFC 9110 section 8.6).
        let mut room = None;
        if head.status.has_body() {
            room = head.content_length();
            if let (Some(length), None) = (sole, room) {
                let digits = itoa::Buffer::new().format(length).to_owned();
                head.header(b"Content-Length", digits.as_bytes()).map_err(invalid)?;
                room = Some(length as u64);
            }
        }
        wire::with(call.ticket, |reply| reply.start(head)).ok_or_else(|| call.elsewhere())?;
        let mut state = self.lock(py);
        state.room = room;
        Ok(state)
    }

    /// Sends what is in `room` already.
    fn send<'a>(&'a self, py: Python<'_>, state: MutexGuard<'a, State>, block: &[u8]) -> PyResult<Flow> {
        let (call, room) = (state.call, state.room);
        drop(state);
        let send = || wire::with(call.ticket, |reply| reply.block(block));
        let flow = if call.streamed { py.detach(send) } else { send() };
        let flow = flow.ok_or_else(|| call.elsewhere())?;
        match flow {
            Flow::Continue => return Ok(flow),
            // An application that has given all that it promised may have more to do, as a2wsgi has, which
            // runs background tasks there. It is left to end by itself, unless it gives another block.
            Flow::Enough if room == Some(0) => return Ok(Flow::Continue),
            Flow::Enough | Flow::Gone => {}
        }
        let mut state = self.lock(py);
        state.enough = true;
        state.gone |= flow == Flow::Gone;
        Ok(flow)
    }

    fn lock<'a>(&'a self, py: Python<'_>) -> MutexGuard<'a, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    pub(super) fn new(ticket: Ticket, request: &Request) -> Self {
        Self {
            ticket,
            streamed: request.delivery.accept_stream,
            head_only: request.method == "HEAD",
            one_way: request.delivery.one_way,
        }
    }

    /// Why the reply cannot be reached from here.
    fn elsewhere(self) -> PyErr {
        PyRuntimeError::new_err(if self.ticket.is_forked() {
            "a forked process cannot answer its parent's request: end it by os._exit()"
        } else {
            "write() works only on the thread that runs the application, during its request"
        })
    }
}

impl State {
    fn new(call: Call) -> Self {
        Self { call, phase: Phase::Idle, room: None, enough: false, gone: false, write: None, last: None }
    }
}

impl Last {
    fn new(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<(Self, Py<PyList>)> {
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
        let pairs: Vec<_> = list.iter().collect();
        let head = head_of(Status::parse(status).map_err(invalid)?, &pairs)?;
        let pairs = pairs.into_iter().map(Bound::unbind).collect();
        Ok((Self { line: line.clone().unbind(), pairs, head }, list.clone().unbind()))
    }

    /// The list, if these would make the same head.
    fn is_of(&self, status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> Option<Py<PyList>> {
        let list = headers.cast_exact::<PyList>().ok()?;
        let line = self.line.bind(list.py());
        let same = status.is(line) || text::bytes(status.cast().ok()?)? == text::bytes(line)?;
        (same && self.has(list)).then(|| list.clone().unbind())
    }

    /// Whether the list has the headers of this head, which are valid then.
    fn has(&self, list: &Bound<'_, PyList>) -> bool {
        let same = |pair: &Bound<'_, PyAny>, (name, value): &(Vec<u8>, Vec<u8>)| {
            let [given_name, given] = pair.cast_exact::<PyTuple>().ok()?.as_slice() else { return None };
            let given_name = text::bytes(given_name.cast().ok()?)?;
            let mut given = text::bytes(given.cast().ok()?)?;
            // What it may have around it that the head has not; anything else is to be looked at anew.
            while let [b' ', rest @ ..] | [rest @ .., b' '] = given {
                given = rest;
            }
            Some(given_name == name && given == value)
        };
        let known = self.pairs.iter().zip(&self.head.headers);
        list.len() == self.pairs.len()
            && list
                .iter()
                .zip(known)
                .all(|(pair, (known, header))| pair.is(known) || same(&pair, header) == Some(true))
    }
}

fn head_of(status: Status, pairs: &[Bound<'_, PyAny>]) -> PyResult<Head> {
    let mut head = Head::new(status);
    let parts = &mut *head;
    for (index, pair) in pairs.iter().enumerate() {
        let Ok(pair) = pair.cast_exact::<PyTuple>() else {
            let given = pair.get_type().name()?;
            return Err(PyTypeError::new_err(format!("header {index} must be a tuple, not {given}")));
        };
        let [name, value] = pair.as_slice() else {
            let length = pair.len();
            let message = format!("header {index} must be a tuple of name and value, not of {length}");
            return Err(PyTypeError::new_err(message));
        };
        let (Ok(name), Ok(value)) = (name.cast::<PyString>(), value.cast::<PyString>()) else {
            let given = (name.get_type().name()?, value.get_type().name()?);
            let message =
                format!("header {index} must be a tuple of two str, not of {} and {}", given.0, given.1);
            return Err(PyTypeError::new_err(message));
        };
        let name = text::bytes(name).ok_or_else(|| not_latin1("a header's name"))?;
        let value = text::bytes(value).ok_or_else(|| not_latin1("a header's value"))?;
        parts.header(name, value).map_err(invalid)?;
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
