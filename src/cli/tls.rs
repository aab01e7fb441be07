//! `--tls-...`: how a broker behind `ssl://` is met.

#[cfg(feature = "bench")]
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failed, switch::Switch};
use crate::{tls::TlsOptions, uri::Brokers};

/// Not `next_help_heading`, which would hold for all options that follow where these are flattened.
const HEADING: &str = "TLS, for brokers at ssl://";

#[derive(Debug, Args)]
pub(super) struct TlsArgs {
    /// The authorities to trust, or the broker's own certificate, in PEM [default: the system's authorities]
    #[arg(long, help_heading = HEADING, value_name = "FILE", env = "STOMP_WSGI_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// Our certificate, in PEM
    #[arg(long, help_heading = HEADING, value_name = "FILE", env = "STOMP_WSGI_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its key, in PEM [default: in the certificate's file]
    #[arg(long, help_heading = HEADING, value_name = "FILE", env = "STOMP_WSGI_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// The name in the broker's certificate [default: the host of the URI]
    #[arg(long, help_heading = HEADING, value_name = "NAME", env = "STOMP_WSGI_TLS_SERVER_NAME")]
    tls_server_name: Option<String>,
    /// Trust any certificate: whoever is in between can read and change everything
    #[arg(long, help_heading = HEADING, env = "STOMP_WSGI_TLS_INSECURE", value_parser = Switch)]
    tls_insecure: bool,
}

impl TlsArgs {
    fn options(&self) -> TlsOptions {
        TlsOptions {
            ca: self.tls_ca.clone(),
            certificate: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            server_name: self.tls_server_name.clone(),
            insecure: self.tls_insecure,
        }
    }

    /// The same as variables of a server's environment.
    #[cfg(feature = "bench")]
    pub(super) fn variables(&self) -> [(&'static str, Option<OsString>); 5] {
        let path = |path: &Option<PathBuf>| path.clone().map(OsString::from);
        [
            ("STOMP_WSGI_TLS_CA", path(&self.tls_ca)),
            ("STOMP_WSGI_TLS_CERT", path(&self.tls_cert)),
            ("STOMP_WSGI_TLS_KEY", path(&self.tls_key)),
            ("STOMP_WSGI_TLS_SERVER_NAME", self.tls_server_name.clone().map(OsString::from)),
            ("STOMP_WSGI_TLS_INSECURE", self.tls_insecure.then(|| "true".into())),
        ]
    }

    pub(super) fn are_given(&self) -> bool {
        self.options() != TlsOptions::default()
    }

    pub(super) fn apply(&self, brokers: &mut Brokers) -> anyhow::Result<()> {
        if !brokers.addresses.iter().any(|address| address.tls) {
            if self.are_given() {
                tracing::warn!("--tls-... has no effect: no broker is named by ssl://");
            }
            return Ok(());
        }
        if self.tls_insecure {
            tracing::warn!(
                "--tls-insecure: NOBODY CHECKS WHO THE BROKER IS; whoever is in between can read and change everything"
            );
        }
        let tls = self.options().load().map_err(|error| Failed::new(Exit::Usage, format!("TLS: {error}")))?;
        brokers.tls = Some(tls);
        Ok(())
    }
}
