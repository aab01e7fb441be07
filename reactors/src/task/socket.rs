//! A link's socket: the runtime's, or lent to a worker.

use std::{
    future::ready,
    io::{self, ErrorKind, Read, Write},
    mem,
    net::{Shutdown, TcpStream},
    ops::ControlFlow,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Instant,
};

use super::{Runtime, Seat, lock};
use crate::{
    CloseOnFork, Input, LOOK, Link,
    pool::{Drive, Lead, wait_for},
};

/// The socket of a link, at whatever stage.
pub(super) struct Socket<R: Runtime> {
    seat: Weak<Seat<R>>,
    /// Of the stream, whether lent or not; dropped before it is closed.
    mark: Option<CloseOnFork>,
    stage: Stage<R>,
    /// When something came last, and whether it came soon after something else.
    arrived: Instant,
    brisk: bool,
}

enum Stage<R: Runtime> {
    Closed,
    Connecting(Pin<Box<dyn Future<Output = io::Result<R::Stream>> + Send>>),
    Open(R::Stream),
    Lent(Arc<TcpStream>, Arc<Loan<R>>),
}

/// A socket that a worker waits at in the place of the runtime. Bytes leave it where they always do: in the link's turn.
pub(super) struct Loan<R: Runtime> {
    seat: Weak<Seat<R>>,
    /// Once the runtime has let go of it. The link's own: a worker has it only while it waits.
    socket: OnceLock<Weak<TcpStream>>,
    /// A worker has it, or will.
    lent: AtomicBool,
    /// It had better be given back.
    due: AtomicBool,
    /// There may be bytes, or it is time.
    ready: AtomicBool,
    /// What the link waits for.
    until: Mutex<Option<Instant>>,
}

impl<R: Runtime> Socket<R> {
    /// None yet; `seat` is where the link sits.
    pub(super) fn new(seat: Weak<Seat<R>>) -> Self {
        Self { seat, mark: None, stage: Stage::Closed, arrived: Instant::now(), brisk: false }
    }

    pub(super) fn connect(&mut self, attempt: impl Future<Output = io::Result<R::Stream>> + Send + 'static) {
        self.stage = Stage::Connecting(Box::pin(attempt));
    }

    pub(super) fn close(&mut self) {
        if let Stage::Lent(socket, _) = &self.stage {
            // At once, and not when the worker no longer waits at it. Fails where the peer was faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.mark = None;
        self.stage = Stage::Closed;
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_) | Stage::Lent(..))
    }

    /// Offers to have a worker wait for bytes, and lets it: not while none are wanted, and not where so little comes
    /// that the worker would mostly wait.
    pub(super) fn lend(
        &mut self,
        (until, read): (Option<Instant>, bool),
        offer: impl FnOnce(Option<Arc<dyn Lead>>),
    ) {
        if !read || !self.brisk || !matches!(self.stage, Stage::Open(_)) {
            return offer(None);
        }
        let loan = Arc::new(Loan {
            seat: self.seat.clone(),
            socket: OnceLock::new(),
            lent: AtomicBool::new(false),
            due: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            until: Mutex::new(until),
        });
        offer(Some(Arc::clone(&loan) as Arc<dyn Lead>));
        if !loan.lent.load(Ordering::SeqCst) {
            return;
        }
        if let Stage::Open(stream) = mem::replace(&mut self.stage, Stage::Closed) {
            match R::release(stream).map(Arc::new) {
                Ok(socket) => {
                    // It had none.
                    let _ = loan.socket.set(Arc::downgrade(&socket));
                    self.stage = Stage::Lent(socket, loan);
                }
                // The link's turn hears of it.
                Err(error) => self.connect(ready(Err(error))),
            }
        }
    }

    /// Leaves it to the worker that waits for bytes, if one does, to wait for the time as well.
    pub(super) fn leave_time(&self, until: Option<Instant>) -> bool {
        let Stage::Lent(_, loan) = &self.stage else { return false };
        *lock(&loan.until) = until;
        true
    }

    /// There may be bytes that nobody has spoken of.
    pub(super) fn look(&self) {
        if let Stage::Lent(_, loan) = &self.stage {
            loan.ready.store(true, Ordering::SeqCst);
        }
    }

    /// Goes on with what there is to do; says whether anything happened. `wants`: to read, and to write.
    pub(super) fn turn(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut dyn Link,
        buffer: &mut [u8],
        wants: (bool, bool),
    ) -> bool {
        let result = match self.transfer(cx, link, buffer, wants) {
            ControlFlow::Continue(busy) => return busy,
            ControlFlow::Break(result) => result,
        };
        self.close();
        link.handle(Instant::now(), Input::Closed(result));
        true
    }

    /// Goes on with the stage that it is in. Breaks with how the connection ended.
    fn transfer(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut dyn Link,
        buffer: &mut [u8],
        wants: (bool, bool),
    ) -> ControlFlow<io::Result<()>, bool> {
        if let Stage::Connecting(attempt) = &mut self.stage {
            return match attempt.as_mut().poll(cx) {
                Poll::Pending => ControlFlow::Continue(false),
                Poll::Ready(Ok(stream)) => {
                    self.mark = Some(CloseOnFork::new(&stream));
                    self.stage = Stage::Open(stream);
                    link.handle(Instant::now(), Input::Connected);
                    ControlFlow::Continue(true)
                }
                Poll::Ready(Err(error)) => ControlFlow::Break(Err(error)),
            };
        }
        let back = self.stage.is_back();
        let busy = self.exchange(cx, link, buffer, wants)?;
        if busy || !back {
            return ControlFlow::Continue(busy);
        }
        // Only now that nothing is left: the runtime takes a while to see what a socket has that is new to it.
        match self.stage.take_back() {
            Ok(()) => self.exchange(cx, link, buffer, wants),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    }

    /// One write and one read.
    fn exchange(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut dyn Link,
        buffer: &mut [u8],
        (read, write): (bool, bool),
    ) -> ControlFlow<io::Result<()>, bool> {
        let mut busy = false;
        if let Stage::Lent(_, loan) = &self.stage {
            if !read {
                loan.due.store(true, Ordering::SeqCst);
            }
        }
        if write && !link.outbox().is_empty() {
            match self.stage.poll_write(cx, link.outbox()) {
                // To wait for room is the runtime's.
                Poll::Pending => self.brisk = false,
                Poll::Ready(Err(error)) => return ControlFlow::Break(Err(error)),
                Poll::Ready(Ok(n)) => {
                    link.handle(Instant::now(), Input::Sent(n));
                    busy = true;
                }
            }
        }
        if read {
            match self.stage.poll_read(cx, buffer) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return ControlFlow::Break(Err(error)),
                Poll::Ready(Ok(0)) => return ControlFlow::Break(Ok(())),
                Poll::Ready(Ok(n)) => {
                    let now = Instant::now();
                    self.brisk = now - self.arrived < LOOK;
                    self.arrived = now;
                    link.handle(now, Input::Received(&buffer[..n]));
                    busy = true;
                }
            }
        }
        ControlFlow::Continue(busy)
    }
}

impl<R: Runtime> Stage<R> {
    /// Whether the worker no longer has it. Then there may be bytes that nobody has spoken of.
    fn is_back(&self) -> bool {
        let Stage::Lent(_, loan) = self else { return false };
        let back = !loan.lent.load(Ordering::SeqCst);
        if back {
            loan.ready.store(true, Ordering::SeqCst);
        }
        back
    }

    /// Gives the runtime what the worker no longer has.
    fn take_back(&mut self) -> io::Result<()> {
        if let Stage::Lent(socket, _) = mem::replace(self, Stage::Closed) {
            // Nobody else has it: the worker has given it back.
            let socket = Arc::into_inner(socket).ok_or(ErrorKind::NotConnected)?;
            *self = Stage::Open(R::adopt(socket)?);
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Stage::Open(stream) => R::poll_read(stream, cx, buffer),
            Stage::Lent(socket, loan) if loan.ready.swap(false, Ordering::SeqCst) => {
                attempt(|| (&**socket).read(buffer))
            }
            _ => Poll::Pending,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stage::Open(stream) => R::poll_write(stream, cx, bytes),
            Stage::Lent(socket, loan) => {
                let wrote = attempt(|| (&**socket).write(bytes));
                if wrote.is_pending() {
                    loan.due.store(true, Ordering::SeqCst);
                }
                wrote
            }
            _ => Poll::Pending,
        }
    }
}

impl<R: Runtime> Loan<R> {
    fn drive(&self) {
        if let Some(seat) = self.seat.upgrade() {
            seat.drive();
        }
    }
}

impl<R: Runtime> Lead for Loan<R> {
    fn lend(&self) {
        self.lent.store(true, Ordering::SeqCst);
    }

    fn wait(&self) -> bool {
        let socket = self.socket.get().filter(|_| !self.due.load(Ordering::SeqCst)).and_then(Weak::upgrade);
        let Some(socket) = socket else { return false };
        if self.ready.load(Ordering::SeqCst) {
            // Who has the link's place just now has not come to it yet.
            thread::yield_now();
        }
        // Not locked while it waits.
        let until = *lock(&self.until);
        let ready = wait_for(&socket, until);
        self.ready.fetch_or(ready, Ordering::SeqCst);
        ready
    }

    fn go_on(&self) -> bool {
        self.drive();
        !self.due.load(Ordering::SeqCst)
    }

    fn give_back(&self) {
        self.lent.store(false, Ordering::SeqCst);
        self.drive();
    }
}

fn attempt(mut call: impl FnMut() -> io::Result<usize>) -> Poll<io::Result<usize>> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            result => return Poll::Ready(result),
        }
    }
}
