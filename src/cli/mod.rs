//! The command line: one file per subcommand.

#[cfg(feature = "bench")]
mod bench;
mod broker;
mod call;
mod credentials;
mod demo;
mod environ;
mod log_writer;
mod logging;
mod reactors;
mod serve;
#[cfg(any(feature = "python", feature = "broker"))]
mod signals;
mod switch;
#[cfg(feature = "tls")]
mod tls;
mod variables;

#[cfg(feature = "bench")]
use std::ffi::OsString;
use std::{num::NonZeroUsize, process::ExitCode, str::FromStr};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, builder::NonEmptyStringValueParser};

#[cfg(feature = "bench")]
use crate::uri::Address;
use crate::{
    Dialect,
    uri::{Brokers, DEFAULT_PORT},
};

/// Serves Python WSGI applications from a STOMP message broker.
#[derive(Debug, Parser)]
#[command(name = "stomp-wsgi", version, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    logging: logging::Logging,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a WSGI application from a queue
    Serve(Box<serve::Serve>),
    /// Start the development broker alone
    Broker(broker::Broker),
    /// Send a request to a queue and print the reply
    Call(call::Call),
    /// Send a message that nobody answers
    Notify(call::Notify),
    /// Show the environ that a message makes
    Environ(environ::Environ),
    /// List the concurrency models of this build
    Reactors(reactors::Reactors),
    /// Measure the concurrency models, and compare them
    #[cfg(feature = "bench")]
    Bench(bench::Bench),
    /// See the life of a WSGI request, frame by frame
    Demo(demo::Demo),
}

/// What the command's exit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    /// All went well.
    Success = 0,
    /// Something failed; a message said what.
    Failure = 1,
    /// Bad arguments; clap's own code for them.
    Usage = 2,
    /// The application could not be loaded.
    #[cfg(feature = "python")]
    Application = 3,
    /// The broker cannot be reached, or would not have us (as curl's 7).
    Broker = 7,
    /// No reply in time (as curl's 28).
    Timeout = 28,
    /// All threads were stuck, and --exit-when-stuck was given: start it again (EX_TEMPFAIL of sysexits.h).
    #[cfg(feature = "python")]
    Stuck = 75,
    /// SIGINT came before there was anything to end in good order (as a shell has it).
    #[cfg(feature = "python")]
    Interrupted = 130,
}

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Failed {
    exit: Exit,
    message: String,
}

impl Failed {
    fn new(exit: Exit, message: impl ToString) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let variables = variables::known(&Cli::command());
    let matches = without_empty_variables(Cli::command()).try_get_matches();
    let matches = matches.unwrap_or_else(|error| credentials::exit(&error));
    let hidden = credentials::hide(&matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| credentials::exit(&error));
    cli.logging.init(match cli.command {
        Command::Serve(_) | Command::Broker(_) => "info",
        // What is wrong with the message, or with how it was asked, is all that it has to say.
        Command::Environ(_) => "error,stomp_wsgi::cli=warn",
        _ => "warn",
    });
    variables::warn_of_unknown(&variables);
    if let Err(why) = hidden {
        tracing::warn!(
            %why,
            "THE PASSWORD IN --broker SHOWS IN PROCESS LISTS and cannot be hidden: use STOMP_WSGI_PASSCODE or --passcode-file"
        );
    }
    let result = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Broker(broker) => broker.run(),
        Command::Call(call) => call.run(),
        Command::Notify(notify) => notify.run(),
        Command::Environ(environ) => environ.run(),
        Command::Reactors(reactors) => reactors.run(),
        #[cfg(feature = "bench")]
        Command::Bench(bench) => bench.run(),
        Command::Demo(demo) => demo.run(),
    };
    match result {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            if logging::is_json() {
                tracing::error!("{}", chain(&error));
            } else {
                // As a line of the log: to write it must not block, and never fails.
                log_writer::write_line(&format!("stomp-wsgi: {}\n", chain(&error)));
            }
            error.downcast_ref::<Failed>().map_or(Exit::Failure, |failed| failed.exit).into()
        }
    }
}

/// An environment variable that is set to nothing is not set, as in a compose file that passes it on.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty =
        |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let reset = |arg: clap::Arg| if is_empty(&arg) { arg.env(clap::builder::Resettable::Reset) } else { arg };
    command.mut_args(reset).mut_subcommands(without_empty_variables)
}

/// An error and its causes, where a cause is not in the message already.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Which broker to talk to.
#[derive(Debug, Args)]
struct BrokerArgs {
    /// Where the broker is: stomp://[user:password@]host[:port], ssl://..., failover:(uri,uri)?options
    // Not parsed by clap, whose complaint about a bad value would show the password in it.
    #[arg(long, value_name = "URI", env = "STOMP_WSGI_BROKER", hide_env_values = true)]
    broker: Option<String>,
    #[command(flatten)]
    credentials: credentials::Credentials,
    /// What kind of broker it is: auto (as it says), activemq, rabbitmq or artemis
    #[arg(long, value_name = "NAME", default_value = "auto", env = "STOMP_WSGI_DIALECT")]
    #[arg(value_parser = ["auto", "activemq", "rabbitmq", "artemis"], hide_possible_values = true, ignore_case = true)]
    dialect: String,
    /// The virtual host of RabbitMQ [default: /]
    #[arg(long, value_name = "NAME", env = "STOMP_WSGI_VHOST", value_parser = NonEmptyStringValueParser::new())]
    vhost: Option<String>,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: tls::TlsArgs,
}

impl BrokerArgs {
    /// The broker that was named, if any was.
    fn named(&self) -> anyhow::Result<Option<Brokers>> {
        let Some(uri) = self.broker.as_deref() else { return Ok(None) };
        let mut brokers: Brokers =
            uri.parse().map_err(|error| Failed::new(Exit::Usage, format!("--broker: {error}")))?;
        for option in &brokers.ignored {
            tracing::warn!(%option, "this option of the broker URI means nothing here and is ignored");
        }
        self.credentials.apply(&mut brokers)?;
        brokers.dialect = self.dialect();
        brokers.virtual_host.clone_from(&self.vhost);
        #[cfg(feature = "tls")]
        self.tls.apply(&mut brokers)?;
        Ok(Some(brokers))
    }

    /// All of it as a server of ours is to hear it, by its environment, where nobody else sees a secret. A passcode's
    /// file was read; it may have been a pipe.
    #[cfg(feature = "bench")]
    fn variables(&self, address: &Address) -> Vec<(&'static str, OsString)> {
        let said = [
            ("STOMP_WSGI_BROKER", &self.broker),
            ("STOMP_WSGI_LOGIN", &address.login),
            ("STOMP_WSGI_PASSCODE", &address.passcode),
            ("STOMP_WSGI_DIALECT", &Some(self.dialect.clone())),
            ("STOMP_WSGI_VHOST", &self.vhost),
        ];
        let said = said.map(|(name, value)| (name, value.clone().map(OsString::from)));
        #[cfg(feature = "tls")]
        let said = said.into_iter().chain(self.tls.variables());
        said.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Whether there are options that mean nothing without a broker of one's own.
    #[cfg(any(feature = "python", feature = "bench"))]
    fn expects_one(&self) -> bool {
        #[cfg(feature = "tls")]
        let tls = self.tls.are_given();
        #[cfg(not(feature = "tls"))]
        let tls = false;
        tls || self.vhost.is_some() || self.credentials.are_given()
    }

    /// What kind of broker somebody says it is; `auto` is no name of one.
    fn dialect(&self) -> Option<Dialect> {
        self.dialect.to_ascii_lowercase().parse().ok()
    }

    /// The broker that was named, or the development broker's usual place.
    fn or_local(&self) -> anyhow::Result<Brokers> {
        if let Some(brokers) = self.named()? {
            return Ok(brokers);
        }
        let mut local: Brokers = format!("stomp://127.0.0.1:{DEFAULT_PORT}").parse()?;
        local.dialect = self.dialect();
        self.credentials.apply(&mut local)?;
        Ok(local)
    }
}

/// Starts a thread, or says what to do where the system has none left.
#[cfg(any(feature = "python", feature = "broker"))]
fn start_thread(name: &str, main: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(main);
    thread.map(drop).map_err(|error| ::reactors::thread_error(name, &error))
}

/// Each thread is a stack and a place in the interpreter: more of them than any machine can use.
const MOST_THREADS: usize = 10_000;

/// A number that cannot be 0.
fn parse_count<N: FromStr>(text: &str) -> Result<N, &'static str> {
    text.parse().map_err(|_| "it takes a whole number from 1")
}

/// The same, with an upper bound.
fn parse_count_to<const MOST: usize>(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse().ok().filter(|count: &NonZeroUsize| count.get() <= MOST);
    count.ok_or_else(|| format!("it takes a whole number from 1 to {MOST}"))
}

fn parse_destination(text: &str) -> Result<String, crate::config::DestinationError> {
    crate::config::check_destination(text).map(|()| text.to_owned())
}
