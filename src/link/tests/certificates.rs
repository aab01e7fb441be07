//! Certificates and keys, as people have them.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};

use super::{
    tls::{CONNECTED, Files, Identity, Server, authority, bench, fatal},
    *,
};
use crate::tls::TlsOptions;

fn is_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

/// Whether a link trusts a broker with this certificate; else why not.
fn trusts(options: &TlsOptions, identity: &Identity) -> Result<(), String> {
    let mut bench = bench("ssl://broker.example", options);
    let mut server = Server::new(identity, None);
    let frames = server.exchange(&mut bench, 1000);
    if frames.is_empty() {
        return Err(fatal(&bench));
    }
    server.send(CONNECTED);
    assert_eq!(server.exchange(&mut bench, 1000)[0].command, Command::Subscribe);
    Ok(())
}

#[test]
fn a_brokers_own_certificate_may_be_named() {
    let files = Files::new("own");
    let others = authority();
    let unknown = authority();
    let identities = [
        ("an authority's own", Identity::own("broker.example", is_authority)),
        ("self-signed", Identity::own("broker.example", |_| {})),
        ("of an authority that is not named", Identity::of(&unknown, "broker.example")),
    ];
    for (what, identity) in &identities {
        let alone = files.write("own.pem", identity.0.pem());
        let bundle = files.write("bundle.pem", others.pem() + &identity.0.pem());
        for ca in [alone, bundle] {
            let options = TlsOptions { ca: Some(ca), ..TlsOptions::default() };
            assert_eq!(trusts(&options, identity), Ok(()), "{what}");
        }
    }
}

#[test]
fn a_brokers_own_certificate_is_checked_for_all_else() {
    let files = Files::new("own-checked");
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2100, 1, 1);
    let client = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let unknown = authority();
    for (identity, why) in [
        (Identity::own("other.example", is_authority), "another host (other.example)"),
        (Identity::own("other.example", |_| {}), "another host"),
        (Identity::of(&unknown, "other.example"), "another host"),
        (Identity::own("broker.example", |params| (is_authority(params), expired(params)).1), "has expired"),
        (Identity::own("broker.example", expired), "has expired"),
        (Identity::with(&unknown, "broker.example", expired), "has expired"),
        (Identity::own("broker.example", |params| (is_authority(params), early(params)).1), "not valid yet"),
        (Identity::with(&unknown, "broker.example", early), "not valid yet"),
        (Identity::own("broker.example", client), "extendedKeyUsage"),
        (Identity::with(&unknown, "broker.example", client), "extendedKeyUsage"),
    ] {
        let options =
            TlsOptions { ca: Some(files.write("own.pem", identity.0.pem())), ..TlsOptions::default() };
        let told = trusts(&options, &identity).unwrap_err();
        assert!(told.contains(why), "{why}: {told}");
    }
}

#[test]
fn only_exactly_the_certificate_that_was_named_is_trusted() {
    let files = Files::new("own-other");
    let named = Identity::own("broker.example", is_authority);
    let options = TlsOptions { ca: Some(files.write("own.pem", named.0.pem())), ..TlsOptions::default() };
    let told = trusts(&options, &Identity::own("broker.example", is_authority)).unwrap_err();
    assert!(told.contains("--tls-ca") && told.contains("an authority's own"), "{told}");
    let told = trusts(&options, &Identity::own("broker.example", |_| {})).unwrap_err();
    assert!(told.contains("--tls-ca"), "{told}");

    // One who has only the certificate cannot sign with its key.
    let thief = Identity(named.0.clone(), rcgen::KeyPair::generate().unwrap());
    let told = trusts(&options, &thief).unwrap_err();
    assert!(told.contains("not trusted here"), "{told}");
}

#[test]
fn a_broker_whose_certificate_has_only_a_common_name_is_told_how_to_get_another() {
    let files = Files::new("common-name");
    let authority = authority();
    let nameless = Identity::with(&authority, "x.example", |params| {
        params.subject_alt_names.clear();
        params.distinguished_name.push(rcgen::DnType::CommonName, "broker.example");
    });
    let options = TlsOptions { ca: Some(files.write("ca.pem", authority.pem())), ..TlsOptions::default() };
    let told = trusts(&options, &nameless).unwrap_err();
    assert!(told.contains("no subjectAltName"), "{told}");
    assert!(told.contains("openssl req") && told.contains("subjectAltName=DNS:broker.example"), "{told}");
}

#[test]
fn files_as_editors_and_shells_leave_them_are_read() {
    let files = Files::new("quirks");
    let authority = authority();
    let us = Identity::of(&authority, "service.example");
    let (ca, pem, key) = (authority.pem(), us.0.pem(), us.1.serialize_pem());
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let glued = [pem.trim_end(), ca.trim_end(), key.trim_end()].concat();
    let spoken = format!("# Ours, \u{fc}ber all\nBag Attributes\n{pem}\n\n{key}");
    let old = pem.replace("CERTIFICATE", "X509 CERTIFICATE");
    for (what, certificate, key) in [
        ("a mark of order, and CRLF", windows(&pem), Some(windows(&key))),
        ("marks of order in between", windows(&pem) + &windows(&key), None),
        ("no line ends in between", glued, None),
        ("comments", spoken, None),
        ("an old label", old, Some(key.clone())),
        ("the key first", format!("{key}{pem}"), None),
    ] {
        let options = TlsOptions {
            ca: Some(files.write("ca.pem", windows(&ca))),
            certificate: Some(files.write("us.pem", certificate)),
            key: key.map(|key| files.write("us.key", key)),
            ..TlsOptions::default()
        };
        let mut bench = bench("ssl://broker.example", &options);
        let mut server = Server::new(&Identity::of(&authority, "broker.example"), Some(&authority));
        assert_eq!(server.exchange(&mut bench, 1000).len(), 1, "{what}");
    }
}

#[test]
fn what_cannot_be_used_is_named_with_what_makes_something_of_it() {
    let files = Files::new("unusable");
    let us = Identity::own("service.example", |_| {});
    let (pem, key) = (us.0.pem(), us.1.serialize_pem());
    let utf_16: Vec<u8> = [0xfeff].into_iter().chain(pem.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let mut damaged = pem.clone();
    damaged.replace_range(60..61, "!");
    let cut = pem[..pem.len() - 30].to_owned();
    let other_der = format!("{pem}{}", pem.replace("MII", "AII").replace("MIH", "AIH"));
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
        -----END RSA PRIVATE KEY-----\n";
    let key_der = us.1.serialize_der();
    let unknown: (&[u8], &str) = (b"hello", "not in a format");
    let certificates: [(&[u8], &str); 14] = [
        (b"", "it is empty"),
        unknown,
        (&utf_16, "iconv -f UTF-16"),
        (us.0.der(), "openssl x509 -inform DER -in "),
        (b"\x30\x82\x01\x00\x02\x01\x03\x30\x80", "openssl pkcs12 -clcerts -nokeys -in "),
        (b"\x30\x82\x01\x00\x06\x09\x2a", "openssl pkcs7 -inform DER"),
        (b"\xfe\xed\xfe\xed\0\0", "keytool -importkeystore"),
        (key.as_bytes(), "which belongs to --tls-key"),
        (
            b"-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n",
            "openssl x509 -in ",
        ),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n", "has to sign"),
        (b"-----BEGIN PKCS7-----\n", "openssl pkcs7 -print_certs"),
        (damaged.as_bytes(), "certificate number 1 is damaged"),
        (cut.as_bytes(), "certificate number 1 is cut off"),
        (encrypted.as_bytes(), "which belongs to --tls-key"),
    ];
    let certificate_pem = files.write("us.pem", &pem);
    for (content, told) in certificates {
        let file = files.write("file.pem", content);
        for options in [
            TlsOptions { ca: Some(file.clone()), ..TlsOptions::default() },
            TlsOptions {
                certificate: Some(file.clone()),
                key: Some(files.write("us.key", &key)),
                insecure: true,
                ..TlsOptions::default()
            },
        ] {
            let error = options.load().unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot use {}: ", file.display())), "{error}");
            assert!(error.contains(told), "{told}: {error}");
        }
    }
    let keys: [(&[u8], &str); 11] = [
        (b"", "it is empty"),
        unknown,
        (&key_der, "openssl pkey -inform DER -in "),
        (b"\x30\x82\x01\x00\x02\x01\x03\x30\x80", "openssl pkcs12 -nocerts -nodes -in "),
        (pem.as_bytes(), "this one holds a certificate"),
        (encrypted.as_bytes(), "openssl pkey -in "),
        (
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "openssl pkey -in ",
        ),
        (
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            "ssh-keygen -p -m PKCS8",
        ),
        (
            b"-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n",
            "(DSA PRIVATE KEY) are not supported",
        ),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "this one holds a public key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "openssl genpkey"),
    ];
    for (content, told) in keys {
        let file = files.write("file.key", content);
        let options = TlsOptions {
            certificate: Some(certificate_pem.clone()),
            key: Some(file.clone()),
            insecure: true,
            ..TlsOptions::default()
        };
        let error = options.load().unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot use {}: ", file.display())), "{error}");
        assert!(error.contains(told), "{told}: {error}");
    }
    let directory = TlsOptions { ca: Some(files.0.clone()), ..TlsOptions::default() };
    assert!(directory.load().unwrap_err().to_string().contains("directory"));
    let bundle = TlsOptions { ca: Some(files.write("bundle.pem", other_der)), ..TlsOptions::default() };
    assert!(bundle.load().is_ok(), "the others are read");
}

#[test]
fn a_version_1_certificate_of_ours_is_shown_as_any_other() {
    let files = Files::new("version-1");
    let (us, other) = (Identity::own("service.example", |_| {}), rcgen::KeyPair::generate().unwrap());
    let certificate = files.write("us.pem", pem(&version_1(us.0.der())));
    for (key, fits) in [(&us.1, true), (&other, false)] {
        let options = TlsOptions {
            certificate: Some(certificate.clone()),
            key: Some(files.write("us.key", key.serialize_pem())),
            insecure: true,
            ..TlsOptions::default()
        };
        match options.load() {
            Ok(_) => assert!(fits),
            Err(error) => {
                assert!(!fits && error.to_string().contains("is not that of the certificate"), "{error}")
            }
        }
    }
}

/// The same certificate without a version and extensions, and so with a wrong signature.
fn version_1(der: &[u8]) -> Vec<u8> {
    let elements = |der: &[u8]| {
        let (mut rest, mut found) = (der.to_vec(), Vec::new());
        while !rest.is_empty() {
            let (head, len) = match rest[1] {
                0x81 => (3, usize::from(rest[2])),
                0x82 => (4, usize::from(rest[2]) << 8 | usize::from(rest[3])),
                short => (2, usize::from(short)),
            };
            found.push(rest.drain(..head + len).collect::<Vec<u8>>());
        }
        found
    };
    let content = |element: &[u8]| {
        element[if element[1] < 0x80 { 2 } else { 2 + usize::from(element[1] & 0x7f) }..].to_vec()
    };
    let sequence = |content: Vec<u8>| {
        let len = content.len();
        let head = if len < 256 {
            vec![0x30, 0x81, len as u8]
        } else {
            vec![0x30, 0x82, (len >> 8) as u8, len as u8]
        };
        [head, content].concat()
    };
    let parts = elements(&content(der));
    let fields = elements(&content(&parts[0]));
    // [0] is the version, [3] the extensions.
    let old: Vec<u8> =
        fields.into_iter().filter(|field| !matches!(field[0], 0xa0 | 0xa3)).flatten().collect();
    sequence([sequence(old), parts[1].clone(), parts[2].clone()].concat())
}

fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]);
            text.push(if at > three.len() { '=' } else { digit });
        }
    }
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
