"""Brokers behind TLS: ActiveMQ, which wants a certificate of us, and peers that misbehave."""

from __future__ import annotations

import datetime
import ipaddress
import json
import time
from pathlib import Path

import brokers
import processes
import pytest
import server as ours
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from tls_peer import EARLY, HARMS, LATE, TlsPeer


class Certificates:
    """An authority that all trust, one that nobody does, and what they have signed, as files."""

    def __init__(self, directory: Path) -> None:
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
        self.broker = self.authority.issue_cert("localhost")
        self._files = {
            "ca": self.authority.cert_pem.bytes(),
            "other-ca": self.stranger.cert_pem.bytes(),
        }
        for name, authority, more in [
            ("client", self.authority, {}),
            ("stranger", self.stranger, {}),
            ("expired", self.authority, {"not_before": past, "not_after": past + datetime.timedelta(days=1)}),
        ]:
            identity = authority.issue_cert("client.example", **more)
            self._files[name] = identity.private_key_and_cert_chain_pem.bytes()
            if name == "client":
                self._files["key"] = identity.private_key_pem.bytes()
                self._files["chain"] = b"".join(pem.bytes() for pem in identity.cert_chain_pems)
        for name, content in self._files.items():
            (directory / f"{name}.pem").write_bytes(content)
        self.directory = directory

    def __getitem__(self, name: str) -> Path:
        assert name in self._files
        return self.directory / f"{name}.pem"


@pytest.fixture(scope="module")
def certificates(scratch) -> Certificates:
    directory = scratch / "certificates"
    directory.mkdir()
    return Certificates(directory)


@pytest.fixture(scope="module")
def tls_brokers(scratch, certificates, need_broker):
    """Brokers by what is special about their certificate; each is started when first asked for."""
    need_broker("activemq")
    running: dict[str, brokers.TlsActiveMQ] = {}
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    identities = {
        "right": lambda: certificates.broker,
        "expired": lambda: certificates.authority.issue_cert(
            "localhost", not_before=past, not_after=past + datetime.timedelta(days=1)
        ),
    }

    def get(special: str) -> brokers.TlsActiveMQ:
        if special not in running:
            broker = brokers.TlsActiveMQ(scratch / f"tls-{special}", identities[special](), certificates.authority)
            running[special] = broker
            broker.start()
        return running[special]

    yield get
    for broker in running.values():
        broker.close()


def uri(broker: brokers.TlsActiveMQ, host: str = "localhost") -> str:
    return f"ssl://{brokers.LOGIN}:{brokers.PASSCODE}@{host}:{broker.tls_port}"


@pytest.mark.activemq
def test_requests_and_replies(reactor, tls_brokers, certificates, serve, queue):
    """Server and requester both behind TLS; 1 MiB there and back, and a load."""
    broker = tls_brokers("right")
    options = ("--tls-ca", certificates["ca"], "--tls-cert", certificates["client"])
    one = serve(broker, reactor, options=options, uri=uri(broker))
    done = ours.run("call", "--broker", uri(broker), "--to", queue, *options, "GET", "/ping")
    assert (done.returncode, done.stdout) == (0, b"pong"), done.stderr.decode()
    body = bytes(range(256)) * 4096
    with one.requester() as caller:
        assert caller.request("POST", "/plain", body).body == body
        requests = [ours.Request("POST", f"/echo/{n}", b"x", expect=b"%d:x" % n) for n in range(500)]
        caller.load(requests).check()
    assert one.stop() == 0


@pytest.mark.activemq
def test_bench(tls_brokers, certificates, tmp_path):
    """The load and the servers that it asks are both behind TLS; requests of 1 MiB, too."""
    broker = tls_brokers("right")
    load = ("--app", "hello,upload", "--in-flight", 4, "--reactor", "thread-pool,mio", "--rounds", 1, "--seconds", 0.3)
    (tmp_path / "secret").write_text(brokers.PASSCODE)
    place = ("--broker", f"ssl://localhost:{broker.tls_port}", "--login", brokers.LOGIN, "--passcode-file", tmp_path / "secret")
    options = ("--tls-ca", certificates["ca"], "--tls-cert", certificates["client"], "--json", tmp_path / "kept")
    done = ours.run("bench", *place, *options, *load, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads((tmp_path / "kept").read_text())
    assert "ActiveMQ" in report["method"]["broker"] and len(report["results"]) == 4
    assert all(result["median"]["throughput"] > 0 for result in report["results"])
    done = ours.run("bench", *place, *load)
    assert done.returncode == 1 and b"--tls-ca" in done.stderr, done.stderr.decode()


@pytest.mark.activemq
@pytest.mark.parametrize(
    ("special", "host", "options", "words"),
    [
        ("right", "127.0.0.1", {"ca": "ca", "cert": "client"}, ("another host", "--tls-server-name")),
        ("right", "localhost", {"ca": "other-ca", "cert": "client"}, ("not trusted here", "--tls-ca")),
        ("right", "localhost", {"cert": "client"}, ("not trusted here", "--tls-ca")),
        ("expired", "localhost", {"ca": "ca", "cert": "client"}, ("has expired",)),
        ("right", "localhost", {"ca": "ca"}, ("--tls-cert",)),
        ("right", "localhost", {"ca": "ca", "cert": "stranger"}, ("refuses our certificate",)),
        ("right", "localhost", {"ca": "ca", "cert": "expired"}, ("refuses our certificate",)),
    ],
)
def test_who_must_not_be_trusted_is_not(special, host, options, words, tls_brokers, certificates, queue):
    """Each has its own clear error, and the server ends rather than try for ever."""
    broker = tls_brokers(special)
    arguments = [word for name, file in options.items() for word in (f"--tls-{name}", certificates[file])]
    place = ("--broker", uri(broker, host), *arguments)
    for done in (
        ours.run("call", "--to", queue, *place, "GET", "/ping"),
        ours.run("serve", "probe:app", "--chdir", ours.APPS, "--destination", queue, *place),
    ):
        assert done.returncode == 7, done.stderr.decode()
        for word in words:
            assert word in done.stderr.decode()


@pytest.mark.activemq
def test_asked_to_trust_another_name_or_anybody(tls_brokers, certificates, queue):
    broker = tls_brokers("right")
    for options in (
        ("--tls-ca", certificates["ca"], "--tls-server-name", "localhost"),
        ("--tls-insecure",),
    ):
        place = ("--broker", uri(broker, "127.0.0.1"), "--to", queue, "--tls-cert", certificates["client"])
        done = ours.run("notify", *place, *options, "/x")
        assert done.returncode == 0, done.stderr.decode()
        assert ("NOBODY CHECKS" in done.stderr.decode()) == ("--tls-insecure" in options)


@pytest.mark.activemq
def test_no_way_down_to_plain_text(tls_brokers, certificates, queue, shared_brokers):
    """Neither side meets the other half-way, and the password stays here."""
    broker, options = tls_brokers("right"), ("--tls-ca", certificates["ca"], "--to", queue, "GET", "/")
    plain = f"ssl://bob:my-secret@localhost:{broker.port}"
    done = ours.run("call", "--broker", plain, "--timeout", "3", *options)
    assert (done.returncode, b"is it a port with TLS?" in done.stderr) == (7, True), done.stderr.decode()
    assert b"my-secret" not in done.stderr + processes.tail(broker.log).encode()
    done = ours.run(
        "call", "--broker", f"stomp://localhost:{broker.tls_port}", "--timeout", "5", "--to", queue, "GET", "/"
    )
    assert done.returncode == 7
    assert b"TLS" in done.stderr, done.stderr.decode()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca": "key"}, ("key.pem", "holds no certificate")),
        ({"cert": "key"}, ("key.pem", "holds no certificate")),
        ({"cert": "chain"}, ("chain.pem", "holds no private key", "--tls-key")),
        ({"cert": "chain", "key": "chain"}, ("chain.pem", "holds no private key", "--tls-key")),
        ({"cert": "chain", "key": "stranger"}, ("stranger.pem", "is not that of the certificate in", "chain.pem")),
    ],
)
def test_files_that_do_not_belong_there(options, words, certificates):
    arguments = [word for name, file in options.items() for word in (f"--tls-{name}", certificates[file])]
    done = ours.run("call", "--broker", "ssl://localhost:1", *arguments, "GET", "/")
    assert done.returncode == 2
    for word in words:
        assert word in done.stderr.decode()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--tls-ca", "no-such-file"), "no-such-file"),
        (("--tls-ca", ours.APPS / "probe.py"), "PEM"),
        (("--tls-key", "no-such-file"), "--tls-cert"),
        (("--tls-cert", "no-such-file"), "no-such-file"),
        (("--tls-server-name", "no name"), "no name"),
    ],
)
def test_bad_options(options, word):
    done = ours.run("call", "--broker", "ssl://localhost:1", *options, "GET", "/")
    assert done.returncode == 2
    assert word in done.stderr.decode()


# Certificates that people have.


def made(public, signer, name: str, *, authority: bool = False, names=(), issuer: str | None = None) -> x509.Certificate:
    """A certificate of version 3."""
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    by = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer or name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(called).issuer_name(by).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=9))
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    return builder.sign(signer, hashes.SHA256())


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    size = b"" if length < 128 else length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size) if size else length]) + size + content


def version_1(certificate: x509.Certificate, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """The same without a version and extensions, as `openssl x509 -req` made them for long, in PEM."""
    whole = certificate.tbs_certificate_bytes
    content = whole[2 + (whole[1] & 0x7F if whole[1] > 127 else 0) :]
    assert content.startswith(b"\xa0\x03\x02\x01\x02") and not list(certificate.extensions)
    signed = der(0x30, content[5:])
    ecdsa_with_sha256 = der(0x30, b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02")
    signature = der(0x03, b"\0" + signer.sign(signed, ec.ECDSA(hashes.SHA256())))
    made = x509.load_der_x509_certificate(der(0x30, signed + ecdsa_with_sha256 + signature))
    assert made.version is x509.Version.v1
    return made.public_bytes(serialization.Encoding.PEM)


def pem(key, encoding="PKCS8", password: bytes | None = None, form=serialization.Encoding.PEM) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(form, getattr(serialization.PrivateFormat, encoding), encryption)


@pytest.mark.activemq
def test_a_self_signed_broker_and_a_client_of_version_1(reactor, self_signed, serve, queue):
    """Both as Python's ssl and Java take them."""
    broker, files = self_signed
    options = ("--tls-ca", files / "broker.pem", "--tls-cert", files / "us.pem", "--tls-key", files / "us.key")
    one = serve(broker, reactor, options=options, uri=uri(broker))
    done = ours.run("call", "--broker", uri(broker), "--to", queue, *options, "GET", "/ping")
    assert (done.returncode, done.stdout) == (0, b"pong"), done.stderr.decode()
    assert one.stop() == 0
    # Its name is checked all the same.
    done = ours.run("call", "--broker", uri(broker, "127.0.0.1"), "--to", queue, *options, "GET", "/ping")
    assert done.returncode == 7 and b"another host (localhost)" in done.stderr, done.stderr.decode()


@pytest.fixture(scope="module")
def self_signed(scratch, need_broker):
    """A broker whose own certificate is an authority's, and files for a client of it."""
    need_broker("activemq")
    files = scratch / "self-signed"
    files.mkdir()
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    host = [x509.DNSName("localhost")]
    certificate = made(keys[0].public_key(), keys[0], "broker", authority=True, names=host)
    certificate = certificate.public_bytes(serialization.Encoding.PEM)
    authority = made(keys[1].public_key(), keys[1], "clients", authority=True).public_bytes(serialization.Encoding.PEM)
    clients = trustme.CA.from_pem(authority, pem(keys[1], "TraditionalOpenSSL"))
    ours = version_1(made(keys[2].public_key(), keys[1], "us", issuer="clients"), keys[1])
    (files / "broker.pem").write_bytes(certificate)
    (files / "us.pem").write_bytes(ours)
    # As Windows has it.
    (files / "us.key").write_bytes(b"\xef\xbb\xbf" + pem(keys[2]).replace(b"\n", b"\r\n"))
    server = trustme.LeafCert(pem(keys[0], "TraditionalOpenSSL"), certificate, [])
    broker = brokers.TlsActiveMQ(scratch / "tls-self-signed", server, clients)
    yield broker.start(), files
    broker.close()


P256 = ec.generate_private_key(ec.SECP256R1())
PKCS12 = pkcs12.serialize_key_and_certificates(b"us", P256, None, None, serialization.NoEncryption())


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (lambda: pem(P256, "TraditionalOpenSSL", b"x"), ("is encrypted", "openssl pkey -in ")),
        (lambda: pem(rsa.generate_private_key(65537, 2048), "TraditionalOpenSSL", b"x"), ("is encrypted", "openssl pkey")),
        (lambda: pem(P256, password=b"x"), ("is encrypted", "openssl pkey -in ")),
        (lambda: pem(ec.generate_private_key(ec.SECP521R1())), ("ECDSA P-521 keys are not supported", "openssl genpkey")),
        (lambda: pem(ec.generate_private_key(ec.SECP521R1()), "TraditionalOpenSSL"), ("P-521", "openssl genpkey")),
        (lambda: pem(ec.generate_private_key(ec.SECP256K1())), ("secp256k1", "openssl genpkey")),
        (lambda: pem(ec.generate_private_key(ec.BrainpoolP256R1())), ("Brainpool", "openssl genpkey")),
        (lambda: pem(ed448.Ed448PrivateKey.generate()), ("Ed448", "openssl genpkey")),
        (lambda: pem(dsa.generate_private_key(1024)), ("DSA", "openssl genpkey")),
        (lambda: pem(dsa.generate_private_key(1024), "TraditionalOpenSSL"), ("DSA", "openssl genpkey")),
        (lambda: pem(rsa.generate_private_key(65537, 1024)), ("2048 to 4096 bits", "openssl genpkey")),
        (lambda: pem(rsa.generate_private_key(65537, 1024), "TraditionalOpenSSL"), ("2048 to 4096", "openssl genpkey")),
        (lambda: pem(P256, form=serialization.Encoding.DER), ("it is DER", "openssl pkey -inform DER")),
        (lambda: P256.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()), ("OpenSSH", "ssh-keygen")),
        (lambda: PKCS12, ("it is PKCS #12", "openssl pkcs12 -nocerts")),
        (lambda: pem(P256).decode().encode("utf-16"), ("UTF-16", "iconv")),
        (lambda: pem(P256)[:100], ("is cut off",)),
        (lambda: b"", ("it is empty",)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_keys_that_cannot_be_used(key, words, certificates, tmp_path):
    """The error names the file, the problem and the command that fixes it."""
    file = tmp_path / "our.key"
    file.write_bytes(key())
    options = ("--tls-cert", certificates["chain"], "--tls-key", file)
    done = ours.run("call", "--broker", "ssl://localhost:1", *options, "GET", "/")
    assert done.returncode == 2, done.stderr.decode()
    for word in (str(file), *words):
        assert word in done.stderr.decode()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], ("names no host", "openssl req", "subjectAltName=DNS:localhost")),
        ([x509.DNSName("other.example")], ("another host (other.example)", "--tls-server-name")),
        ([x509.IPAddress(ipaddress.ip_address("10.0.0.1"))], ("another host (10.0.0.1)",)),
    ],
)
def test_brokers_whose_certificate_has_another_name_or_none(names, words, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = made(key.public_key(), key, "localhost", names=names).public_bytes(serialization.Encoding.PEM)
    (tmp_path / "broker.pem").write_bytes(certificate)
    peer = TlsPeer(1, trustme.LeafCert(pem(key, "TraditionalOpenSSL"), certificate, []))
    try:
        place = ("--broker", f"ssl://localhost:{peer.port}", "--tls-ca", tmp_path / "broker.pem")
        done = ours.run("call", *place, "GET", "/")
    finally:
        peer.close()
    assert done.returncode == 7, done.stderr.decode()
    for word in words:
        assert word in done.stderr.decode()


# Peers that misbehave.


@pytest.fixture
def peer(shared_brokers):
    """TLS before the development broker."""
    made = TlsPeer(shared_brokers("dev").port)
    yield made
    made.close()


def wait_for(condition, what: str, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_a_peer_that_misbehaves_costs_its_connection_only(reactor, peer, shared_brokers, serve, queue, directory):
    """The server hangs up, tries again, and serves as soon as all is well."""
    options = peer.options(directory)
    peer.harms.extend(harm for harm in EARLY if harm != "no TLS")
    place = f"ssl://127.0.0.1:{peer.port}?initialReconnectDelay=10&maxReconnectDelay=50"
    one = serve(shared_brokers("dev"), reactor, options=options, uri=place)
    done = len(EARLY) - 1
    assert (peer.done, len(peer.harms)) == (done, 0), "from the start"
    for harm in HARMS:
        done += 1
        peer.harms.append(harm)
        if harm not in LATE:
            peer.cut()
        with one.requester() as caller:
            caller.send(caller.frame(ours.Request("GET", "/ping"), harm))
            wait_for(lambda: peer.done == done, f"it does not hang up after {harm}\n{processes.tail(one.log)}")
            # A reply may have been lost with the connection, or come before.
            assert caller.receive(30).headers["correlation-id"] == harm
    assert one.stop() == 0
    log = one.log.read_text()
    assert "panicked" not in log
    assert "message of more than 64 KiB" in log and "does not speak TLS" in log, log


@pytest.mark.parametrize("harm", HARMS)
def test_a_requester_meets_a_peer_that_misbehaves(harm, peer, queue, tmp_path):
    """One attempt, an exit code, and a reason."""
    peer.harms.append(harm)
    place = ("--broker", f"ssl://127.0.0.1:{peer.port}", "--to", queue, *peer.options(tmp_path), "--timeout", "20")
    done = ours.run("call", *place, "GET", "/ping")
    assert done.returncode == 7, done.stderr.decode()
    said = done.stderr.decode()
    assert "panicked" not in said and ("the broker sent" in said or "closed the connection" in said or "speak TLS" in said), said


def test_at_the_start_what_is_not_tls_is_said_at_once(reactor, peer, queue, directory):
    peer.harms.append("no TLS")
    one = ours.Server(directory, 1, reactor, queue, options=peer.options(directory), uri=f"ssl://127.0.0.1:{peer.port}")
    try:
        assert one.start().process.wait(30) == 7
    finally:
        one.kill()
    assert "does not speak TLS on this port" in one.log.read_text()
