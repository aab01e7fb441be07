"""Who sent a message, and who we are: what is said of users, and what becomes of passcodes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import brokers
import processes
import pytest
import server as ours
from proxy import Proxy
from stomp_client import Request, Requester

SECRET = brokers.IdentifyingActiveMQ.PASSCODE
#: How REMOTE_USER is asked for: without the second, the server does not start.
TRUST = ("--trust-user-header", "JMSXUserID", "--all-senders-use-stomp")
#: However a sender may try to be somebody.
CLAIMS = {
    "JMSXUserID": "root",
    "REMOTE_USER": "root",
    "Remote-User": "root",
    "HTTP_REMOTE_USER": "root",
    "Remote_HYPHEN_User": "root",
    "http_remoteUser": "root",
    "X-Remote-User": "root",
}


@pytest.fixture(scope="module")
def activemq(scratch, need_broker):
    need_broker("activemq")
    broker = brokers.IdentifyingActiveMQ(scratch / "identifying")
    yield broker.start()
    broker.close()


def environ(caller: Requester, **headers: str) -> dict[str, object]:
    reply = caller.request("GET", "/show", headers=headers)
    return json.loads(reply.body)


def test_nobody_is_believed_unless_asked_to(broker, serve):
    one = serve(broker, "thread-pool")
    with one.requester() as caller:
        found = environ(caller, **CLAIMS)
    assert "REMOTE_USER" not in found
    assert not {key for key, value in found.items() if value == "root"} - {
        "HTTP_REMOTE_USER",
        "HTTP_X_REMOTE_USER",
        "HTTP_HTTP_REMOTE_USER",
    }


@pytest.mark.activemq
def test_activemq_says_who_it_was(activemq, serve, queue):
    one = serve(activemq, "thread-pool", options=TRUST)
    for login, passcode in ((brokers.LOGIN, brokers.PASSCODE), (activemq.LOGIN, SECRET)):
        with Requester("127.0.0.1", activemq.port, queue, login=login, passcode=passcode) as caller:
            assert environ(caller)["REMOTE_USER"] == login
            assert environ(caller, **CLAIMS)["REMOTE_USER"] == login
    with Requester("127.0.0.1", activemq.port, queue) as caller:
        # A second one of the same name: the broker sends its own alone.
        frame = caller.frame(Request("GET", "/show"), "twice").encode()
        caller.socket.sendall(frame.replace(b"\n\n", b"\nJMSXUserID:root\nJMSXUserID:root\n\n", 1))
        assert json.loads(caller.receive(20).body)["REMOTE_USER"] == brokers.LOGIN


@pytest.mark.activemq
def test_a_broker_that_says_nothing_says_nobody(shared_brokers, serve):
    """Without populateJMSXUserID, which takes the sender's own away all the same."""
    one = serve(shared_brokers("activemq"), "thread-pool", options=TRUST)
    with one.requester() as caller:
        assert "REMOTE_USER" not in environ(caller, **CLAIMS)


@pytest.mark.rabbitmq
def test_rabbitmq_verifies_who_it_was(shared_brokers, serve):
    one = serve(shared_brokers("rabbitmq"), "thread-pool", options=("--trust-user-header", "user-id", "--all-senders-use-stomp"))
    with one.requester() as caller:
        assert "REMOTE_USER" not in environ(caller, **CLAIMS)
        assert environ(caller, **CLAIMS, **{"user-id": "guest"})["REMOTE_USER"] == "guest"
        frame = caller.frame(Request("GET", "/show", headers={"user-id": "guest"}), "twice").encode()
        caller.socket.sendall(frame.replace(b"\n\n", b"\nuser-id:root\n\n", 1))
        assert json.loads(caller.receive(20).body)["REMOTE_USER"] == "guest"
    with one.requester() as caller:
        caller.send(caller.frame(Request("GET", "/task/forged", headers={"user-id": "root"}), "forged"))
        assert caller.receive(20).command == "ERROR"
    assert one.records("begun") == []


@pytest.mark.parametrize(
    ("kind", "header", "right"),
    [
        pytest.param("rabbitmq", "JMSXUserID", "user-id", marks=pytest.mark.rabbitmq),
        pytest.param("activemq", "user-id", "JMSXUserID", marks=pytest.mark.activemq),
        pytest.param("activemq", "X-User", "JMSXUserID", marks=pytest.mark.activemq),
    ],
)
def test_what_anyone_may_say_is_not_to_be_trusted(kind, header, right, shared_brokers, queue):
    options = ("--broker", shared_brokers(kind).uri, "--destination", queue, "--trust-user-header", header)
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, *options)
    assert done.returncode == 7, done.stderr.decode()
    assert f"what it verifies is {right}" in done.stderr.decode()


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        pytest.param("rabbitmq", "user-id", marks=pytest.mark.rabbitmq),
        pytest.param("activemq", "JMSXUserID", marks=pytest.mark.activemq),
    ],
)
def test_what_is_verified_of_stomp_alone_takes_a_word_that_there_is_nothing_else(kind, header, shared_brokers, queue):
    options = ("--broker", shared_brokers(kind).uri, "--destination", queue, "--trust-user-header", header)
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, *options)
    assert done.returncode == 7, done.stderr.decode()
    assert "--all-senders-use-stomp" in done.stderr.decode()


@pytest.mark.dev
def test_the_development_broker_verifies_nobody(shared_brokers, queue):
    options = ("--broker", shared_brokers("dev").uri, "--destination", queue, *TRUST)
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, *options)
    assert (done.returncode, b"not known that it verifies" in done.stderr) == (7, True), done.stderr.decode()


def test_nor_is_a_user_a_constant():
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, "--environ", "REMOTE_USER=root")
    assert (done.returncode, b"--trust-user-header" in done.stderr) == (2, True), done.stderr.decode()


def told(way: str, directory: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """Options and variables by which Ann's passcode is told."""
    bare, login = f"stomp://127.0.0.1:{port}", brokers.IdentifyingActiveMQ.LOGIN
    whole = f"stomp://{login}:{quote(SECRET, safe='')}@127.0.0.1:{port}"
    file = directory / "stomp-wsgi-passcode"
    file.write_text(f"{SECRET}\n")
    return {
        "variables": (["--broker", bare], {"STOMP_WSGI_LOGIN": login, "STOMP_WSGI_PASSCODE": SECRET}),
        "file": (["--broker", bare, "--login", login, "--passcode-file", str(file)], {}),
        "file before variable": (
            ["--broker", f"stomp://{login}@127.0.0.1:{port}", "--passcode-file", str(file)],
            {"STOMP_WSGI_PASSCODE": "wrong"},
        ),
        "systemd": (["--broker", bare, "--login", login], {"CREDENTIALS_DIRECTORY": str(directory)}),
        "uri in a variable": ([], {"STOMP_WSGI_BROKER": whole}),
        "uri": (["--broker", whole], {}),
        "uri of several": (
            [f"--broker=failover:({bare.replace('://', '://' + login + ':' + quote(SECRET, safe='') + '@')})"],
            {},
        ),
        "uri before variable": (["--broker", whole], {"STOMP_WSGI_LOGIN": "x", "STOMP_WSGI_PASSCODE": "wrong"}),
    }[way]


#: Ways to tell a passcode, and whether our environment has it then.
WAYS = {
    "variables": True,
    "file": False,
    "file before variable": False,
    "systemd": False,
    "uri in a variable": True,
    "uri": True,
    "uri of several": True,
    "uri before variable": True,
}
SECRETS = [text.encode() for text in (SECRET, quote(SECRET, safe=""))]


def has_secret(text: bytes) -> bool:
    return any(secret in text for secret in SECRETS)


def arguments_of_all() -> list[bytes]:
    """Of every process on this machine, as everybody may read them."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes())
        except OSError:
            pass  # it has gone
    return found


@pytest.mark.activemq
@pytest.mark.parametrize("way", WAYS)
def test_a_passcode_is_told_and_not_shown(way, reactor, activemq, directory, queue):
    """Neither in an argument list, where everybody may read it, nor in the log; where it can be, nor in the environment."""
    options, more = told(way, directory, activemq.port)
    one = ours.Server(directory, activemq.port, reactor, queue, env=more, options=TRUST)
    at = one.command.index("--broker")
    one.command[at : at + 2] = options
    one.env["RUST_LOG"] = "trace"
    try:
        one.start().wait_ready()
        process = Path(f"/proc/{one.process.pid}")
        shown = (process / "cmdline").read_bytes()
        assert shown.startswith(one.command[0].encode() + b"\0serve\0probe:app\0"), shown
        assert b"--destination\0" + queue.encode() in shown
        assert not [arguments for arguments in arguments_of_all() if has_secret(arguments)]
        assert has_secret((process / "environ").read_bytes()) == WAYS[way]
        with one.requester() as caller:
            child = json.loads(caller.request("GET", "/child").body)
        assert has_secret(child["environ"].encode()) == WAYS[way]
        assert not has_secret(child["cmdline"].encode())
        assert one.stop() == 0
    finally:
        one.kill()
    log = one.log.read_bytes()
    assert not has_secret(log)
    assert b" connected" in log


@pytest.mark.activemq
def test_a_uri_that_cannot_be_hidden(activemq, directory, queue):
    """The program has no file any more, so that it cannot begin anew: it serves, and says what shows."""
    uri = f"stomp://{activemq.LOGIN}:{quote(SECRET, safe='')}@127.0.0.1:{activemq.port}"
    one = ours.Server(directory, activemq.port, "thread-pool", queue, uri=uri)
    program = directory / "stomp-wsgi"
    shutil.copy(one.command[0], program)
    fd = os.open(program, os.O_RDONLY)
    program.unlink()
    # The child has the descriptor until the kernel has loaded it.
    one.command[0] = f"/proc/{os.getpid()}/fd/{fd}"
    try:
        one.start().wait_ready()
        assert has_secret(Path(f"/proc/{one.process.pid}/cmdline").read_bytes())
        assert one.stop() == 0
    finally:
        os.close(fd)
        one.kill()
    log = processes.tail(one.log, 1000)
    assert "THE PASSWORD IN --broker SHOWS IN PROCESS LISTS" in log and "--passcode-file" in log
    assert not has_secret(log.encode())


@pytest.mark.parametrize(
    "more", [("--no-such-option",), ("--threads", "0"), ("--reactor", "none"), ("--tls-ca", "none")]
)
def test_a_wrong_argument_beside_a_uri(more):
    uri = f"ssl://ann:{quote(SECRET, safe='')}@127.0.0.1:1"
    done = ours.run("serve", "probe:app", "--chdir", ours.APPS, "--broker", uri, *more)
    assert done.returncode == 2
    assert more[0].lstrip("-").encode() in done.stderr.lower() or b"none" in done.stderr
    assert not has_secret(done.stdout + done.stderr)


@pytest.mark.parametrize("before", [(), ("--threads",), ("--destination", "/queue/a", "--brokr")])
def test_a_uri_in_the_wrong_place(before):
    """Or after an option that is misspelt."""
    done = ours.run("serve", "probe:app", *before, f"stomp://ann:{quote(SECRET, safe='')}@127.0.0.1:1")
    assert (done.returncode, done.stderr[:6]) == (2, b"error:"), done.stderr.decode()
    assert not has_secret(done.stdout + done.stderr)


@pytest.mark.activemq
def test_a_caller_has_the_same_ways(activemq, directory, queue, serve):
    serve(activemq, "thread-pool", options=TRUST)
    for way in ("variables", "file", "uri"):
        options, more = told(way, directory, activemq.port)
        command = [str(ours.binary()), "call", *options, "--to", queue, "GET", "/show"]
        done = subprocess.run(command, env=ours.environment() | more, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout)["REMOTE_USER"] == activemq.LOGIN


@pytest.mark.parametrize(
    ("content", "word"),
    [("", "one line"), ("\n", "one line"), ("a\nb\n", "one line"), ("a" * 20_000, "too long"), (None, "No such file")],
)
def test_a_bad_file(content, word, directory):
    file = directory / "passcode"
    if content is not None:
        file.write_text(content)
    options = ("--broker", "stomp://ann@127.0.0.1:1", "--passcode-file", file)
    done = ours.run("call", *options, "GET", "/")
    assert (done.returncode, str(file) in done.stderr.decode(), word in done.stderr.decode()) == (2, True, True), (
        done.stderr
    )


def test_a_passcode_of_nobody(directory):
    file = directory / "passcode"
    file.write_text("my-secret")
    done = ours.run("call", "--broker", "stomp://127.0.0.1:1", "--passcode-file", file, "GET", "/")
    assert (done.returncode, b"--login" in done.stderr, b"my-secret" in done.stderr) == (2, True, False), done.stderr


#: Users of RabbitMQ and their passcodes, with a backslash in one of them: as in an escape, defined or not.
BACKSLASHES = {
    "undefined": r"a\b",
    "newline": r"a\nb",
    "colon": r"p\c\\d:e",
    "last": "end\\",
    r"domain\user": "pw",
    r"domain\new": r"\r\n\c",
}


@pytest.fixture(scope="module")
def backslashes(shared_brokers):
    broker = shared_brokers("rabbitmq")
    for user, passcode in BACKSLASHES.items():
        broker.control("add_user", user, passcode)
        broker.control("set_permissions", "-p", "/", user, ".*", ".*", ".*")
    return broker


def place(broker, user: str, passcode: str) -> str:
    return f"stomp://{quote(user, safe='')}:{quote(passcode, safe='')}@127.0.0.1:{broker.port}"


@pytest.mark.rabbitmq
@pytest.mark.parametrize("user", BACKSLASHES)
def test_a_backslash_in_login_or_passcode_on_rabbitmq(user, backslashes, serve, queue):
    one = serve(backslashes, "thread-pool", uri=place(backslashes, user, BACKSLASHES[user]))
    with one.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"
    assert one.stop() == 0
    for options in ((), ("--dialect", "rabbitmq")):
        uri = place(backslashes, user, BACKSLASHES[user])
        done = ours.run("notify", "--broker", uri, "--to", queue, *options, "/x")
        assert done.returncode == 0, done.stderr.decode()


@pytest.mark.rabbitmq
def test_a_backslash_costs_no_attempt(reactor, backslashes, serve):
    """Neither at the start nor when it reconnects."""
    proxy = Proxy(backslashes.port)
    try:
        one = serve(backslashes, reactor, uri=place(proxy, "undefined", BACKSLASHES["undefined"]))
        assert proxy.connections == 1
        proxy.cut()
        with one.requester() as caller:
            assert caller.request("GET", "/ping", timeout=30).body == b"pong"
        assert proxy.connections == 2
        assert one.stop() == 0
    finally:
        proxy.close()


@pytest.mark.rabbitmq
@pytest.mark.parametrize(("user", "passcode"), [("undefined", r"wr\ong"), ("newline", r"wr\nong"), (r"no\body", "Fa-lse")])
def test_a_wrong_one_is_a_refusal_that_names_the_user(user, passcode, reactor, backslashes, directory, queue):
    one = ours.Server(directory, 1, reactor, queue, uri=place(backslashes, user, passcode), env={"RUST_LOG": "trace"})
    try:
        assert one.start().process.wait(30) == 7
    finally:
        one.kill()
    log = one.log.read_text()
    last = log.splitlines()[-1]
    assert f"refused the connection of user {json.dumps(user)}" in last and "Access refused" in last, last
    assert passcode not in log and passcode.replace("\\", "\\\\") not in log, log
