//! Whether the broker's certificate is to be trusted.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Trusts the certificates that an authority has signed, and those that `--tls-ca` lists themselves.
///
/// webpki does not accept a trust anchor as the broker's own certificate; OpenSSL does, and a self-signed certificate is
/// both. This is as safe as to trust the anchor: its key could sign a certificate for any host. The handshake proves that
/// the broker has that key, and the dates and the host's name are checked as for any other.
#[derive(Debug)]
pub(super) struct Pinned {
    authorities: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Pinned {
    pub(super) fn new(authorities: Arc<WebPkiServerVerifier>, named: Vec<CertificateDer<'static>>) -> Self {
        Self { authorities, named }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |intermediates| {
            self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        if !self.named.contains(end_entity) {
            return verify(intermediates);
        }
        // Without intermediates, an error is about this certificate.
        match verify(&[]) {
            Err(Error::InvalidCertificate(error)) if is_only_its_place(&error) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Whether the only fault of a certificate is its place in the chain. webpki reports these errors after it has checked the
/// dates (`check_issuer_independent_properties` in its `verify_cert.rs`). The test
/// `a_brokers_own_certificate_is_checked_for_all_else` fails if that changes.
fn is_only_its_place(error: &CertificateError) -> bool {
    match error {
        // An authority's certificate, where a broker's should be.
        CertificateError::Other(other) => other.0.to_string() == CA_AS_END_ENTITY,
        // A broker's certificate whose authority is not listed.
        CertificateError::UnknownIssuer => true,
        // A listed authority has the name of its authority, and another key or algorithm. Its signature does not matter.
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => true,
        _ => false,
    }
}

/// webpki's error as text: rustls passes it on without a type. If the text changes, such certificates are refused.
pub(super) const CA_AS_END_ENTITY: &str = "CaUsedAsEndEntity";

/// Trusts every certificate (`--tls-insecure`). Signatures of the handshake are still checked.
#[derive(Debug)]
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
