//! A link that does what a closure says, a peer to talk to, and waits that end.

use std::{
    collections::VecDeque,
    fmt::Debug,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    num::NonZeroUsize,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::Make;
use crate::{Action, Input, JOB_STACK, Job, Link, Stop};

/// Longer than any step takes on a machine that is busy with other things.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

type Script = Box<dyn FnMut(&mut Toy, Input<'_>) + Send>;

/// The link: connects at once, and then does what its script says about each input.
pub(super) struct Scripted {
    toy: Toy,
    script: Script,
}

/// What a script works with.
pub(super) struct Toy {
    pub(super) now: Instant,
    pub(super) until: Option<Instant>,
    pub(super) read: bool,
    pub(super) outbox: Vec<u8>,
    /// Jobs asked for whose end has not come.
    pub(super) jobs: usize,
    pub(super) connected: bool,
    /// Told, once, when the reactor is: from then on nothing is to be read.
    pub(super) deaf: Option<Sender<()>>,
    stopping: bool,
    connecting: bool,
    finished: bool,
    actions: VecDeque<Action>,
}

/// A link to `127.0.0.1:port`.
pub(super) fn link(port: u16, script: impl FnMut(&mut Toy, Input<'_>) + Send + 'static) -> Box<dyn Link> {
    link_to("127.0.0.1", port, WITHIN, script)
}

pub(super) fn link_to(
    host: &str,
    port: u16,
    timeout: Duration,
    script: impl FnMut(&mut Toy, Input<'_>) + Send + 'static,
) -> Box<dyn Link> {
    let mut toy = Toy {
        now: Instant::now(),
        until: None,
        read: true,
        outbox: Vec::new(),
        jobs: 0,
        connected: false,
        deaf: None,
        stopping: false,
        connecting: false,
        finished: false,
        actions: VecDeque::new(),
    };
    toy.connect(host, port, timeout);
    Box::new(Scripted { toy, script: Box::new(script) })
}

impl Toy {
    pub(super) fn connect(&mut self, host: &str, port: u16, timeout: Duration) {
        self.actions.push_back(Action::Connect { host: host.into(), port, timeout });
    }

    pub(super) fn close(&mut self) {
        self.actions.push_back(Action::Close);
    }

    pub(super) fn run(
        &mut self,
        id: u64,
        work: impl FnOnce(&mut dyn FnMut(Vec<u8>)) -> Option<Vec<u8>> + Send + 'static,
    ) {
        self.jobs += 1;
        self.actions.push_back(Action::Run(Job::new(id, work)));
    }

    pub(super) fn finish(&mut self) {
        self.actions.push_back(Action::Finished);
    }

    /// Finishes once stop was asked for, all jobs have ended and everything is sent.
    pub(super) fn drain(&mut self) {
        if self.stopping && self.jobs == 0 && (self.outbox.is_empty() || !self.connected) {
            self.finish();
        }
    }
}

impl Link for Scripted {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        let toy = &mut self.toy;
        toy.now = now;
        // A batch may go on after the input that was the last for us.
        assert!(!toy.finished, "input for a link that has finished: {input:?}");
        match &input {
            Input::Connected => {
                assert!(toy.connecting && !toy.connected, "connected without an attempt");
                (toy.connecting, toy.connected) = (false, true);
            }
            Input::Received(bytes) => {
                assert!(toy.connected, "received bytes without a connection");
                assert!(!bytes.is_empty(), "received nothing");
            }
            Input::Sent(n) => {
                assert!(toy.connected, "sent bytes without a connection");
                assert!((1..=toy.outbox.len()).contains(n), "sent {n} of {}", toy.outbox.len());
                toy.outbox.drain(..n);
            }
            Input::Closed(_) => {
                assert!(toy.connecting || toy.connected, "closed without a connection");
                (toy.connecting, toy.connected) = (false, false);
                toy.outbox.clear();
            }
            Input::Output(output) => toy.jobs -= usize::from(output.end.is_some()),
            Input::Timer => {
                let until = toy.until.take().expect("a timer comes only when one was set");
                assert!(now >= until, "the timer came {:?} too early", until - now);
            }
            Input::Stop => assert!(!std::mem::replace(&mut toy.stopping, true), "stopped twice"),
        }
        (self.script)(toy, input);
    }

    fn poll(&mut self) -> Action {
        let toy = &mut self.toy;
        let action = toy.actions.pop_front().unwrap_or(Action::Wait { until: toy.until, read: toy.read });
        match action {
            Action::Connect { .. } => toy.connecting = true,
            Action::Finished => toy.finished = true,
            Action::Wait { read: false, .. } => {
                if let Some(deaf) = toy.deaf.take() {
                    tell(&deaf, ());
                }
            }
            _ => {}
        }
        action
    }

    fn outbox(&self) -> &[u8] {
        &self.toy.outbox
    }
}

/// A port of our own on which nobody listens yet.
pub(super) fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address");
    (socket, address)
}

/// Something that listens on a port of its own.
pub(super) struct Peer {
    address: SocketAddr,
    accepted: Option<Receiver<TcpStream>>,
}

impl Peer {
    pub(super) fn new() -> Self {
        let (socket, _) = bound();
        // Many links connect at the same time.
        socket.listen(1024).expect("a listener");
        Self::on(socket.into())
    }

    pub(super) fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("bound");
        let (sender, accepted) = channel();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.expect("a connection");
                socket.set_nodelay(true).expect("a socket");
                socket.set_read_timeout(Some(WITHIN)).expect("a socket");
                socket.set_write_timeout(Some(WITHIN)).expect("a socket");
                if sender.send(socket).is_err() {
                    return;
                }
            }
        });
        Self { address, accepted: Some(accepted) }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn accept(&self) -> TcpStream {
        next(self.accepted.as_ref().expect("taken only by drop"), "connection from the link")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Wakes the thread, which then finds that nobody listens.
        self.accepted = None;
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads exactly what is expected.
#[track_caller]
pub(super) fn expect(socket: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    if let Err(error) = socket.read_exact(&mut bytes) {
        panic!("waiting for {:?}: {error}", String::from_utf8_lossy(expected));
    }
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
}

#[track_caller]
pub(super) fn say(socket: &mut TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).expect("the link reads what it is told");
}

/// Waits for the peer's orderly end, or for its loss.
#[track_caller]
pub(super) fn expect_end(socket: &mut TcpStream) {
    match io::copy(socket, &mut io::sink()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            panic!("the connection did not end within {WITHIN:?}")
        }
        _ => {}
    }
}

#[track_caller]
pub(super) fn next<T>(receiver: &Receiver<T>, what: &str) -> T {
    match receiver.recv_timeout(WITHIN) {
        Ok(it) => it,
        Err(error) => panic!("no {what} within {WITHIN:?}: {error}"),
    }
}

/// A reactor at work on a thread of its own.
pub(super) struct Running {
    pub(super) stop: Stop,
    result: Receiver<io::Result<()>>,
}

pub(super) fn start(make: Make, workers: usize, links: Vec<Box<dyn Link>>) -> Running {
    start_with(make, workers, links, Stop::new())
}

pub(super) fn start_with(make: Make, workers: usize, links: Vec<Box<dyn Link>>, stop: Stop) -> Running {
    let ((sender, result), asked) = (channel(), stop.clone());
    let run = move || {
        let result = make(some(workers)).run(links, &asked);
        // The test may have failed meanwhile.
        let _ = sender.send(result);
    };
    // An inline reactor's jobs have the stack of this thread.
    thread::Builder::new().stack_size(JOB_STACK).spawn(run).expect("a thread");
    Running { stop, result }
}

impl Running {
    /// Waits for `run` to return by itself.
    #[track_caller]
    pub(super) fn finish(self) {
        match self.result.recv_timeout(WITHIN) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("run failed: {error}"),
            Err(error) => panic!("run did not return within {WITHIN:?}, or panicked: {error}"),
        }
    }

    /// Waits for `run` to panic.
    #[track_caller]
    pub(super) fn panics(self) {
        match self.result.recv_timeout(WITHIN) {
            Ok(result) => panic!("run did not panic: {result:?}"),
            Err(error) => {
                assert_eq!(error, RecvTimeoutError::Disconnected, "run did not panic within {WITHIN:?}")
            }
        }
    }

    #[track_caller]
    pub(super) fn stop(self) {
        self.stop.stop();
        self.finish();
    }
}

pub(super) fn some(workers: usize) -> NonZeroUsize {
    NonZeroUsize::new(workers).expect("scenarios ask for one worker at least")
}

/// A place where jobs wait until a scenario lets them go on, one by one.
pub(super) fn gate() -> (Sender<()>, impl Fn() + Send + Clone) {
    let (open, closed) = channel();
    let closed = std::sync::Arc::new(std::sync::Mutex::new(closed));
    let wait = move || {
        let closed = closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A scenario that fails lets everybody go.
        let _ = closed.recv_timeout(2 * WITHIN);
    };
    (open, wait)
}

/// Tells of something, unless the scenario has failed meanwhile.
pub(super) fn tell<T: Debug>(sender: &Sender<T>, what: T) {
    let _ = sender.send(what);
}
