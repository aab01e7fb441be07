"""Flask, unmodified. Run it: `stomp-wsgi serve flask_app:app`, then `stomp-wsgi call GET /hello/World`."""

from flask import Flask, Response, abort, jsonify, request

app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name: str) -> Response:
    return Response(f"Hello, {name}!\n", mimetype="text/plain")


@app.post("/echo")
def echo() -> Response:
    """The body, as it came: `stomp-wsgi call -d @FILE POST /echo`."""
    return Response(request.get_data(), content_type=request.content_type)


@app.post("/sum")
def total() -> Response:
    """`stomp-wsgi call -H 'Content-Type: application/json' -d '{"numbers": [1, 2]}' POST /sum`"""
    numbers = request.get_json().get("numbers")
    if not isinstance(numbers, list) or not all(isinstance(n, (int, float)) for n in numbers):
        abort(400, "numbers: a list of numbers")
    return jsonify(sum=sum(numbers))


@app.get("/count/<int:limit>")
def count(limit: int) -> Response:
    """Line by line: `stomp-wsgi call --stream GET /count/5`"""
    return Response((f"{n}\n" for n in range(1, limit + 1)), mimetype="text/plain")


@app.route("/events/<kind>", methods=["NOTIFY"])
def event(kind: str) -> tuple[str, int]:
    """A message that nobody answers: `stomp-wsgi notify -d 'it rains' /events/weather`"""
    app.logger.warning("%s: %s", kind, request.get_data(as_text=True))
    return "", 204
