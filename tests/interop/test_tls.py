"""Brokers behind TLS: ActiveMQ, which wants a certificate of us."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import brokers
import processes
import pytest
import server as ours
import trustme

pytestmark = pytest.mark.activemq


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
