//! Certificates and keys from PEM files. The error for a file that cannot be used says what it is, and which command
//! converts it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use memchr::memmem;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::SigningKey,
};

use super::TlsError;

/// The longest file: a system's bundle of authorities has a quarter of a MiB.
const LONGEST: u64 = 16 << 20;

const BEGIN: &[u8] = b"-----BEGIN ";

/// A file's text.
pub(super) struct Pem {
    pub(super) file: PathBuf,
    text: Vec<u8>,
}

/// From one `-----BEGIN` to the next.
struct Section<'a> {
    label: &'a str,
    text: &'a [u8],
}

impl Pem {
    pub(super) fn read(file: &Path) -> Result<Self, TlsError> {
        let mut text = Vec::new();
        let read = File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text));
        let pem = Self { file: file.to_owned(), text };
        read.map_err(|error| pem.unusable(error.to_string()))?;
        if pem.text.len() as u64 > LONGEST {
            return Err(
                pem.unusable(format!("it is larger than {LONGEST} octets, and so no PEM file of ours"))
            );
        }
        Ok(Self { text: tidy(pem.text), ..pem })
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = self.sections().filter(|section| section.label == "CERTIFICATE").enumerate();
        let found = found.map(|(at, section)| {
            CertificateDer::from_pem_slice(section.text).map_err(|error| {
                self.unusable(format!("its certificate number {} {}", at + 1, damage(&error)))
            })
        });
        let found = found.collect::<Result<Vec<_>, _>>()?;
        if found.is_empty() {
            let file = self.file.display();
            let why = if self.has("TRUSTED CERTIFICATE") {
                format!("convert it: openssl x509 -in {file} -out certificate.pem")
            } else if self.has("PKCS7") {
                format!("convert it: openssl pkcs7 -print_certs -in {file} -out certificates.pem")
            } else if self.has("CERTIFICATE REQUEST") {
                "it is a request for one, which an authority has to sign".to_owned()
            } else if self.has("PRIVATE KEY") {
                "it holds a private key, which belongs to --tls-key".to_owned()
            } else {
                self.instead("x509", "pkcs12 -clcerts -nokeys", "certificate.pem")
            };
            return Err(
                self.unusable(format!("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----): {why}"))
            );
        }
        Ok(found)
    }

    pub(super) fn private_key(&self, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, TlsError> {
        let file = self.file.display();
        let none = |why: String| self.unusable(format!("it holds no private key in PEM: {why}"));
        let Some(section) = self.sections().find(|section| section.label.ends_with("PRIVATE KEY")) else {
            return Err(none(if self.has("CERTIFICATE") {
                "name its file with --tls-key (this one holds a certificate)".to_owned()
            } else if self.has("PUBLIC KEY") {
                "name its file with --tls-key (this one holds a public key)".to_owned()
            } else {
                self.instead("pkey", "pkcs12 -nocerts -nodes", "key.pem")
            }));
        };
        let encrypted = memmem::find(section.text, b"Proc-Type: 4,ENCRYPTED").is_some();
        if encrypted || section.label == "ENCRYPTED PRIVATE KEY" {
            return Err(self.unusable(format!(
                "its private key is encrypted, and the server cannot ask for its password; decrypt it into a file that only the \
                 server's user can read: openssl pkey -in {file} -out key.pem && chmod 600 key.pem"
            )));
        }
        if section.label == "OPENSSH PRIVATE KEY" {
            let why = format!(
                "its private key is in OpenSSH's format; convert it: ssh-keygen -p -m PKCS8 -f {file}"
            );
            return Err(self.unusable(why));
        }
        let key = match PrivateKeyDer::from_pem_slice(section.text) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => {
                return Err(
                    self.unusable(format!("keys of this kind ({}) are not supported; {MAKE}", section.label))
                );
            }
            Err(error) => return Err(self.unusable(format!("its private key {}", damage(&error)))),
        };
        let kind = kind(&key);
        provider.key_provider.load_private_key(key).map_err(|_| {
            self.unusable(match kind {
                Some("RSA") => format!(
                    "its RSA key cannot be used: it is damaged, or has not 2048 to 4096 bits \
                     (openssl pkey -in {file} -noout -text shows it); {MAKE}"
                ),
                Some(kind) => format!("{kind} keys are not supported; {MAKE}"),
                None => format!(
                    "its private key cannot be used (openssl pkey -in {file} -noout -text shows it); {MAKE}"
                ),
            })
        })
    }

    pub(super) fn unusable(&self, reason: impl Into<String>) -> TlsError {
        TlsError::File { file: self.file.clone(), reason: reason.into() }
    }

    fn sections(&self) -> impl Iterator<Item = Section<'_>> {
        let mut rest = &self.text[..];
        std::iter::from_fn(move || {
            rest = &rest[begin(rest)?..];
            let next = begin(&rest[BEGIN.len()..]).map_or(rest.len(), |at| at + BEGIN.len());
            let (text, after) = rest.split_at(next);
            rest = after;
            let label = &text[BEGIN.len()..];
            let label = &label[..memmem::find(label, b"-----").unwrap_or(0)];
            Some(Section { label: std::str::from_utf8(label).unwrap_or_default(), text })
        })
    }

    fn has(&self, label: &str) -> bool {
        self.sections().any(|section| section.label.ends_with(label))
    }

    /// What a file without the right PEM section is. `der` and `pkcs12` are the commands of openssl that convert it.
    fn instead(&self, der: &str, pkcs12: &str, out: &str) -> String {
        let (file, text) = (self.file.display(), &self.text[..]);
        let convert = |command: String| format!("convert it: openssl {command} -in {file} -out {out}");
        match text {
            [] => "it is empty".to_owned(),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'-', 0, ..] | [0, b'-', ..] => {
                format!("it is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {file} > {out}")
            }
            [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => format!(
                "it is a Java keystore; convert it: keytool -importkeystore -srckeystore {file} -destkeystore store.p12 \
                 -deststoretype PKCS12 && openssl {pkcs12} -in store.p12 -out {out}"
            ),
            [0x30, ..] => match inside(text) {
                // PFX has version 3.
                Some([2, 1, 3, ..]) => format!("it is PKCS #12; {}", convert(pkcs12.to_owned())),
                Some([6, ..]) => {
                    format!("it is PKCS #7; {}", convert("pkcs7 -inform DER -print_certs".to_owned()))
                }
                Some(_) => format!("it is DER; {}", convert(format!("{der} -inform DER"))),
                None => "it is not in a format that is known here".to_owned(),
            },
            _ => "it is not in a format that is known here".to_owned(),
        }
    }
}

/// How to make a key that can be used.
const MAKE: &str = "make another, and have a certificate made for it (P-256, P-384, Ed25519, or RSA of 2048 to 4096 bits): \
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem";

/// Removes UTF-8 byte order marks, which editors on Windows write, and inserts the line ends that are missing where files
/// without one at their end were concatenated. Replaces the old label of a certificate.
fn tidy(text: Vec<u8>) -> Vec<u8> {
    let replace = |text: Vec<u8>, from: &[u8], to: &[u8]| {
        if memmem::find(&text, from).is_none() {
            return text;
        }
        let mut tidy = Vec::with_capacity(text.len());
        let mut at = 0;
        for found in memmem::find_iter(&text, from) {
            tidy.extend_from_slice(&text[at..found]);
            tidy.extend_from_slice(to);
            at = found + from.len();
        }
        tidy.extend_from_slice(&text[at..]);
        tidy
    };
    // Only before a section: in a binary file these octets may mean something else.
    let text = replace(text, b"\xef\xbb\xbf-----BEGIN ", BEGIN);
    let text = replace(text, b"----------BEGIN ", b"-----\n-----BEGIN ");
    replace(text, b" X509 CERTIFICATE-----", b" CERTIFICATE-----")
}

/// Where the next section begins: at the beginning of a line.
fn begin(text: &[u8]) -> Option<usize> {
    memmem::find_iter(text, BEGIN).find(|&at| at == 0 || matches!(text[at - 1], b'\n' | b'\r'))
}

fn damage(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "is cut off: its -----END line is missing".to_owned(),
        _ => "is damaged: what is between its -----BEGIN and -----END lines is not base64".to_owned(),
    }
}

/// The content of a DER sequence.
fn inside(der: &[u8]) -> Option<&[u8]> {
    match der {
        [0x30, length, rest @ ..] if *length < 0x80 => Some(rest),
        [0x30, length, rest @ ..] => rest.get(usize::from(length & 0x7f)..),
        _ => None,
    }
}

/// The algorithm of a private key, if its object identifier is known here.
fn kind(key: &PrivateKeyDer<'_>) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 8] = [
        (&[0x2b, 0x81, 0x04, 0x00, 0x23], "ECDSA P-521"),
        (&[0x2b, 0x81, 0x04, 0x00, 0x0a], "ECDSA secp256k1"),
        (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01], "ECDSA Brainpool"),
        (&[0x06, 0x03, 0x2b, 0x65, 0x71], "Ed448"),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a], "RSASSA-PSS"),
        (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "DSA"),
        (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x01, 0x01], "ECDSA of a curve without a name"),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "RSA"),
    ];
    // It is at the beginning, and in a SEC 1 key between the private and the public key.
    let der = key.secret_der();
    let found = KINDS.iter().find(|(oid, _)| memmem::find(&der[..der.len().min(128)], oid).is_some());
    match key {
        PrivateKeyDer::Pkcs1(_) => Some("RSA"),
        _ => found.map(|(_, kind)| *kind),
    }
}
