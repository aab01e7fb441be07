//! A link through TLS, to a server in memory.

use std::{io::Read, io::Write, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    AlertDescription, Error, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::*;
use crate::tls::{TlsError, TlsOptions};

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(super) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key.
pub(super) struct Identity(pub(super) rcgen::Certificate, pub(super) KeyPair);

impl Identity {
    pub(super) fn of(authority: &Authority, name: &str) -> Self {
        Self::with(authority, name, |_| {})
    }

    pub(super) fn with(
        authority: &Authority,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self(params.signed_by(&key, authority).unwrap(), key)
    }

    /// One that has signed itself.
    pub(super) fn own(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self(params.self_signed(&key).unwrap(), key)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.0.der().clone()]
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.1.serialize_der()).unwrap()
    }
}

/// PEM files that go away again.
pub(super) struct Files(pub(super) PathBuf);

impl Files {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stomp-wsgi-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
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
pub(super) struct Server {
    tls: ServerConnection,
    parser: Parser,
    /// What was wrong with what came.
    error: Option<Error>,
}

impl Server {
    pub(super) fn new(identity: &Identity, clients: Option<&Authority>) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, identity, clients)
    }

    fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        identity: &Identity,
        clients: Option<&Authority>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        // Without a look whether they belong together.
        let key = rustls::crypto::ring::sign::any_supported_type(&identity.key()).unwrap();
        let identity = SingleCertAndKey::from(CertifiedKey::new(identity.chain(), key));
        let config = builder.with_cert_resolver(Arc::new(identity));
        let tls = ServerConnection::new(Arc::new(config)).unwrap();
        Self { tls, parser: Parser::new(Limits::default()), error: None }
    }

    pub(super) fn send(&mut self, frame: &str) {
        self.tls.writer().write_all(frame.as_bytes()).unwrap();
    }

    /// What it has to send, as records.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Carries bytes both ways until none are left, and answers the frames that arrived. `step` is how
    /// many are carried at once.
    pub(super) fn exchange(&mut self, bench: &mut Bench, step: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let sent = bench.link.outbox().iter().copied().take(step).collect::<Vec<_>>();
            if !sent.is_empty() {
                let mut bytes = &sent[..];
                while !bytes.is_empty() {
                    self.tls.read_tls(&mut bytes).unwrap();
                    // What is wrong with it, it says by an alert.
                    let result = self.tls.process_new_packets();
                    self.error = self.error.take().or(result.err());
                }
                bench.give(Input::Sent(sent.len()));
            }
            let mut plain = Vec::new();
            let _ = self.tls.reader().read_to_end(&mut plain);
            self.parser.feed(&plain);
            while let Some(frame) = self.parser.next_frame().unwrap() {
                frames.push(frame);
            }
            let records = self.records();
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

pub(super) const CONNECTED: &str = "CONNECTED\nversion:1.2\nserver:ActiveMQ/5.17.2\n\n\0";

pub(super) fn bench(uri: &str, options: &TlsOptions) -> Bench {
    let tls = options.load().unwrap();
    let mut bench = Bench::with(uri, |config| config.connection.brokers.tls = Some(tls));
    bench.socket = true;
    bench.give(Input::Connected);
    bench
}

/// Why the link gave up for good.
pub(super) fn fatal(bench: &Bench) -> String {
    assert!(bench.finished, "it goes on");
    bench.fatal.why().expect("it says why")
}

#[test]
fn frames_go_through_however_the_bytes_are_cut() {
    for step in [1, 7, 100, 1 << 20] {
        let files = Files::new(&format!("through-{step}"));
        let authority = authority();
        let ca = files.write("ca.pem", authority.pem());
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
    bench.sent_raw();
    assert_eq!(fatal(&bench), "broker.example:61614: the broker does not speak TLS on this port");
}

#[test]
fn certificates_that_are_not_the_brokers() {
    let files = Files::new("refused");
    let (ours, theirs) = (authority(), authority());
    let ca = files.write("ca.pem", ours.pem());
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
    let ca = files.write("ca.pem", trusted.pem());
    let broker = Identity::of(&trusted, "broker.example");
    let us = Identity::of(&trusted, "service.example");
    let (pem, key) = (us.0.pem(), us.1.serialize_pem());
    let certificate = files.write("us.pem", &pem);
    let key_file = files.write("us.key", &key);
    let both = files.write("both.pem", format!("{pem}{key}"));

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
    let stranger = files.write("other.pem", format!("{}{}", stranger.0.pem(), stranger.1.serialize_pem()));
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

/// A peer that has not shown a certificate yet, and one with whom all is well.
fn peers(name: &str) -> (Files, TlsOptions, Identity) {
    let files = Files::new(name);
    let authority = authority();
    let options = TlsOptions { ca: Some(files.write("ca.pem", authority.pem())), ..TlsOptions::default() };
    (files, options, Identity::of(&authority, "broker.example"))
}

/// A handshake message of this length in records, as far as it goes.
fn handshake_message(length: u32, octets: usize) -> Vec<u8> {
    let mut message = vec![2, (length >> 16) as u8, (length >> 8) as u8, length as u8];
    message.resize(octets, 0);
    let record = |piece: &[u8]| [&[22, 3, 3, (piece.len() >> 8) as u8, piece.len() as u8], piece].concat();
    message.chunks(16_384).flat_map(record).collect()
}

#[test]
fn a_handshake_message_beyond_what_is_buffered_costs_the_connection_and_nothing_else() {
    let (_files, options, _) = peers("oversize");
    for (length, octets) in [(0xffff, 70_000), (0xfffe, 65_539), (0x1_0000, 70_000), (0xff_ffff, 200_000)] {
        for step in [999, 16_389, 65_536] {
            let mut bench = bench("ssl://broker.example", &options);
            bench.sent_raw();
            for piece in handshake_message(length, octets).chunks(step) {
                if bench.socket {
                    bench.give(Input::Received(piece));
                }
            }
            bench.sent_raw();
            assert!(!bench.socket, "{length:#x} in {step}: it hung up");
            assert!(!bench.finished && bench.until.is_some(), "{length:#x} in {step}: it tries again");
            let at = bench.now;
            bench.pass(31 * SECOND);
            assert_eq!(bench.connects.len(), 2, "{length:#x} in {step}, {:?}", bench.now - at);
        }
    }
}

#[test]
fn what_is_not_tls_while_it_goes_on_costs_the_connection_and_nothing_else() {
    let (_files, options, identity) = peers("garbage");
    let records: [&[u8]; 6] = [
        b"\0\0\0\0\0\0",
        b"\x17\x03\x03\x00\x05hello",
        b"\x17\x03\x03\xff\xffx",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x16\x03\x03\x00\x04\x01\x00\x00\x00",
        b"CONNECTED\nversion:1.2\n\n\0",
    ];
    for (at, record) in records.iter().enumerate() {
        for version in rustls::ALL_VERSIONS {
            let mut bench = bench("ssl://broker.example", &options);
            let mut server = Server::speaking(&[version], &identity, None);
            server.exchange(&mut bench, 1 << 20);
            server.send(CONNECTED);
            assert_eq!(server.exchange(&mut bench, 1 << 20)[0].command, Command::Subscribe);
            bench.give(Input::Received(record));
            bench.sent_raw();
            assert!(!bench.socket && !bench.finished && bench.until.is_some(), "record {at}");
        }
    }
}

#[test]
fn after_a_close_notify_nothing_counts_and_the_connection_is_over() {
    let (_files, options, identity) = peers("close");
    for version in rustls::ALL_VERSIONS {
        for connected in [false, true] {
            for together in [false, true] {
                let mut bench = bench("ssl://broker.example", &options);
                let mut server = Server::speaking(&[version], &identity, None);
                server.exchange(&mut bench, 1 << 20);
                if connected {
                    server.send(CONNECTED);
                    server.exchange(&mut bench, 1 << 20);
                }
                server.tls.send_close_notify();
                let mut records = server.records();
                if together {
                    records.extend_from_slice(b"x");
                    bench.give(Input::Received(&records));
                } else {
                    // As reactors do with a batch: the rest of it still arrives.
                    bench.link.handle(bench.now, Input::Received(&records));
                    bench.link.handle(bench.now, Input::Received(b"x"));
                    bench.link.handle(bench.now, Input::Received(&[0; 100]));
                    bench.poll();
                }
                assert!(!bench.socket && !bench.finished && bench.until.is_some());
                bench.pass(SECOND);
                assert_eq!(bench.connects.len(), 2);
            }
        }
    }
}

#[test]
fn what_comes_before_a_close_notify_counts() {
    let (_files, options, identity) = peers("close-after");
    let mut bench = bench("ssl://broker.example", &options);
    let mut server = Server::new(&identity, None);
    server.exchange(&mut bench, 1 << 20);
    server.send("ERROR\nmessage:no such user\n\n\0");
    server.tls.send_close_notify();
    bench.give(Input::Received(&server.records()));
    assert!(fatal(&bench).contains("no such user"), "{}", fatal(&bench));
}

#[test]
fn an_alert_tells_the_broker_what_was_wrong() {
    let (_files, options, _) = peers("alert");
    let stranger = Identity::of(&authority(), "broker.example");
    let mut bench = bench("ssl://broker.example", &options);
    let mut server = Server::new(&stranger, None);
    server.exchange(&mut bench, 1 << 20);
    // Both authorities have the same name.
    assert_eq!(server.error, Some(Error::AlertReceived(AlertDescription::DecryptError)));
    assert!(fatal(&bench).contains("not trusted here"));
}

#[test]
fn a_broker_that_does_not_take_the_alert_is_left_all_the_same() {
    let (_files, options, _) = peers("untaken");
    for stops in [false, true] {
        let mut bench = bench("ssl://broker.example", &options);
        bench.sent_raw();
        bench.give(Input::Received(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"));
        assert!(bench.socket && !bench.link.outbox().is_empty(), "an alert waits");
        bench.give(Input::Received(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"));
        if stops {
            bench.give(Input::Stop);
            bench.pass(2 * SECOND);
            assert!(bench.finished);
        } else {
            bench.pass(SECOND);
            assert!(!bench.finished && bench.until.is_some());
        }
        assert!(!bench.socket);
    }
}
