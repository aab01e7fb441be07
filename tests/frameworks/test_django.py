"""What is Django's own: the ORM, sessions, CSRF, hosts."""

from __future__ import annotations

import re

import pytest
from conftest import Served
from server import REACTORS
from web_client import FORM, Reply

pytestmark = pytest.mark.parametrize(
    "running", [("django", reactor) for reactor in REACTORS], indirect=True, ids="-".join
)


class Browser:
    """Keeps cookies, as a browser does whose requests a gateway passes on."""

    def __init__(self, served: Served) -> None:
        self.client = served.client
        self.cookies: dict[str, str] = {}

    def request(self, method: str, url: str, body: bytes = b"", **headers: str) -> Reply:
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = self.client.request(method, url, body, **headers)
        self.cookies |= dict(re.match("([^=]+)=([^;]*)", cookie).groups() for cookie in reply.cookies)
        return reply

    def token(self) -> str:
        return self.request("GET", "/token").json["token"]

    def post(self, url: str, body: str, **headers: str) -> Reply:
        return self.request("POST", url, body.encode(), content_type=FORM, **headers)


@pytest.fixture
def browser(served: Served) -> Browser:
    return Browser(served)


def test_the_database(client):
    before = len(client.get("/items").json["items"])
    made = client.post("/items", b"name=Bouilloire+%C3%A0+th%C3%A9&stock=3", FORM)
    assert made.status == 201
    item = f"/items/{made.json['id']}"
    assert client.post(f"{item}/sales", b"Ada", "text/plain").text == "sold"
    assert client.get(item).json == {"name": "Bouilloire à thé", "stock": 2, "sold": 1}
    assert len(client.get("/items").json["items"]) == before + 1
    assert client.get("/items/999999").status == 404


def test_a_session_is_kept(browser):
    assert browser.request("GET", "/whoami").headers["location"] == "/login?next=/whoami"
    reply = browser.post("/login", f"username=ada&password=lovelace&csrfmiddlewaretoken={browser.token()}")
    assert (reply.status, reply.headers["location"]) == (302, "/whoami")
    assert [browser.request("GET", "/whoami").json for _ in range(3)] == [
        {"user": "ada", "visits": visits} for visits in (1, 2, 3)
    ]


def test_a_wrong_password(browser):
    assert browser.post("/login", "username=ada&password=byron").status == 403
    assert "sessionid" not in browser.cookies


def test_what_a_browser_sends_needs_a_token(browser, served):
    token = browser.token()
    assert browser.post("/form", "a=1").status == 403
    assert browser.post("/form", f"a=1&csrfmiddlewaretoken={token}").status == 200
    assert browser.post("/form", "a=1", X_CSRFToken=token).json == {"a": ["1"]}
    assert browser.post("/form", "a=1", X_CSRFToken=token[::-1]).status == 403
    # A page of another site has neither, even where there are no cookies.
    assert served.client.post("/form", b"a=1", FORM, Origin="https://elsewhere.example").status == 403
    assert served.client.post("/form", b"a=1", FORM, Referer="https://elsewhere.example/").status == 403


def test_what_a_program_sends_needs_none(client):
    assert client.post("/form", b"a=1", FORM).json == {"a": ["1"]}
    assert client.request("DELETE", "/form").status == 405, "the view has its say"


def test_notify_needs_none(browser, served):
    browser.token()
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    served.client.notify("/events/paid", b"with cookies", Cookie=cookies, Origin="https://elsewhere.example")
    served.wait_recorded("events", "paid: with cookies")


def test_hosts(client):
    assert client.get("/hello/World", Host="shop.example").status == 200
    assert client.get("/hello/World", Host="other.example").status == 400
