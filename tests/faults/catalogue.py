"""The faults, each with why something may come twice and how soon all has to be well again."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import brokers
from relay import NoisyRelay
from run import Fault, Run
from stomp_client import Connection, Frame, Request
from tls_peer import HARMS, LATE, TlsPeer

FAULTS: dict[str, Fault] = {}
#: How often the same harm is done in a run, and when.
SHARES = (0.1, 0.25, 0.4, 0.55, 0.7)
IN_HAND = "what the server had in hand and had not acknowledged is delivered again"
UNCONFIRMED = "what was not acknowledged, or whose ACK the broker had not stored, is delivered again"


def fault(name: str, **properties: object) -> Callable[[Callable[..., Iterator[None]]], Callable[..., Iterator[None]]]:
    def register(play: Callable[..., Iterator[None]]) -> Callable[..., Iterator[None]]:
        FAULTS[name] = Fault(name, play, **properties)
        return play

    return register


# The server dies, at each point of a request's life.


def killed_once(run: Run, share: float, command: str, passes: float) -> Iterator[None]:
    yield from run.answered(share)
    run.relay.strike_at(command, passes, run.server.process.kill)
    yield from run.until(run.relay.struck.is_set, 20, f"a {command} came by")
    run.over()
    run.server.kill()
    run.server.start()


def killed_at(command: str, passes: bool, run: Run) -> Iterator[None]:
    for share in SHARES:
        yield from killed_once(run, share, command, passes)


TRANSACTIONAL = ("--delivery", "transactional")
#: The frame at which the server dies, whether that frame still passes, and how the server was started.
POINTS = {
    "before the app": ("MESSAGE", False, ()),
    "after the reply left it": ("SEND", False, ()),
    "after the broker had the reply": ("SEND", True, ()),
    "before the RECEIPT": ("RECEIPT", False, ()),
    "after the RECEIPT": ("ACK", False, ()),
    "after the ACK": ("ACK", True, ()),
    "before the COMMIT": ("COMMIT", False, TRANSACTIONAL),
    "after the COMMIT": ("COMMIT", True, TRANSACTIONAL),
}
for point, (command, passes, options) in POINTS.items():
    play = functools.partial(killed_at, command, passes)
    # Where an ACK does not depend on the reply in its transaction, the server uses none.
    kinds = ("activemq",) if options is TRANSACTIONAL else Fault.kinds
    FAULTS[f"server killed {point}"] = Fault(
        f"server killed {point}", play, bound=5, twice=IN_HAND, kinds=kinds, options=options
    )


@fault("server killed in the app", bound=5, twice=IN_HAND, dies=lambda run, n: n in [int(s * run.requests) for s in SHARES])
def killed_in_the_app(run: Run) -> Iterator[None]:
    for _ in SHARES:
        yield from run.until(lambda: not run.server.running, 30, "the server died")
        run.over()
        run.server.kill()
        run.server.start()


# The server cannot log.


@fault("log unwritable", bound=2, piped=True)
def unwritable_log(run: Run) -> Iterator[None]:
    yield from run.answered(0.4)
    reader, writer = run.pipe
    run.expect(not select.select([], [writer], [], 0)[1], "the log did not fill its pipe")
    run.over()
    yield from run.answered(0.7)
    os.close(reader)
    run.over()
    run.expect(run.relay.connections == 1, f"{run.relay.connections} connections")


# The broker dies, or seems to.


# The longest delay between attempts to connect is 30 s; half of it, and more, is at random.
@fault("broker killed and restarted", bound=30, twice=UNCONFIRMED)
def broker_killed(run: Run) -> Iterator[None]:
    yield from run.answered(0.4)
    run.broker.kill()
    yield from run.pause(1)
    run.broker.launch()
    run.broker.wait_ready()
    run.over()


@fault("broker killed with replies unread", bound=30, twice=UNCONFIRMED, window=1000)
def replies_unread(run: Run) -> Iterator[None]:
    yield from run.answered(0.3)
    run.load.asleep = True
    yield from run.pause(1)
    run.broker.kill()
    run.load.close()  # nor was any of them on its way already
    run.load.asleep = False
    run.broker.launch()
    run.broker.wait_ready()
    run.over()


@fault("broker stopped, half-open", bound=5, twice=IN_HAND, options=("--heart-beat", "1000,1000"))
def half_open(run: Run) -> Iterator[None]:
    yield from run.answered(0.4)
    connections, begun = run.relay.connections, time.monotonic()
    run.broker.process.send_signal(signal.SIGSTOP)
    yield from run.until(lambda: run.relay.connections > connections, 6, "the server noticed the silence")
    run.note(f"noticed after {time.monotonic() - begun:.1f} s, with heart-beats of 1 s")
    yield from run.pause(1)
    run.broker.process.send_signal(signal.SIGCONT)
    run.over()


# The way between them is bad.


# Each connection that did not last makes the next attempt come later.
@fault("connection cut at arbitrary bytes", bound=8, twice=IN_HAND, relay=functools.partial(NoisyRelay, seed=1))
def cut(run: Run) -> Iterator[None]:
    for number in range(6):
        yield from run.answered(0.1 + number * 0.14)
        run.relay.until_cut = run.relay.random.randrange(1, 4000)
        yield from run.until(lambda: run.relay.cuts > number, 30, "the connection was cut")
        run.over()
    run.note(f"cut {run.relay.cuts} times")


@fault("bytes late and in pieces", bound=5, relay=functools.partial(NoisyRelay, seed=2))
def dribble(run: Run) -> Iterator[None]:
    yield from run.answered(0.1)
    run.relay.piece = 1
    yield from run.answered(0.4)
    run.relay.piece, run.relay.delay = 400, 0.004
    yield from run.answered(0.7)
    run.relay.piece, run.relay.delay = 64 * 1024, 0.0
    run.over()
    run.expect(run.relay.connections == 1, f"{run.relay.connections} connections")


@fault("misbehaving TLS peer", bound=5, twice=IN_HAND, relay=TlsPeer)
def misbehaving_tls(run: Run) -> Iterator[None]:
    for number, harm in enumerate(HARMS):
        yield from run.answered(0.05 + number * 0.06)
        run.relay.harms.append(harm)
        if harm not in LATE:
            run.relay.cut()
        yield from run.until(lambda: run.relay.done > number, 20, f"the server hung up after {harm}")
        run.over()


# Two brokers, of which one fails.


def fail_over(run: Run, fail: Callable[[brokers.Broker], None], mend: Callable[[brokers.Broker], None]) -> Iterator[None]:
    first, second = run.brokers
    load = run.load
    load.limit = run.requests * 3 // 4
    yield from run.answered(0.25)
    fail(first)
    load.current = 1
    load.window += load.waiting()  # what the first has keeps none from the second
    run.over()
    left = load.waiting()
    yield from run.until(lambda: len(load.sent_at) == load.limit and load.waiting() <= left, 30, "the second serves")
    yield from run.pause(0.5)
    run.note(f"{load.waiting()} requests waited in the first until it was back")
    mend(first)
    yield from run.until(lambda: not load.unconfirmed, 30, "the first takes what it had not confirmed")
    second.kill()
    load.current, load.limit = 0, run.requests
    run.over()
    yield from run.answered(1)
    second.launch()
    second.wait_ready()


def restart(broker: brokers.Broker) -> None:
    broker.launch()
    broker.wait_ready()


@fault("failover, the broker in use killed", bound=2, twice=UNCONFIRMED, brokers=2)
def failover_killed(run: Run) -> Iterator[None]:
    return fail_over(run, brokers.Broker.kill, restart)


def halt(broker: brokers.Broker) -> None:
    broker.process.send_signal(signal.SIGSTOP)


def go_on(broker: brokers.Broker) -> None:
    broker.process.send_signal(signal.SIGCONT)


@fault(
    "failover, the broker in use half-open",
    bound=6,
    twice=IN_HAND + "; so is what the second broker had, when it is killed",
    brokers=2,
    options=("--heart-beat", "1000,1000"),
)
def failover_half_open(run: Run) -> Iterator[None]:
    return fail_over(run, halt, go_on)


# Requesters that misbehave.


# A thousand wait in line by then, and are served first.
@fault("replies read slowly", bound=5, window=1000, body=b"x" * 1024)
def slow_requester(run: Run) -> Iterator[None]:
    yield from run.answered(0.3)
    run.load.asleep = True
    yield from run.pause(3)
    run.load.asleep = False
    run.over()
    run.expect(run.relay.connections == 1, f"{run.relay.connections} connections")


@fault("requesters vanish", bound=2)
def vanished(run: Run) -> Iterator[None]:
    for number in range(20):
        yield from run.answered(0.05 + number * 0.04)
        with run.server.requester() as leaving:
            for _ in range(5):
                leaving.send(leaving.frame(Request("GET", "/vanished?ms=20"), leaving.next_id()))
    run.over()
    run.expect(run.relay.connections == 1, f"{run.relay.connections} connections")


# The broker takes no more.


@fault("broker takes no replies", bound=3, kinds=("activemq",), window=400, body=b"x" * 1024, replies="/queue/tight.")
def flow_controlled(run: Run) -> Iterator[None]:
    yield from run.answered(0.3)
    run.load.asleep = True
    yield from run.pause(2)
    handled = len(run.server.records("done"))
    yield from run.pause(3)
    run.expect(len(run.server.records("done")) < handled + 30, "the broker did not make it wait")
    run.load.asleep = False
    run.over()


def blocked(run: Run, setting: str, tight: str, usual: str) -> Iterator[None]:
    """RabbitMQ reads no more from who has published, so that not even ACKs get through."""
    yield from run.answered(0.3)
    run.broker.control(setting, *tight.split())
    answered = -1
    while answered != len(run.load.answers):
        answered = len(run.load.answers)
        yield from run.pause(2)
    run.expect(answered < run.load.limit, "the broker did not block")
    run.broker.control(setting, *usual.split())
    run.over()


RABBITMQ = {"kinds": ("rabbitmq",), "bound": 5, "options": ("--heart-beat", "1000,1000")}


@fault("broker out of memory", **RABBITMQ)
def out_of_memory(run: Run) -> Iterator[None]:
    return blocked(run, "set_vm_memory_high_watermark", "0", "absolute 1GB")


@fault("broker out of disk", **RABBITMQ)
def out_of_disk(run: Run) -> Iterator[None]:
    return blocked(run, "set_disk_free_limit", "900000GB", "50MB")


class TightActiveMQ(brokers.ActiveMQ):
    """One with little room for `/queue/tight.>`, whose producers it makes wait."""

    def _configuration(self) -> str:
        tight = (
            '<policyEntry queue="tight.>" producerFlowControl="true" memoryLimit="64kb">'
            "<pendingQueuePolicy><vmQueueCursor/></pendingQueuePolicy></policyEntry>"
        )
        configuration, before = super()._configuration(), "<policyEntries>"
        assert before in configuration
        return configuration.replace(before, before + tight)


class StrictActiveMQ(TightActiveMQ):
    """One that refuses what it has no room for, and everything that is sent to `/queue/forbidden.>`."""

    def _configuration(self) -> str:
        everyone = 'read="users,anonymous" admin="users,anonymous"'
        names = ("faults.>", "replies.>", "tight.>", "DLQ.>")
        entries = [f'<authorizationEntry queue="{name}" write="users,anonymous" {everyone}/>' for name in names]
        entries.append(f'<authorizationEntry queue="forbidden.>" write="admins" {everyone}/>')
        entries.append(f'<authorizationEntry topic=">" write="users,anonymous" {everyone}/>')
        temporary = f'<tempDestinationAuthorizationEntry write="users,anonymous" {everyone}/>'
        acl = (
            "<authorizationPlugin><map><authorizationMap>"
            f"<authorizationEntries>{''.join(entries)}</authorizationEntries>"
            f"<tempDestinationAuthorizationEntry>{temporary}</tempDestinationAuthorizationEntry>"
            "</authorizationMap></map></authorizationPlugin>"
        )
        configuration = super()._configuration()
        for before, new in (
            ("</plugins>", f"{acl}</plugins>"),
            ("<systemUsage><systemUsage>", '<systemUsage><systemUsage sendFailIfNoSpace="true">'),
        ):
            assert before in configuration
            configuration = configuration.replace(before, new, 1)
        return configuration


#: Artemis has no configuration here in which it forbids something.
STRICT = {"variants": {"activemq": StrictActiveMQ}, "kinds": ("activemq", "rabbitmq")}


# A reply that is refused again and again is sent again after 10 s at the latest.
@fault("broker has no room", bound=12, window=400, body=b"x" * 1024, replies="/queue/tight.", **STRICT | {"kinds": ("activemq",)})
def no_room(run: Run) -> Iterator[None]:
    """The broker refuses replies while nobody reads them; all are sent in the end, and no request is worked on twice."""
    yield from run.answered(0.3)
    run.load.asleep = True
    yield from run.until(lambda: "a reply was refused" in run.server.log.read_text(), 20, "it refuses replies")
    yield from run.pause(3)
    run.load.asleep = False
    run.over()
    yield from run.answered(0.9)
    run.expect(run.relay.connections == 1, f"{run.relay.connections} connections")


REJECTED = "RabbitMQ ends the connection without an ERROR over what it rejects, and all in hand is delivered again"


# What was in hand then is served one by one.
@fault("broker has no room, queue limit", bound=15, kinds=("rabbitmq",), twice=REJECTED)
def rejected(run: Run) -> Iterator[None]:
    """A queue for replies is full, and nobody reads it; later there is room, and they all come."""
    full, count = f"{run.replies}.full", 5
    name = full.removeprefix("/queue/").replace(".", "[.]")
    definition = json.dumps({"max-length": 1, "overflow": "reject-publish"})
    run.broker.control("set_policy", "--apply-to", "queues", "tight", f"^{name}$", definition)
    yield from run.answered(0.3)
    connections = run.relay.connections
    with Connection("127.0.0.1", run.broker.port) as sender:
        sender.confirmed(Frame("SEND", {"destination": full}))
        for number in range(count):
            headers = {"destination": run.destination, "persistent": "true", "reply-to": full}
            headers |= {"http_requestMethod": "GET", "http_requestUrl": f"/full/{number}"}
            sender.confirmed(Frame("SEND", headers))
    yield from run.until(lambda: run.relay.connections > connections + 1, 20, "it rejects a reply, again and again")
    run.broker.control("clear_policy", "tight")
    run.over()
    yield from run.until(lambda: run.broker.depth(full) >= count + 1, 40, "all replies are there")


# Messages that cannot be served.


def drained(port: int, queue: str) -> int:
    """Takes all that is in a queue, and counts it."""
    with Connection("127.0.0.1", port) as reader:
        reader.confirmed(Frame("SUBSCRIBE", {"id": "drain", "destination": queue, "ack": "auto"}))
        count = 0
        while True:
            try:
                frame = reader.receive(1.0)
            except TimeoutError:
                return count
            assert frame.command == "MESSAGE", frame
            count += 1


def letters(run: Run) -> str:
    return f"/queue/DLQ.{run.destination.removeprefix('/amq').removeprefix('/queue/')}"


@fault("a poison message among good ones", bound=2, options=("--max-attempts", "3"))
def poison(run: Run) -> Iterator[None]:
    yield from run.answered(0.3)
    with Connection("127.0.0.1", run.broker.port) as sender:
        headers = {"destination": run.destination, "persistent": "true", "http_requestMethod": "NOTIFY"}
        sender.confirmed(Frame("SEND", headers | {"http_requestUrl": "/fail"}))
    run.over()
    yield from run.answered(0.9)
    yield from run.pause(4)  # its attempts are a second apart, and then two
    count = drained(run.broker.port, letters(run))
    run.expect(count == 1, f"{count} dead letters")
    run.expect(run.relay.connections == 1, f"{run.relay.connections} connections")


FORBIDDEN = "RabbitMQ ends the connection over a reply that it forbids, thrice, and all in hand is delivered again"


# Its last attempt may be followed by a delay as long as those before it.
@fault("a reply that the broker forbids", bound=8, kinds=("rabbitmq",), twice=FORBIDDEN)
def forbidden(run: Run) -> Iterator[None]:
    yield from run.answered(0.3)
    taken = f"{run.destination}.taken"
    brokers.declare(run.broker, taken, **{"x-queue-type": "quorum"})
    with Connection("127.0.0.1", run.broker.port) as sender:
        headers = {"destination": run.destination, "persistent": "true", "reply-to": taken}
        sender.confirmed(Frame("SEND", headers | {"http_requestMethod": "GET", "http_requestUrl": "/forbidden"}))
    yield from run.until(lambda: run.relay.connections == 4, 30, "it was tried three times")
    run.over()
    yield from run.answered(0.9)
    count = drained(run.broker.port, letters(run))
    run.expect(count == 1, f"{count} dead letters")


def killing(run: Run, times: int, done: Callable[[], object]) -> Iterator[None]:
    """One message ends each server that serves it, `times` at most. Each is followed by another, as by a supervisor."""
    yield from run.answered(0.3)
    with Connection("127.0.0.1", run.broker.port) as sender:
        headers = {"destination": run.destination, "persistent": "true", "http_requestMethod": "NOTIFY"}
        sender.confirmed(Frame("SEND", headers | {"http_requestUrl": f"/kill/k?times={times}"}))
    while not done():
        yield from run.until(lambda: not run.server.running or done(), 60, "the server died, or is rid of it")
        if run.server.running:
            break
        run.over()
        run.server.kill()
        run.server.start()


@fault("a message that kills, where the broker counts", bound=10, twice=IN_HAND, kinds=("rabbitmq",), quorum=True)
def killing_and_counted(run: Run) -> Iterator[None]:
    log = run.server.log
    yield from killing(run, 100, lambda: "not served: 5 servers" in log.read_text())
    yield from run.answered(0.9)
    deaths = len(list(run.directory.glob("died-k-*")))
    run.expect(deaths == 5, f"{deaths} servers died")
    count = drained(run.broker.port, letters(run))
    run.expect(count == 1, f"{count} dead letters")


@fault("a message that kills, where the broker has one bit", bound=10, twice=IN_HAND)
def killing_uncounted(run: Run) -> Iterator[None]:
    yield from killing(run, 7, (run.directory / "survived-k").exists)
    yield from run.answered(0.9)
    count = drained(run.broker.port, letters(run))
    run.expect(count == 0, f"{count} dead letters")


@contextmanager
def permissions(run: Run, kept: str | None = None) -> Iterator[None]:
    """Nobody may write to what is forbidden; what RabbitMQ's queue of requests refuses goes to `kept`."""
    if run.broker.kind == "rabbitmq":
        run.broker.control("set_permissions", "guest", "^(?!forbidden).*", ".*", ".*")
    if run.broker.kind == "rabbitmq" and kept:
        drained(run.broker.port, kept)  # which makes that queue
        name = run.destination.removeprefix("/queue/").replace(".", "[.]")
        definition = {"dead-letter-exchange": "", "dead-letter-routing-key": kept.removeprefix("/queue/")}
        run.broker.control("set_policy", "--apply-to", "queues", "kept", f"^{name}$", json.dumps(definition))
    try:
        yield
    finally:
        if run.broker.kind == "rabbitmq":
            run.broker.control("set_permissions", "guest", ".*", ".*", ".*")
        if run.broker.kind == "rabbitmq" and kept:
            run.broker.control("clear_policy", "kept")


# RabbitMQ's last attempt may be followed by a delay as long as those before it.
@fault("ACL forbids the reply queue", bound=8, twice=FORBIDDEN, **STRICT)
def forbidden_replies(run: Run) -> Iterator[None]:
    count = 20 if run.broker.kind == "activemq" else 1
    with permissions(run):
        yield from run.answered(0.3)
        with Connection("127.0.0.1", run.broker.port) as sender:
            for number in range(count):
                headers = {"destination": run.destination, "persistent": "true", "reply-to": "/queue/forbidden.r"}
                headers |= {"http_requestMethod": "GET", "http_requestUrl": f"/forbidden/{number}"}
                sender.confirmed(Frame("SEND", headers))
        if run.broker.kind == "rabbitmq":
            yield from run.until(lambda: run.relay.connections == 4, 30, "it was tried three times")
        run.over()
        yield from run.answered(0.9)
        yield from run.until(lambda: run.broker.depth(letters(run)) == count, 30, "all are dead-lettered")
    dead = drained(run.broker.port, letters(run))
    run.expect(dead == count, f"{dead} dead letters, of {count}")
    if run.broker.kind == "activemq":
        run.expect(run.relay.connections == 1, f"{run.relay.connections} connections")


ONCE = "RabbitMQ ends the connection over the first dead letter that it forbids, and all in hand is delivered again"


@fault(
    "ACL forbids the dead-letter queue",
    bound=8,
    twice=ONCE,
    options=("--dead-letter", "/queue/forbidden.{queue}"),
    **STRICT,
)
def forbidden_letters(run: Run) -> Iterator[None]:
    """The broker keeps all of them by itself, and requests do not wait."""
    count, kept = 200, letters(run)
    with permissions(run, kept):
        with Connection("127.0.0.1", run.broker.port) as sender:
            for batch in range(4):
                yield from run.answered(0.1 + batch * 0.2)
                for number in range(count // 4):
                    headers = {"destination": run.destination, "persistent": "true"}
                    headers |= {"http_requestMethod": "G E T", "http_requestUrl": f"/{batch}/{number}"}
                    sender.confirmed(Frame("SEND", headers))
        run.over()
        yield from run.answered(0.9)
        yield from run.until(lambda: run.broker.depth(kept) == count, 30, "the broker keeps all of them")
    dead = drained(run.broker.port, kept)
    run.expect(dead == count, f"{dead} dead letters, of {count}")
    most = 1 if run.broker.kind == "activemq" else 3
    run.expect(run.relay.connections <= most, f"{run.relay.connections} connections")


def malformed(run: Run, number: int) -> Frame:
    """No request, each in its own way; every second one with somebody who waits for an answer."""
    whole = {"content-type": "application/http; msgtype=request"}
    head, body = [
        ({"http_requestMethod": "G E T", "http_requestUrl": "/"}, b""),
        ({"http_requestMethod": "GET", "http_requestUrl": f"/a b\x01{number}"}, b""),
        ({"http_requestMethod": "GET\u20ac", "http_requestUrl": "/"}, b"\0\xff" * number),
        (whole, b"GET / HTTP/9.9\r\n\r\n"),
        (whole, b"\x16\x03\x01" + bytes(range(256))),
        (whole, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nshort"),
        (whole, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        (whole, b""),
    ][number // 2 % 8]
    head = head | {"destination": run.destination, "persistent": "true", "content-length": str(len(body))}
    if number % 2:
        head |= {"reply-to": f"{run.replies}.malformed", "correlation-id": f"malformed {number}"}
    return Frame("SEND", head, body)


@fault("1,000 malformed messages", bound=5)
def malformed_messages(run: Run) -> Iterator[None]:
    with Connection("127.0.0.1", run.broker.port) as sender:
        for batch in range(20):
            yield from run.answered(0.1 + batch * 0.04)
            for number in range(batch * 50, batch * 50 + 49):
                sender.send(malformed(run, number))
            sender.confirmed(malformed(run, batch * 50 + 49))
    yield from run.answered(0.9)
    run.over()
    yield from run.pause(0.5)
    refused, dead = drained(run.broker.port, f"{run.replies}.malformed"), drained(run.broker.port, letters(run))
    run.expect((refused, dead) == (500, 500), f"{refused} were refused and {dead} dead-lettered, of 500 each")
    run.expect(run.relay.connections == 1, f"{run.relay.connections} connections")


# More than the application can do.


def memory(run: Run) -> float:
    """MiB of the server that are in memory."""
    with open(f"/proc/{run.server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


FLOOD = {"times": 100, "window": 1_000_000, "work": 10, "body": b"x" * 1024}


@fault("a flood, with a slow application", bound=None, options=("--heart-beat", "1000,1000", "--threads", "32"), **FLOOD)
def flood(run: Run) -> Iterator[None]:
    begun, most = time.monotonic(), 0.0
    while len(run.load.answers) < run.load.limit:
        most = max(most, memory(run))
        yield from run.pause(0.1)
    silence = run.relay.longest_silence(begun, time.monotonic())
    run.note(f"at most {most:.0f} MiB of memory, and {silence:.2f} s without a byte from the server")
    run.expect(most < 150, f"{most:.0f} MiB of memory")
    # On mio no heart-beats are promised: the application runs where they would be sent.
    run.expect(silence < 1.5 or run.reactor == "mio", f"{silence:.1f} s without a heart-beat, one a second was promised")


# At the end, so that in `make test` each fault above keeps its broker and its reactor.


@fault("server killed around the ACK, quorum queue", bound=5, twice=IN_HAND, kinds=("rabbitmq",), quorum=True)
def killed_around_the_ack(run: Run) -> Iterator[None]:
    for share, passes in zip(SHARES, (0.5, 1, 0, 0.5, 1), strict=True):
        yield from killed_once(run, share, "ACK", passes)


#: What faults are played on.
KINDS = brokers.KINDS | {"activemq": TightActiveMQ}
