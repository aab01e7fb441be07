"""Callers as JVM teams write them: JMSContext, Spring, Spring Boot and Camel, on the brokers that JMS has clients of.

docs/calling.md shows their code.
"""

from __future__ import annotations

import json
import os
import random
import re
import textwrap
import time

import jms
import jvm
import pytest
import server

on_both = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in ("activemq", "artemis")]
)
every_way = pytest.mark.parametrize("by", jvm.WAYS)
EMOJI = "gr\u00fc\u00df dich \U0001f600"


@pytest.fixture(scope="module")
def classes(scratch):
    jvm.need()
    return jvm.compile_callers(scratch)


@pytest.fixture(scope="module")
def running(classes, shared_brokers):
    """The JVM beside a broker, with the client of its own or another."""
    made: dict[tuple[str, str], jvm.JvmCallers] = {}

    def get(kind: str, client: str) -> jvm.JvmCallers:
        if (kind, client) not in made:
            made[kind, client] = jvm.JvmCallers(shared_brokers(kind), classes, client)
        return made[kind, client]

    yield get
    for one in made.values():
        one.close()


@pytest.fixture
def callers(kind, running) -> jvm.JvmCallers:
    return running(kind, kind)


@pytest.fixture(scope="module")
def services(scratch, shared_brokers):
    """A server on a queue of its own, for all tests that ask no more of it."""
    made: dict[str, server.Server] = {}

    def get(kind: str) -> server.Server:
        if kind not in made:
            directory = scratch / f"jvm-{kind}"
            directory.mkdir()
            queue = f"/queue/jvm.{kind}.{os.getpid()}"
            made[kind] = server.Server(directory, shared_brokers(kind).port, "thread-pool", queue)
            made[kind].start().wait_ready()
        return made[kind]

    yield get
    for one in made.values():
        one.kill()


@pytest.fixture
def service(kind, services) -> str:
    """Its queue."""
    return services(kind).destination


def status(reply: dict) -> str:
    return reply["properties"]["http_statusCode"]


# What is sent, and what comes back.


@on_both
@every_way
def test_text_is_answered_by_text(by, callers, service):
    reply = callers.call(by, service, "POST", "/echo/x", text=EMOJI)
    assert (reply["type"], reply["text"], status(reply)) == ("text", f"x:{EMOJI}", "200")
    # Spring makes of it what its MessageHeaders have.
    names = {"client": "contentType", "boot": "contentType"}
    properties = reply["properties"]
    assert properties[names.get(by, "content_type")] == "text/plain; charset=utf-8", properties
    assert (properties["http_reasonPhrase"], properties["http_isError"]) == ("OK", "false")


@on_both
@every_way
def test_bytes_are_answered_by_bytes(by, callers, service):
    octets = "00ff80" + EMOJI.encode().hex()
    reply = callers.call(by, service, "POST", "/plain", kind="bytes", hex=octets)
    assert (reply["type"], reply["hex"], status(reply)) == ("bytes", octets, "200")
    # Bytes that are text, too.
    assert callers.call(by, service, "POST", "/plain", kind="bytes", hex="6162")["type"] == "bytes"
    # What is no text comes as bytes, whatever it was asked by.
    reply = callers.call(by, service, "POST", "/binary", text="x")
    assert (reply["type"], reply["hex"]) == ("bytes", "fffe00")


@on_both
@every_way
def test_a_map_is_answered_415(by, kind, callers, services):
    one = services(kind)
    reply = callers.call(by, one.destination, "POST", f"/task/map-by-{by}", kind="map")
    assert (reply["type"], status(reply)) == ("text", "415")
    assert "MapMessage" in reply["text"] and f"map-by-{by}" not in one.records("begun")


@on_both
@every_way
def test_bodies_that_are_empty(by, callers, service):
    assert callers.call(by, service, "GET", "/ping", kind="empty")["text"] == "pong"
    assert status(callers.call(by, service, "POST", "/ping", kind="empty")) == "415"
    for name in ("Content_HYPHEN_Length", "Content_LENGTH"):
        reply = callers.call(by, service, "POST", "/ping", kind="empty", properties={name: "0"})
        assert reply["text"] == "pong"
    reply = callers.call(by, service, "POST", "/plain", kind="empty", properties={"Content_HYPHEN_Length": "0"})
    assert (reply["type"], reply["text"] or "", status(reply)) == ("text", "", "200")


@on_both
@pytest.mark.parametrize("by", ["context", "template", "camel"])
def test_an_empty_bytes_message(by, kind, callers, services):
    """ActiveMQ says that it has no octets. To Artemis it is a message without a body, as a MapMessage is."""
    reply = callers.call(by, services(kind).destination, "POST", "/plain", kind="bytes")
    if kind == "activemq":
        assert (reply["type"], reply["hex"], status(reply)) == ("bytes", "", "200")
    else:
        assert status(reply) == "415" and "Content_HYPHEN_Length=0" in reply["text"]


@on_both
@every_way
def test_headers_have_names_of_jms(by, callers, service):
    given = {"X_HYPHEN_Tenant": "acme", "Accept_HYPHEN_Language": "de", "content_type": "application/json", "n": 7}
    shown = json.loads(callers.call(by, service, "POST", "/show?a=1", text="{}", properties=given)["text"])
    assert (shown["HTTP_X_TENANT"], shown["HTTP_ACCEPT_LANGUAGE"], shown["HTTP_N"]) == ("acme", "de", "7")
    assert (shown["CONTENT_TYPE"], shown["QUERY_STRING"]) == ("application/json", "a=1")
    # Nothing of the broker's or of JMS is a header of HTTP.
    extra = {name for name in shown if name.startswith("HTTP_")} - {"HTTP_X_TENANT", "HTTP_ACCEPT_LANGUAGE", "HTTP_N"}
    # What Spring's and Camel's messages have of their own.
    assert extra <= {"HTTP_ID", "HTTP_TIMESTAMP"}, extra


@on_both
@every_way
def test_cookies(by, callers, service):
    properties = callers.call(by, service, "GET", "/cookies", kind="empty")["properties"]
    assert (properties["Set-Cookie"], properties["Set-Cookie_2"]) == ("a=1", "b=2")
    assert properties["Expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"


@on_both
@pytest.mark.parametrize("by", ["context", "camel"])
def test_reply_headers_with_names_of_jms(by, broker, callers, serve, queue):
    """Camel turns them back."""
    serve(broker, "thread-pool", options=("--reply-header-names", "camel"))
    properties = callers.call(by, queue, "GET", "/cookies", kind="empty")["properties"]
    assert properties[{"context": "Set_HYPHEN_Cookie", "camel": "Set-Cookie"}[by]] == "a=1"


@on_both
@pytest.mark.parametrize("by", ["context", "camel"])
def test_a_mebibyte(by, callers, service):
    octets = random.Random(7).randbytes(1 << 20)
    reply = callers.call(by, service, "POST", "/plain", kind="bytes", hex=octets.hex())
    assert reply["type"] == "bytes" and bytes.fromhex(reply["hex"]) == octets
    text = EMOJI * (1 << 16)
    reply = callers.call(by, service, "POST", "/echo/", text=text)
    assert reply["type"] == "text" and reply["text"] == f":{text}"


@on_both
@pytest.mark.parametrize("by", ["template", "client"])
def test_large_replies_to_spring(by, kind, callers, service):
    """Spring closes the consumer before it reads the reply. Artemis' client then has no more than the head of large bytes."""
    text = "x" * (1 << 20)
    assert callers.call(by, service, "POST", "/echo/", text=text)["text"] == f":{text}"
    octets = random.Random(7).randbytes(1 << 20).hex()
    if kind == "activemq":
        assert callers.call(by, service, "POST", "/plain", kind="bytes", hex=octets)["hex"] == octets
        return
    with pytest.raises(jvm.CallFailed, match="AMQ219023|MessageConversionException"):
        callers.call(by, service, "POST", "/plain", kind="bytes", hex=octets)
    octets = octets[: 180 << 10]
    assert callers.call(by, service, "POST", "/plain", kind="bytes", hex=octets)["hex"] == octets


# Which reply is whose.


@on_both
def test_the_reply_has_the_correlation_id_of_the_request(kind, callers, service):
    reply = callers.call("context", service, "GET", "/ping", kind="empty", correlationId="c:1 \u20ac")
    assert reply["correlationId"] == "c:1 \u20ac"
    # None: the reply has the id of the message.
    reply = callers.call("context", service, "GET", "/ping", kind="empty", correlationId="")
    assert reply["sent"].startswith("ID:")
    if kind == "activemq":
        assert reply["correlationId"] == reply["sent"]
    else:
        # No STOMP consumer of Artemis is told the JMSMessageID of its own client.
        assert reply["correlationId"] != reply["sent"]


@pytest.mark.artemis
def test_openwire_on_artemis(running, shared_brokers, serve, queue):
    serve(shared_brokers("artemis"), "thread-pool")
    callers = running("artemis", "activemq")
    reply = callers.call("context", queue, "POST", "/echo/x", text=EMOJI, correlationId="")
    assert (reply["type"], reply["text"]) == ("text", f"x:{EMOJI}")
    assert reply["correlationId"] == reply["sent"]
    reply = callers.call("context", queue, "POST", "/plain", kind="bytes", hex="00ff")
    assert (reply["type"], reply["hex"]) == ("bytes", "00ff")
    assert status(callers.call("context", queue, "POST", "/ping", kind="map")) == "415"
    reply = callers.call("context", queue, "POST", "/echo/x", text="y", replyTo=f"{queue[7:]}.replies")
    assert reply["text"] == "x:y"


FIXED = [("context", ""), ("camel", "Shared"), ("camel", "Exclusive")]


@on_both
@pytest.mark.parametrize(("by", "way"), FIXED)
def test_replies_to_a_queue_that_stays(by, way, broker, callers, service, queue):
    replies = f"{queue[7:]}.replies"
    for n in range(3):
        reply = callers.call(by, service, "POST", f"/echo/{n}", text=EMOJI, replyTo=replies, replyToType=way)
        assert (reply["type"], reply["text"], status(reply)) == ("text", f"{n}:{EMOJI}", "200")
    assert status(callers.call(by, service, "GET", "/nowhere", kind="empty", replyTo=replies, replyToType=way)) == "404"
    broker.wait_empty(f"/queue/{replies}")


@on_both
def test_a_reply_is_as_persistent_as_its_request(callers, service, queue):
    lasting = callers.call("context", service, "GET", "/ping", kind="empty", replyTo=f"{queue[7:]}.replies")
    temporary = callers.call("context", service, "GET", "/ping", kind="empty")
    assert (lasting["persistent"], temporary["persistent"]) == (True, False)


@on_both
@pytest.mark.parametrize(("by", "way"), [("context", None), ("client", None), ("camel", "Shared")])
def test_many_threads(by, way, callers, service, queue):
    """Each gets its own replies, all of them."""
    properties = {"http_requestMethod": "POST", "http_requestUrl": "/echo/x"}
    fixed = {"replyTo": f"{queue[7:]}.replies", "replyToType": way} if way else {}
    threads, calls = (64, 100) if by == "context" else (16, 25)
    counts = callers.run(by, "load", service, threads=threads, calls=calls, properties=properties, **fixed)
    assert counts == {"200": threads * calls}


# What goes wrong, and when.


@on_both
@every_way
def test_errors_are_replies(by, callers, service):
    for url, code in (("/nowhere", "404"), ("/boom", "500"), ("/status/503", "503")):
        reply = callers.call(by, service, "POST", url, text="x")
        assert (reply["type"], status(reply), reply["properties"]["http_isError"]) == ("text", code, "true")


@on_both
@pytest.mark.parametrize("by", ["context", "template", "camel"])
def test_what_takes_too_long_is_answered_504_or_503(by, broker, callers, serve, queue):
    # Not stuck so soon: then it would leave the broker, and the second request with it.
    options = ("--request-timeout", "0.4", "--threads", "1", "--stuck-after", "60")
    serve(broker, "thread-pool", options=options)
    assert status(callers.call(by, queue, "POST", "/task/slow?ms=9000", text="x")) == "504"
    # Its thread is still busy.
    assert status(callers.call(by, queue, "POST", "/task/next", text="x")) == "503"


@on_both
@every_way
def test_nobody_waits_longer_than_it_wants(by, kind, callers, services):
    one = services(kind)
    reply = callers.call(by, one.destination, "POST", f"/task/slow-{by}?ms=900", text="x", timeout=400)
    assert reply["type"] == "none"
    # The reply that came too late is no other call's.
    wait_for(lambda: f"slow-{by}" in one.records("done"), lambda: one.records("done"))
    assert callers.call(by, one.destination, "POST", "/echo/x", text="y")["text"] == "x:y"


@pytest.mark.artemis
def test_a_late_reply_makes_no_queue(running, services, shared_brokers):
    """Sent to a temporary queue that is gone, it would make an ordinary one of that name, were it said to be a queue's."""
    broker, one, callers = shared_brokers("artemis"), services("artemis"), running("artemis", "artemis")

    def queues() -> set[str]:
        return {name for name in broker.control("broker", "queueNames") if not name.startswith("control.")}

    callers.call("context", one.destination, "GET", "/ping", kind="empty")  # keeps its queue for replies
    before = queues()
    reply = callers.call("template", one.destination, "POST", "/task/late?ms=900", text="x", timeout=300)
    assert reply["type"] == "none"
    wait_for(lambda: "late" in one.records("done"), lambda: one.records("done"))
    callers.call("context", one.destination, "GET", "/ping", kind="empty")
    assert queues() <= before


@on_both
@pytest.mark.parametrize("by", ["context", "template", "client", "camel"])
def test_a_request_does_not_outlive_its_caller(by, broker, callers, serve, queue):
    one = serve(broker, "thread-pool", options=("--threads", "1"))
    callers.run("context", "send", queue, properties={"http_requestMethod": "NOTIFY", "http_requestUrl": "/task/first?ms=700"})
    reply = callers.call(by, queue, "POST", "/task/second", text="x", timeout=350, timeToLive=350)
    assert reply["type"] == "none"
    assert callers.call(by, queue, "POST", "/task/third", text="x", timeToLive=20_000)["text"] == "worked on third"
    assert one.records("begun") == ["first", "third"]
    if by == "context":
        reply = callers.call(by, queue, "POST", "/ping", text="x", timeToLive=20_000)
        assert 0 < reply["expires"] / 1000 - time.time() <= 20, "the reply lives as long as its request"


@on_both
def test_priorities(kind, broker, callers, directory, queue):
    """Artemis goes by them. ActiveMQ does where prioritizedMessages is set."""
    for name, priority in (("low", 1), ("high", 9)):
        properties = {"http_requestMethod": "NOTIFY", "http_requestUrl": f"/task/{name}"}
        callers.run("context", "send", queue, properties=properties, priority=priority)
    one = server.Server(directory, broker.port, "thread-pool", queue, options=("--threads", "1")).start()
    try:
        wait_for(lambda: len(one.records("done")) == 2, lambda: one.records("done"))
        assert one.records("done") == {"artemis": ["high", "low"], "activemq": ["low", "high"]}[kind]
    finally:
        one.kill()


# What nobody answers.


@on_both
@pytest.mark.parametrize("by", ["context", "template", "camel"])
def test_events_by_topic(by, broker, callers, serve, queue):
    topic = queue.replace("/queue/", "/topic/events.")
    one = serve(broker, "thread-pool", options=("--destination", topic))
    # The first is docs/calling.md's.
    for properties in ({"http_requestUrl": "/note/1"}, {"http_requestUrl": "/note/2", "http_requestMethod": "NOTIFY"}):
        callers.run(by, "send", topic, topic=True, text=EMOJI, properties=properties)
    one.wait_log("/note/2")
    wait_for(lambda: sorted(one.records("notes")) == [f"NOTIFY 1 {EMOJI}", f"NOTIFY 2 {EMOJI}"], lambda: one.records("notes"))


@on_both
@pytest.mark.parametrize("by", ["context", "template", "client", "camel"])
def test_requests_of_which_the_caller_wants_no_reply(by, broker, callers, serve, queue):
    one = serve(broker, "thread-pool")
    notify = {"http_requestMethod": "NOTIFY", "http_requestUrl": "/note/n"}
    callers.run(by, "send", queue, text="x", properties=notify)
    one_way = {"http_requestMethod": "POST", "http_requestUrl": "/note/p", "OnewayRequest": True}
    assert callers.run(by, "call", queue, text="y", properties=one_way, timeout=500)["type"] == "none"
    wait_for(lambda: sorted(one.records("notes")) == ["NOTIFY n x", "POST p y"], lambda: one.records("notes"))


@on_both
def test_a_server_may_take_some_methods_only(broker, callers, serve, queue):
    """By a selector, which goes by names that JMS allows."""
    reads = f"{queue}?selector=http_requestMethod='GET'"
    writes = f"{queue}?selector=http_requestMethod='POST'"
    reader = serve(broker, "thread-pool", options=("--destination", reads, "--threads", "2"), destination=f"{queue}.r")
    # Another reactor, for a log of its own.
    writer = serve(broker, "tokio", options=("--destination", writes, "--threads", "2"), destination=f"{queue}.w")
    for method in ("GET", "POST", "POST", "GET"):
        assert callers.call("context", queue, method, "/status/201", text="x")["text"] == "as you say: 201"
    assert callers.call("context", queue, "PUT", "/ping", text="x", timeout=500)["type"] == "none"
    for one, method in ((reader, "GET"), (writer, "POST")):
        log = one.log.read_text()
        assert log.count("path=/status/201") == log.count(f"method={method} path=/status/201") == 2, log


def wait_for(done, what, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@on_both
def test_headers_of_camel_do_not_leave_it(callers, service):
    """Camel 4.9 and later drop them at the border of JMS, so that our names have to be used."""
    properties = {"CamelHttpMethod": "PUT", "CamelHttpUri": "/elsewhere", "http_requestUrl": "/show"}
    shown = json.loads(callers.run("camel", "call", service, text="x", properties=properties)["text"])
    assert (shown["REQUEST_METHOD"], shown["PATH_INFO"]) == ("POST", "/show")


# What docs/calling.md shows.


@on_both
def test_the_code_that_the_documentation_shows(callers, service):
    for by, text in (("client", "x:"), ("camel", "x:"), ("boot", "boot:x")):
        assert callers.run(by, "call", service, text="x")["text"] == text, by
    assert callers.run("context", "call", service, text="/ping", properties={"get": True})["text"] == "pong"
    with pytest.raises(jvm.CallFailed, match="404 Not Found"):
        callers.run("context", "call", service, text="/nowhere", properties={"get": True})
    # /orders is no URL of the probe.
    with pytest.raises(jvm.CallFailed, match="404"):
        callers.run("template", "call", service, text="{}")


REGION = re.compile(r"^ *// docs: \S+\n(.*?)^ *// end$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```java\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_documentation_shows_what_is_run_here():
    """Each block of Java is a region of the sources, word for word, and no region is left out."""
    sources = [path.read_text() for path in (*jvm.SOURCES, jms.SOURCE)]
    regions = [textwrap.dedent(region) for source in sources for region in REGION.findall(source)]
    blocks = SHOWN.findall((jvm.ROOT / "docs" / "calling.md").read_text())
    assert len(blocks) >= 8
    assert sorted(blocks) == sorted(regions)


def test_the_documentation_names_the_versions_that_are_run_here():
    page = (jvm.ROOT / "docs" / "calling.md").read_text()
    pom = (jvm.ROOT / "tests" / "jvm" / "callers" / "pom.xml").read_text()
    for artifact, name in (("spring-boot-dependencies", "Spring Boot"), ("camel-jms", "Camel"), ("pooled-jms", "pooled-jms")):
        version = re.search(rf"<artifactId>{artifact}</artifactId><version>([\d.]+)<", pom)[1]
        assert f"{name} {version}" in page, name
