"""Bottle, unmodified. Run it: `stomp-wsgi serve bottle_app:app`, then `stomp-wsgi call GET /hello/World`."""

from bottle import Bottle, request, response

app = Bottle()


@app.get("/hello/<name>")
def hello(name: str) -> str:
    response.content_type = "text/plain; charset=utf-8"
    return f"Hello, {name}!\n"


@app.post("/upper")
def upper() -> dict[str, str]:
    """`stomp-wsgi call -H 'Content-Type: application/json' -d '{"text": "abc"}' POST /upper`"""
    return {"text": request.json["text"].upper()}
