"""Applications within standard middleware, as the documentation of each says."""

from __future__ import annotations

import json

import sentry_sdk
from backstage import DIRECTORY, record
from flask import Flask, request
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.transport import Transport
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.proxy_fix import ProxyFix
from whitenoise import WhiteNoise

site = Flask(__name__)
# What is around it sees the exceptions, and not only a page about them.
site.config["PROPAGATE_EXCEPTIONS"] = True


@site.get("/hello/<name>")
def hello(name: str):
    return f"Hello, {name}!"


@site.get("/where")
def where():
    return {"url": request.url, "client": request.remote_addr, "root": request.script_root}


@site.get("/boom")
def boom():
    kettle = "empty"
    raise RuntimeError(f"the kettle is {kettle}")


@site.get("/spans")
def spans():
    return [json.loads(span.to_json()) for span in exporter.get_finished_spans()]


proxied = ProxyFix(site, x_for=1, x_proto=1, x_host=1, x_prefix=1)

debugged = DebuggedApplication(site, evalex=False)

static = WhiteNoise(site, root=DIRECTORY / "static", prefix="static/")


class Recorder(Transport):
    """Sends nothing anywhere."""

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            if event := item.get_event():
                record("sentry", json.dumps(event))


sentry_sdk.init(dsn="https://key@localhost/1", transport=Recorder, default_integrations=False)
watched = SentryWsgiMiddleware(site)

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
traced = OpenTelemetryMiddleware(site, tracer_provider=provider)
