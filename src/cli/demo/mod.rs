//! `stomp-wsgi demo`: the life of a WSGI request, on the development broker, with a real Flask application.

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// The concurrency model: see `stomp-wsgi reactors`
    #[arg(long, value_name = "NAME", env = "STOMP_WSGI_REACTOR")]
    reactor: Option<String>,
    /// The virtual environment, with Flask in it [default: $VIRTUAL_ENV, else the nearest .venv]
    #[arg(long, value_name = "DIR", env = "STOMP_WSGI_VENV")]
    venv: Option<std::path::PathBuf>,
}

#[cfg(not(all(feature = "python", feature = "broker")))]
impl Demo {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        anyhow::bail!("this build has no demo (features `python` and `broker`)")
    }
}

#[cfg(all(feature = "python", feature = "broker"))]
mod show;
#[cfg(all(feature = "python", feature = "broker"))]
mod tap;

#[cfg(all(feature = "python", feature = "broker"))]
mod run {
    use std::{num::NonZeroUsize, sync::Arc, thread, time::Duration};

    use anyhow::{Context, ensure};
    use reactors::Stop;

    use super::{
        Demo,
        show::Show,
        tap::{Log, Seen, TappedApplication, TappedReactor},
    };
    use crate::{
        app::wsgi::{self, Wsgi},
        broker::{BrokerConfig, BrokerServer},
        cli::{Exit, Failed, call::converse, serve::not_started},
        client::{Call, CallerConfig},
        config::{Config, DEFAULT_DESTINATION},
        dispatcher::Dispatcher,
        select,
        stomp::Command,
        uri::Brokers,
    };

    const SOURCE: &str = include_str!("app.py");
    /// Far more than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    impl Demo {
        pub(in crate::cli) fn run(&self) -> anyhow::Result<()> {
            let name = match &self.reactor {
                Some(name) => name,
                None => select::default_model().context("this build has no reactor")?.name,
            };
            let reactor = select::reactor(name, NonZeroUsize::new(2).expect("two is not zero"))?;
            let mut setup = wsgi::Setup::new();
            if let Some(venv) = &self.venv {
                setup = setup.venv(venv);
            }
            let interpreter = setup.start().map_err(not_started)?;
            let config = wsgi::Config::default().multithread(reactor.workers().get() > 1);
            let app = Wsgi::from_source("stomp_wsgi_demo", SOURCE, "app", &config).map_err(|error| {
                let advice = "the demo needs Flask: `python3 -m venv .venv && .venv/bin/pip install flask`, or `make demo`";
                Failed::new(Exit::Application, format!("{error}\n{advice}"))
            })?;

            let server = BrokerServer::bind(([127, 0, 0, 1], 0).into(), BrokerConfig::default())?;
            let brokers: Brokers = format!("stomp://{}", server.local_addr()).parse()?;
            let _broker = server.spawn()?;
            let (log, stop) = (Log::default(), Stop::new());
            let dispatcher = Dispatcher::new(
                Config::new(brokers.clone()),
                Arc::new(TappedApplication::new(app, log.clone())),
                TappedReactor::new(reactor, log.clone()),
            );
            let mut show = Show::new();
            let stopping = stop.clone();
            let serving = thread::Builder::new()
                .name("stomp-wsgi-demo".to_owned())
                .spawn(move || dispatcher.run(&stopping))?;
            let result = conversations(&brokers, name, &log, &mut show);
            stop.stop();
            serving.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
            result?;
            show.end()?;
            interpreter.finalize();
            Ok(())
        }
    }

    fn conversations(brokers: &Brokers, reactor: &str, log: &Log, show: &mut Show) -> anyhow::Result<()> {
        // Subscribed once the broker says so.
        let connection = log.take_until(
            PATIENCE,
            |seen| matches!(seen, Seen::In(frame) if frame.command == Command::Receipt),
        );
        show.connection(reactor, &connection.context("the server did not subscribe")?)?;
        for (title, call) in calls() {
            let config =
                CallerConfig { timeout: PATIENCE, ..CallerConfig::new(brokers.clone(), DEFAULT_DESTINATION) };
            let parts = converse(call.clone(), config)
                .with_context(|| format!("the conversation \"{title}\" failed"))?;
            let settled = |seen: &Seen| matches!(seen, Seen::Out(frame) if frame.command == Command::Ack);
            let seen = log.take_until(PATIENCE, settled).context("the message was not acknowledged")?;
            show.conversation(title, &call, seen, &parts)?;
            let answered = if call.one_way {
                parts.is_empty()
            } else {
                parts.last().is_some_and(|last| !last.more && !last.is_error)
            };
            ensure!(answered, "the conversation \"{title}\" did not go as it should");
        }
        Ok(())
    }

    fn calls() -> [(&'static str, Call); 4] {
        let call = |method: &str, target: &str| Call {
            method: method.to_owned(),
            target: target.to_owned(),
            ..Call::default()
        };
        let json = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        [
            ("1. a GET", call("GET", "/hello/World?from=the+broker")),
            (
                "2. a POST with a body",
                Call {
                    headers: json,
                    body: r#"{"item": "teapot", "pieces": 2}"#.into(),
                    ..call("POST", "/orders")
                },
            ),
            ("3. a streamed reply", Call { stream: true, ..call("GET", "/countdown") }),
            (
                "4. a NOTIFY, which nobody answers",
                Call { one_way: true, body: "the kettle is on".into(), ..call("NOTIFY", "/events/kettle") },
            ),
        ]
    }
}
