"""Messages nobody answers. Run it: `stomp-wsgi serve notify:app`, then `stomp-wsgi notify -d 'fire in room 7' /alarm`."""

from threading import Lock

seen: list[str] = []
lock = Lock()


def app(environ, start_response):
    if environ["REQUEST_METHOD"] == "NOTIFY":
        text = environ["wsgi.input"].read().decode(errors="replace")
        with lock:
            seen.append(f"{environ['PATH_INFO']}: {text}\n")
        # Nobody sees this body. The status tells the broker's fate for the message: 2xx is done with it,
        # 4xx sends it to the dead letters, 5xx has it tried again.
        start_response("204 No Content", [])
        return []
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    with lock:
        return ["".join(seen).encode()]
