"""What only a whole HTTP message can carry: headers that repeat, lengths, uploads. Flask."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.post("/upload")
def upload():
    """Multipart in, digests out."""
    files = request.files.getlist("file")
    digests = {file.filename: hashlib.sha256(file.read()).hexdigest() for file in files}
    return jsonify(form=request.form.to_dict(flat=False), files=digests), 201


@app.put("/echo")
def echo():
    return Response(request.get_data(), content_type=request.content_type)


@app.get("/headers")
def headers():
    environ = {key: value for key, value in request.environ.items() if isinstance(value, str)}
    return jsonify(environ=environ, raw=list(request.environ["stomp.http_headers"]))


@app.get("/cookies")
def cookies():
    reply = Response("cookies")
    reply.headers.add("x-spelled-so", "1")
    reply.headers.add("X-Spelled-SO", "2, 3")
    reply.set_cookie("a", "1", expires=0)
    reply.set_cookie("b", "2")
    reply.headers.add("expires", "0")
    reply.headers.add("JMSExpiration", "5")
    reply.headers.add("X-Long", "long" * 6250)
    return reply


@app.delete("/nothing")
def nothing():
    return "", 204


@app.get("/short")
def short():
    return Response(iter([b"Hello"]), headers={"Content-Length": "10"})


@app.get("/boom")
def boom():
    raise RuntimeError("boom")


@app.get("/blocks")
def blocks():
    return Response((b"%d;" % number for number in range(3)), content_type="text/plain")


@app.route("/event", methods=["NOTIFY"])
def event():
    with (Path(os.environ["PROBE_DIR"]) / "events").open("ab") as record:
        record.write(request.get_data() + b"\n")
    return "", 204
