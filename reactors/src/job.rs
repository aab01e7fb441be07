//! Work for a worker, and what comes of it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

type Work = Box<dyn FnOnce(&mut dyn FnMut(Vec<u8>)) -> Option<Vec<u8>> + Send>;

/// A blocking closure that a reactor runs on one of its workers.
///
/// However the closure ends, exactly one of the outputs is the last: what it returns, or [`End::Failed`]
/// where it returns `None` or panics.
pub struct Job {
    id: u64,
    work: Work,
}

impl Job {
    /// `work` may hand over parts while it runs (a streamed reply); what it returns comes last.
    /// `id` is the link's own number for it.
    pub fn new(
        id: u64,
        work: impl FnOnce(&mut dyn FnMut(Vec<u8>)) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        Self { id, work: Box::new(work) }
    }

    /// The link's own number for it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Runs to the end, giving each output to `emit` as soon as it is there. Never panics because of the
    /// work; `emit` may block.
    pub fn run(self, emit: &mut dyn FnMut(Output)) {
        let Self { id, work } = self;
        let mut part = |bytes| emit(Output { job: id, bytes, end: None });
        let (bytes, end) = match catch_unwind(AssertUnwindSafe(|| work(&mut part))) {
            Ok(Some(bytes)) => (bytes, End::Done),
            Ok(None) => (Vec::new(), End::Failed),
            Err(_) => {
                tracing::error!(job = id, "a job panicked");
                (Vec::new(), End::Failed)
            }
        };
        emit(Output { job: id, bytes, end: Some(end) });
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Something that a job gives back: bytes for the outbox, already encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The job's number.
    pub job: u64,
    /// What to send; may be empty.
    pub bytes: Vec<u8>,
    /// Set on the job's last output, and only there.
    pub end: Option<End>,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its work is done.
    Done,
    /// It panicked, or gave up: as if it had not run.
    Failed,
}
