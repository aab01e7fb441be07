//! A reactor of your own, on smol, with nothing but public items.
//!
//! `cargo run --example custom_reactor` drives a link that answers three lines;
//! `cargo test --example custom_reactor` runs the suite that our own reactors pass.

use std::{
    future::pending,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    num::NonZeroUsize,
    ops::ControlFlow,
    pin::Pin,
    thread,
    time::{Duration, Instant},
};

use reactors::{
    Action, CloseOnFork, Input, JOB_STACK, Job, Link, OUTBOX_HIGH_WATER, OUTPUT_QUEUE, Output, READ_BUFFER,
    Reactor, Stop,
};
use smol::{
    Async, LocalExecutor, Timer,
    channel::{Receiver, Sender, bounded, unbounded},
    future::FutureExt,
};

/// One thread with a task per link; jobs run on threads of their own.
struct Smol {
    workers: NonZeroUsize,
}

impl Smol {
    fn new(workers: NonZeroUsize) -> Self {
        Self { workers }
    }
}

impl Reactor for Smol {
    fn name(&self) -> &'static str {
        "smol"
    }

    fn workers(&self) -> NonZeroUsize {
        self.workers
    }

    fn run(&self, links: Vec<Box<dyn Link>>, stop: &Stop) -> io::Result<()> {
        let (jobs, queue) = unbounded::<(Job, Sender<Output>)>();
        // Closing it is the word that everybody hears.
        let (word, stopped) = bounded(1);
        stop.on_stop(move || {
            word.close();
        });
        thread::scope(|scope| {
            // Workers end when the last link has dropped its end of the queue, however that comes about.
            let links: Vec<_> =
                links.into_iter().map(|it| drive(it, jobs.clone(), stopped.clone())).collect();
            drop(jobs);
            for n in 1..=self.workers.get() {
                let (queue, worker) = (queue.clone(), thread::Builder::new().stack_size(JOB_STACK));
                worker.name(format!("stomp-wsgi-worker-{n}")).spawn_scoped(scope, move || {
                    while let Ok((job, outputs)) = queue.recv_blocking() {
                        // A link that has finished has no use for the job, nor for what it gives.
                        if !outputs.is_closed() {
                            job.run(&mut |output| drop(outputs.send_blocking(output)));
                        }
                    }
                })?;
            }
            let executor = LocalExecutor::new();
            let tasks: Vec<_> = links.into_iter().map(|link| executor.spawn(link)).collect();
            smol::block_on(executor.run(async {
                for task in tasks {
                    task.await;
                }
            }));
            Ok(())
        })
    }
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<Async<TcpStream>>>>>;

enum Socket {
    Closed,
    Connecting(Attempt),
    /// The mark is dropped first.
    Open {
        _mark: CloseOnFork,
        tcp: Async<TcpStream>,
    },
}

/// What a link waits for, where asking does not do.
enum Event {
    Stop,
    Output(Output),
    Connected(io::Result<Async<TcpStream>>),
    /// Ask again: a socket is ready, or it is time.
    Ready,
}

/// Stops all links where one panics: no other is to go on as if nothing had happened.
struct StopOnPanic(Receiver<()>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

async fn drive(mut link: Box<dyn Link>, jobs: Sender<(Job, Sender<Output>)>, stopped: Receiver<()>) {
    let _guard = StopOnPanic(stopped.clone());
    let (sender, outputs) = bounded(OUTPUT_QUEUE);
    let (mut socket, mut told) = (Socket::Closed, false);
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        // 1. Obey.
        let (until, read) = loop {
            match link.poll() {
                Action::Run(job) => drop(jobs.try_send((job, sender.clone()))),
                Action::Wait { until, read } => break (until, read),
                Action::Connect { host, port, timeout } => {
                    socket = Socket::Connecting(Box::pin(connect(host, port, timeout)));
                }
                Action::Close => {
                    socket = Socket::Closed;
                    link.handle(Instant::now(), Input::Closed(Ok(())));
                }
                // The receiver goes with it, and so no worker waits for us.
                _finished => return,
            }
        };

        // 2. Take what is there, in batches; bytes come before the clock.
        let (now, mut busy) = (Instant::now(), false);
        let open = matches!(socket, Socket::Open { .. });
        for _ in 0..OUTPUT_QUEUE {
            let wanted = !open || link.outbox().len() <= OUTBOX_HIGH_WATER;
            let Some(Ok(output)) = wanted.then(|| outputs.try_recv()) else { break };
            link.handle(now, Input::Output(output));
            busy = true;
        }
        if let Socket::Open { tcp, .. } = &socket {
            match transfer(tcp.get_ref(), link.as_mut(), &mut buffer, read) {
                ControlFlow::Continue(moved) => busy |= moved,
                ControlFlow::Break(result) => {
                    socket = Socket::Closed;
                    link.handle(Instant::now(), Input::Closed(result));
                    busy = true;
                }
            }
        }
        if !busy && until.is_some_and(|until| until <= now) {
            link.handle(now, Input::Timer);
            busy = true;
        }

        // 3. Or wait for it. What is not asked for is not waited for.
        let unsent = !link.outbox().is_empty();
        let wanted = !open || link.outbox().len() <= OUTBOX_HIGH_WATER;
        let stop = async {
            match told {
                true => pending().await,
                false => drop(stopped.recv().await),
            }
            Event::Stop
        };
        let output = async {
            match wanted.then(|| outputs.recv()) {
                // We hold a sender ourselves.
                Some(output) => output.await.map_or(Event::Ready, Event::Output),
                None => pending().await,
            }
        };
        let network = async {
            match &mut socket {
                Socket::Closed => pending().await,
                Socket::Connecting(attempt) => Event::Connected(attempt.await),
                Socket::Open { tcp, .. } => {
                    // An error shows in the call that comes next.
                    let readable = async { if read { drop(tcp.readable().await) } else { pending().await } };
                    let writable =
                        async { if unsent { drop(tcp.writable().await) } else { pending().await } };
                    readable.or(writable).await;
                    Event::Ready
                }
            }
        };
        let clock = async {
            match until {
                _ if busy => smol::future::yield_now().await,
                None => pending().await,
                Some(until) => drop(Timer::at(until).await),
            }
            Event::Ready
        };
        match stop.or(output).or(network).or(clock).await {
            Event::Ready => {}
            Event::Stop => {
                told = true;
                link.handle(Instant::now(), Input::Stop);
            }
            Event::Output(output) => link.handle(Instant::now(), Input::Output(output)),
            Event::Connected(Ok(tcp)) => {
                socket = Socket::Open { _mark: CloseOnFork::new(&tcp), tcp };
                link.handle(Instant::now(), Input::Connected);
            }
            Event::Connected(Err(error)) => {
                socket = Socket::Closed;
                link.handle(Instant::now(), Input::Closed(Err(error)));
            }
        }
    }
}

/// One write and one read, as far as they do not block. Breaks with how the connection ended.
fn transfer(
    mut tcp: &TcpStream,
    link: &mut dyn Link,
    buffer: &mut [u8],
    read: bool,
) -> ControlFlow<io::Result<()>, bool> {
    let mut busy = false;
    let later = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
    if !link.outbox().is_empty() {
        match tcp.write(link.outbox()) {
            Ok(n) => {
                link.handle(Instant::now(), Input::Sent(n));
                busy = true;
            }
            Err(error) if later(&error) => {}
            Err(error) => return ControlFlow::Break(Err(error)),
        }
    }
    if read {
        match tcp.read(buffer) {
            Ok(0) => return ControlFlow::Break(Ok(())),
            Ok(n) => {
                link.handle(Instant::now(), Input::Received(&buffer[..n]));
                busy = true;
            }
            Err(error) if later(&error) => {}
            Err(error) => return ControlFlow::Break(Err(error)),
        }
    }
    ControlFlow::Continue(busy)
}

async fn connect(host: String, port: u16, timeout: Duration) -> io::Result<Async<TcpStream>> {
    let attempt = async {
        let mut failure = ErrorKind::NotFound.into();
        for address in smol::net::resolve((host, port)).await? {
            match Async::<TcpStream>::connect(address).await {
                Ok(tcp) => return tcp.get_ref().set_nodelay(true).map(|()| tcp),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    };
    let limit = async {
        Timer::after(timeout).await;
        Err(ErrorKind::TimedOut.into())
    };
    attempt.or(limit).await
}

/// Shouts back whatever it hears, until the peer has had enough.
struct Echo {
    actions: Vec<Action>,
    outbox: Vec<u8>,
    jobs: u64,
}

impl Link for Echo {
    fn handle(&mut self, _: Instant, input: Input<'_>) {
        match &input {
            Input::Received(bytes) => println!("link: heard {:?}", String::from_utf8_lossy(bytes)),
            Input::Output(output) => println!("link: job {} ended: {:?}", output.job, output.end),
            input => println!("link: {input:?}"),
        }
        match input {
            Input::Received(bytes) => {
                let text = bytes.to_vec();
                self.jobs += 1;
                self.actions.push(Action::Run(Job::new(self.jobs, move |_| Some(text.to_ascii_uppercase()))));
            }
            Input::Output(output) => self.outbox.extend(output.bytes),
            Input::Sent(n) => drop(self.outbox.drain(..n)),
            Input::Closed(_) | Input::Stop => self.actions.push(Action::Finished),
            _ => {}
        }
    }

    fn poll(&mut self) -> Action {
        self.actions.pop().unwrap_or(Action::Wait { until: None, read: true })
    }

    fn outbox(&self) -> &[u8] {
        &self.outbox
    }
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (host, port, timeout) = ("127.0.0.1".into(), listener.local_addr()?.port(), Duration::from_secs(5));
    let echo = Echo { actions: vec![Action::Connect { host, port, timeout }], outbox: Vec::new(), jobs: 0 };
    thread::scope(|scope| {
        let peer = scope.spawn(move || {
            let (mut socket, _) = listener.accept()?;
            let mut answers = BufReader::new(socket.try_clone()?).lines();
            for word in ["one", "two", "three"] {
                socket.write_all(format!("{word}\n").as_bytes())?;
                println!("peer: said {word}, heard {}", answers.next().transpose()?.unwrap_or_default());
            }
            Ok(())
        });
        let smol = Smol::new(NonZeroUsize::MIN);
        smol.run(vec![Box::new(echo)], &Stop::new())?;
        println!("{} ran to the end", smol.name());
        peer.join().expect("the peer does not panic")
    })
}

#[cfg(test)]
reactors::conformance!(Smol::new);
