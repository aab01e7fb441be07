//! The broker on a TCP port.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use mio::{Interest, Poll, Waker, net::TcpListener};
use reactors::Stop;

use super::{
    BrokerConfig, Depth,
    sockets::{Ask, LISTENER, Sockets, WAKER},
};

/// A broker that listens.
#[derive(Debug)]
pub struct BrokerServer {
    poll: Poll,
    waker: Arc<Waker>,
    listener: TcpListener,
    address: SocketAddr,
    config: BrokerConfig,
}

impl BrokerServer {
    /// Takes a port; with port 0 any free one.
    ///
    /// # Errors
    /// Where the address can be reached from other machines and the configuration does not allow that, where
    /// the port is taken, and where the system refuses.
    pub fn bind(address: SocketAddr, config: BrokerConfig) -> io::Result<Self> {
        if !address.ip().is_loopback() && !config.allow_remote {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                format!(
                    "the development broker does not listen on {address}: other machines could reach it, and it has no \
                     TLS. Use 127.0.0.1, or allow remote clients (--allow-remote)"
                ),
            ));
        }
        let mut listener = TcpListener::bind(address).map_err(|error| {
            let what = match error.kind() {
                ErrorKind::AddrInUse => {
                    format!(
                        "the port is taken. If a broker listens there, use that one: --broker stomp://{address}. Else give the \
                         development broker another port: --listen 127.0.0.1:PORT (0 takes a free one)"
                    )
                }
                ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
                ErrorKind::PermissionDenied => {
                    "ports below 1024 need privileges. Choose a higher one".to_owned()
                }
                _ => error.to_string(),
            };
            io::Error::new(error.kind(), format!("cannot listen on {address}: {what}"))
        })?;
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Self { poll, waker, listener, address, config })
    }

    /// Where it listens, with the port that was free.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves clients on this thread until `stop`.
    ///
    /// # Errors
    /// Only where the system refuses to wait for sockets at all.
    pub fn run(self, stop: &Stop) -> io::Result<()> {
        let (_asks, asked) = mpsc::channel();
        self.serve(stop, &asked)
    }

    /// Serves clients on a thread of its own, until the handle is dropped.
    ///
    /// # Errors
    /// Where the system has no thread to give.
    pub fn spawn(self) -> io::Result<BrokerHandle> {
        let (stop, (asks, asked)) = (Stop::new(), mpsc::channel());
        let (address, waker) = (self.address, self.waker.clone());
        let thread = std::thread::Builder::new().name("stomp-broker".into()).spawn({
            let stop = stop.clone();
            move || {
                if let Err(error) = self.serve(&stop, &asked) {
                    tracing::error!(%error, "the development broker failed");
                }
            }
        })?;
        Ok(BrokerHandle { address, stop, asks, waker, thread: Some(thread) })
    }

    fn serve(self, stop: &Stop, asked: &mpsc::Receiver<Ask>) -> io::Result<()> {
        stop.on_stop({
            let waker = self.waker.clone();
            // Fails only where the poll is gone, and with it the thread that this would wake.
            move || drop(waker.wake())
        });
        tracing::info!(
            address = %self.address,
            memory = self.config.memory,
            "development broker: in memory, nothing survives its end"
        );
        let Self { poll, listener, config, .. } = self;
        Sockets::new(poll, listener, config).run(stop, asked)
    }
}

/// A broker on a thread of its own, which ends with this.
#[derive(Debug)]
pub struct BrokerHandle {
    address: SocketAddr,
    stop: Stop,
    asks: mpsc::Sender<Ask>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl BrokerHandle {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How full a destination is, such as `/queue/orders`. All that was read before the question counts.
    pub fn depth(&self, destination: &str) -> Depth {
        let (answer, answered) = mpsc::channel();
        // A broker that has failed, and said so in the log, holds nothing.
        let asked = self.asks.send(Ask { destination: destination.to_owned(), answer });
        if asked.is_err() || self.waker.wake().is_err() {
            return Depth::default();
        }
        answered.recv().unwrap_or_default()
    }
}

impl Drop for BrokerHandle {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed, and is no reason for another.
            drop(thread.join());
        }
    }
}
