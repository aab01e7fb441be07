"""Two applications that say who they are; each is mounted on a destination of its own."""

from __future__ import annotations

import json


def named(name: str):
    def app(environ, start_response):
        known = {key: environ.get(key) for key in ("stomp.destination", "stomp.subscription", "REMOTE_USER")}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"app": name} | known).encode()]

    return app


orders, stock = named("orders"), named("stock")
