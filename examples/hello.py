"""The smallest application. Run it: `stomp-wsgi serve hello:app`, then `stomp-wsgi call GET /`."""


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, World!\n"]
