//! Where logs go, and how much of them.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

#[derive(Debug, Args)]
pub(super) struct Logging {
    /// How much to log: error, warn, info, debug, trace (RUST_LOG, where set, says it in more detail)
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info", env = "STOMP_WSGI_LOG_LEVEL")]
    #[arg(value_parser = ["error", "warn", "info", "debug", "trace"], hide_possible_values = true)]
    log_level: String,
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
    pub(super) fn init(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&self.log_level));
        let log = fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
        match self.log_format {
            Format::Text => log.with_ansi(io::stderr().is_terminal()).init(),
            Format::Json => log.json().init(),
        }
    }
}
