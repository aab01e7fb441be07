"""The application of `stomp-wsgi demo`: ordinary Flask, which knows nothing of brokers."""

import time

from flask import Flask, request

app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name):
    return f"Hello, {name}!\n"


@app.post("/orders")
def order():
    order = request.get_json()
    return {"ordered": order["item"], "pieces": order["pieces"]}, 201, {"Location": "/orders/1"}


@app.get("/countdown")
def countdown():
    def count():
        for number in (3, 2, 1):
            yield f"{number}\n"
            time.sleep(0.2)
        yield "lift-off\n"

    return count(), {"Content-Type": "text/plain"}


@app.route("/events/<kind>", methods=["NOTIFY"])
def event(kind):
    app.logger.info("somebody published %s: %s", kind, request.get_data(as_text=True))
    return "", 204
