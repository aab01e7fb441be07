"""The two applications that every server of the comparison runs."""

from flask import Flask

BODY = b"Hello World\n"


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


flask_app = Flask(__name__)


@flask_app.route("/", methods=["GET", "POST"])
def view():
    return {"message": "Hello World", "numbers": [1, 2, 3]}
