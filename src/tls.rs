//! TLS between us and a broker, by rustls: a stage between the reactor's bytes and the session's.
//!
//! Certificates are checked against the system's roots or a given CA, and against the host's name. There is no
//! way from `ssl://` down to plain text.

use std::{
    fmt,
    io::{self, BufRead, Write},
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName},
    sign::{CertifiedKey, SingleCertAndKey},
};

use self::{
    pem::Pem,
    verify::{Anybody, Pinned},
};
use crate::link::Outbox;

mod explain;
mod pem;
mod verify;

/// Whom to trust, and who we are. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// What a [`Tls`] is made of. The default trusts the system's roots, and shows no certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file with the authorities to trust, instead of the system's. It may also hold the broker's own certificate,
    /// which is then trusted if the broker shows exactly that one.
    pub ca: Option<PathBuf>,
    /// A PEM file with our certificate, and what leads from it to an authority.
    pub certificate: Option<PathBuf>,
    /// A PEM file with our certificate's key (PKCS #8, PKCS #1 or SEC 1); its own file if none is named.
    pub key: Option<PathBuf>,
    /// The name that the broker's certificate has to have, instead of the host's.
    pub server_name: Option<String>,
    /// Trust any certificate. Whoever is in between reads along, and may change, everything.
    pub insecure: bool,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be used.
    #[error("cannot use {}: {reason}", file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no certificates of authorities.
    #[error("this system has no root certificates: name the broker's authority with --tls-ca FILE")]
    NoRoots,
    /// A key without a certificate.
    #[error("a key needs its certificate: --tls-cert FILE")]
    NoCertificate,
    /// What is no host's name.
    #[error("{0:?} is no host's name or address")]
    ServerName(String),
    /// The broker's certificate, or something of the protocol, is not as it should be.
    #[error("{}", explain::told(.0))]
    Protocol(#[from] rustls::Error),
    /// The first octets are not TLS.
    #[error("the broker does not speak TLS on this port")]
    NotTls,
    /// A handshake message is longer than rustls buffers, which is 64 KiB.
    #[error("the broker sent a TLS handshake message of more than 64 KiB ({0})")]
    TooLarge(io::Error),
    /// The connection takes no more data to send.
    #[error("cannot encrypt what is to be sent: {0}")]
    Output(io::Error),
}

impl TlsError {
    /// Whether each further attempt would fail in the same way, until somebody changes the settings here or at the broker.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Protocol(error) => explain::is_refusal(error),
            Self::TooLarge(_) | Self::Output(_) => false,
            _ => true,
        }
    }
}

impl TlsOptions {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], where one of them cannot be used.
    pub fn load(&self) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(Arc::clone(&provider))))
        } else {
            let (roots, own) = self.roots()?;
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            let verifier = verifier.build().map_err(|error| self.bad_ca(error.to_string()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned::new(verifier, own)))
        };
        let config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (None, Some(_)) => return Err(TlsError::NoCertificate),
            (Some(certificate), key) => {
                let certificate = Pem::read(certificate)?;
                let key = key.as_deref().map(Pem::read).transpose()?;
                let identity = identity(&certificate, key.as_ref().unwrap_or(&certificate), &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
        };
        let server_name = self.server_name.as_deref().map(server_name).transpose()?;
        Ok(Tls { config: Arc::new(config), server_name })
    }

    /// The authorities to trust, and the certificates in the file of `--tls-ca`.
    fn roots(&self) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
        let mut roots = RootCertStore::empty();
        let Some(ca) = &self.ca else {
            // One that cannot be parsed is no reason to do without the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok((roots, Vec::new())) };
        };
        let named = Pem::read(ca)?.certificates()?;
        for (at, certificate) in named.iter().enumerate() {
            if let Err(error) = roots.add(certificate.clone()) {
                let number = at + 1;
                let why =
                    format!("its certificate number {number} cannot be read ({})", explain::told(&error));
                // One that cannot be parsed is no reason to do without the others.
                if named.len() == 1 {
                    return Err(self.bad_ca(why));
                }
                tracing::warn!(file = %ca.display(), number, why, "--tls-ca: an authority is left out");
            }
        }
        if roots.is_empty() {
            return Err(self.bad_ca("none of its certificates can be read".to_owned()));
        }
        Ok((roots, named))
    }

    fn bad_ca(&self, reason: String) -> TlsError {
        TlsError::File { file: self.ca.clone().unwrap_or_default(), reason }
    }
}

/// Our certificate with its key.
fn identity(certificate: &Pem, key: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificate.certificates()?;
    let identity = CertifiedKey::new(chain, key.private_key(provider)?);
    let fits = match identity.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => true,
        Err(rustls::Error::InconsistentKeys(_)) => false,
        // webpki cannot parse it, such as one of X.509 version 1, but the broker may. Its key is compared all the same.
        Err(_) => {
            let mut one = RootCertStore::empty();
            one.add(identity.cert[0].clone()).map_err(|error| {
                let error = explain::told(&error);
                certificate.unusable(format!(
                    "its first certificate, which has to be our own, cannot be read ({error})"
                ))
            })?;
            // The former has the tag and length of its sequence, the latter only the content.
            let public = identity.key.public_key();
            public.is_none_or(|public| public.ends_with(&one.roots[0].subject_public_key_info))
        }
    };
    if !fits {
        return Err(key.unusable(format!(
            "its key is not that of the certificate in {}, whose first certificate has to be our own",
            certificate.file.display()
        )));
    }
    Ok(identity)
}

fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(host.to_owned()).map_err(|_| TlsError::ServerName(host.to_owned()))
}

impl Tls {
    /// What is used where nobody says otherwise: the system's roots, read once.
    pub(crate) fn system() -> Result<Self, String> {
        static SYSTEM: OnceLock<Result<Tls, String>> = OnceLock::new();
        SYSTEM.get_or_init(|| TlsOptions::default().load().map_err(|error| error.to_string())).clone()
    }

    /// The beginning of a connection to `host`.
    pub(crate) fn connect(&self, host: &str) -> Result<Stream, TlsError> {
        let name = self.server_name.clone().map_or_else(|| server_name(host), Ok)?;
        let mut session = ClientConnection::new(Arc::clone(&self.config), name)?;
        // What waits is bounded where it is made, as it is without TLS.
        session.set_buffer_limit(None);
        let mut stream = Stream { session, outbox: Outbox::default(), heard: false, closed: false };
        stream.flush();
        Ok(stream)
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.server_name == other.server_name
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// One connection's TLS.
///
/// Memory is bounded: rustls buffers one record, or 64 KiB of a handshake message, and its plain text is taken out at once.
/// So are the answers to messages that carry no data: rustls ends the connection after 1 request to renegotiate, 4 warnings,
/// 32 requests for new keys or 32 empty records, the latter two in a row.
pub(crate) struct Stream {
    session: ClientConnection,
    /// Records that wait to be sent.
    outbox: Outbox,
    /// The first octets have been received.
    heard: bool,
    /// The peer has sent close_notify, or something that is not TLS.
    closed: bool,
}

/// The first octet of a TLS record (RFC 8446 section 5.1): change_cipher_spec, alert, handshake, application_data, heartbeat.
const CONTENT_TYPES: std::ops::RangeInclusive<u8> = 20..=24;

impl Stream {
    /// Decrypts what was received, and appends it to `plain`, even if it also returns an error. After an error, and once it
    /// [`is_closed`](Self::is_closed), it ignores everything.
    pub(crate) fn open(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        let opened = self.read(bytes, plain);
        // After an error, too: rustls has written an alert.
        self.flush();
        self.closed |= opened.is_err();
        opened
    }

    /// Each turn of the loop consumes octets, or is the last.
    fn read(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        if let (Some(first), false) = (bytes.first(), self.heard) {
            self.heard = true;
            if !CONTENT_TYPES.contains(first) {
                return Err(TlsError::NotTls);
            }
        }
        // What follows a close_notify has to be ignored (RFC 8446 section 6.1): rustls does not even consume it.
        while !bytes.is_empty() && !self.closed {
            let taken = self.session.read_tls(&mut bytes).map_err(TlsError::TooLarge)?;
            let processed = self.session.process_new_packets();
            let mut reader = self.session.reader();
            while let Ok(chunk) = reader.fill_buf() {
                let len = chunk.len();
                if len == 0 {
                    break;
                }
                plain.extend_from_slice(chunk);
                reader.consume(len);
            }
            self.closed = processed?.peer_has_closed() || taken == 0;
        }
        Ok(())
    }

    /// Encrypts what waits to be sent.
    pub(crate) fn seal(&mut self, plain: &mut Outbox) -> Result<(), TlsError> {
        if plain.is_empty() {
            return Ok(());
        }
        let sealed = self.session.writer().write_all(plain.pending());
        plain.clear();
        self.flush();
        sealed.map_err(TlsError::Output)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether the peer has ended the TLS connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn take(&mut self, sent: usize) {
        self.outbox.take(sent);
    }

    fn flush(&mut self) {
        // Writing to memory does not fail. If it did, the loop must end.
        while self.session.wants_write() && self.session.write_tls(self.outbox.tail()).is_ok_and(|n| n > 0) {}
    }
}
