"""The contract, as one writes it with Bottle."""

from __future__ import annotations

import hashlib

from backstage import DOWNLOAD, gated, record
from bottle import Bottle, FormsDict, HTTPResponse, abort, redirect, request, response, static_file

app = Bottle()


@app.get("/hello/<name>")
def hello(name: str):
    response.content_type = "text/plain; charset=utf-8"
    return f"Hello, {name}!"


def lists(fields: FormsDict) -> dict[str, list[str]]:
    fields = fields.decode()  # from latin-1, which WSGI has
    return {name: fields.getall(name) for name in fields}


@app.get("/query")
def query():
    return lists(request.query)


@app.post("/form")
def form():
    return lists(request.forms)


@app.post("/json")
def json():
    if request.json is None:
        abort(415, "JSON is wanted")
    return {"got": request.json}


@app.post("/upload")
def upload():
    file = request.files["file"]
    data = file.file.read()
    return {
        "note": request.forms.note,
        "filename": file.raw_filename,
        "type": file.content_type,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@app.get("/cookies")
def cookies():
    return dict(request.cookies)


@app.get("/cookies/set")
def set_cookies():
    response.set_cookie("flavour", "oat", max_age=3600)
    response.set_cookie("size", "large", httponly=True)
    return "two cookies"


@app.get("/stream/<blocks:int>")
def stream(blocks: int):
    response.content_type = "text/plain"
    return gated(blocks)


@app.get("/old/<name>")
def old(name: str):
    redirect(f"/hello/{name}", 302)


@app.get("/download")
def download():
    return static_file(DOWNLOAD.name, root=DOWNLOAD.parent, mimetype="application/octet-stream", download=True)


@app.get("/boom")
def boom():
    raise RuntimeError("the kettle is empty")


@app.route("/events/<kind>", method="NOTIFY")
def event(kind: str):
    record("events", f"{kind}: {request.body.read().decode()}")
    return HTTPResponse(status=204)


class Orders:
    """Bottle has no views that are classes; methods are routed one by one."""

    def show(self, number: int):
        return {"order": number}

    def arrive(self, number: int):
        record("events", f"order {number}")
        return HTTPResponse(status=204)


orders = Orders()
app.route("/orders/<number:int>", "GET", orders.show)
app.route("/orders/<number:int>", "NOTIFY", orders.arrive)
