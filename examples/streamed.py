"""A reply in blocks. Run it: `stomp-wsgi serve streamed:app`, then `stomp-wsgi call --stream GET '/?count=5'`."""

import time
from urllib.parse import parse_qs


def app(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    count = int(query.get("count", ["10"])[0])
    pause = float(query.get("pause", ["1"])[0])
    start_response("200 OK", [("Content-Type", "text/plain")])

    def ticks():
        # Each block leaves as soon as it is yielded, to those who ask for a stream.
        for n in range(1, count + 1):
            yield f"tick {n}\n".encode()
            if n < count:
                time.sleep(pause)

    return ticks()
