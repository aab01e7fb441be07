"""Plays a scenario on a broker, and writes down what the broker answered.

A scenario is text, one step a line:

    a CONNECT accept-version:1.1 -> 1           # a client sends a frame, and one frame comes back
    a SEND destination:/queue/Q receipt:1 | m -> 1 b1   # `| m`: the body; then one frame for a, and one for b
    a ACK id:{ack}                              # `{ack}` is that header of the last MESSAGE that this client received
    a ACK id:{b.ack}                            # or of another client's
    a RAW 'SEND\\ndestination:/queue/Q\\n\\nm\\0'   # octets, as Python writes them
    a CLOSE                                     # the client closes its socket
    a SLEEP 0.5

A client that does not begin by CONNECT connects as STOMP 1.2, which is not written down. `Q` is a name of the scenario's own,
wherever it stands alone. How many frames a step waits for says nothing about how many there are: what comes later is
written down where it comes, and the end of a scenario waits for more.
"""

from __future__ import annotations

import re
import select
import shlex
import socket
import time
from dataclasses import dataclass, field

import stomp_client
from broker import Broker

#: How long a step waits for the frames that it names.
PATIENCE = 5.0
#: How long the end of a scenario waits for frames that should not be there.
QUIET = 0.4

#: Values that each broker makes in its own way.
MADE = {"session", "ack", "message-id", "server", "timestamp"}
_NAME = r"(?<![A-Za-z0-9])Q(?![A-Za-z0-9_])"
#: Names that a broker gives to a queue of one connection.
_GENERATED = (
    (r"(/reply-queue/|/queue/)amq\.gen-[\w-]{22}", r"\1amq.gen-MADE"),
    (r"temp-queue://[\w:-]+", "temp-queue://MADE"),
    (r"MessageAck \{.*\}", "MessageAck {}"),
    (r"/remote-temp-queue/[\w:-]+", "/remote-temp-queue/MADE"),
    (r"(T_|Q_)(\S*?)@@\S+?@@(\d+)", r"\1\2@@SESSION@@\3"),
    (r"session-[A-Za-z0-9_-]{22}", "SESSION"),
)


@dataclass(frozen=True)
class Scenario:
    name: str
    text: str
    #: Whether the order of all headers of a MESSAGE counts, and not only that of headers of the same name.
    ordered: bool = False
    #: Why the development broker is known to answer otherwise.
    known: str | None = None
    #: Releases that answer otherwise than the one that is played, and why.
    differs: dict[str, str] = field(default_factory=dict)


def play(scenario: Scenario, broker: Broker, name: str, quiet: float = QUIET) -> list[str]:
    """What came of it. `name` is what `Q` stands for, `quiet` how long the end waits."""
    return Play(scenario, broker, name, quiet).run()


class Client:
    """A socket, and the frames that came from it: each with its headers as they were written."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.closed = False
        self.version = "1.2"
        self.message: dict[str, str] = {}

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            self.closed = True

    def poll(self, timeout: float) -> list[Received]:
        if self.closed or not select.select([self.socket], [], [], max(0.0, timeout))[0]:
            return []
        try:
            data = self.socket.recv(256 * 1024)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return []
        self._buffer += data
        return list(iter(self._frame, None))

    def _frame(self) -> Received | None:
        text = self._buffer.lstrip(b"\r\n")
        head, blank, rest = text.partition(b"\n\n")
        if not blank:
            return None
        command, *lines = head.decode().split("\n")
        code = (lambda text: text) if command == "CONNECTED" or self.version == "1.0" else stomp_client.unescape
        headers = [tuple(code(part) for part in line.partition(":")[::2]) for line in lines]
        # The last one is the broker's own where there are two (RabbitMQ).
        length = next((int(value) for name, value in reversed(headers) if name == "content-length"), rest.find(b"\0"))
        if length < 0 or len(rest) <= length:
            return None
        self._buffer = rest[length + 1 :]
        got = Received(command, headers, rest[:length].decode("utf-8", "replace"))
        if command == "CONNECTED":
            self.version = dict(headers).get("version", "1.0")
        if command == "MESSAGE":
            self.message = dict(reversed(headers))
            # Artemis' own is the last.
            self.message |= {name: value for name, value in headers if name == "ack"}
        return got


@dataclass
class Received:
    command: str
    headers: list[tuple[str, str]]
    body: str

    @staticmethod
    def properties_sorted(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Artemis has a sender's properties in the order of a hash table, behind `destination-type` and before its own last two."""
        names = [name for name, _ in headers]
        first = names.index("destination-type" if "destination-type" in names else "timestamp") + 1
        last = len(names)
        for own in ("content-length", "ack"):
            last -= last > first and names[last - 1] == own
        return headers[:first] + sorted(headers[first:last]) + headers[last:]

    def show(self, scenario: Scenario) -> list[str]:
        """As lines; what each broker makes in its own way is only named, unless a client made it up."""
        length = str(len(self.body.encode()))

        def shown(name: str, value: str) -> str:
            if name == "content-length" and self.command == "ERROR":
                # A name in the body is not as long on each broker.
                return "right" if value == length else value
            return "MADE" if name in MADE and f"{name}:{value}" not in scenario.text else value

        headers = [(name, shown(name, value)) for name, value in self.headers]
        if not (scenario.ordered and self.command == "MESSAGE"):
            headers.sort(key=lambda pair: pair[0])
        else:
            headers = self.properties_sorted(headers)
        # What ActiveMQ has below its first line is a stack trace.
        body = self.body.partition("\n\tat ")[0]
        return [self.command, *(f"  {name}:{value}" for name, value in headers), *(f"  | {line!r}" for line in [body] if line)]


class Play:
    def __init__(self, scenario: Scenario, broker: Broker, name: str, quiet: float) -> None:
        self.scenario, self.broker, self.name, self.quiet = scenario, broker, name, quiet
        self.clients: dict[str, Client] = {}
        self.lines: list[str] = []

    def run(self) -> list[str]:
        steps = [line.strip() for line in self.scenario.text.strip().splitlines() if line.strip()]
        try:
            for step in steps:
                self.step(step)
            self.lines.append("end")
            self.collect({}, self.quiet, until_end=True)
            for name, client in self.clients.items():
                self.lines.append(f"{name}: {'closed' if client.closed else 'open'}")
        finally:
            for client in self.clients.values():
                client.socket.close()
        return self.lines

    def step(self, step: str) -> None:
        self.lines.append(f"> {step}")
        step, _, wanted = step.partition(" -> ")
        who, command, *words = shlex.split(step)
        counts = {}
        for word in wanted.split():
            client, count = re.fullmatch(r"([a-z]*)(\d+)", word).groups()
            counts[client or who] = int(count)
        if command == "CLOSE":
            self.clients.pop(who).socket.close()
        elif command == "SLEEP":
            time.sleep(float(words[0]))
        else:
            client = self.client(who, command)
            client.send(self.encode(client, command, words))
        self.collect(counts, PATIENCE)

    def client(self, who: str, command: str) -> Client:
        if who not in self.clients:
            client = self.clients[who] = Client(self.broker.port)
            if command not in ("CONNECT", "STOMP", "RAW"):
                client.send(b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0")
                deadline = time.monotonic() + PATIENCE
                while not (frames := client.poll(deadline - time.monotonic())):
                    assert time.monotonic() < deadline and not client.closed, "no CONNECTED"
                assert frames[0].command == "CONNECTED", frames
        return self.clients[who]

    def encode(self, client: Client, command: str, words: list[str]) -> bytes:
        if command == "RAW":
            return self.fill(client, words[0], raw=True).encode().decode("unicode_escape").encode("latin-1")
        body = ""
        if "|" in words:
            at = words.index("|")
            words, body = words[:at], " ".join(words[at + 1 :])
        code = (lambda text: text) if command in ("CONNECT", "STOMP") or client.version == "1.0" else stomp_client.escape
        lines = [command]
        for word in words:
            name, _, value = word.partition(":")
            lines.append(f"{code(name)}:{code(self.fill(client, value))}")
        return ("\n".join(lines) + "\n\n" + body + "\0").encode()

    def fill(self, client: Client, text: str, raw: bool = False) -> str:
        def header(match: re.Match) -> str:
            who, name = match.groups()
            value = (self.clients[who[:-1]] if who else client).message.get(name, "NONE")
            return stomp_client.escape(value) if raw else value

        text = re.sub(_NAME, self.name, text)
        return re.sub(r"\{([a-z]+\.)?([a-z-]+)\}", header, text)

    def collect(self, counts: dict[str, int], timeout: float, until_end: bool = False) -> None:
        """Waits for so many frames of each client, or the whole time for whatever comes."""
        found: dict[str, list[list[str]]] = {name: [] for name in self.clients}
        deadline = time.monotonic() + timeout
        while True:
            for name, client in self.clients.items():
                for frame in client.poll(0):
                    found[name].append(self.show(frame))
            missing = any(len(found.get(name, ())) < count and not self.clients[name].closed for name, count in counts.items())
            if not (missing or until_end) or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        for name in sorted(found):
            # A RECEIPT and a MESSAGE that one frame brought may come in either order.
            for lines in sorted(found[name], key=lambda lines: lines[0] != "RECEIPT"):
                self.lines += [f"{name}: {lines[0]}", *(f"   {line}" for line in lines[1:])]

    def show(self, frame: Received) -> list[str]:
        lines = frame.show(self.scenario)
        return [self.mask(line) for line in lines]

    def mask(self, line: str) -> str:
        line = line.replace(self.name, "Q")
        for made in {client.message.get(header) for client in self.clients.values() for header in ("ack", "message-id")}:
            if made and made not in self.scenario.text:
                line = line.replace(made, "MADE")
        for pattern, mask in _GENERATED:
            line = re.sub(pattern, mask, line)
        return line
