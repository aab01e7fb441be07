//! What an error of rustls means to the user, and what to do about it.

use rustls::{AlertDescription as Alert, CertificateError as Bad, Error, OtherError, pki_types::ServerName};

use super::verify::CA_AS_END_ENTITY;

/// Characters of what comes out of a peer's certificate that are shown.
const SHOWN: usize = 300;

/// What an error means, and what to do about it.
pub(super) fn told(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(bad) => certificate(bad),
        Error::AlertReceived(alert) => self::alert(*alert),
        Error::PeerIncompatible(why) => nothing_in_common(why),
        Error::InvalidMessage(why) => format!("the broker sent a TLS message that is not valid: {why:?}"),
        Error::PeerMisbehaved(why) => format!("the broker breaks the rules of TLS: {why:?}"),
        Error::DecryptError => "the broker sent a TLS record that cannot be decrypted".into(),
        Error::PeerSentOversizedRecord => "the broker sent a TLS record of more than 16 KiB".into(),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            format!("the broker sent a TLS message that does not belong there: {error}")
        }
        other => format!("TLS failed: {other}"),
    }
}

/// Whether another attempt would fail in the same way.
pub(super) fn is_refusal(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(_) | Error::PeerIncompatible(_) => true,
        // Other alerts may be about this connection alone.
        Error::AlertReceived(alert) => refuses_us(*alert) || has_nothing_in_common(*alert),
        _ => false,
    }
}

fn certificate(bad: &Bad) -> String {
    match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => "the broker's certificate has expired".into(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "the broker's certificate is not valid yet (is this machine's clock right?)".into()
        }
        Bad::UnknownIssuer => {
            "the broker's certificate is of an authority that is not trusted here: name it with --tls-ca FILE".into()
        }
        // The authority has the same name as a trusted one and another key, or ring does not verify with so short a key.
        Bad::BadSignature => "the broker's certificate is of an authority that is not trusted here: name it with --tls-ca \
            FILE (if that is done, an RSA key may have less than 2048 bits)"
            .into(),
        Bad::NotValidForNameContext { expected, presented } if presented.is_empty() => without_names(expected),
        Bad::NotValidForNameContext { presented, .. } => format!(
            "the broker's certificate is for another host ({}): check the URI, or say --tls-server-name",
            names(presented)
        ),
        Bad::NotValidForName => {
            "the broker's certificate is for another host: check the URI, or say --tls-server-name".into()
        }
        Bad::Revoked => "the broker's certificate was revoked".into(),
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "the broker's certificate is not for servers: its extendedKeyUsage lacks serverAuth".into()
        }
        Bad::UnsupportedSignatureAlgorithmContext { .. }
        | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the broker's certificate, or one above it, is signed in a way that is not supported here, such as with SHA-1 \
             or a P-521 key (openssl x509 -in FILE -noout -text shows it): have it made with SHA-256 and an RSA, P-256 or \
             P-384 key"
                .into()
        }
        Bad::Other(OtherError(other)) => match &*other.to_string() {
            CA_AS_END_ENTITY => "the broker's certificate is an authority's own, which is trusted only where it is named: \
                give that certificate to --tls-ca, as shown by openssl s_client -connect HOST:PORT -showcerts"
                .into(),
            "UnsupportedCertVersion" => format!("this certificate is X.509 version 1, which cannot name a host: {ANOTHER}"),
            other => format!("the certificate is not valid: {}", shown(other)),
        },
        other => format!("the certificate is not valid: {}", shown(&other.to_string())),
    }
}

/// How to make a certificate for the broker.
const ANOTHER: &str = "make another, such as by openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=HOST \
    -addext subjectAltName=DNS:HOST -keyout broker.key -out broker.pem (or keytool -genkeypair ... -ext san=dns:HOST)";

/// A certificate without subjectAltName. Neither webpki nor Python looks at the common name (RFC 9525 section 2).
fn without_names(expected: &ServerName<'_>) -> String {
    let host = expected.to_str();
    let (kind, java) =
        if matches!(expected, ServerName::IpAddress(_)) { ("IP", "ip") } else { ("DNS", "dns") };
    let another = ANOTHER
        .replace("DNS:HOST", &format!("{kind}:{host}"))
        .replace("dns:HOST", &format!("{java}:{host}"))
        .replace("HOST", &host);
    format!(
        "the broker's certificate names no host: it has no subjectAltName, and its common name (CN) does not count; {another}"
    )
}

/// The first names in a certificate.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let name = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")")).unwrap_or(name);
        name.strip_prefix("IpAddress(").and_then(|name| name.strip_suffix(')')).unwrap_or(name).to_owned()
    };
    shown(&presented.iter().take(10).map(bare).collect::<Vec<_>>().join(", "))
}

/// The beginning of a text that the peer may have written, with control characters escaped.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

fn alert(alert: Alert) -> String {
    match alert {
        Alert::CertificateRequired => {
            "the broker wants a certificate of us: --tls-cert FILE and --tls-key FILE".into()
        }
        _ if refuses_us(alert) => {
            format!("the broker refuses our certificate, or that we show none ({alert:?}): see --tls-cert")
        }
        _ if has_nothing_in_common(alert) => nothing_in_common(&alert),
        other => format!("the broker ended TLS: {other:?}"),
    }
}

fn nothing_in_common(why: &impl std::fmt::Debug) -> String {
    format!(
        "the broker and we have no version, cipher or kind of key of TLS in common ({why:?}); TLS 1.2 and 1.3 are known \
         here, and of the broker's keys RSA, P-256, P-384 and Ed25519"
    )
}

fn refuses_us(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::DecryptError
            | Alert::AccessDenied
    )
}

fn has_nothing_in_common(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::HandshakeFailure
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::UnrecognisedName
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_cannot_write_into_the_log() {
        let expected = ServerName::try_from("h").unwrap();
        let presented = vec!["DnsName(\"a\x1b[2J\nb\")".to_owned(), "x".repeat(100_000)];
        let told = certificate(&Bad::NotValidForNameContext { expected, presented });
        assert!(told.contains("a\\u{1b}[2J\\nb, x"), "{told}");
        assert!(told.len() < 2 * SHOWN && !told.contains(['\n', '\x1b']), "{told}");
    }

    #[test]
    fn a_certificate_without_names_is_told_how_to_get_some() {
        for (host, name) in [("broker.example", "DNS:broker.example"), ("10.0.0.1", "IP:10.0.0.1")] {
            let expected = ServerName::try_from(host).unwrap();
            let told = certificate(&Bad::NotValidForNameContext { expected, presented: Vec::new() });
            assert!(told.contains(&format!("-addext subjectAltName={name} ")), "{told}");
            assert!(told.contains(&format!("/CN={host} ")) && !told.contains("HOST"), "{told}");
        }
    }
}
