//! Joins a configuration, an application and a reactor.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use reactors::{Link, Reactor, Stop, thread_error};

use crate::{
    activity::{Finding, Watchdog},
    app::Application,
    config::{Config, DeliveryMode, DestinationError, Source, check_dead_letters, check_sources},
    link::{ConnectionConfig, Fatal, Known, Probe, WITHDRAWAL, Worker, WorkerConfig},
    service::Service,
};

const WATCHDOG: &str = "stomp-wsgi-watchdog";

/// Replies that wait for their RECEIPT count against the prefetch, too.
const PREFETCH_BEYOND_WORKERS: u32 = 16;

/// A server: requests from a broker, answered by an application, driven by any [`Reactor`].
pub struct Dispatcher<R: Reactor> {
    config: Config,
    app: Arc<dyn Application>,
    mounts: Vec<(Source, Arc<dyn Application>)>,
    reactor: R,
    on_stuck: Option<OnStuck>,
}

type OnStuck = Box<dyn Fn() + Send + Sync>;

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
    /// What was to be served cannot be.
    #[error(transparent)]
    Destination(#[from] DestinationError),
}

impl<R: Reactor> Dispatcher<R> {
    /// A server that is not running yet.
    pub fn new(config: Config, app: Arc<dyn Application>, reactor: R) -> Self {
        Self { config, app, mounts: Vec::new(), reactor, on_stuck: None }
    }

    /// Has `hook` run when all workers are stuck ([`Config::stuck_after`]), after their stacks were logged and the
    /// connections were left, or after some ten seconds. It runs on a thread of its own, and may end the process.
    #[must_use]
    pub fn on_stuck(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_stuck = Some(Box::new(hook));
        self
    }

    /// Serves this destination as well, by an application of its own.
    ///
    /// The same connections, reactor and workers carry all of them. Where the configuration names no
    /// destinations, there are only these.
    #[must_use]
    pub fn mount(mut self, source: Source, app: Arc<dyn Application>) -> Self {
        self.mounts.push((source, app));
        self
    }

    /// What is served and by whom, in the order of the subscriptions' ids: those that only the first
    /// connection has come last, so that an id means the same on all.
    fn served(&self) -> (Vec<Source>, Vec<Arc<dyn Application>>) {
        let ours = self.config.destinations.iter().map(|source| (source, &self.app));
        let mut served: Vec<_> = ours.chain(self.mounts.iter().map(|(source, app)| (source, app))).collect();
        served.sort_by_key(|(source, _)| source.is_copied());
        served.into_iter().map(|(source, app)| (source.clone(), Arc::clone(app))).unzip()
    }

    /// Serves on this thread until `stop`, and then until what runs is answered and acknowledged. Where it gives up
    /// by itself, it asks for `stop`, too: what runs is waited for as at any stop, and whoever goes by it hears of it.
    ///
    /// # Errors
    /// Where the reactor cannot run, the broker refuses the login at the first connection, or the
    /// configured number of attempts to connect is used up.
    pub fn run(&self, stop: &Stop) -> Result<(), RunError> {
        let (sources, apps) = self.served();
        let client_id = self.config.client_id.as_deref();
        check_sources(&sources, client_id)?;
        check_dead_letters(&sources, client_id, &self.config.policy)?;
        let Config { mut mapping, mut policy, .. } = self.config.clone();
        if self.config.delivery == DeliveryMode::AtMostOnce {
            policy.max_attempts = 1;
        }
        if self.config.request_timeout.is_some() && self.reactor.inline() {
            tracing::warn!(
                reactor = self.reactor.name(),
                "a request that runs cannot be answered in the application's place here: the request timeout \
                 concerns only those that wait"
            );
        }
        mapping.consumed.extend(sources.iter().flat_map(|source| source.consumed(client_id)));
        let apps = if self.mounts.is_empty() { vec![Arc::clone(&self.app)] } else { apps };
        let service = Arc::new(Service::routed(apps, mapping, policy));
        let fatal = Fatal::new(stop.clone());
        let configs: Vec<_> = self.workers(&sources).collect();
        // One probe for all: they share what it finds.
        let (workers, links) = (self.reactor.workers().get(), configs.len());
        let probe = configs.first().and_then(|config| Probe::new(config.connection.clone(), Instant::now()));
        let consumers = configs.into_iter().map(|config| {
            Box::new(Worker::new(config, Arc::clone(&service), fatal.clone())) as Box<dyn Link>
        });
        let probe = probe.map(|probe| Box::new(probe) as Box<dyn Link>);
        let name = self.reactor.name();
        let cannot_run = |source| RunError::Reactor { name, source };
        thread::scope(|scope| {
            // Dropped when the reactor has ended, however it has.
            let (_running, ended) = channel();
            if let Some(after) = self.config.stuck_after {
                let watch = Watch {
                    service: &service,
                    watchdog: Watchdog::new(
                        Instant::now(),
                        workers,
                        after,
                        self.config.request_timeout.is_none(),
                    ),
                    workers,
                    links,
                    inline: self.reactor.inline(),
                    on_stuck: self.on_stuck.as_ref(),
                    stop,
                };
                let thread = thread::Builder::new().name(WATCHDOG.to_owned());
                thread
                    .spawn_scoped(scope, move || watch.run(&ended))
                    .map_err(|error| thread_error(WATCHDOG, &error))?;
            }
            self.reactor.run(consumers.chain(probe).collect(), stop)
        })
        .map_err(cannot_run)?;
        match fatal.why() {
            Some(why) => Err(RunError::Broker(why)),
            None => Ok(()),
        }
    }

    /// One for each connection.
    fn workers(&self, sources: &[Source]) -> impl Iterator<Item = WorkerConfig> {
        let connections = self.config.connections.get();
        let queues = sources.iter().filter(|source| !source.is_copied()).count();
        let needed = if queues == 0 { 1 } else { connections };
        // What the one probe finds is for all of them.
        let priority = self.config.brokers.has_priority().then(Arc::default);
        let known = Known::default();
        (0..needed).map(move |number| {
            let mut worker = self.worker();
            worker.connection.priority.clone_from(&priority);
            worker.known = known.clone();
            worker.number = (connections > 1).then_some(number + 1);
            worker.sources = sources.to_vec();
            if number > 0 {
                worker.sources.truncate(queues);
                worker.connection.client_id = None;
            }
            worker
        })
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
                client_id: config.client_id.clone(),
                seed: fastrand::u64(..),
                priority: None,
            },
            number: None,
            sources: Vec::new(),
            prefetch: config.prefetch.map_or(workers.saturating_add(PREFETCH_BEYOND_WORKERS), Into::into),
            drain_timeout: config.drain_timeout,
            retry_delay: config.retry_delay,
            delivery: config.delivery,
            request_timeout: config.request_timeout,
            withdraws: config.stuck_after.is_some(),
            connections: u32::try_from(config.connections.get()).unwrap_or(u32::MAX),
            known: Known::default(),
        }
    }
}

/// Looks whether all workers are stuck.
struct Watch<'a> {
    service: &'a Service,
    watchdog: Watchdog,
    workers: usize,
    links: usize,
    inline: bool,
    on_stuck: Option<&'a OnStuck>,
    stop: &'a Stop,
}

impl Watch<'_> {
    /// Until the reactor has ended.
    fn run(mut self, ended: &Receiver<()>) {
        let goes_on = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        while goes_on(self.watchdog.interval()) {
            let state = self.service.activity().state();
            match self.watchdog.look(Instant::now(), state) {
                None => {}
                Some(Finding::Moving) => {
                    let next = self.watchdog.after();
                    tracing::warn!(
                        stuck_after = ?next,
                        "a worker thread goes on: it was not stuck, but slow (--stuck-after must be longer than the \
                         application takes)"
                    );
                }
                Some(Finding::Stuck(time)) => {
                    self.service.activity().set_stuck(state);
                    self.report(time);
                    if let Some(on_stuck) = self.on_stuck {
                        self.wait_for_links(goes_on);
                        // A stop has its own time limit.
                        if self.service.activity().is_stuck() && !self.stop.is_stopped() {
                            on_stuck();
                        }
                    }
                }
            }
        }
    }

    fn report(&self, time: Duration) {
        let stacks = self.service.stacks().unwrap_or_default();
        let until = if self.inline {
            "the broker keeps the connection, and what it has handed out, until it is free"
        } else {
            "no more messages are taken until one is free"
        };
        tracing::error!(
            workers = self.workers,
            seconds = time.as_secs(),
            "all worker threads are stuck: {until}\n{stacks}"
        );
    }

    /// Until all links have left their brokers. Those of an inline reactor are stuck, too.
    fn wait_for_links(&self, goes_on: impl Fn(Duration) -> bool) {
        let (activity, deadline) = (self.service.activity(), Instant::now() + WITHDRAWAL);
        while !self.inline
            && activity.withdrawn() < self.links
            && activity.is_stuck()
            && Instant::now() < deadline
            && goes_on(Duration::from_millis(20))
        {}
    }
}
