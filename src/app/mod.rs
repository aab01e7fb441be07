//! What serves requests: the [`Application`] trait, and the WSGI application behind feature `python`.

use crate::http::{Head, Request};

#[cfg(feature = "python")]
pub mod wsgi;

/// Something that answers requests, on any worker thread, blocking as it likes.
pub trait Application: Send + Sync {
    /// Answers one request: [`Reply::start`] once, then blocks. Returning `Ok` without having started, or
    /// `Err`, is a 500 where nothing was sent, and a broken reply where something was.
    ///
    /// # Errors
    /// [`AppError`] where the application failed; it has logged why.
    fn call(&self, request: &Request, reply: &mut dyn Reply) -> Result<(), AppError>;

    /// What every thread is doing, as text for the log: asked for when all workers are stuck. It runs on a thread that
    /// serves nothing, and must return within seconds, whatever the calls do that are stuck.
    fn stacks(&self) -> Option<String> {
        None
    }
}

/// Where a response goes, block by block.
pub trait Reply {
    /// Status and headers. Sent with the first block, or at the end.
    fn start(&mut self, head: Head);

    /// A block of the body, in order; sent (or kept, for a whole reply) before this returns. Empty ones are ignored.
    fn block(&mut self, block: &[u8]) -> Flow;
}

/// Whether a reply wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// Nothing more will be sent: Content-Length is reached, it is a HEAD, or nobody listens any more. What the
    /// application still has to do besides is its own affair.
    Enough,
    /// Nobody waits for it any more: the requester left, the connection is lost, or the server had to stop.
    Gone,
}

/// The application failed to answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct AppError(pub String);

impl<F> Application for F
where
    F: Fn(&Request, &mut dyn Reply) -> Result<(), AppError> + Send + Sync,
{
    fn call(&self, request: &Request, reply: &mut dyn Reply) -> Result<(), AppError> {
        self(request, reply)
    }
}
