//! Joins a configuration, an application and a reactor.

use std::{
    io,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use reactors::{Link, Reactor, Stop};

use crate::{
    app::Application,
    config::Config,
    link::{ConnectionConfig, Fatal, Probe, Worker, WorkerConfig},
    service::Service,
};

/// Replies that wait for their RECEIPT count against the prefetch, too.
const PREFETCH_BEYOND_WORKERS: u32 = 16;

/// A server: requests from a broker, answered by an application, driven by any [`Reactor`].
pub struct Dispatcher<R: Reactor> {
    config: Config,
    app: Arc<dyn Application>,
    reactor: R,
}

/// Why a server ended although nobody stopped it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The reactor cannot work.
    #[error("the reactor {name} cannot run: {source}")]
    Reactor {
        /// Its name.
        name: &'static str,
        /// What it ran into.
        source: io::Error,
    },
    /// The broker will not have us, or was tried as often as configured.
    #[error("{0}")]
    Broker(String),
}

impl<R: Reactor> Dispatcher<R> {
    /// A server that is not running yet.
    pub fn new(config: Config, app: Arc<dyn Application>, reactor: R) -> Self {
        Self { config, app, reactor }
    }

    /// Serves on this thread until `stop`, and then until what runs is answered and acknowledged.
    ///
    /// # Errors
    /// Where the reactor cannot run, the broker refuses the login at the first connection, or the
    /// configured number of attempts to connect is used up.
    pub fn run(&self, stop: &Stop) -> Result<(), RunError> {
        let Config { mut mapping, policy, .. } = self.config.clone();
        mapping.consumed.extend(self.config.destinations.iter().cloned());
        let service = Arc::new(Service::new(Arc::clone(&self.app), mapping, policy));
        let fatal = Fatal::default();
        let config = self.worker();
        // The probe ends with the worker, and with nothing of our caller's.
        let all = Stop::new();
        let theirs = all.clone();
        stop.on_stop(move || theirs.stop());
        let probe = Probe::new(config.connection.clone(), Instant::now());
        let worker = Worker::new(config, service, Arc::clone(&fatal)).with_end(all.clone());
        let mut links: Vec<Box<dyn Link>> = vec![Box::new(worker)];
        links.extend(probe.map(|probe| Box::new(probe) as Box<dyn Link>));
        let source = self.reactor.run(links, &all);
        let name = self.reactor.name();
        source.map_err(|source| RunError::Reactor { name, source })?;
        match fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(why) => Err(RunError::Broker(why)),
            None => Ok(()),
        }
    }

    fn worker(&self) -> WorkerConfig {
        let config = &self.config;
        let workers = u32::try_from(self.reactor.workers().get()).unwrap_or(u32::MAX);
        let mut heart_beat = config.heart_beat;
        if self.reactor.inline() {
            // While the application runs nothing can be sent: promise nothing.
            heart_beat.send = Duration::ZERO;
        }
        WorkerConfig {
            connection: ConnectionConfig {
                brokers: config.brokers.clone(),
                timeout: config.connect_timeout,
                heart_beat,
                limits: config.limits,
                seed: fastrand::u64(..),
                priority: config.brokers.has_priority().then(Arc::default),
            },
            destinations: config.destinations.clone(),
            prefetch: config.prefetch.map_or(workers.saturating_add(PREFETCH_BEYOND_WORKERS), Into::into),
            drain_timeout: config.drain_timeout,
            retry_delay: config.retry_delay,
        }
    }
}
