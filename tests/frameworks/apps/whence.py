"""Says where our package came from."""

from __future__ import annotations

import stomp_wsgi
import stomp_wsgi.django


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{stomp_wsgi.__version__} {stomp_wsgi.django.__file__}".encode()]
