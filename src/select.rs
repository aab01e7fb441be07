//! From a reactor's name to a reactor: the one place that knows which ones this build has.

use std::num::NonZeroUsize;

use cfg_if::cfg_if;
use reactors::Reactor;

/// A concurrency model as users choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// What `--reactor` takes.
    pub name: &'static str,
    /// The cargo feature that brings it.
    pub feature: &'static str,
    /// The model in a line.
    pub summary: &'static str,
    /// Whether this build has it.
    pub built: bool,
}

/// Every model, built or not, the default first.
pub const MODELS: [Model; 4] = [
    Model {
        name: "thread-pool",
        feature: "reactor-thread-pool",
        summary: "plain threads: blocking sockets, and a pool of workers for the application",
        built: cfg!(feature = "reactor-thread-pool"),
    },
    Model {
        name: "tokio",
        feature: "reactor-tokio",
        summary: "tokio's multi-threaded runtime; the application runs on threads beside it",
        built: cfg!(feature = "reactor-tokio"),
    },
    Model {
        name: "mio",
        feature: "reactor-mio",
        summary: "one thread and an event loop; the application runs inline, one request at a time",
        built: cfg!(feature = "reactor-mio"),
    },
    Model {
        name: "async-std",
        feature: "reactor-async-std",
        summary: "async-std's runtime (no longer maintained); the application runs on threads of its own",
        built: cfg!(feature = "reactor-async-std"),
    },
];

/// No such reactor in this build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No reactor has that name.
    #[error("there is no reactor \"{name}\"; this build has: {}", built())]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// There is one, but this build was made without it.
    #[error(
        "this build has no reactor \"{name}\" (it has: {}); build with `cargo install stomp-wsgi --features {feature}`",
        built()
    )]
    NotBuilt {
        /// The name that was asked for.
        name: String,
        /// What to build with.
        feature: &'static str,
    },
}

fn built() -> String {
    let names: Vec<_> = MODELS.iter().filter(|model| model.built).map(|model| model.name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The first model that this build has.
pub fn default_model() -> Option<&'static Model> {
    MODELS.iter().find(|model| model.built)
}

/// The reactor of that name, with so many workers (`mio` always has one).
///
/// # Errors
/// Where there is none of that name, or this build was made without it.
#[allow(unused_variables, reason = "a build may have no reactor at all")]
pub fn reactor(name: &str, workers: NonZeroUsize) -> Result<Box<dyn Reactor + Send>, SelectError> {
    cfg_if! { if #[cfg(feature = "reactor-thread-pool")] {
        if name == "thread-pool" { return Ok(Box::new(reactors::thread_pool::ThreadPool::new(workers))); }
    }}
    cfg_if! { if #[cfg(feature = "reactor-tokio")] {
        if name == "tokio" { return Ok(Box::new(reactors::tokio::Tokio::new(workers))); }
    }}
    cfg_if! { if #[cfg(feature = "reactor-mio")] {
        if name == "mio" { return Ok(Box::new(reactors::mio::Mio::new())); }
    }}
    cfg_if! { if #[cfg(feature = "reactor-async-std")] {
        if name == "async-std" { return Ok(Box::new(reactors::async_std::AsyncStd::new(workers))); }
    }}
    let name = name.to_owned();
    Err(match MODELS.iter().find(|model| model.name == name) {
        Some(model) => SelectError::NotBuilt { name, feature: model.feature },
        None => SelectError::Unknown { name },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_that_is_built_can_be_had_by_its_name() {
        for model in &MODELS {
            match reactor(model.name, NonZeroUsize::MIN) {
                Ok(reactor) => assert_eq!((reactor.name(), model.built), (model.name, true)),
                Err(SelectError::NotBuilt { feature, .. }) => {
                    assert_eq!((feature, model.built), (model.feature, false))
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn an_unknown_one_names_those_that_there_are() {
        let error = reactor("twisted", NonZeroUsize::MIN).err().unwrap().to_string();
        for model in MODELS.iter().filter(|model| model.built) {
            assert!(error.contains(model.name), "{error}");
        }
    }
}
