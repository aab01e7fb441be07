//! `stomp-wsgi serve`: a WSGI application, served from a queue.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use bytesize::ByteSize;
use clap::{Args, builder::NonEmptyStringValueParser};

use super::{
    BrokerArgs, MOST_THREADS, broker::Listen, call::parse_seconds, parse_count, parse_count_to,
    switch::Switch,
};
use crate::{
    config::{DeliveryMode, Source},
    http::{EmptyJms, HeaderNames, ReplyBody},
    stomp::HeartBeatOffer,
};

/// The defaults serve an application from the development broker: `stomp-wsgi serve app:app`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The application: MODULE, MODULE:ATTRIBUTE, MODULE:OBJECT.ATTRIBUTE or MODULE:FACTORY()
    #[arg(required_unless_present = "mounts")]
    app: Option<String>,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    listen: Listen,
    /// Where requests come from; may be repeated. ?selector=EXPR takes a part of the messages, ?durable=NAME has
    /// a topic's kept while we are away [default: /queue/wsgi]
    #[arg(long = "destination", value_name = "DEST", env = "STOMP_WSGI_DESTINATION", value_delimiter = ',')]
    destinations: Vec<Source>,
    /// A destination with an application of its own, as in /queue/orders=orders:app; may be repeated
    #[arg(long = "mount", value_name = "DEST=APP", value_parser = parse_mount)]
    #[arg(env = "STOMP_WSGI_MOUNTS", value_delimiter = ',')]
    mounts: Vec<(Source, String)>,
    /// Connections to the broker, from 1 to 1000, sharing the threads; topics are on the first alone
    #[arg(long, value_name = "N", default_value = "1", env = "STOMP_WSGI_CONNECTIONS")]
    #[arg(value_parser = parse_count_to::<1000>)]
    connections: NonZeroUsize,
    /// Who we are to the broker: durable subscriptions belong to it
    #[arg(long, value_name = "NAME", env = "STOMP_WSGI_CLIENT_ID", value_parser = NonEmptyStringValueParser::new())]
    client_id: Option<String>,
    /// The concurrency model: thread-pool, tokio, mio or async-std (see `stomp-wsgi reactors`)
    #[arg(long, value_name = "NAME", env = "STOMP_WSGI_REACTOR")]
    reactor: Option<String>,
    /// Requests that the application works on at once, from 1 to 10000 (mio: always 1)
    #[arg(long, value_name = "N", default_value = "4", env = "STOMP_WSGI_THREADS")]
    #[arg(value_parser = parse_count_to::<MOST_THREADS>)]
    threads: NonZeroUsize,
    /// Messages that the broker may hand out before they are acknowledged, for each connection and destination
    /// [default: threads + 16]
    #[arg(long, value_name = "N", env = "STOMP_WSGI_PREFETCH", value_parser = parse_count::<NonZeroU32>)]
    prefetch: Option<NonZeroU32>,
    /// Milliseconds between heart-beats to the broker and from it; 0,0 for none
    #[arg(long, value_name = "X,Y", default_value = "10000,10000", env = "STOMP_WSGI_HEART_BEAT")]
    #[arg(value_parser = parse_heart_beat)]
    heart_beat: HeartBeatOffer,
    /// Work in this directory, and import the application from it
    #[arg(long, value_name = "DIR", env = "STOMP_WSGI_CHDIR")]
    chdir: Option<PathBuf>,
    /// Import from this directory, too; may be repeated
    #[arg(long, value_name = "DIR", env = "STOMP_WSGI_PYTHONPATH", value_delimiter = ':')]
    pythonpath: Vec<PathBuf>,
    /// The virtual environment [default: $VIRTUAL_ENV, else the nearest .venv]
    #[arg(long, value_name = "DIR", env = "STOMP_WSGI_VENV")]
    venv: Option<PathBuf>,
    /// Where replies may go: a prefix of destinations, or *; may be repeated [default: any queue]
    #[arg(long, value_name = "PREFIX", env = "STOMP_WSGI_ALLOW_REPLY_TO", value_delimiter = ',')]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    allow_reply_to: Vec<String>,
    /// REMOTE_USER is what the broker says in this header: JMSXUserID (ActiveMQ, populateJMSXUserID) or user-id (RabbitMQ)
    #[arg(long, value_name = "NAME", env = "STOMP_WSGI_TRUST_USER_HEADER")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    trust_user_header: Option<String>,
    /// The broker takes messages for these destinations by STOMP alone, which --trust-user-header relies on: a sender by
    /// OpenWire, AMQP or HTTP can claim to be anybody
    #[arg(long, env = "STOMP_WSGI_ALL_SENDERS_USE_STOMP", value_parser = Switch)]
    all_senders_use_stomp: bool,
    /// What a JMS client gets: auto (a TextMessage for a TextMessage where the reply is text, else a BytesMessage), text
    /// (always; 500 where it is none) or bytes (always)
    #[arg(long, value_name = "FORM", default_value = "auto", env = "STOMP_WSGI_REPLY_BODY")]
    reply_body: ReplyBody,
    /// Messages of a JMS client on ActiveMQ or Artemis that arrive without a body, as a MapMessage and an ObjectMessage do, with a
    /// method other than GET, HEAD, DELETE, OPTIONS, TRACE and CONNECT: accept (serve them), answer (requests get 415) or
    /// reject (the same, and one-way messages are refused)
    #[arg(long, value_name = "HOW", default_value = "answer", env = "STOMP_WSGI_EMPTY_JMS")]
    empty_jms: EmptyJms,
    /// The largest body of a reply, or of a block of a streamed reply, such as 8MiB; a larger reply becomes a 500
    /// [default: what the broker takes with its own settings: 100MiB on ActiveMQ and Artemis; 128MiB on RabbitMQ before
    /// 3.12, since then 4MiB with the headers, as stomp.max_frame_size has it]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "STOMP_WSGI_MAX_REPLY")]
    max_reply: Option<usize>,
    /// Seconds that a reply lives in the broker, where the request does not say
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, env = "STOMP_WSGI_REPLY_TTL")]
    reply_ttl: Option<Duration>,
    /// How reply headers are spelled: train (Content-Language), raw, camel or underscore
    #[arg(long, value_name = "STYLE", default_value = "train", env = "STOMP_WSGI_REPLY_HEADER_NAMES")]
    #[arg(value_parser = parse_header_names)]
    reply_header_names: HeaderNames,
    /// When a message is acknowledged: at-least-once (when the broker has its reply), at-most-once (before it is
    /// served) or transactional (together with its reply)
    #[arg(long, value_name = "MODE", default_value = "at-least-once", env = "STOMP_WSGI_DELIVERY")]
    #[arg(value_parser = parse_delivery)]
    delivery: DeliveryMode,
    /// Seconds until a request is answered 504 in the application's place, or 503 if no thread was free
    /// [default: none]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, env = "STOMP_WSGI_REQUEST_TIMEOUT")]
    request_timeout: Option<Duration>,
    /// Seconds after which all threads count as stuck, where none of them begins, ends or sends anything: their Python
    /// stacks are logged, and the broker is left until one is free; 0 for never [default: --request-timeout, else 60]
    #[arg(long, value_name = "SECONDS", value_parser = parse_stuck_after, env = "STOMP_WSGI_STUCK_AFTER")]
    stuck_after: Option<Duration>,
    /// End the process when all threads are stuck, with exit code 75, for a supervisor to start it again
    #[arg(long, env = "STOMP_WSGI_EXIT_WHEN_STUCK", value_parser = Switch)]
    exit_when_stuck: bool,
    /// Maximum delivery attempts of a message that nobody waits for and that fails, or that ends the process
    #[arg(long, value_name = "N", default_value = "5", env = "STOMP_WSGI_MAX_ATTEMPTS")]
    #[arg(value_parser = parse_count::<NonZeroU32>)]
    max_attempts: NonZeroU32,
    /// Where messages go that cannot be handled; {queue} is where they came from
    #[arg(long, value_name = "DEST", default_value = "/queue/DLQ.{queue}", env = "STOMP_WSGI_DEAD_LETTER")]
    dead_letter: String,
    /// Seconds that a stop waits for what runs
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds, env = "STOMP_WSGI_DRAIN_TIMEOUT")]
    drain_timeout: Duration,
    #[command(flatten)]
    environ: EnvironArgs,
    /// Check every request and reply with wsgiref.validate; for development
    #[arg(long, env = "STOMP_WSGI_VALIDATE", value_parser = Switch)]
    validate: bool,
}

/// How a message becomes an environ.
#[derive(Debug, Args)]
pub(super) struct EnvironArgs {
    /// The largest body of a message, such as 8MiB, 100MB or 5000; a request with a larger one is answered 413
    /// [default: 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "STOMP_WSGI_MAX_BODY")]
    max_body: Option<usize>,
    /// The path of messages that are no HTTP requests; {destination} and {type} are filled in
    #[arg(long, value_name = "PATH", default_value = "/", env = "STOMP_WSGI_DEFAULT_PATH")]
    default_path: String,
    /// Reject messages with two spellings of one header, rather than drop the lesser one
    #[arg(long, env = "STOMP_WSGI_STRICT_HEADERS", value_parser = Switch)]
    strict_headers: bool,
    /// SERVER_NAME of requests without a Host header
    #[arg(long, value_name = "NAME", default_value = "localhost", env = "STOMP_WSGI_SERVER_NAME")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    server_name: String,
    /// SERVER_PORT of requests without a Host header [default: that of the scheme]
    #[arg(long, value_name = "PORT", env = "STOMP_WSGI_SERVER_PORT")]
    server_port: Option<u16>,
    /// wsgi.url_scheme: http or https
    #[arg(long, value_name = "SCHEME", default_value = "http", env = "STOMP_WSGI_URL_SCHEME")]
    #[arg(value_parser = ["http", "https"], hide_possible_values = true, ignore_case = true)]
    url_scheme: String,
    /// SCRIPT_NAME: where the application is mounted
    #[arg(long, value_name = "PATH", default_value = "", env = "STOMP_WSGI_SCRIPT_NAME")]
    script_name: String,
    /// One more variable for every environ, such as shop.region=eu; may be repeated (STOMP_WSGI_ENVIRON: one on each line)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable, env = "STOMP_WSGI_ENVIRON")]
    // Values may hold commas.
    #[arg(value_delimiter = '\n')]
    environ: Vec<(String, String)>,
}

#[cfg(not(feature = "python"))]
impl Serve {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        anyhow::bail!("this build cannot serve Python applications (feature `python`)")
    }
}

#[cfg(feature = "python")]
pub(super) use with_python::not_started;

#[cfg(feature = "python")]
mod with_python {
    use std::{
        collections::{HashMap, hash_map::Entry},
        sync::Arc,
    };

    use reactors::{Reactor, Stop};

    use super::{Deadline, EnvironArgs, GRACE, Serve, exit_of_handler};
    use crate::{
        app::wsgi::{self, Interpreter, Wsgi},
        cli::{
            Exit, Failed, chain, logging,
            signals::{self, Watch},
        },
        config::{
            Config, DEFAULT_DESTINATION, DEFAULT_STUCK_AFTER, Source, check_dead_letters, check_sources,
        },
        dispatcher::Dispatcher,
        http::Mapping,
        select,
        service::Policy,
        stomp::Limits,
        uri::Brokers,
    };

    /// No Python, and so no application. A directory that was named and is no environment is a wrong argument.
    pub(in crate::cli) fn not_started(error: wsgi::StartError) -> anyhow::Error {
        let exit = match error {
            wsgi::StartError::NoVenv { .. } => Exit::Usage,
            _ => Exit::Application,
        };
        Failed::new(exit, chain(&error.into())).into()
    }

    impl EnvironArgs {
        pub(in crate::cli) fn config(&self) -> wsgi::Config {
            let config = wsgi::Config::default()
                .server_name(&self.server_name)
                .url_scheme(self.url_scheme.to_ascii_lowercase())
                .script_name(&self.script_name)
                // Who else takes from the queue is not for us to know.
                .multiprocess(true);
            let more = self.environ.iter();
            let config = more.fold(config, |config, (name, value)| config.environ(name, value));
            match self.server_port {
                Some(port) => config.server_port(port),
                None => config,
            }
        }

        /// How large a message may be.
        pub(in crate::cli) fn limits(&self) -> Limits {
            let limits = Config::limits();
            Limits { body: self.max_body.unwrap_or(limits.body), ..limits }
        }

        pub(in crate::cli) fn mapping(&self, mapping: &mut Mapping) {
            mapping.default_path.clone_from(&self.default_path);
            mapping.strict_headers = self.strict_headers;
        }
    }

    impl Serve {
        pub(in crate::cli) fn run(&self) -> anyhow::Result<()> {
            self.check_applications()?;
            let name = match (&self.reactor, select::default_model()) {
                (Some(name), _) => name.as_str(),
                (None, Some(model)) => model.name,
                (None, None) => anyhow::bail!("this build has no reactor"),
            };
            // Everything that can be wrong is found before the application is imported, and the
            // broker is started only once there is something to serve.
            let brokers = self.broker.named()?;
            if brokers.is_none() && self.broker.expects_one() {
                tracing::warn!(
                    "no broker is named, so the development broker is started; what is said of a user, TLS or a virtual \
                     host has no effect: name your broker with --broker"
                );
            }
            self.check_destinations()?;
            if self.exit_when_stuck && self.stuck_after.is_some_and(|after| after.is_zero()) {
                let why = "--exit-when-stuck has no effect with --stuck-after 0: leave out one of them";
                return Err(Failed::new(Exit::Usage, why).into());
            }
            let reactor =
                select::reactor(name, self.threads).map_err(|error| Failed::new(Exit::Usage, error))?;
            let interpreter = self.interpreter()?;
            let stop = Stop::new();
            let listen = || {
                let signals = interpreter.signals()?;
                let watch = Watch::before_loading(&stop, |watched| Ok(signals.in_children(watched)?))?;
                Ok::<_, anyhow::Error>((signals, watch))
            };
            let (mut signals, mut watch) = listen()?;
            let apps = self.load(&reactor)?;
            super::occupy_standard_streams();
            if interpreter.has_moved() {
                // The thread that watched was not forked.
                (signals, watch) = listen()?;
            }
            let early = signals.claim(&signals::CLAIMED)?;
            watch.serve(&signals)?;
            let heard = !early.is_empty();
            for signal in early {
                signal_hook::low_level::raise(signal)?;
            }
            let deadline = Deadline::start(self.drain_timeout + GRACE)?;
            stop.on_stop(move || deadline.begin());
            let serve = || self.serve(apps, brokers, reactor, &stop);
            let result = signals.run_beside(|| exit_of_handler(&stop), serve)?;
            if let (Some(signal), false) = (watch.stopped_by(), heard) {
                signals.handle(signal);
            }
            drop(signals);
            interpreter.finalize();
            if result.is_ok() {
                tracing::info!("stopped");
            }
            result
        }

        fn serve(
            &self,
            apps: HashMap<&str, Arc<Wsgi>>,
            brokers: Option<Brokers>,
            reactor: Box<dyn Reactor + Send>,
            stop: &Stop,
        ) -> anyhow::Result<()> {
            let (brokers, _broker) = match brokers {
                Some(brokers) => (brokers, None),
                None => {
                    let (brokers, broker) = self.start_broker()?;
                    (brokers, Some(broker))
                }
            };
            let served = self.served();
            for (source, app) in &served {
                tracing::info!(destination = %source, app, "serving");
            }
            tracing::info!(broker = %brokers, connections = self.connections, reactor = reactor.name(),
                threads = reactor.workers(), "starting");
            let first = served[0].1;
            let (ours, mounts): (Vec<_>, Vec<_>) = served.into_iter().partition(|(_, app)| *app == first);
            let mut config = self.config(brokers);
            config.destinations = ours.into_iter().map(|(source, _)| source).collect();
            let mut dispatcher = Dispatcher::new(config, apps[first].clone(), reactor);
            if self.exit_when_stuck {
                dispatcher = dispatcher.on_stuck(|| {
                    let code = Exit::Stuck as i32;
                    tracing::error!(code, "exiting, as all worker threads are stuck (--exit-when-stuck)");
                    signals::end_at_once(code);
                });
            }
            let mount = |dispatcher: Dispatcher<_>, (source, app): (Source, &str)| {
                dispatcher.mount(source, apps[app].clone())
            };
            mounts.into_iter().fold(dispatcher, mount).run(stop).map_err(|error| match error {
                crate::dispatcher::RunError::Broker(_) => Failed::new(Exit::Broker, error).into(),
                error => error.into(),
            })
        }

        /// Every destination, and the application that answers it; never empty.
        fn served(&self) -> Vec<(Source, &str)> {
            let usual = [DEFAULT_DESTINATION.parse().expect("it is one")];
            let ours = if self.destinations.is_empty() { &usual[..] } else { &self.destinations };
            let app = self.app.iter().flat_map(|app| ours.iter().map(move |source| (source.clone(), &**app)));
            app.chain(self.mounts.iter().map(|(source, app)| (source.clone(), &**app))).collect()
        }

        fn interpreter(&self) -> anyhow::Result<Interpreter> {
            if let Some(dir) = &self.chdir {
                std::env::set_current_dir(dir).map_err(|error| {
                    Failed::new(Exit::Usage, format!("cannot work in --chdir {}: {error}", dir.display()))
                })?;
            }
            let mut setup = wsgi::Setup::new().python_path(&self.pythonpath);
            if let Some(venv) = &self.venv {
                setup = setup.venv(venv);
            }
            setup.log_standard_error(logging::is_json()).start().map_err(not_started)
        }

        /// Each application, by its name: once, however many destinations it has.
        fn load(&self, reactor: &dyn Reactor) -> anyhow::Result<HashMap<&str, Arc<Wsgi>>> {
            let config = self.environ.config().multithread(reactor.workers().get() > 1);
            if self.validate {
                tracing::warn!("wsgiref.validate checks each request and reply: for development only");
            }
            let mut apps = HashMap::new();
            for (_, name) in self.served() {
                if let Entry::Vacant(vacant) = apps.entry(name) {
                    let app = Wsgi::load(name, &config).map_err(|error| match error {
                        wsgi::LoadError::Interrupted => Failed::new(Exit::Interrupted, error),
                        error => Failed::new(Exit::Application, error),
                    })?;
                    vacant.insert(Arc::new(if self.validate { app.validated()? } else { app }));
                }
            }
            Ok(apps)
        }

        fn config(&self, brokers: Brokers) -> Config {
            let mut config = Config::new(brokers);
            config.connections = self.connections;
            config.client_id.clone_from(&self.client_id);
            config.mapping.trust_user_header.clone_from(&self.trust_user_header);
            config.mapping.all_senders_use_stomp = self.all_senders_use_stomp;
            config.mapping.reply_body = self.reply_body;
            config.mapping.empty_jms = self.empty_jms;
            config.prefetch = self.prefetch;
            config.heart_beat = self.heart_beat;
            config.drain_timeout = self.drain_timeout;
            config.delivery = self.delivery;
            config.request_timeout = self.request_timeout;
            let stuck_after = self.stuck_after.or(self.request_timeout).unwrap_or(DEFAULT_STUCK_AFTER);
            config.stuck_after = Some(stuck_after).filter(|after| !after.is_zero());
            config.policy.max_attempts = self.max_attempts.get();
            config.policy.dead_letter.clone_from(&self.dead_letter);
            config.limits = self.environ.limits();
            self.environ.mapping(&mut config.mapping);
            config.mapping.max_reply = self.max_reply;
            config.mapping.reply_ttl = self.reply_ttl;
            config.mapping.reply_header_names = self.reply_header_names;
            if !self.allow_reply_to.is_empty() {
                config.mapping.allow_reply_to.clone_from(&self.allow_reply_to);
            }
            config
        }

        /// A broker's URI in the place of an application. It may have a password in it, so nothing of it is shown.
        fn check_applications(&self) -> anyhow::Result<()> {
            let mut applications = self.app.iter().chain(self.mounts.iter().map(|(_, app)| app));
            if applications.any(|app| app.contains("://")) {
                let why = "the application is a URI (not shown, as there may be a password in it): name the broker with \
                     --broker URI, and the application as MODULE:ATTRIBUTE";
                return Err(Failed::new(Exit::Usage, why).into());
            }
            Ok(())
        }

        /// Dead letters need a destination for every queue that we serve, and it must be none of these.
        fn check_destinations(&self) -> anyhow::Result<()> {
            let wrong = |why: String| Failed::new(Exit::Usage, why);
            if self.app.is_none() && !self.destinations.is_empty() {
                return Err(wrong(
                    "--destination is the application's: name one, or use --mount DEST=APP".into(),
                )
                .into());
            }
            let served: Vec<_> = self.served().into_iter().map(|(source, _)| source).collect();
            let client_id = self.client_id.as_deref();
            check_sources(&served, client_id).map_err(|error| wrong(error.to_string()))?;
            let policy = Policy { dead_letter: self.dead_letter.clone(), ..Policy::default() };
            check_dead_letters(&served, client_id, &policy)
                .map_err(|error| wrong(format!("--dead-letter: {error}")))?;
            Ok(())
        }

        #[cfg(not(feature = "broker"))]
        fn start_broker(&self) -> anyhow::Result<(Brokers, ())> {
            anyhow::bail!("which broker? Say it with --broker URI (this build has no development broker)")
        }

        /// The development broker, and how to reach it.
        #[cfg(feature = "broker")]
        fn start_broker(&self) -> anyhow::Result<(Brokers, crate::broker::BrokerHandle)> {
            let server = self.listen.bind(self.broker.dialect(), Vec::new())?;
            let mut address = server.local_addr();
            if address.ip().is_unspecified() {
                address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            let brokers = format!("stomp://{address}").parse()?;
            if address.port() != crate::uri::DEFAULT_PORT {
                tracing::info!("call it with --broker stomp://{address}");
            }
            let broker = server.spawn().map_err(|error| reactors::thread_error("stomp-broker", &error))?;
            Ok((brokers, broker))
        }
    }
}

/// `DEST=APP`: no application has an equals sign in its name, while options of a destination do.
fn parse_mount(text: &str) -> Result<(Source, String), String> {
    match text.rsplit_once('=') {
        Some((source, app)) if !app.is_empty() => Ok((
            source.parse().map_err(|error: crate::config::DestinationError| error.to_string())?,
            app.to_owned(),
        )),
        _ => Err("a mount is DEST=APP, as in /queue/orders=orders:app".to_owned()),
    }
}

fn parse_heart_beat(text: &str) -> Result<HeartBeatOffer, &'static str> {
    HeartBeatOffer::parse(text.as_bytes())
        .map_err(|_| "a heart-beat is X,Y in milliseconds, as in 10000,10000")
}

/// Seconds, or 0 for never.
fn parse_stuck_after(text: &str) -> Result<Duration, String> {
    if text.parse() == Ok(0.0) { Ok(Duration::ZERO) } else { parse_seconds(text) }
}

pub(super) fn parse_size(text: &str) -> Result<usize, &'static str> {
    let size = text.parse().ok().and_then(|ByteSize(octets)| usize::try_from(octets).ok());
    size.filter(|size| *size > 0).ok_or("a size is a number of octets above 0, as in 8MiB, 100MB or 5000")
}

fn parse_delivery(text: &str) -> Result<DeliveryMode, &'static str> {
    match &*text.to_ascii_lowercase() {
        "at-least-once" => Ok(DeliveryMode::AtLeastOnce),
        "at-most-once" => Ok(DeliveryMode::AtMostOnce),
        "transactional" => Ok(DeliveryMode::Transactional),
        _ => Err("at-least-once, at-most-once or transactional"),
    }
}

fn parse_header_names(text: &str) -> Result<HeaderNames, &'static str> {
    match &*text.to_ascii_lowercase() {
        "train" => Ok(HeaderNames::Train),
        "raw" => Ok(HeaderNames::Raw),
        "camel" => Ok(HeaderNames::Camel),
        "underscore" => Ok(HeaderNames::Underscore),
        _ => Err("train, raw, camel or underscore"),
    }
}

/// A deployer's variable. It may be none that says something of a request, and none that has an option of
/// its own.
fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or_default();
    if name.is_empty() || name.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err("a variable is NAME=VALUE; in STOMP_WSGI_ENVIRON each has a line of its own".to_owned());
    }
    match name {
        "SCRIPT_NAME" => return Err("use --script-name".to_owned()),
        "SERVER_NAME" => return Err("use --server-name".to_owned()),
        "SERVER_PORT" => return Err("use --server-port".to_owned()),
        "REMOTE_USER" => {
            return Err("only the broker knows who sent a message: use --trust-user-header".to_owned());
        }
        "wsgi.url_scheme" => return Err("use --url-scheme".to_owned()),
        _ => {}
    }
    let of_a_request = ["REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI"];
    let prefixes = ["HTTP_", "CONTENT_", "wsgi.", "stomp."];
    if of_a_request.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(format!("{name} is the server's to set; use a name of your own, such as shop.region"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// What a stop takes beyond the drain: leaving the broker, and the application's own end.
#[cfg(feature = "python")]
const GRACE: Duration = Duration::from_secs(10);

/// Opens the null device as each of the descriptors 0 to 2 that the application has closed: otherwise what the server
/// opens next, such as the connection to the broker, has such a number, and whoever prints writes into it.
#[cfg(feature = "python")]
fn occupy_standard_streams() {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::fd::{AsRawFd, IntoRawFd};

    // The application's children inherit them, as any standard stream.
    while let Ok(null) = open("/dev/null", OFlags::RDWR, Mode::empty()) {
        if null.as_raw_fd() > 2 {
            break;
        }
        // It stays open.
        let _ = null.into_raw_fd();
    }
}

/// A signal handler of the application's raised `SystemExit`.
#[cfg(feature = "python")]
fn exit_of_handler(stop: &reactors::Stop) {
    tracing::info!("a signal handler of the application raised SystemExit or KeyboardInterrupt: stopping");
    stop.stop();
}

/// Ends the process some time after a stop was asked for, whatever still runs: a handler that never returns must not
/// keep it. Its thread is there from the start: later there may be none to be had.
#[cfg(feature = "python")]
struct Deadline(std::sync::mpsc::Sender<()>);

#[cfg(feature = "python")]
impl Deadline {
    fn start(patience: Duration) -> std::io::Result<Self> {
        let (sender, begun) = std::sync::mpsc::channel();
        super::start_thread("stomp-wsgi-deadline", move || {
            // Where the sender is gone, there was no stop, and the process ends by itself.
            if begun.recv().is_ok() {
                std::thread::sleep(patience);
                tracing::error!(
                    "the application did not end in time; the broker keeps what it had not answered"
                );
                super::signals::end_at_once(1);
            }
        })?;
        Ok(Self(sender))
    }

    fn begin(&self) {
        // Its thread waits for this.
        let _ = self.0.send(());
    }
}
