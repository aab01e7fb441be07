//! Where logs go, and how much of them.

use std::{
    env,
    io::{self, IsTerminal},
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

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
        let (filter, wrong) = self.filter(usual);
        let writer = LogWriter::install(matches!(self.log_format, Format::Json));
        let log = fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
        match self.log_format {
            Format::Text => log.with_target(false).with_ansi(io::stderr().is_terminal()).init(),
            Format::Json => {
                JSON.store(true, Ordering::Relaxed);
                log.json().init();
            }
        }
        match wrong {
            Some(Wrong::Unreadable(why)) => {
                tracing::warn!(%why, "RUST_LOG cannot be read and is ignored: it is a level, or module=level, as in info,stomp_wsgi=debug");
            }
            Some(Wrong::Unknown(words)) => {
                tracing::warn!(
                    words,
                    "RUST_LOG has words that are neither a level (off, error, warn, info, debug, trace) nor ours to log \
                     (stomp_wsgi, reactors, wsgi.errors, python.logging, python.stderr); they have no effect"
                );
            }
            None => {}
        }
    }

    /// What to log, and what is wrong with RUST_LOG. That one is as good as not set where it has no directive, as in a
    /// compose file that passes it on.
    fn filter(&self, usual: &str) -> (EnvFilter, Option<Wrong>) {
        match env::var("RUST_LOG") {
            Err(env::VarError::NotUnicode(_)) => {
                (self.filter_of(None, usual).0, Some(Wrong::Unreadable("it is not UTF-8".to_owned())))
            }
            wanted => self.filter_of(wanted.ok().as_deref(), usual),
        }
    }

    /// Warnings and errors are logged unless RUST_LOG has a level for all: a word that was misspelt, or a level for
    /// one target, is not to silence all others.
    fn filter_of(&self, wanted: Option<&str>, usual: &str) -> (EnvFilter, Option<Wrong>) {
        let level = || EnvFilter::new(self.log_level.unwrap_or(usual));
        match wanted.filter(|wanted| words(wanted).next().is_some()) {
            // Of two levels for all the last counts.
            Some(wanted) => {
                match EnvFilter::try_new(words(wanted).fold("warn".to_owned(), |all, word| all + "," + word))
                {
                    Ok(filter) => (filter, unknown(wanted).map(Wrong::Unknown)),
                    Err(error) => (level(), Some(Wrong::Unreadable(error.to_string()))),
                }
            }
            None => (level(), None),
        }
    }
}

/// What is wrong with RUST_LOG.
#[derive(Debug)]
enum Wrong {
    Unreadable(String),
    /// Words of it without an effect.
    Unknown(String),
}

/// What has lines in the log. A filter counts for all targets that begin with its own.
const TARGETS: [&str; 5] = ["stomp_wsgi", "reactors", "wsgi.errors", "python.logging", "python.stderr"];

/// The warning names at most so many unknown words, and shows at most so many characters of each: a longer line would hide
/// the rest of the log.
const MOST: usize = 5;
const SHOWN: usize = 40;

/// The directives, without the blanks around them, which would count.
fn words(wanted: &str) -> impl Iterator<Item = &str> {
    wanted.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// The words that are neither a level nor the target of any line.
fn unknown(wanted: &str) -> Option<String> {
    let is_known = |word: &str| {
        // TARGET[SPAN{FIELDS}]=LEVEL
        let target = word.split(['[', '=']).next().unwrap_or_default();
        let is_level = target == word && word.parse::<LevelFilter>().is_ok();
        is_level
            || TARGETS.iter().any(|known| {
                known.starts_with(target)
                    || target.strip_prefix(known).is_some_and(|module| module.starts_with("::"))
            })
    };
    let unknown: Vec<String> = words(wanted)
        .filter(|word| !is_known(word))
        .take(MOST)
        .map(|word| word.chars().take(SHOWN).flat_map(char::escape_default).collect())
        .collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
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
    use super::{Format, Logging, Wrong, parse_level, unknown};

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
        assert!(filter.to_string() == "info" && matches!(why, Some(Wrong::Unreadable(_))));
    }

    #[test]
    fn warnings_stay_unless_a_level_for_all_says_otherwise() {
        let logging = Logging { log_level: None, log_format: Format::Text };
        for (wanted, filter, wrong) in [
            ("off", "off", None),
            ("error", "error", None),
            ("TRACE", "trace", None),
            ("0", "off", None),
            ("stomp_wsgi=debug", "stomp_wsgi=debug,warn", None),
            ("stomp_wsgi=debug, off", "stomp_wsgi=debug,off", None),
            ("stomp_wsgi::access=off", "stomp_wsgi::access=off,warn", None),
            ("python=info", "python=info,warn", None),
            ("verbose", "verbose=trace,warn", Some("verbose")),
            ("6,warning", "warning=trace,6=trace,warn", Some("6, warning")),
            ("info,stomp-wsgi=debug", "stomp-wsgi=debug,info", Some("stomp-wsgi=debug")),
            ("info=debug", "info=debug,warn", Some("info=debug")),
            ("stomp_wsgid", "stomp_wsgid=trace,warn", Some("stomp_wsgid")),
        ] {
            let (shown, why) = logging.filter_of(Some(wanted), "info");
            let why = why.map(|why| match why {
                Wrong::Unknown(words) => words,
                Wrong::Unreadable(why) => panic!("{wanted}: {why}"),
            });
            assert_eq!((&*shown.to_string(), why.as_deref()), (filter, wrong), "{wanted}");
        }
        assert_eq!(unknown("[request{method=GET}]=debug"), None);
        assert_eq!(unknown("info,[link]=debug"), None);
        assert_eq!(unknown(&"x,".repeat(100)).as_deref(), Some("x, x, x, x, x"));
    }
}
