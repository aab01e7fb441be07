//! Environment variables that nothing reads.

use std::{collections::BTreeSet, env};

use clap::Command;

const PREFIX: &str = "STOMP_WSGI_";

/// What is read, or set by our own build, and is no option's.
const OTHERS: [&str; 3] = [super::credentials::PASSCODE, "STOMP_WSGI_PYTHON", "STOMP_WSGI_PYTHON_VERSION"];

/// So many are named; nobody reads more.
const MOST: usize = 20;

/// Names of variables.
pub(super) type Names = BTreeSet<String>;

/// Those that options of a command and of its subcommands are read from.
pub(super) fn known(command: &Command) -> Names {
    let own = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).map(str::to_owned);
    let below = command.get_subcommands().flat_map(known);
    own.chain(below).chain(OTHERS.map(str::to_owned)).collect()
}

/// Warns of variables that are meant for us and have no effect. Their values stay out of it: one may be a passcode.
pub(super) fn warn_of_unknown(known: &Names) {
    let set = env::vars_os().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name);
    for name in
        set.filter_map(|name| name.into_string().ok()).filter(|name| is_unknown(name, known)).take(MOST)
    {
        let name = name.chars().take(80).collect::<String>();
        match nearest(&name, known) {
            Some(meant) => {
                tracing::warn!(variable = %name, "this variable is none of ours and has no effect; did you mean {meant}?")
            }
            None => {
                tracing::warn!(variable = %name, "this variable is none of ours and has no effect; stomp-wsgi serve --help lists them")
            }
        }
    }
}

/// Whether somebody meant one of ours: by its prefix, or because it is nearly one.
fn is_unknown(name: &str, known: &Names) -> bool {
    let upper = name.to_ascii_uppercase();
    // Kubernetes has such for each service, and one may be called stomp-wsgi.
    let of_a_service = ["PORT", "SERVICE_HOST", "SERVICE_PORT"];
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    if known.contains(name) || rest.starts_with("PORT_") || of_a_service.contains(&rest) {
        return false;
    }
    upper.starts_with(PREFIX)
        || (upper.starts_with("STOMP") && known.iter().any(|known| distance(&upper, known) <= 2))
}

/// The known name that this one was meant to be, if it looks like one.
fn nearest<'a>(name: &str, known: &'a Names) -> Option<&'a str> {
    let name = name.to_ascii_uppercase();
    let ranked = known.iter().map(|known| (distance(&name, known), known));
    // The prefix is common to all.
    let limit = name.len().saturating_sub(PREFIX.len()).div_ceil(3).max(2);
    ranked.min().filter(|(distance, _)| *distance <= limit).map(|(_, known)| &**known)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_are_recognised() {
        let known: Names =
            ["STOMP_WSGI_THREADS", "STOMP_WSGI_BROKER", "STOMP_WSGI_PASSCODE", "STOMP_WSGI_LOG_LEVEL"]
                .map(str::to_owned)
                .into();
        for (name, meant) in [
            ("STOMP_WSGI_THREDS", Some("STOMP_WSGI_THREADS")),
            ("STOMP_WSGI_THREAD", Some("STOMP_WSGI_THREADS")),
            ("stomp_wsgi_threads", Some("STOMP_WSGI_THREADS")),
            ("STOMP_WSGI_PASSWORD", Some("STOMP_WSGI_PASSCODE")),
            ("STOMP_WSGI_LOGLEVEL", Some("STOMP_WSGI_LOG_LEVEL")),
            ("STOMP_WGSI_BROKER", Some("STOMP_WSGI_BROKER")),
            ("STOMPWSGI_BROKER", Some("STOMP_WSGI_BROKER")),
            ("STOMP_WSGI_", None),
            ("STOMP_WSGI_COLOUR_OF_THE_SKY", None),
        ] {
            assert!(is_unknown(name, &known), "{name}");
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
        for name in [
            "STOMP_WSGI_THREADS",
            "STOMP_WSGI_SERVICE_HOST",
            "STOMP_WSGI_PORT_61613_TCP_ADDR",
            "STOMP_HOST",
            "STOMP_WSGI",
            "PATH",
            "STOMPEST",
        ] {
            assert!(!is_unknown(name, &known), "{name}");
        }
    }
}
