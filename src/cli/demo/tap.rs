//! Sees what passes a link and an application, and changes nothing.
//!
//! Both taps use public seams only: a [`Reactor`] that wraps another's links, an [`Application`] around
//! another.

use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reactors::{Action, Input, Link, Reactor, Stop};

use crate::{
    app::{AppError, Application, Flow, Reply, wsgi::Wsgi},
    http::{Head, Request},
    stomp::{Frame, Limits, Parser, Version},
};

/// One thing that happened.
#[derive(Debug)]
pub(super) enum Seen {
    /// A frame came off the wire.
    In(Frame),
    /// What the application gets: names, and values as Python shows them.
    Environ(Vec<(String, String)>),
    /// start_response's arguments.
    Start(Head),
    /// A block that the application yielded.
    Block(Vec<u8>),
    /// The application returned, well or not.
    Returned(Result<(), AppError>),
    /// A frame went onto the wire.
    Out(Frame),
}

/// What happened, in order, and when.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Shared>);

/// Something that happened, and when.
type Event = (Instant, Seen);

#[derive(Default)]
struct Shared {
    events: Mutex<Vec<Event>>,
    grown: Condvar,
}

impl Log {
    fn note(&self, seen: Seen) {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), seen));
        self.0.grown.notify_all();
    }

    /// Everything noted so far, once something is that `last` accepts.
    pub(super) fn take_until(&self, patience: Duration, last: impl Fn(&Seen) -> bool) -> Option<Vec<Event>> {
        let events = self.0.events.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |events: &mut Vec<Event>| !events.iter().any(|(_, seen)| last(seen));
        let (mut events, waited) = self
            .0
            .grown
            .wait_timeout_while(events, patience, missing)
            .unwrap_or_else(PoisonError::into_inner);
        (!waited.timed_out()).then(|| std::mem::take(&mut *events))
    }
}

pub(super) struct TappedReactor<R> {
    inner: R,
    log: Log,
}

impl<R> TappedReactor<R> {
    pub(super) fn new(inner: R, log: Log) -> Self {
        Self { inner, log }
    }
}

impl<R: Reactor> Reactor for TappedReactor<R> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn workers(&self) -> NonZeroUsize {
        self.inner.workers()
    }
    fn inline(&self) -> bool {
        self.inner.inline()
    }
    fn run(&self, links: Vec<Box<dyn Link>>, stop: &Stop) -> io::Result<()> {
        let tap = |inner| -> Box<dyn Link> { Box::new(TappedLink::new(inner, self.log.clone())) };
        self.inner.run(links.into_iter().map(tap).collect(), stop)
    }
}

struct TappedLink {
    inner: Box<dyn Link>,
    incoming: Parser,
    outgoing: Parser,
    log: Log,
}

impl TappedLink {
    fn new(inner: Box<dyn Link>, log: Log) -> Self {
        let parser = || Parser::new(Limits::default());
        Self { inner, incoming: parser(), outgoing: parser(), log }
    }

    fn parse(parser: &mut Parser, bytes: &[u8], note: impl Fn(Frame)) {
        parser.feed(bytes);
        // What does not parse is the link's to complain of.
        while let Ok(Some(frame)) = parser.next_frame() {
            // The demo's two ends are ours, and agree on 1.2.
            parser.set_version(Version::V1_2);
            note(frame);
        }
    }
}

impl Link for TappedLink {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match &input {
            Input::Received(bytes) => {
                Self::parse(&mut self.incoming, bytes, |frame| self.log.note(Seen::In(frame)));
            }
            Input::Sent(count) => {
                let bytes = &self.inner.outbox()[..*count];
                Self::parse(&mut self.outgoing, bytes, |frame| self.log.note(Seen::Out(frame)));
            }
            _ => {}
        }
        self.inner.handle(now, input);
    }
    fn poll(&mut self) -> Action {
        self.inner.poll()
    }
    fn outbox(&self) -> &[u8] {
        self.inner.outbox()
    }
}

pub(super) struct TappedApplication {
    inner: Wsgi,
    log: Log,
}

impl TappedApplication {
    pub(super) fn new(inner: Wsgi, log: Log) -> Self {
        Self { inner, log }
    }
}

impl Application for TappedApplication {
    fn call(&self, request: &Request, reply: &mut dyn Reply) -> Result<(), AppError> {
        let environ = self.inner.environ(request).map_err(|error| AppError(error.to_string()))?;
        self.log.note(Seen::Environ(environ));
        let result = self.inner.call(request, &mut TappedReply { inner: reply, log: &self.log });
        self.log.note(Seen::Returned(result.clone()));
        result
    }
}

struct TappedReply<'a> {
    inner: &'a mut dyn Reply,
    log: &'a Log,
}

impl Reply for TappedReply<'_> {
    fn start(&mut self, head: Head) {
        self.log.note(Seen::Start(head.clone()));
        self.inner.start(head);
    }
    fn block(&mut self, block: &[u8]) -> Flow {
        self.log.note(Seen::Block(block.to_vec()));
        self.inner.block(block)
    }
}
