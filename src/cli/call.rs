//! `stomp-wsgi call` and `stomp-wsgi notify`: a requester for the terminal, like curl.

use std::{
    io::{self, Read, Write},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use clap::Args;
use reactors::Stop;

use super::{BrokerArgs, Exit, Failed, parse_destination, serve::parse_size, switch::Switch};
use crate::{
    client::{self, CallError, Caller, CallerConfig, Part, Workload},
    config::DEFAULT_DESTINATION,
    select,
};

#[derive(Debug, Args)]
pub(super) struct Call {
    #[command(flatten)]
    message: Message,
    /// Print status and headers before the body
    #[arg(short, long)]
    include: bool,
    /// Take the reply block by block, as the application yields it
    #[arg(long)]
    stream: bool,
    /// Send one whole HTTP request as the message's body (application/http), and take the response so
    #[arg(long, conflicts_with = "stream")]
    structured: bool,
    /// Seconds to wait for the reply, or for its next block
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds, env = "STOMP_WSGI_TIMEOUT")]
    timeout: Duration,
    /// GET, POST, PUT, ...
    method: String,
    /// Path and query, or a whole URL
    url: String,
}

#[derive(Debug, Args)]
pub(super) struct Notify {
    #[command(flatten)]
    message: Message,
    /// Path and query, or a whole URL
    url: String,
}

#[derive(Debug, Args)]
struct Message {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Where to send it
    #[arg(long, value_name = "DEST", default_value = DEFAULT_DESTINATION, value_parser = parse_destination, env = "STOMP_WSGI_TO")]
    to: String,
    #[command(flatten)]
    content: Content,
    /// Have the broker keep the message over a restart
    #[arg(long, env = "STOMP_WSGI_PERSISTENT", value_parser = Switch)]
    persistent: bool,
    /// How large the body may be [default: what the broker takes with its own settings]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "STOMP_WSGI_MAX_REQUEST")]
    max_request: Option<usize>,
}

/// What a message says.
#[derive(Debug, Args)]
pub(super) struct Content {
    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    pub(super) headers: Vec<(String, String)>,
    /// The body: the text itself, @FILE, or - for standard input
    #[arg(short, long, value_name = "DATA|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,
}

impl Call {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if self.method.eq_ignore_ascii_case("NOTIFY") {
            bail!("nobody answers a NOTIFY: use `stomp-wsgi notify {}`", self.url);
        }
        let call = client::Call {
            method: self.method.clone(),
            stream: self.stream,
            structured: self.structured,
            ..self.message.call(&self.url)?
        };
        self.message.send(call, self.timeout, Printer { include: self.include })
    }
}

impl Notify {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let call = client::Call {
            method: "NOTIFY".to_owned(),
            one_way: true,
            // Nobody would notice that it was lost.
            persistent: true,
            ..self.message.call(&self.url)?
        };
        self.message.send(call, Duration::from_secs(30), Printer { include: false })
    }
}

impl Message {
    fn call(&self, url: &str) -> anyhow::Result<client::Call> {
        Ok(client::Call {
            target: url.to_owned(),
            headers: self.content.headers.clone(),
            body: self.content.body()?.into(),
            persistent: self.persistent,
            ..client::Call::default()
        })
    }

    fn send(&self, call: client::Call, timeout: Duration, printer: Printer) -> anyhow::Result<()> {
        let config = CallerConfig {
            timeout,
            max_request: self.max_request,
            ..CallerConfig::new(self.broker.or_local()?, &self.to)
        };
        carry(call, config, move |part| printer.print(part))
    }
}

impl Content {
    pub(super) fn body(&self) -> anyhow::Result<Vec<u8>> {
        match self.data.as_deref() {
            None => Ok(Vec::new()),
            Some("-") => read("-"),
            Some(data) => data.strip_prefix('@').map_or_else(|| Ok(data.as_bytes().to_vec()), read),
        }
    }
}

/// A file's content, or what standard input (`-`) has.
pub(super) fn read(file: &str) -> anyhow::Result<Vec<u8>> {
    if file != "-" {
        return std::fs::read(file).with_context(|| format!("cannot read {file}"));
    }
    let mut content = Vec::new();
    io::stdin().read_to_end(&mut content).context("cannot read standard input")?;
    Ok(content)
}

/// Makes one call and collects its reply.
#[cfg(all(feature = "python", feature = "broker"))]
pub(super) fn converse(call: client::Call, config: CallerConfig) -> anyhow::Result<Vec<Part>> {
    let parts = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&parts);
    carry(call, config, move |part| {
        into.lock().unwrap_or_else(PoisonError::into_inner).push(part.clone());
        Ok(())
    })?;
    Ok(std::mem::take(&mut *parts.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Makes one call, and gives each part of its reply to `take` as it comes.
fn carry<F>(call: client::Call, config: CallerConfig, take: F) -> anyhow::Result<()>
where
    F: FnMut(&Part) -> io::Result<()> + Send + 'static,
{
    let outcome = Arc::new(Mutex::new(Ok(())));
    let stop = Stop::new();
    let once = Once { call: Some(call), take, outcome: Arc::clone(&outcome), stop: stop.clone() };
    let model = select::default_model().context("this build has no reactor to connect with")?;
    let reactor = select::reactor(model.name, NonZeroUsize::MIN)?;
    let link = Caller::new(config, once, (Instant::now(), SystemTime::now()));
    reactor.run(vec![Box::new(link)], &stop)?;
    std::mem::replace(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner), Ok(()))
}

/// The workload of one call.
struct Once<F> {
    call: Option<client::Call>,
    take: F,
    outcome: Arc<Mutex<anyhow::Result<()>>>,
    /// Set where nobody takes what comes.
    stop: Stop,
}

impl<F> Once<F> {
    fn fail(&self, error: anyhow::Error) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.is_ok() {
            *outcome = Err(error);
        }
    }
}

impl<F: FnMut(&Part) -> io::Result<()> + Send> Workload for Once<F> {
    fn next(&mut self) -> Option<client::Call> {
        self.call.take()
    }

    fn part(&mut self, _: u64, part: Part) {
        if let Err(error) = (self.take)(&part) {
            // The reader of a pipe that has seen enough is no failure.
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.fail(anyhow::Error::new(error).context("cannot write the reply"));
            }
            self.stop.stop();
            return;
        }
        if part.is_error && !part.more && part.status.is_none_or(|(code, _)| code < 400) {
            self.fail(anyhow::anyhow!("the reply broke off: the application failed in the middle of it"));
        }
    }

    fn done(&mut self, _: u64, result: Result<(), CallError>) {
        if let (Err(error), false) = (result, self.stop.is_stopped()) {
            let exit = match error {
                CallError::Timeout(_) => Exit::Timeout,
                CallError::RequestTooLarge { .. } | CallError::Headers => Exit::Failure,
                CallError::Broker(_) | CallError::TooLarge { .. } | CallError::Unreadable => Exit::Broker,
            };
            self.fail(Failed::new(exit, error).into());
        }
    }
}

/// Replies on standard output.
struct Printer {
    include: bool,
}

impl Printer {
    fn print(&self, part: &Part) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let (true, Some((code, reason))) = (self.include, &part.status) {
            writeln!(out, "{code} {reason}")?;
            for (name, value) in &part.headers {
                writeln!(out, "{name}: {value}")?;
            }
            writeln!(out)?;
        }
        out.write_all(&part.body)?;
        out.flush()
    }
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME: VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        Err("a header needs a name".to_owned())
    } else {
        Ok((name.to_owned(), value.to_owned()))
    }
}

/// Far beyond any use, and far from what clocks and brokers cannot count.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Seconds, with a fraction if need be.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero() && *time <= LONGEST)
        .ok_or_else(|| "a time is a number of seconds above 0, as in 1.5, and at most a year".to_owned())
}
