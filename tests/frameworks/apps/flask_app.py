"""The contract, as one writes it with Flask."""

from __future__ import annotations

import hashlib

from backstage import DOWNLOAD, gated, record
from flask import Flask, Response, redirect, request, send_file, url_for
from flask.views import MethodView

app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name: str):
    return f"Hello, {name}!", {"Content-Type": "text/plain; charset=utf-8"}


@app.get("/query")
def query():
    return request.args.to_dict(flat=False)


@app.post("/form")
def form():
    return request.form.to_dict(flat=False)


@app.post("/json")
def json():
    return {"got": request.get_json()}


@app.post("/upload")
def upload():
    file = request.files["file"]
    data = file.read()
    return {
        "note": request.form["note"],
        "filename": file.filename,
        "type": file.content_type,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@app.get("/cookies")
def cookies():
    return dict(request.cookies)


@app.get("/cookies/set")
def set_cookies():
    response = Response("two cookies")
    response.set_cookie("flavour", "oat", max_age=3600)
    response.set_cookie("size", "large", httponly=True)
    return response


@app.get("/stream/<int:blocks>")
def stream(blocks: int):
    return Response(gated(blocks), mimetype="text/plain")


@app.get("/old/<name>")
def old(name: str):
    return redirect(url_for("hello", name=name))


@app.get("/download")
def download():
    return send_file(DOWNLOAD, mimetype="application/octet-stream", as_attachment=True)


@app.get("/boom")
def boom():
    raise RuntimeError("the kettle is empty")


@app.route("/events/<kind>", methods=["NOTIFY"])
def event(kind: str):
    record("events", f"{kind}: {request.get_data(as_text=True)}")
    return "", 204


class Order(MethodView):
    # Flask finds out by itself only about methods of HTTP.
    methods = ["GET", "NOTIFY"]

    def get(self, number: int):
        return {"order": number}

    def notify(self, number: int):
        record("events", f"order {number}")
        return "", 204


app.add_url_rule("/orders/<int:number>", view_func=Order.as_view("order"))
