"""The contract without a framework: plain WSGI, standard library only."""

from __future__ import annotations

import hashlib
import json as jsonlib
import re
from collections.abc import Callable, Iterable
from email import message_from_bytes, policy
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

from backstage import DOWNLOAD, gated, record

Environ = dict[str, Any]
Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]
TEXT = ("Content-Type", "text/plain; charset=utf-8")


def app(environ: Environ, start_response: Callable) -> Iterable[bytes]:
    path = environ["PATH_INFO"].encode("latin-1").decode()
    method = {"HEAD": "GET"}.get(environ["REQUEST_METHOD"], environ["REQUEST_METHOD"])
    views = {verb: (view, found) for verb, pattern, view in ROUTES if (found := re.fullmatch(pattern, path))}
    if method in views:
        view, found = views[method]
        status, headers, body = view(environ, *found.groups())
    elif views:
        status, headers, body = text("no such method", "405 Method Not Allowed")
        headers.append(("Allow", ", ".join(views)))
    else:
        status, headers, body = text("nothing here", "404 Not Found")
    start_response(status, headers)
    return body


def text(body: str, status: str = "200 OK") -> Answer:
    data = body.encode()
    return status, [TEXT, ("Content-Length", str(len(data)))], [data]


def document(value: Any) -> Answer:
    return "200 OK", [("Content-Type", "application/json")], [jsonlib.dumps(value).encode()]


def body_of(environ: Environ) -> bytes:
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def hello(environ: Environ, name: str) -> Answer:
    return text(f"Hello, {name}!")


def query(environ: Environ) -> Answer:
    return document(parse_qs(environ["QUERY_STRING"]))


def form(environ: Environ) -> Answer:
    return document(parse_qs(body_of(environ).decode()))


def json(environ: Environ) -> Answer:
    try:
        return document({"got": jsonlib.loads(body_of(environ))})
    except ValueError:
        return text("no JSON", "400 Bad Request")


def upload(environ: Environ) -> Answer:
    head = f"Content-Type: {environ['CONTENT_TYPE']}\r\n\r\n".encode()
    parts = message_from_bytes(head + body_of(environ), policy=policy.HTTP).iter_parts()
    found = {part.get_param("name", header="content-disposition"): part for part in parts}
    file = found["file"]
    data = file.get_payload(decode=True)
    return document(
        {
            "note": found["note"].get_content(),
            "filename": file.get_filename(),
            "type": file.get_content_type(),
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    )


def cookies(environ: Environ) -> Answer:
    found = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    return document({name: morsel.value for name, morsel in found.items()})


def set_cookies(environ: Environ) -> Answer:
    status, headers, body = text("two cookies")
    headers += [("Set-Cookie", "flavour=oat; Max-Age=3600; Path=/"), ("Set-Cookie", "size=large; HttpOnly; Path=/")]
    return status, headers, body


def stream(environ: Environ, blocks: str) -> Answer:
    return "200 OK", [TEXT], gated(int(blocks))


def old(environ: Environ, name: str) -> Answer:
    return "302 Found", [TEXT, ("Location", f"http://localhost/hello/{quote(name)}")], [b"moved"]


def download(environ: Environ) -> Answer:
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", f"attachment; filename={DOWNLOAD.name}"),
        ("Content-Length", str(DOWNLOAD.stat().st_size)),
    ]
    return "200 OK", headers, environ["wsgi.file_wrapper"](DOWNLOAD.open("rb"), 64 * 1024)


def boom(environ: Environ) -> Answer:
    raise RuntimeError("the kettle is empty")


def event(environ: Environ, kind: str) -> Answer:
    record("events", f"{kind}: {body_of(environ).decode()}")
    return "204 No Content", [], []


def order(environ: Environ, number: str) -> Answer:
    return document({"order": int(number)})


def order_arrives(environ: Environ, number: str) -> Answer:
    record("events", f"order {number}")
    return "204 No Content", [], []


ROUTES = [
    ("GET", "/hello/([^/]+)", hello),
    ("GET", "/query", query),
    ("POST", "/form", form),
    ("POST", "/json", json),
    ("POST", "/upload", upload),
    ("GET", "/cookies", cookies),
    ("GET", "/cookies/set", set_cookies),
    ("GET", r"/stream/(\d+)", stream),
    ("GET", "/old/(.+)", old),
    ("GET", "/download", download),
    ("GET", "/boom", boom),
    ("NOTIFY", "/events/([^/]+)", event),
    ("GET", r"/orders/(\d+)", order),
    ("NOTIFY", r"/orders/(\d+)", order_arrives),
]
