"""The contract, as one writes it with Falcon."""

from __future__ import annotations

import hashlib

import falcon
from backstage import DOWNLOAD, gated, record
from falcon import Request, Response


class Hello:
    def on_get(self, req: Request, resp: Response, name: str) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = f"Hello, {name}!"

    on_head = on_get


class Query:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {name: req.get_param_as_list(name) for name in req.params}


class Form:
    def on_post(self, req: Request, resp: Response) -> None:
        form = req.get_media()
        resp.media = {name: value if isinstance(value, list) else [value] for name, value in form.items()}


class Json:
    def on_post(self, req: Request, resp: Response) -> None:
        resp.media = {"got": req.get_media()}


class Upload:
    def on_post(self, req: Request, resp: Response) -> None:
        found = {}
        for part in req.get_media():
            if part.name == "file":
                data = part.stream.read()
                found |= {"filename": part.filename, "type": part.content_type, "size": len(data)}
                found["sha256"] = hashlib.sha256(data).hexdigest()
            else:
                found[part.name] = part.text
        resp.media = found


class Cookies:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = req.cookies

    def on_get_set(self, req: Request, resp: Response) -> None:
        resp.set_cookie("flavour", "oat", max_age=3600)
        resp.set_cookie("size", "large", http_only=True)
        resp.text = "two cookies"


class Stream:
    def on_get(self, req: Request, resp: Response, blocks: int) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = gated(blocks)


class Old:
    def on_get(self, req: Request, resp: Response, name: str) -> None:
        raise falcon.HTTPFound(f"/hello/{falcon.uri.encode_value(name)}")


class Download:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.downloadable_as = DOWNLOAD.name
        resp.set_stream(DOWNLOAD.open("rb"), DOWNLOAD.stat().st_size)


class Boom:
    def on_get(self, req: Request, resp: Response) -> None:
        raise RuntimeError("the kettle is empty")


class Event:
    # Known to Falcon by FALCON_CUSTOM_HTTP_METHODS, which the server sets before it imports this.
    def on_notify(self, req: Request, resp: Response, kind: str) -> None:
        record("events", f"{kind}: {req.bounded_stream.read().decode()}")
        resp.status = falcon.HTTP_204


class Order:
    def on_get(self, req: Request, resp: Response, number: int) -> None:
        resp.media = {"order": number}

    def on_notify(self, req: Request, resp: Response, number: int) -> None:
        record("events", f"order {number}")
        resp.status = falcon.HTTP_204


app = falcon.App()
app.add_route("/hello/{name}", Hello())
app.add_route("/query", Query())
app.add_route("/form", Form())
app.add_route("/json", Json())
app.add_route("/upload", Upload())
app.add_route("/cookies", Cookies())
app.add_route("/cookies/set", Cookies(), suffix="set")
app.add_route("/stream/{blocks:int}", Stream())
app.add_route("/old/{name}", Old())
app.add_route("/download", Download())
app.add_route("/boom", Boom())
app.add_route("/events/{kind}", Event())
app.add_route("/orders/{number:int}", Order())
