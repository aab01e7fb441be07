//! TLS between us and a broker, by rustls: a stage between the reactor's bytes and the session's.
//!
//! Certificates are checked against the system's roots or a given CA, and against the host's name. There is no
//! way from `ssl://` down to plain text.

use std::{
    fmt,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject},
};

use crate::link::Outbox;

/// Whom to trust, and who we are. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// What a [`Tls`] is made of. The default trusts the system's roots, and shows no certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file with the authorities to trust, instead of the system's.
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
    #[error("{}", explain(.0))]
    Protocol(#[from] rustls::Error),
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
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            let roots = Arc::new(self.roots()?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|error| self.bad_ca(error.to_string()))?)
        };
        let config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (None, Some(_)) => return Err(TlsError::NoCertificate),
            (Some(certificate), key) => {
                let file = key.as_ref().unwrap_or(certificate);
                let chain = certificates(certificate)?;
                let none = "it holds no private key in PEM: name its file with --tls-key (an encrypted one has to be decrypted first)";
                let key = PrivateKeyDer::from_pem_file(file).map_err(|error| unusable(file, none, error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let reason = match error {
                        rustls::Error::InconsistentKeys(_) => {
                            format!("its key is not that of the certificate in {}", certificate.display())
                        }
                        error => error.to_string(),
                    };
                    TlsError::File { file: file.clone(), reason }
                })?
            }
        };
        let server_name = self.server_name.as_deref().map(server_name).transpose()?;
        Ok(Tls { config: Arc::new(config), server_name })
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                for certificate in certificates(ca)? {
                    roots.add(certificate).map_err(|error| self.bad_ca(error.to_string()))?;
                }
            }
            None => {
                // One that cannot be parsed is no reason to do without the others.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(TlsError::NoRoots);
                }
            }
        }
        Ok(roots)
    }

    fn bad_ca(&self, reason: String) -> TlsError {
        TlsError::File { file: self.ca.clone().unwrap_or_default(), reason }
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let none = "it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
    let found: Vec<_> = found.map_err(|error| unusable(file, none, error))?;
    if found.is_empty() {
        return Err(unusable(file, none, pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn unusable(file: &Path, none: &str, error: pem::Error) -> TlsError {
    let reason = match error {
        pem::Error::NoItemsFound => none.to_owned(),
        pem::Error::Io(error) => error.to_string(),
        error => format!("it is no PEM file: {error}"),
    };
    TlsError::File { file: file.to_owned(), reason }
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
        let mut stream = Stream { session, outbox: Outbox::default() };
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
pub(crate) struct Stream {
    session: ClientConnection,
    /// Records that wait to be sent.
    outbox: Outbox,
}

impl Stream {
    /// Takes what came from the peer, and appends what it meant to `plain`.
    pub(crate) fn open(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        while !bytes.is_empty() {
            self.session.read_tls(&mut bytes).expect("memory can be read");
            let state = self.session.process_new_packets()?;
            let from = plain.len();
            plain.resize(from + state.plaintext_bytes_to_read(), 0);
            // The end of the stream concerns the socket, which ends as well.
            let _ = self.session.reader().read_exact(&mut plain[from..]);
        }
        self.flush();
        Ok(())
    }

    /// Encrypts what waits to be sent.
    pub(crate) fn seal(&mut self, plain: &mut Outbox) {
        if !plain.is_empty() {
            self.session.writer().write_all(plain.pending()).expect("its buffer has no limit");
            plain.clear();
            self.flush();
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(crate) fn take(&mut self, sent: usize) {
        self.outbox.take(sent);
    }

    fn flush(&mut self) {
        while self.session.wants_write() {
            self.session.write_tls(self.outbox.tail()).expect("memory can be written");
        }
    }
}

/// What an error means for who connects, and what to do about it.
fn explain(error: &rustls::Error) -> String {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "the broker's certificate has expired".into(),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "the broker's certificate is not valid yet (is this machine's clock right?)".into()
            }
            // The latter is of one that has the name of one that is.
            Bad::UnknownIssuer | Bad::BadSignature => {
                "the broker's certificate is of an authority that is not trusted here: name it with --tls-ca FILE".into()
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                format!("the broker's certificate is for another host ({bad}): check the URI, or say --tls-server-name")
            }
            Bad::Revoked => "the broker's certificate was revoked".into(),
            other => format!("the broker's certificate is not valid: {other}"),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "the broker wants a certificate of us: --tls-cert FILE and --tls-key FILE".into()
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => {
                format!("the broker refuses our certificate, or that we show none ({alert:?}): see --tls-cert")
            }
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
                format!("the broker and we have no version or cipher of TLS in common ({alert:?}); TLS 1.2 and 1.3 are known here")
            }
            other => format!("the broker ended TLS: {other:?}"),
        },
        rustls::Error::InvalidMessage(_) => "the broker does not speak TLS on this port".into(),
        other => format!("TLS failed: {other}"),
    }
}

/// Trusts anybody, as asked for. Signatures are still checked, without which TLS cannot work at all.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

mod anybody {
    use rustls::{
        DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    };

    impl ServerCertVerifier for super::Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
