//! Where logs go, and how much of them.

use std::{
    env,
    io::{self, IsTerminal},
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

use super::log_writer::LogWriter;

/// Whether standard error is to hold lines of JSON and nothing else.
static JSON: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Args)]
pub(super) struct Logging {
    /// How much to log: error, warn, info, debug, trace [default: info for servers, else warn];
    /// RUST_LOG overrides it
    #[arg(long, global = true, value_name = "LEVEL", env = "STOMP_WSGI_LOG_LEVEL", value_parser = parse_level)]
    log_level: Option<&'static str>,
    /// How to log: text or json, on standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", env = "STOMP_WSGI_LOG_FORMAT")]
    #[arg(hide_possible_values = true, ignore_case = true)]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Logging {
    pub(super) fn init(&self, usual: &str) {
        let (filter, ignored) = self.filter(usual);
        let writer = LogWriter::install(matches!(self.log_format, Format::Json));
        let log = fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
        match self.log_format {
            Format::Text => log.with_target(false).with_ansi(io::stderr().is_terminal()).init(),
            Format::Json => {
                JSON.store(true, Ordering::Relaxed);
                log.json().init();
            }
        }
        if let Some(why) = ignored {
            tracing::warn!(%why, "RUST_LOG cannot be read and is ignored: it is a level, or module=level, as in info,stomp_wsgi=debug");
        }
    }

    /// What to log, and what is wrong with RUST_LOG. That one is as good as not set where it has no directive, as in a
    /// compose file that passes it on.
    fn filter(&self, usual: &str) -> (EnvFilter, Option<String>) {
        self.filter_of(env::var("RUST_LOG").ok().as_deref(), usual)
    }

    fn filter_of(&self, wanted: Option<&str>, usual: &str) -> (EnvFilter, Option<String>) {
        let level = || EnvFilter::new(self.log_level.unwrap_or(usual));
        let has_directive =
            |wanted: &&str| wanted.contains(|letter: char| letter != ',' && !letter.is_whitespace());
        match wanted.filter(has_directive) {
            Some(wanted) => match EnvFilter::try_new(wanted.trim()) {
                Ok(filter) => (filter, None),
                Err(error) => (level(), Some(error.to_string())),
            },
            None => (level(), None),
        }
    }
}

/// Whether standard error is to hold lines of JSON and nothing else.
pub(super) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Python's names in any case, as others have them.
fn parse_level(text: &str) -> Result<&'static str, &'static str> {
    Ok(match &*text.to_ascii_lowercase() {
        "error" | "critical" => "error",
        "warn" | "warning" => "warn",
        "info" => "info",
        "debug" => "debug",
        "trace" => "trace",
        _ => return Err("error, warn, info, debug or trace"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Format, Logging, parse_level};

    #[test]
    fn levels_in_any_case() {
        for (text, level) in [
            ("INFO", Ok("info")),
            ("Warning", Ok("warn")),
            ("warn", Ok("warn")),
            ("CRITICAL", Ok("error")),
            ("trace", Ok("trace")),
        ] {
            assert_eq!(parse_level(text), level, "{text}");
        }
        assert!(parse_level("loud").is_err() && parse_level("").is_err());
    }

    #[test]
    fn a_rust_log_without_a_directive_is_as_good_as_none() {
        let logging = Logging { log_level: None, log_format: Format::Text };
        let level = |wanted| logging.filter_of(wanted, "info").0.to_string();
        for wanted in [None, Some(""), Some(" "), Some(","), Some(",,"), Some(" , ,\t")] {
            assert_eq!(level(wanted), "info", "{wanted:?}");
        }
        assert_eq!(level(Some("debug,")), "debug");
        assert_eq!(level(Some(",warn")), "warn");
        let (filter, why) = logging.filter_of(Some("=,=="), "info");
        assert!(filter.to_string() == "info" && why.is_some());
    }
}
