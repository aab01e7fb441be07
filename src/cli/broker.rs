//! `stomp-wsgi broker`: the development broker alone.

use clap::Args;

use super::{serve::parse_size, switch::Switch};
use crate::Dialect;

#[derive(Debug, Args)]
pub(super) struct Broker {
    #[command(flatten)]
    listen: Listen,
    /// The broker to play, for tests: activemq, rabbitmq or artemis [default: activemq, without its limits]
    #[arg(long, value_name = "NAME")]
    dialect: Option<Dialect>,
    /// Refuse messages, for tests: forbidden:DESTINATION or full:DESTINATION, what their destination begins with, and
    /// =TIMES for the first ones alone; may be repeated
    #[arg(long, value_name = "WHAT")]
    refuse: Vec<String>,
}

/// Where the development broker listens.
#[derive(Debug, Args)]
pub(super) struct Listen {
    /// Where the development broker listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:61613", env = "STOMP_WSGI_LISTEN")]
    pub(super) listen: String,
    /// Let the development broker listen on an address that others can reach
    #[arg(long, env = "STOMP_WSGI_ALLOW_REMOTE", value_parser = Switch)]
    pub(super) allow_remote: bool,
    /// What the development broker may hold in memory, messages and names, such as 64MiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "STOMP_WSGI_MEMORY")]
    pub(super) memory: Option<usize>,
}

#[cfg(not(feature = "broker"))]
impl Broker {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        anyhow::bail!("this build has no development broker (feature `broker`)")
    }
}

#[cfg(feature = "broker")]
mod with_broker {
    use std::net::{SocketAddr, ToSocketAddrs};

    use anyhow::Context;
    use reactors::Stop;

    use super::{Broker, Listen};
    use crate::{
        Dialect,
        broker::{BrokerConfig, BrokerServer, Refuse},
        cli::{Exit, Failed, signals::Watch},
    };

    impl Broker {
        pub(in crate::cli) fn run(&self) -> anyhow::Result<()> {
            let parsed = self.refuse.iter().map(|text| {
                let usage = |form| Failed::new(Exit::Usage, format!("--refuse {text} is not {form}"));
                text.parse::<Refuse>().map_err(usage)
            });
            let server = self.listen.bind(self.dialect, parsed.collect::<Result<_, _>>()?)?;
            let stop = Stop::new();
            Watch::stopping(&stop)?;
            server.run(&stop).context("the development broker failed")
        }
    }

    impl Listen {
        pub(in crate::cli) fn bind(
            &self,
            dialect: Option<Dialect>,
            refuses: Vec<Refuse>,
        ) -> anyhow::Result<BrokerServer> {
            let address = self.address()?;
            let config = BrokerConfig::default().with_allow_remote(self.allow_remote).with_refuses(refuses);
            let config = match self.memory {
                Some(memory) => config.with_memory(memory),
                None => config,
            };
            let config = match dialect {
                Some(dialect) => config.with_dialect(dialect),
                None => config,
            };
            Ok(BrokerServer::bind(address, config)?)
        }

        fn address(&self) -> anyhow::Result<SocketAddr> {
            let found = self.listen.to_socket_addrs().map(|mut addresses| addresses.next());
            found.ok().flatten().ok_or_else(|| {
                let why = format!("--listen {} is no address: HOST:PORT, as in 127.0.0.1:61613", self.listen);
                Failed::new(Exit::Usage, why).into()
            })
        }
    }
}
