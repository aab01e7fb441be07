"""What the tests of frameworks say and hear, in terms of HTTP rather than of frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stomp_client import Frame, Request, Requester


@dataclass(frozen=True)
class Reply:
    status: int
    #: Names in lower case; Set-Cookie is in `cookies`.
    headers: dict[str, str]
    #: The values of Set-Cookie, in order.
    cookies: list[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        assert self.headers["content-type"].startswith("application/json"), self
        return json.loads(self.body)

    @classmethod
    def of(cls, frame: Frame) -> Reply:
        headers, cookies = {}, []
        for name, value in frame.headers.items():
            if re.fullmatch(r"Set-Cookie(_\d+)?", name):
                cookies.append(value)
            elif name != "content-length":  # the frame's; HTTP's is spelled Content-Length
                headers[name.lower()] = value
        return cls(int(headers["http_statuscode"]), headers, cookies, frame.body)


class Client:
    """Sends requests over STOMP, without a memory for cookies."""

    def __init__(self, requester: Requester) -> None:
        self.requester = requester

    def request(self, method: str, url: str, body: bytes = b"", **headers: str) -> Reply:
        """A header's name is written with underscores: `content_type`, `Cookie`, `X_Forwarded_For`."""
        return Reply.of(self.requester.request(method, url, body, _names(headers)))

    def get(self, url: str, **headers: str) -> Reply:
        return self.request("GET", url, **headers)

    def post(self, url: str, body: bytes, content_type: str, **headers: str) -> Reply:
        return self.request("POST", url, body, content_type=content_type, **headers)

    def stream(self, url: str) -> Iterator[Frame]:
        """The blocks of a streamed reply as they come, to the last."""
        for frame in self.requester.stream("GET", url, headers={"http_acceptStream": "true"}):
            yield frame
            if frame.headers["http_moreContent"] == "false":
                return

    def notify(self, url: str, body: bytes = b"", **headers: str) -> None:
        """A message that nobody answers; the broker has it when this returns."""
        frame = self.requester.frame(Request("NOTIFY", url, body, _names(headers)), "none")
        del frame.headers["reply-to"], frame.headers["correlation-id"]
        self.requester.confirmed(frame)


def _names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def multipart(fields: dict[str, str], filename: str, file: bytes) -> tuple[bytes, str]:
    """A body, and its content type; the file's field is `file`."""
    boundary = "a-boundary-that-is-in-no-part"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
    parts += [head.encode(), b"Content-Type: image/png\r\n\r\n", file, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
