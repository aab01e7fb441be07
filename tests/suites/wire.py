"""A WSGI callable that is somewhere else: calls go out as STOMP requests, and come back by the server.

`Wire.to(app)` stands where a test calls `app(environ, start_response)`. It makes a request of the environ,
as a client of HTTP would have to, sends it to the broker, and waits for the reply. `Wire.app` is what the
server serves: it finds the application that was meant, by the correlation id, and calls it with the
server's environ. So everything has travelled but the application itself.
"""

from __future__ import annotations

import http.client
import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, unquote_to_bytes

from job import Job
from stomp_client import Frame, Requester

Environ = dict[str, object]
App = Callable[..., Iterable[bytes]]
Headers = list[tuple[str, str]]

MODES = ("property", "structured")
#: What a target is made of already; anything else is percent-encoded, as a client does with what it is given.
SAFE = "!#$%&'()*+,/:;=?@[]~"
#: Headers of a reply that are STOMP's or metadata. HTTP's come in Train-Case, except for the type.
METADATA = re.compile(r"[a-z_][a-z-]*|http_\w+|JMS\w+")
#: What a deployment knows and no message says. A test's own value travels in a header, and is put in place
#: in front of the application, as middleware does with what a proxy says.
DEPLOYMENT = {
    "REMOTE_ADDR": "Suite-Remote-Addr",
    "wsgi.url_scheme": "Suite-Url-Scheme",
    "SCRIPT_NAME": "Suite-Script-Name",
}


class NoReply(Exception):
    """The request was sent, and nothing came back in time."""


class Request:
    """What of an environ is the request: method, target, headers and body. The rest cannot travel."""

    def __init__(self, environ: Environ) -> None:
        self.method = str(environ["REQUEST_METHOD"])
        self.target = target(environ)
        self.body = body(environ)
        self.headers = [
            (name[5:].replace("_", "-").title(), str(value))
            for name, value in environ.items()
            if name.startswith("HTTP_") and name != "HTTP_"
        ]
        if environ.get("CONTENT_TYPE"):
            self.headers.append(("Content-Type", str(environ["CONTENT_TYPE"])))
        self.headers += [(name, str(environ[key])) for key, name in DEPLOYMENT.items() if environ.get(key)]


def deployed(app: App) -> App:
    """`app` with the environ that the test's deployment would have."""

    def call(environ: Environ, start_response: Callable) -> Iterable[bytes]:
        for key, name in DEPLOYMENT.items():
            value = environ.pop("HTTP_" + name.replace("-", "_").upper(), None)
            if value is not None:
                environ[key] = value
                if key == "SCRIPT_NAME":
                    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(value)
        return app(environ, start_response)

    return call


class Called:
    """An application under way: what it raises is kept for the test, which shares a process with it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.raised: BaseException | None = None

    def __call__(self, environ: Environ, start_response: Callable) -> Iterable[bytes]:
        try:
            result = deployed(self._app)(environ, start_response)
        except BaseException as error:
            self.raised = error
            raise
        # A list raises nothing any more, and the server may look at its type.
        return result if isinstance(result, (list, tuple)) else Watched(result, self)


class Watched:
    """What an application returned: what it raises is kept, too."""

    def __init__(self, result: Iterable[bytes], called: Called) -> None:
        self._result, self._called, self._blocks = result, called, None

    def __iter__(self) -> Watched:
        return self

    def __next__(self) -> bytes:
        try:
            if self._blocks is None:
                self._blocks = iter(self._result)
            return next(self._blocks)
        except StopIteration:
            raise
        except BaseException as error:
            self._called.raised = error
            raise

    def close(self) -> None:
        # By then the answer is given: an error is the server's to report, not the caller's.
        if hasattr(self._result, "close"):
            self._result.close()


def target(environ: Environ) -> str:
    """Path and query; the path as the test wrote it, where the environ still knows."""
    path = str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))
    raw = str(environ.get("RAW_URI", "")).partition("?")[0]
    if unquote_to_bytes(raw.encode("latin-1")) != path.encode("latin-1"):
        raw = quote(path, safe=SAFE.replace("%", "").replace("?", "").replace("#", ""), encoding="latin-1")
    query = str(environ.get("QUERY_STRING", ""))
    whole = f"{raw}?{query}" if query else raw
    return quote(whole, safe=SAFE, encoding="latin-1").replace("#", "%23")


def body(environ: Environ) -> bytes:
    """The whole body. A test's stream is left as it was, for a redirect that sends it again."""
    stream: io.BufferedIOBase = environ["wsgi.input"]
    start = stream.tell() if stream.seekable() else None
    data = stream.read()
    if start is not None:
        stream.seek(start)
    length = str(environ.get("CONTENT_LENGTH", ""))
    return data[: int(length)] if length.isdecimal() else data


def text_of(value: str) -> str:
    """A value of an environ, which is bytes as latin-1, as the text of a STOMP header, which is UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


class Wire:
    """To a queue and back."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ask = {"property": self._by_properties, "structured": self._structured}[job.mode]
        self._called: dict[str, Called] = {}
        #: Requests so far.
        self.sent = 0
        self._thread = threading.local()

    def app(self, environ: Environ, start_response: Callable) -> Iterable[bytes]:
        """The server's end."""
        return self._called[environ["stomp.correlation_id"]](environ, start_response)

    def to(self, app: App) -> App:
        """The tests' end."""

        def call(environ: Environ, start_response: Callable) -> Iterable[bytes]:
            called = Called(app)
            status, headers, body = self._ask(called, Request(environ))
            if called.raised:
                # The server has to have answered, and so; only then is the test given what it waits for.
                assert status.startswith("500 "), f"answered {status}, though it raised {called.raised!r}"
                if self._job.reraise:
                    raise called.raised
            start_response(status, headers)
            return [body] if body else []

        return call

    def wait_ready(self) -> None:
        """A first request waits in its queue until the server is there."""

        def ready(environ: Environ, start_response: Callable) -> Iterable[bytes]:
            start_response("204 No Content", [])
            return []

        environ: Environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
        self.to(ready)(environ, lambda status, headers: None)
        self.sent = 0

    def _exchange(self, called: Called, request: Request, headers: dict[str, str], body: bytes) -> Frame:
        """A message there, a message back. Each thread has a connection of its own: a view may call a view."""
        requester = getattr(self._thread, "requester", None)
        if requester is None:
            requester = self._thread.requester = Requester("127.0.0.1", self._job.port, self._job.destination)
        cid = requester.next_id()
        headers |= {"destination": self._job.destination, "reply-to": requester.reply_to, "correlation-id": cid}
        headers["content-length"] = str(len(body))
        self._called[cid] = called
        try:
            requester.send(Frame("SEND", headers, body))
            self.sent += 1
            reply = requester.receive(self._job.timeout)
            assert reply.command == "MESSAGE", f"{reply.command} {reply.headers} {reply.body[:500]!r}"
            assert reply.headers.get("correlation-id") == cid, (reply.headers, cid)
            return reply
        except BaseException as error:
            # A reply that comes yet must not be the next request's.
            del self._thread.requester
            requester.close()
            if isinstance(error, TimeoutError):
                late = f"no reply within {self._job.timeout:g} s"
                raise NoReply(f"{request.method} {request.target}: {late}") from error
            raise
        finally:
            del self._called[cid]

    def _by_properties(self, called: Called, request: Request) -> tuple[str, Headers, bytes]:
        """Method, target and headers are the message's headers."""
        headers = {name: text_of(value) for name, value in request.headers}
        if "Content-Type" in headers:
            headers["content-type"] = headers.pop("Content-Type")
        headers |= {"http_requestMethod": request.method, "http_requestUrl": request.target}
        reply = self._exchange(called, request, headers, request.body)
        status = f"{reply.headers['http_statusCode']} {reply.headers.get('http_reasonPhrase', '')}"
        return status, list(self._headers(reply, request.method)), reply.body

    def _headers(self, reply: Frame, method: str) -> Iterator[tuple[str, str]]:
        """The response's headers, with undone what the message did to them."""
        for name, value in reply.headers.items():
            if name == "content-type":
                yield "Content-Type", value
            elif name.startswith("Set-Cookie_"):
                yield "Set-Cookie", value
            elif name in self._job.lists:
                yield from ((name, one) for one in value.split(", "))
            elif not METADATA.fullmatch(name):
                yield name, value
        if method != "HEAD" and reply.headers["http_statusCode"] not in ("204", "304"):
            # The message says how long its body is, which is all that is known.
            yield "Content-Length", str(len(reply.body))

    def _structured(self, called: Called, request: Request) -> tuple[str, Headers, bytes]:
        """The message's body is the whole request, and the reply's the whole response."""
        lines = [f"{request.method} {request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        body = request.body
        if ("Transfer-Encoding", "chunked") in request.headers:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif body:
            lines.append(f"Content-Length: {len(body)}")
        whole = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        reply = self._exchange(called, request, {"content-type": "application/http; msgtype=request"}, whole)
        assert reply.headers.get("content-type", "").startswith("application/http"), reply.headers
        response = http.client.HTTPResponse(Readable(reply.body), method=request.method)
        response.begin()
        return f"{response.status} {response.reason}", response.getheaders(), response.read()


class Readable:
    """As much of a socket as `http.client` wants."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)
