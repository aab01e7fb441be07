"""The command line: what it refuses, how it says so, and what it exits with."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time

import processes
import pytest
import server as ours
from server import APPS, EXAMPLES, REACTORS, Server, run
from stomp_client import Requester


def says(done, *words: str) -> str:
    """What it wrote on stderr, which has to hold `words`, and no Rust panic."""
    text = done.stderr.decode()
    assert "panicked" not in text, text
    for word in words:
        assert word.lower() in text.lower(), f"{word!r} not in: {text}"
    return text


def serve(*arguments: object, app: str = "probe:app"):
    return run("serve", app, "--chdir", APPS, *arguments, timeout=60)


def nowhere() -> str:
    return f"stomp://127.0.0.1:{processes.free_port()}"


@pytest.mark.parametrize("command", ["", "serve", "broker", "call", "notify", "environ", "reactors", "demo"])
def test_help(command):
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert b"Usage" in done.stdout


def test_options_are_listed_where_they_belong():
    for command in ("serve", "call", "notify", "bench"):
        text = run(command, "--help").stdout.decode()
        for section in re.split(r"\n(?=\S)", text):
            names = re.findall(r"\n +(?:-\w, )?--([\w-]+)", section)
            if section.startswith("TLS, for brokers at ssl://:"):
                assert "tls-ca" in names and all(name.startswith("tls-") for name in names), text
            else:
                assert not any(name.startswith("tls-") for name in names), text


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, b"stomp-wsgi")


def test_reactors_lists_those_built():
    done = run("reactors")
    assert done.returncode == 0
    for reactor in REACTORS:
        assert reactor in done.stdout.decode()


def test_unknown_command_and_option():
    assert run("nonsense").returncode == 2
    assert run("serve", "probe:app", "--no-such-option").returncode == 2


def test_unknown_reactor():
    done = serve("--reactor", "spinning-wheel")
    assert done.returncode == 2
    says(done, "spinning-wheel", *REACTORS)


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("stomp://", "host"),
        ("stomp://127.0.0.1:notaport", "port"),
        ("stomp://h:99999", "port"),
        ("stomp://h/queue/x", "--destination"),
        ("failover:(", "failover"),
        ("stomp://me:my-secret@h:port", "port"),
    ],
)
def test_bad_uri(uri, word):
    for done in (serve("--broker", uri), run("call", "--broker", uri, "GET", "/")):
        assert done.returncode == 2
        assert "my-secret" not in says(done, word)


@pytest.mark.parametrize("option", ["threads", "connections", "prefetch", "max-attempts"])
@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_bad_counts(option, count):
    done = serve(f"--{option}={count}")
    assert done.returncode == 2
    says(done, option, "a whole number from 1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["stomp://ann:S3cr3tPassw0rd@h"],
        ["ssl://h/S3cr3tPassw0rd"],
        ["failover:(stomp://h?login=ann&passcode=S3cr3tPassw0rd)"],
        ["--mount", "/queue/a=stomp://ann:S3cr3tPassw0rd@h"],
        ["stomp://ann:S3cr3tPassw0rd@h", "probe:app"],
        ["probe:app", "stomp://ann:S3cr3tPassw0rd@h"],
    ],
)
def test_a_broker_in_the_place_of_an_application(arguments):
    for more in ([], ["--log-format", "json"], ["--log-level", "trace"]):
        done = run("serve", *arguments, *more)
        assert done.returncode == 2
        text = done.stderr.decode() + done.stdout.decode()
        assert "S3cr3tPassw0rd" not in text, text
        if "probe:app" not in arguments:
            says(done, "--broker")


@pytest.mark.parametrize(("option", "most"), [("threads", 10_000), ("connections", 1_000)])
def test_counts_beyond_what_can_be(option, most):
    variable = "STOMP_WSGI_" + option.upper()
    for count in (most + 1, 10_000_000, 99999999999, 10**30):
        for done in (serve(f"--{option}={count}"), environed("serve", "probe:app", **{variable: str(count)})):
            assert done.returncode == 2
            says(done, option, f"a whole number from 1 to {most}")
    # This far it was understood.
    says(serve(f"--{option}={most}", "--broker", "nonsense"), "--broker")


@pytest.mark.parametrize("option", ["vhost", "client-id", "login", "trust-user-header", "allow-reply-to"])
def test_nothing_is_no_value(option):
    """Least of all a list of where replies may go, which would be everywhere."""
    done = serve(f"--{option}=")
    assert done.returncode == 2
    says(done, option, "a value is required")


@pytest.mark.parametrize("option", ["chdir", "venv"])
def test_bad_directories(option):
    done = run("serve", "probe:app", f"--{option}", "no-such-directory")
    assert done.returncode == 2
    says(done, "no-such-directory")


def test_no_broker_for_what_is_said_of_one():
    """Somebody has forgotten --broker; the port is taken, so that the server ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = ("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        for options in (("--login", "ann"), ("--vhost", "shop"), ("--tls-ca", "ca.pem")):
            says(serve(*listen, *options), "no broker is named", "--broker")
        assert "no broker is named" not in says(serve(*listen))


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is it a STOMP port?"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is it a STOMP port?"),
        (b"", "is it a STOMP port without TLS?"),
    ],
)
def test_a_port_of_another_protocol(answer, word):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve_once() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

        thread = threading.Thread(target=serve_once)
        thread.start()
        place = f"127.0.0.1:{server.getsockname()[1]}"
        done = run("call", "--broker", f"stomp://{place}", "GET", "/")
        thread.join()
    assert done.returncode == 7
    says(done, place, word)


@pytest.mark.parametrize("size", ["", "0", "-1", "8 apples", "0MiB", "99999999999999999999"])
@pytest.mark.parametrize("option", ["--max-body", "--max-reply"])
def test_bad_sizes(option, size):
    done = serve(f"{option}={size}")
    assert done.returncode == 2
    says(done, "8MiB")


def test_bad_destination():
    done = serve("--destination", "")
    assert done.returncode == 2
    says(done, "destination")


@pytest.mark.parametrize(
    ("variable", "word"),
    [
        ("", "NAME=VALUE"),
        ("no-equals", "NAME=VALUE"),
        ("=x", "NAME=VALUE"),
        ("a b=x", "NAME=VALUE"),
        ("A=1\n2", "a line of its own"),
        ("PATH_INFO=/", "PATH_INFO"),
        ("HTTP_HOST=h", "HTTP_HOST"),
        ("CONTENT_LENGTH=1", "CONTENT_LENGTH"),
        ("wsgi.input=x", "wsgi.input"),
        ("stomp.headers=x", "stomp.headers"),
        ("SCRIPT_NAME=/x", "--script-name"),
        ("wsgi.url_scheme=https", "--url-scheme"),
    ],
)
def test_bad_environ(variable, word):
    done = serve("--environ", variable)
    assert done.returncode == 2
    says(done, word)


@pytest.mark.parametrize(
    ("app", "word"),
    [
        ("broken:app", "a_module_that_does_not_exist"),
        ("no_such_module:app", "no_such_module"),
        ("probe:no_such_app", "no_such_app"),
        ("probe:VIEWS", "called"),
    ],
)
def test_an_application_that_cannot_be_loaded(app, word):
    done = serve("--listen", f"127.0.0.1:{processes.free_port()}", app=app)
    assert done.returncode == 3, done.stderr.decode()
    text = says(done, word)
    if app.startswith("broken"):
        assert "Traceback" in text
        assert "broken.py" in text


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1"])
def test_no_address(address):
    for done in (run("broker", "--listen", address), serve("--listen", address)):
        assert done.returncode == 2
        says(done, "--listen", address, "HOST:PORT")


def test_port_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for done in (run("broker", "--listen", address), serve("--listen", address)):
            assert done.returncode == 1
            says(done, address, f"--broker stomp://{address}", "--listen 127.0.0.1:PORT")


def environed(*arguments: object, **variables: str | bytes):
    """`stomp-wsgi ARGUMENTS` with these variables."""
    command = [str(ours.binary()), *map(str, arguments)]
    return subprocess.run(command, env=ours.environment() | variables, capture_output=True, timeout=60)


@pytest.mark.parametrize("level", ["INFO", "info", "Warning", "WARN", "error", "CRITICAL", "Debug"])
def test_log_levels_in_any_case(level):
    said = run("call", "--broker", nowhere(), "--log-level", level, "GET", "/")
    variable = environed("call", "--broker", nowhere(), "GET", "/", STOMP_WSGI_LOG_LEVEL=level)
    assert (said.returncode, variable.returncode) == (7, 7), said.stderr.decode()


def switches() -> list[tuple[str, str]]:
    """Every flag that a variable switches: a subcommand that has it, and the variable."""
    found = {}
    for command in ("serve", "call", "notify", "environ", "broker", "bench"):
        # An option begins on a line of its own, and one with a value says so there.
        for option in re.split(r"\n +(?:-\w, )?--", run(command, "--help").stdout.decode())[1:]:
            variable = re.search(r"\[env:\s+(\w+)=", option)
            if variable and re.match(r"[\w-]+\s*(?: {2}|\n)", option):
                found.setdefault(variable[1], command)
    return [(command, variable) for variable, command in found.items()]


def test_a_variable_switches_by_words_that_it_takes_alone():
    known = switches()
    assert {"STOMP_WSGI_ALLOW_REMOTE", "STOMP_WSGI_PERSISTENT", "STOMP_WSGI_VALIDATE"} < {name for _, name in known}
    for command, variable in known:
        arguments = ["serve", "probe:app"] if command == "serve" else [command, "GET", "/"]

        def say(value, arguments=arguments, variable=variable):
            done = environed(*arguments, "--broker", "nonsense", **{variable: value})
            assert done.returncode == 2, done.stderr.decode()
            return says(done)

        for value in ("maybe", "nope", "false ", "tru", "2"):
            text = say(value)
            assert variable in text and "true or false, yes or no, on or off, 1 or 0" in text, text
        for value in ("yes", "no", "on", "off", "1", "0", "true", "false", "TRUE", ""):
            text = say(value)
            assert "--broker" in text and variable not in text, text


@pytest.mark.parametrize(
    ("value", "on"), [("yes", True), ("On", True), ("1", True), ("no", False), ("OFF", False), ("0", False), ("", False)]
)
def test_what_a_variable_switches(value, on):
    arguments = ("--stuck-after", "0", "--reactor", "nonsense", "--broker", nowhere())
    done = environed("serve", "probe:app", *arguments, STOMP_WSGI_EXIT_WHEN_STUCK=value)
    assert done.returncode == 2
    assert ("--exit-when-stuck" in says(done)) == on


def test_no_log_level():
    done = run("call", "--log-level", "loud", "GET", "/")
    assert done.returncode == 2
    says(done, "loud", "error, warn, info, debug or trace")


@pytest.mark.parametrize(
    ("wanted", "shown"), [("", True), (" ", True), ("warn", False), ("stomp_wsgi=nonsense=1", True), ("info", True)]
)
def test_rust_log(wanted, shown):
    """Empty it is not set; what cannot be read is said, and not obeyed in silence."""
    done = environed("serve", "probe:app", "--chdir", APPS, "--broker", refusing(), RUST_LOG=wanted)
    text = done.stderr.decode()
    assert done.returncode == 7, text
    assert (" INFO " in text) == shown, text
    assert ("RUST_LOG cannot be read" in text) == ("nonsense" in wanted), text


@pytest.mark.parametrize("wanted", ["verbose", "warning", "inof", "6", "foo", "stomp-wsgi=debug", "foo,inof,foo=trace"])
def test_a_misspelt_rust_log_silences_nothing(wanted):
    """What cannot be meant is said once, and errors are logged all the same."""
    for format in ("text", "json"):
        done = environed(
            "serve", "probe:app", "--chdir", APPS, "--broker", refusing(), "--log-format", format, RUST_LOG=wanted
        )
        text = says(done, "RUST_LOG has words", wanted.split(",")[0], "cannot connect")
        assert done.returncode == 7 and text.count("RUST_LOG") == 1, text


@pytest.mark.parametrize("wanted", ["stomp_wsgi=info", "stomp_wsgi::access=debug", "wsgi.errors=info", "python=info,info"])
def test_a_rust_log_for_some_leaves_the_warnings_of_all(wanted):
    command = ("serve", "probe:app", "--chdir", APPS, "--broker", refusing())
    done = environed(*command, RUST_LOG=wanted, STOMP_WSGI_THREDS="1")
    text = says(done, " WARN ", "STOMP_WSGI_THREDS")
    assert done.returncode == 7 and "RUST_LOG" not in text, text


def test_a_rust_log_may_silence_all():
    done = environed("serve", "probe:app", "--chdir", APPS, "--broker", refusing(), RUST_LOG="off")
    text = done.stderr.decode()
    assert done.returncode == 7 and len(text.splitlines()) == 1, text


def test_a_rust_log_that_is_no_text():
    done = environed("serve", "probe:app", "--chdir", APPS, "--broker", refusing(), RUST_LOG=b"info\xff")
    text = says(done, "RUST_LOG cannot be read", "UTF-8", " INFO ")
    assert done.returncode == 7 and text.count("RUST_LOG") == 1, text


def refusing() -> str:
    """A broker that is not there, asked once."""
    return f"failover:({nowhere()})?maxReconnectAttempts=1"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("STOMP_WSGI_THREDS", "STOMP_WSGI_THREADS"),
        ("STOMP_WSGI_PASSWORD", "STOMP_WSGI_PASSCODE"),
        ("stomp_wsgi_threads", "STOMP_WSGI_THREADS"),
        ("STOMP_WGSI_THREADS", "STOMP_WSGI_THREADS"),
        ("STOMP_WSGI_NOTHING_OF_THE_KIND", "--help"),
    ],
)
def test_a_misspelt_variable(variable, meant):
    for exit, *command in ((7, "serve", "probe:app", "--chdir", APPS), (7, "call", "GET", "/"), (0, "environ", "GET", "/")):
        known = {"STOMP_WSGI_BROKER": refusing(), "STOMP_WSGI_TIMEOUT": "2", "STOMP_WSGI_LISTEN": "127.0.0.1:0"}
        done = environed(*command, **known, **{variable: "my-secret"})
        assert done.returncode == exit, done.stderr.decode()
        text = says(done, "has no effect", variable, meant)
        assert text.count("has no effect") == 1 and "my-secret" not in text


@pytest.mark.parametrize(
    ("version", "program", "exit", "word"),
    [
        ("version = 3.4.1", True, 3, "3.4"),
        ("version_info = 3.99.0.final.0", False, 3, "3.99"),
        ("home = /usr/bin", False, 3, "make it anew"),
        (None, True, 2, "pyvenv.cfg"),
    ],
)
def test_a_virtual_environment_that_is_of_no_use(version, program, exit, word, directory):
    """As with any application that cannot be loaded: to start again would not help."""
    venv = directory / "venv"
    (venv / "bin").mkdir(parents=True)
    if program:
        (venv / "bin" / "python").symlink_to("/bin/true")
    if version:
        (venv / "pyvenv.cfg").write_text(f"{version}\n")
    done = run("serve", "probe:app", "--chdir", APPS, "--venv", venv)
    assert done.returncode == exit, done.stderr.decode()
    says(done, word, str(venv))
    found = environed("environ", "GET", "/", VIRTUAL_ENV=str(venv))
    assert found.returncode == exit, found.stderr.decode()


def test_a_virtual_environment_out_of_reach(directory):
    """It is not gone, so that a new one would be of no use. (Root may look anywhere: a loop stands for what it may not.)"""
    python = directory / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(python)
    (directory / "pyvenv.cfg").write_text("home = /usr/bin\n")
    done = run("serve", "probe:app", "--chdir", APPS, "--venv", directory)
    assert done.returncode == 3, done.stderr.decode()
    assert "anew" not in says(done, f"{python} is out of reach", "symbolic links")


def test_call_refused():
    uri = nowhere()
    done = run("call", "--broker", uri, "--timeout", "2", "GET", "/")
    assert done.returncode == 7
    says(done, uri.rpartition("/")[2])
    assert done.stdout == b""


def test_call_without_an_answer(shared_brokers, queue):
    """Nobody serves this queue."""
    started = time.monotonic()
    done = run("call", "--broker", shared_brokers("dev").uri, "--to", queue, "--timeout", "1", "GET", "/")
    assert done.returncode == 28, done.stderr.decode()
    assert 0.9 < time.monotonic() - started < 5
    assert done.stdout == b""


def test_login_refused(real_kind, shared_brokers, queue):
    broker = shared_brokers(real_kind)
    uri = f"stomp://guest:wrong-secret@127.0.0.1:{broker.port}"
    done = run("call", "--broker", uri, "--to", queue, "--timeout", "5", "GET", "/")
    assert done.returncode == 7
    assert "wrong-secret" not in says(done)


def test_a_server_that_is_refused_ends(reactor, real_kind, shared_brokers, queue, directory):
    """It says where, and the broker's reason; never the password."""
    port = shared_brokers(real_kind).port
    uri = f"stomp://guest:wrong-secret@127.0.0.1:{port}"
    one = Server(directory, port, reactor, queue, uri=uri, env={"RUST_LOG": "trace"}).start()
    try:
        assert one.process.wait(30) == 7
    finally:
        one.kill()
    log = processes.tail(one.log, 1000)
    assert "wrong-secret" not in log
    reason = "Access refused for user" if real_kind == "rabbitmq" else "or password is invalid"
    last = log.splitlines()[-1]
    assert f"127.0.0.1:{port}: the broker refused the connection" in last and reason in last, last


@pytest.mark.parametrize("scheme", ["stomp", "ssl"])
def test_options_of_a_single_uri(scheme, reactor, queue, directory):
    """As in a list: it gives up after as many attempts."""
    port = processes.free_port()
    options = "startupMaxReconnectAttempts=2&initialReconnectDelay=20&keepAlive=true"
    one = Server(directory, port, reactor, queue, uri=f"{scheme}://127.0.0.1:{port}?{options}").start()
    try:
        assert one.process.wait(30) == 7
    finally:
        one.kill()
    log = processes.tail(one.log, 100)
    assert "gave up after 2 attempts" in log and "connection refused" in log, log
    assert "keepAlive" in log and log.count("ReconnectAttempts") == 0, log


def test_failover_to_the_broker_that_is_there(reactor, shared_brokers, serve, queue):
    broker = shared_brokers("dev")
    one = serve(broker, reactor)
    one.kill()
    uri = f"failover:(tcp://127.0.0.1:{processes.free_port()},{broker.uri})?randomize=false"
    one.command[one.command.index("--broker") + 1] = uri
    one.start()
    one.wait_ready()
    done = run("call", "--broker", uri, "--to", queue, "GET", "/ping")
    assert (done.returncode, done.stdout) == (0, b"pong"), done.stderr.decode()
    assert one.stop() == 0


def test_no_broker_at_all(reactor, directory):
    """The one-liner: a Flask application on the development broker that the server brings along."""
    port = processes.free_port()
    command = [str(ours.binary()), "serve", "flask_app:app", "--listen", f"127.0.0.1:{port}", "--reactor", reactor]
    log = directory / "serve.log"
    child = processes.spawn([*command, "--chdir", str(EXAMPLES)], log, ours.environment(), directory)
    try:
        wait_listening(port, child, log)
        uri = f"stomp://127.0.0.1:{port}"
        done = run("call", "--broker", uri, "GET", "/hello/World")
        assert (done.returncode, done.stdout) == (0, b"Hello, World!\n"), done.stderr.decode() + processes.tail(log)
        # The default destination, by another requester as well.
        with Requester("127.0.0.1", port, "/queue/wsgi") as caller:
            assert caller.request("GET", "/hello/Broker").body == b"Hello, Broker!\n"
    finally:
        assert processes.end(child) == 0, processes.tail(log)


def wait_listening(port: int, child, log) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert child.poll() is None and time.monotonic() < deadline, processes.tail(log)
            time.sleep(0.05)


def test_two_destinations(reactor, shared_brokers, serve, queue):
    broker = shared_brokers("dev")
    one = serve(broker, reactor, options=("--destination", f"{queue}.too"))
    for destination in (queue, f"{queue}.too"):
        with Requester("127.0.0.1", broker.port, destination) as caller:
            assert caller.request("GET", "/ping").body == b"pong"
    assert one.stop() == 0


def test_demo():
    done = run("demo", timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout or done.stderr


def shown(done) -> dict[str, str]:
    assert done.returncode == 0, done.stderr.decode()
    return dict(line.split(" = ", 1) for line in done.stdout.decode().splitlines())


def test_environ_of_a_request():
    options = ("--script-name", "/shop", "--server-name", "shop.example", "--url-scheme", "https")
    url = "/shop/caf%C3%A9?q=%20"
    environ = shown(run("environ", "PUT", url, "-H", "X-A: b", "-H", "Content-Type: text/x", "-d", "12", *options))
    expected = {
        "REQUEST_METHOD": "'PUT'",
        "SCRIPT_NAME": "'/shop'",
        "PATH_INFO": "'/caf\xc3\xa9'",
        "QUERY_STRING": "'q=%20'",
        "REQUEST_URI": repr(url),
        "HTTP_X_A": "'b'",
        "CONTENT_TYPE": "'text/x'",
        "CONTENT_LENGTH": "'2'",
        "SERVER_NAME": "'shop.example'",
        "SERVER_PORT": "'443'",
        "wsgi.url_scheme": "'https'",
        "stomp.one_way": "False",
    }
    assert {name: environ.get(name) for name in expected} == expected


def test_environ_of_the_deployer():
    """Values may hold commas."""
    environ = shown(run("environ", "GET", "/", "--environ", "shop.name=Fish, Chips", "--environ", "shop.tax=0,2"))
    assert (environ["shop.name"], environ["shop.tax"]) == ("'Fish, Chips'", "'0,2'")


def test_environ_of_a_bare_message():
    environ = shown(run("environ", "-H", "JMSType: order", "--default-path", "/{type}", "-d", "x"))
    expected = {"REQUEST_METHOD": "'NOTIFY'", "PATH_INFO": "'/order'", "stomp.one_way": "True"}
    assert {name: environ[name] for name in expected} == expected


@pytest.mark.parametrize("end", ["", "\0", "\0\n", "^@\n"])
def test_environ_of_a_captured_frame(directory, end):
    """From a file or standard input, with whatever became of the NUL."""
    frame = (
        "MESSAGE\ndestination:/queue/a\nmessage-id:7\nreply-to:/queue/b\nhttp_requestUrl:/x\nX-A:1\\c2\n\nbody" + end
    )
    (directory / "frame").write_text(frame)
    for done in (run("environ", "--frame", directory / "frame"), run("environ", "--frame", "-", stdin=frame.encode())):
        environ = shown(done)
        expected = {"PATH_INFO": "'/x'", "HTTP_X_A": "'1:2'", "CONTENT_LENGTH": "'4'", "stomp.message_id": "'7'"}
        assert {name: environ[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "stdin", "word"),
    [
        (("GET", "http://"), "", "target"),
        (("/x",), "", "method"),
        (("--frame", "no-such-file"), "", "no-such-file"),
        (("--frame", "-"), "ACK\nid:1\n\n", "ACK"),
        (("--frame", "-"), "GET / HTTP/1.1\r\n\r\n", "frame"),
        (("--frame", "-"), "SEND\ndestination:/queue/a\ncontent-length:9\n\nshort", "content-length"),
        (("POST", "/", "-d", "x" * 1025, "--max-body", "1KiB"), "", "a body of 1025 octets is more than"),
        (("--frame", "-", "--max-body", "3"), "SEND\ndestination:/queue/a\n\nlong", "longer than 3 octets"),
        (("GET", "/", "-H", "X-A: 1", "-H", "X_A: 2", "--strict-headers"), "", "X_A"),
    ],
)
def test_environ_of_what_is_no_request(arguments, stdin, word):
    done = run("environ", *arguments, stdin=stdin.encode())
    assert (done.returncode, done.stdout) == (1, b"")
    says(done, word)


SHADOWED = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fails":
        raise LookupError
    start_response("200 OK", [])
    return [b"served"]
"""


def test_files_named_like_modules_of_the_standard_library(reactor, shared_brokers, directory, queue):
    """They are the application's: we neither import them nor fail for them."""
    loaded = set(run_python("import sys; print(*sys.modules)").split())
    for name in set(sys.stdlib_module_names) - loaded:
        (directory / f"{name}.py").write_text("raise RuntimeError(__file__)")
    (directory / "shadowed.py").write_text(SHADOWED)
    one = Server(directory, shared_brokers("dev").port, reactor, queue, app="shadowed:app", chdir=directory)
    one.start().wait_ready("/")
    with one.requester() as caller:
        assert caller.request("GET", "/fails").headers["http_statusCode"] == "500"
        assert caller.request("GET", "/").body == b"served"
    assert one.stop() == 0
    assert "RuntimeError" not in one.log.read_text() and "LookupError" in one.log.read_text()


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("file", "source", "app"),
    [
        ("signal.py", "raise RuntimeError", "import subprocess"),
        ("inspect.py", "prices = {}", "from inspect import prices\n\napp = prices.get"),
        ("queue.py", "orders = []", "import multiprocessing.queues"),
        ("statistics.py", "import nowhere", "import statistics"),
        ("calendar/__init__.py", "", "import http.cookiejar"),
    ],
)
def test_the_error_names_a_file_that_may_be_the_cause(directory, file, source, app):
    """Whether it was imported in the place of Python's module, or Python's in its place."""
    (directory / file).parent.mkdir(exist_ok=True)
    (directory / file).write_text(source)
    # Of the same kind, but not in the traceback.
    (directory / "wave.py").write_text("")
    (directory / "shop.py").write_text(app)
    done = run("serve", "shop:app", "--chdir", directory, "--broker", nowhere())
    assert done.returncode == 3
    named = (directory / file).parent if file.endswith("__init__.py") else directory / file
    assert "wave.py" not in says(done, f"{named} has the name of a module of Python's standard library")


def test_validate(reactor, shared_brokers, serve):
    """An application that answers without a Content-Type, which only the validator minds."""
    broker = shared_brokers("dev")
    one = serve(broker, reactor, app="unruly:app", options=("--validate",))
    with one.requester() as caller:
        assert caller.request("GET", "/ping").body == b"pong"
        assert caller.request("GET", "/close-raises").headers["http_statusCode"] == "500"
    assert one.stop() == 0
    assert "No Content-Type header found" in one.log.read_text()
