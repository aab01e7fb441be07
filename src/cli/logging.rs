//! Where logs go, and how much of them.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

use super::log_writer::LogWriter;

#[derive(Debug, Args)]
pub(super) struct Logging {
    /// How much to log: error, warn, info, debug, trace [default: info for servers, else warn];
    /// RUST_LOG overrides it
    #[arg(long, global = true, value_name = "LEVEL", env = "STOMP_WSGI_LOG_LEVEL")]
    #[arg(value_parser = ["error", "warn", "info", "debug", "trace"], hide_possible_values = true)]
    log_level: Option<String>,
    /// How to log: text or json, on standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", env = "STOMP_WSGI_LOG_FORMAT")]
    #[arg(hide_possible_values = true)]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Logging {
    pub(super) fn init(&self, usual: &str) {
        let level = || EnvFilter::new(self.log_level.as_deref().unwrap_or(usual));
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| level());
        let writer = LogWriter::install(matches!(self.log_format, Format::Json));
        let log =
            fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false).with_target(false);
        match self.log_format {
            Format::Text => log.with_ansi(io::stderr().is_terminal()).init(),
            Format::Json => log.json().init(),
        }
    }
}
