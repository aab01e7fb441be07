//! A link through TLS, to a server in memory.

use std::{io::Read, io::Write, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};

use super::*;
use crate::tls::{TlsError, TlsOptions};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key.
struct Identity(rcgen::Certificate, KeyPair);

impl Identity {
    fn of(authority: &Authority, name: &str) -> Self {
        Self::with(authority, name, |_| {})
    }

    fn with(authority: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self(params.signed_by(&key, authority).unwrap(), key)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.0.der().clone()]
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.1.serialize_der()).unwrap()
    }
}

/// PEM files that go away again.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stomp-wsgi-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The broker's side.
struct Server {
    tls: ServerConnection,
    parser: Parser,
}

impl Server {
    fn new(identity: &Identity, clients: Option<&Authority>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = builder.with_single_cert(identity.chain(), identity.key()).unwrap();
        let tls = ServerConnection::new(Arc::new(config)).unwrap();
        Self { tls, parser: Parser::new(Limits::default()) }
    }

    fn send(&mut self, frame: &str) {
        self.tls.writer().write_all(frame.as_bytes()).unwrap();
    }

    /// Carries bytes both ways until none are left, and answers the frames that arrived. `step` is how
    /// many are carried at once.
    fn exchange(&mut self, bench: &mut Bench, step: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let sent = bench.link.outbox().iter().copied().take(step).collect::<Vec<_>>();
            if !sent.is_empty() {
                let mut bytes = &sent[..];
                while !bytes.is_empty() {
                    self.tls.read_tls(&mut bytes).unwrap();
                    // What is wrong with it, it says by an alert.
                    let _ = self.tls.process_new_packets();
                }
                bench.give(Input::Sent(sent.len()));
            }
            let mut plain = Vec::new();
            let _ = self.tls.reader().read_to_end(&mut plain);
            self.parser.feed(&plain);
            while let Some(frame) = self.parser.next_frame().unwrap() {
                frames.push(frame);
            }
            let mut records = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut records).unwrap();
            }
            for chunk in records.chunks(step) {
                if bench.socket {
                    bench.give(Input::Received(chunk));
                }
            }
            if !bench.socket || sent.is_empty() && records.is_empty() {
                return frames;
            }
        }
    }
}

const CONNECTED: &str = "CONNECTED\nversion:1.2\nserver:ActiveMQ/5.17.2\n\n\0";

fn bench(uri: &str, options: &TlsOptions) -> Bench {
    let tls = options.load().unwrap();
    let mut bench = Bench::with(uri, |config| config.connection.brokers.tls = Some(tls));
    bench.socket = true;
    bench.give(Input::Connected);
    bench
}

/// Why the link gave up for good.
fn fatal(bench: &Bench) -> String {
    assert!(bench.finished, "it goes on");
    bench.fatal.why().expect("it says why")
}

#[test]
fn frames_go_through_however_the_bytes_are_cut() {
    for step in [1, 7, 100, 1 << 20] {
        let files = Files::new(&format!("through-{step}"));
        let authority = authority();
        let ca = files.write("ca.pem", &authority.pem());
        let mut server = Server::new(&Identity::of(&authority, "broker.example"), None);
        let options = TlsOptions { ca: Some(ca), ..TlsOptions::default() };
        let mut bench = bench("ssl://broker.example", &options);
        assert_eq!(bench.connects, ["broker.example:61614"]);
        let frames = server.exchange(&mut bench, step);
        assert_eq!(frames.iter().map(|frame| frame.command).collect::<Vec<_>>(), [Command::Connect]);
        server.send(CONNECTED);
        let frames = server.exchange(&mut bench, step);
        assert_eq!(frames[0].command, Command::Subscribe);
        server.send("MESSAGE\nsubscription:0\nmessage-id:1\nack:1\ndestination:/queue/a\n\nbody\0");
        server.exchange(&mut bench, step);
        assert_eq!(bench.jobs.len(), 1, "step {step}");
    }
}

#[test]
fn nothing_leaves_in_plain_text() {
    let mut bench =
        bench("ssl://bob:secret@broker.example", &TlsOptions { insecure: true, ..TlsOptions::default() });
    let hello = bench.link.outbox();
    assert_eq!(hello[0], 22, "a handshake record");
    assert!(!hello.windows(6).any(|window| window == b"secret" || window == b"CONNEC"));
    // A broker without TLS is not spoken to without it.
    bench.give(Input::Received(b"ERROR\nmessage:what is this?\n\n\0"));
    assert_eq!(fatal(&bench), "broker.example:61614: the broker does not speak TLS on this port");
}

#[test]
fn certificates_that_are_not_the_brokers() {
    let files = Files::new("refused");
    let (ours, theirs) = (authority(), authority());
    let ca = files.write("ca.pem", &ours.pem());
    let options = TlsOptions { ca: Some(ca), ..TlsOptions::default() };
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2100, 1, 1);
    for (identity, why) in [
        (Identity::of(&theirs, "broker.example"), "not trusted here: name it with --tls-ca"),
        (Identity::of(&ours, "other.example"), "for another host"),
        (Identity::with(&ours, "broker.example", expired), "has expired"),
        (Identity::with(&ours, "broker.example", early), "not valid yet"),
    ] {
        let mut bench = bench("ssl://broker.example", &options);
        Server::new(&identity, None).exchange(&mut bench, 1000);
        let said = fatal(&bench);
        assert!(said.contains(why), "{said}");
    }
    // The same, where it is asked for.
    let named = TlsOptions { server_name: Some("other.example".into()), ..options };
    for options in [named, TlsOptions { insecure: true, ..TlsOptions::default() }] {
        let mut bench = bench("ssl://broker.example", &options);
        let frames = Server::new(&Identity::of(&ours, "other.example"), None).exchange(&mut bench, 1000);
        assert_eq!(frames.len(), 1, "CONNECT arrived");
    }
}

#[test]
fn our_own_certificate() {
    let files = Files::new("client");
    let trusted = authority();
    let ca = files.write("ca.pem", &trusted.pem());
    let broker = Identity::of(&trusted, "broker.example");
    let us = Identity::of(&trusted, "service.example");
    let (pem, key) = (us.0.pem(), us.1.serialize_pem());
    let certificate = files.write("us.pem", &pem);
    let key_file = files.write("us.key", &key);
    let both = files.write("both.pem", &format!("{pem}{key}"));

    let trusting = TlsOptions { ca: Some(ca), ..TlsOptions::default() };
    for (certificate, key) in [(certificate.clone(), Some(key_file)), (both, None)] {
        let options = TlsOptions { certificate: Some(certificate), key, ..trusting.clone() };
        let mut bench = bench("ssl://broker.example", &options);
        let mut server = Server::new(&broker, Some(&trusted));
        server.exchange(&mut bench, 1000);
        server.send(CONNECTED);
        assert_eq!(server.exchange(&mut bench, 1000)[0].command, Command::Subscribe);
    }

    let mut without = bench("ssl://broker.example", &trusting);
    Server::new(&broker, Some(&trusted)).exchange(&mut without, 1000);
    assert!(fatal(&without).contains("--tls-cert"), "{}", fatal(&without));

    let stranger = Identity::of(&authority(), "service.example");
    let stranger = files.write("other.pem", &format!("{}{}", stranger.0.pem(), stranger.1.serialize_pem()));
    let options = TlsOptions { certificate: Some(stranger), ..trusting.clone() };
    let mut refused = bench("ssl://broker.example", &options);
    Server::new(&broker, Some(&trusted)).exchange(&mut refused, 1000);
    assert!(fatal(&refused).contains("refuses our certificate"), "{}", fatal(&refused));

    let error = |options: TlsOptions| options.load().unwrap_err().to_string();
    assert!(
        error(TlsOptions { certificate: Some(certificate.clone()), ..trusting.clone() })
            .contains("no private key in PEM: name its file with --tls-key")
    );
    let missing = TlsOptions { ca: Some("no-such-file".into()), ..TlsOptions::default() };
    assert!(error(missing).starts_with("cannot use no-such-file: "));
    let key_only = TlsOptions { key: Some(certificate), ..trusting };
    assert!(matches!(key_only.load(), Err(TlsError::NoCertificate)));
}
