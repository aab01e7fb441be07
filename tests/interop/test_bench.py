"""`stomp-wsgi bench`: that it measures what it says. How fast anything is, is no test's business."""

from __future__ import annotations

import csv
import json
import socket
import subprocess

import proxy
import pytest
import server

QUICK = ["--rounds", "1", "--seconds", "0.2", "--warm-up", "0.05"]


def bench(*options: object, timeout: float = 120, **more: object) -> subprocess.CompletedProcess[str]:
    command = [server.binary(), "bench", *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout, **more)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory):
    """A run of every reactor, and the files that it left."""
    at = tmp_path_factory.mktemp("bench")
    files = [f"--{kind}={at / kind}" for kind in ("json", "csv", "html")]
    done = bench("--app", "hello,stream", "--in-flight", "1,8", *QUICK, *files)
    assert done.returncode == 0, done.stderr
    return done, at


def test_every_reactor_answers_and_is_measured(kept):
    report = json.loads((kept[1] / "json").read_text())
    combinations = [(r["app"], r["load"]["in-flight"], r["reactor"]) for r in report["results"]]
    assert sorted(combinations) == sorted(
        (app, n, reactor) for app in ("hello", "stream") for n in (1, 8) for reactor in server.REACTORS
    )
    for result in report["results"]:
        median = result["median"]
        assert median["throughput"] > 0 and median["cpu_us"] > 0 and median["errors"] == 0, result
        assert 0 < median["p50_us"] <= median["p99_us"] <= median["max_us"], result
        # Little's law: what waits is what comes, times how long it takes.
        waiting = median["throughput"] * median["p50_us"] / 1e6
        assert waiting < 2 * result["load"]["in-flight"], result
    assert {start["reactor"] for start in report["starts"]} == set(server.REACTORS)
    assert all(0 < start["subscribed_ms"] <= start["answered_ms"] for start in report["starts"])


def test_what_is_shown_is_what_was_kept(kept):
    done, at = kept
    report = json.loads((at / "json").read_text())
    rows = list(csv.reader((at / "csv").open()))
    assert len(rows) == 1 + sum(len(result["rounds"]) for result in report["results"])
    page = (at / "html").read_text()
    assert page.startswith("<!doctype html>") and "http://" not in page.replace("http://www.w3.org/", "")
    for reactor in server.REACTORS:
        assert reactor in done.stdout and reactor in page


SHOWS = """
import stomp_wsgi.bench
seen = set()
def app(environ, start_response):
    place = f"{environ['stomp.destination']} {environ['stomp.subscription']}\\n"
    if place not in seen:
        seen.add(place)
        open("seen", "a").write(place)
    return stomp_wsgi.bench.hello(environ, start_response)
"""


@pytest.mark.parametrize("number", [1, 50])
@pytest.mark.parametrize("by", [None, "dev"])
def test_destinations_are_asked_in_turn(by, number, shared_brokers, tmp_path):
    """A request that is not answered fails the run; so does an answer that nobody waits for."""
    (tmp_path / "shows.py").write_text(SHOWS)
    place = ["--broker", f"stomp://127.0.0.1:{shared_brokers(by).port}"] if by else []
    # So many at once that each destination is asked, however slow the machine is.
    options = ["--destinations", number, "--app", "shows:app", "--in-flight", 64, "--reactor", "mio", *QUICK]
    done = bench(*place, *options, "--json", tmp_path / "j", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "j").read_text())
    (result,) = report["results"]
    assert result["median"]["throughput"] > 0 and result["median"]["errors"] == 0
    assert report["method"]["destinations"] == number
    assert ("50 destinations" in done.stdout) == (number == 50), done.stdout
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    # The place of a destination among the server's is the id of its subscription.
    assert sorted(int(subscription) for _, subscription in seen) == list(range(number))
    assert all(destination.endswith(f".{subscription}") for destination, subscription in seen), seen


def test_an_open_loop_asks_as_often_as_it_says(tmp_path):
    done = bench("--app", "hello", "--rate", 200, "--reactor", "mio", "--rounds", 1, "--seconds", 2, "--json", tmp_path / "j")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "j").read_text())["results"]
    assert result["load"] == {"rate": 200}
    assert 180 <= result["median"]["throughput"] <= 220


def test_latency_counts_from_the_moment_a_request_was_due(tmp_path):
    """200 a second at an application that can do 100: they wait ever longer, though each takes 10 ms."""
    (tmp_path / "slow.py").write_text(
        "import time\ndef app(environ, start):\n    time.sleep(0.01)\n    start('200 OK', [])\n    return [b'x']\n"
    )
    command = [server.binary(), "bench", "--app", "slow:app", "--rate", "200", "--reactor", "mio", "--rounds", "1"]
    command += ["--seconds", "1", "--warm-up", "0.5", "--json", "kept"]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "kept").read_text())["results"]
    assert result["median"]["p99_us"] > 300_000


def test_by_way_of_a_broker(kind: str, broker, tmp_path):
    uri = f"stomp://guest:guest@127.0.0.1:{broker.port}"
    done = bench("--broker", uri, "--app", "hello", "--in-flight", 4, "--reactor", "tokio", *QUICK, "--json", tmp_path / "j")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "j").read_text())
    assert report["method"]["broker"] != "direct"
    assert report["results"][0]["median"]["throughput"] > 0
    assert "guest:guest" not in (tmp_path / "j").read_text() + done.stdout + done.stderr


class Listener(proxy.Proxy):
    """Keeps what each client said first."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.said: dict[socket.socket, bytes] = {}

    def passed(self, source: socket.socket, data: bytes) -> None:
        self.said[source] = self.said.get(source, b"") + data


@pytest.mark.parametrize("how", ["options", "environment"])
def test_load_and_servers_meet_the_broker_as_it_was_said(kind: str, broker, how, tmp_path):
    """The development broker takes any login: what both say of themselves shows on the way to it."""
    (tmp_path / "secret").write_text("guest\n")
    (tmp_path / "shows.py").write_text(
        "import stomp_wsgi.bench\nopen('arguments', 'ab').write(open('/proc/self/cmdline', 'rb').read())\n"
        "app = stomp_wsgi.bench.hello\n"
    )
    said = {"broker": None, "login": "guest", "vhost": "/", "dialect": "activemq" if kind == "dev" else kind}
    said["passcode-file"] = tmp_path / "secret"
    between = Listener(broker.port)
    try:
        said["broker"] = f"stomp://127.0.0.1:{between.port}"
        more = {f"STOMP_WSGI_{name.upper().replace('-', '_')}": str(value) for name, value in said.items()}
        options = [] if how == "environment" else [f"--{name}={value}" for name, value in said.items()]
        env = server.environment() | (more if how == "environment" else {})
        done = bench(*options, "--app", "shows:app", "--in-flight", 4, "--reactor", "mio", *QUICK, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
    finally:
        between.close()
    heads = [said.partition(b"\n\n")[0].split(b"\n") for said in between.said.values()]
    assert sorted(head[0] for head in heads) == [b"CONNECT", b"STOMP"], "a server, and the load"
    for head in heads:
        assert {b"login:guest", b"passcode:guest", b"host:/"} <= set(head), heads
    (subscribe,) = (said for said in between.said.values() if b"\ndestination:/queue/bench." in said.partition(b"SEND")[0])
    prefetch = {"rabbitmq": b"prefetch-count:", "artemis": b"consumer-window-size:"}.get(kind, b"activemq.prefetchSize:")
    assert prefetch in subscribe
    arguments = (tmp_path / "arguments").read_bytes()
    assert b"serve" in arguments and b"guest" not in arguments


def test_a_passcode_for_another_broker_is_in_nobodys_way():
    env = server.environment() | {"STOMP_WSGI_PASSCODE": "secret"}
    done = bench("--app", "hello", "--in-flight", 1, "--reactor", "mio", *QUICK, env=env)
    assert done.returncode == 0, done.stderr


def test_an_earlier_layout_is_named(kept, tmp_path):
    report = json.loads((kept[1] / "json").read_text())
    (tmp_path / "old").write_text(json.dumps(report | {"schema": report["schema"] - 1}))
    done = bench("--compare", tmp_path / "old", kept[1] / "json")
    assert done.returncode == 2 and "measure again" in done.stderr, done


def test_compare(kept, tmp_path):
    before = kept[1] / "json"
    report = json.loads(before.read_text())
    same = bench("--compare", before, before)
    assert same.returncode == 0, same.stderr
    for result in report["results"]:
        for figures in [result["median"], *result["rounds"]]:
            figures["throughput"] /= 2
    (tmp_path / "after").write_text(json.dumps(report))
    worse = bench("--compare", before, tmp_path / "after")
    assert worse.returncode == 1 and "became worse" in worse.stderr


@pytest.mark.parametrize(
    "options, code, said",
    [
        (["--app", "nothing"], 2, "one of hello"),
        (["--reactor", "fast"], 2, 'no reactor "fast"'),
        (["--rate", "0"], 2, "above 0"),
        (["--in-flight", "0"], 2, "from 1"),
        (["--destinations", "0"], 2, "1..=1000"),
        (["--destinations", "1001"], 2, "1..=1000"),
        (["--app", "no.such:app", *QUICK], 1, "no.such"),
        (["--compare", "/nowhere", "/nowhere"], 2, "/nowhere"),
        (["--json", "/nowhere/x", *QUICK], 1, "/nowhere/x"),
        (["--broker", "ssl://127.0.0.1:1", *QUICK], 1, "cannot connect to 127.0.0.1:1"),
        (["--broker", "failover:(stomp://127.0.0.1:1,stomp://127.0.0.1:2)", *QUICK], 2, "name one of them"),
        (["--login", "me", *QUICK], 2, "--broker URI"),
        (["--vhost", "shop", *QUICK], 2, "--broker URI"),
        (["--dialect", "rabbitmq", *QUICK], 2, "--broker URI"),
        (["--tls-insecure", *QUICK], 2, "--broker URI"),
    ],
)
def test_what_is_wrong_is_said(options, code, said):
    done = bench(*options)
    assert done.returncode == code and said in done.stderr, done
