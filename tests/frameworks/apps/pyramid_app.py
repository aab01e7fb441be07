"""The contract, as one writes it with Pyramid."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from backstage import DOWNLOAD, gated, record
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPBadRequest, HTTPFound, HTTPMethodNotAllowed, HTTPNoContent
from pyramid.request import Request
from pyramid.response import FileResponse, Response
from pyramid.view import view_config, view_defaults


@view_config(route_name="hello", request_method="GET")
def hello(request: Request):
    return Response(f"Hello, {request.matchdict['name']}!", content_type="text/plain")


@view_config(route_name="hello")
def hello_otherwise(request: Request):
    return HTTPMethodNotAllowed(headers=[("Allow", "GET, HEAD")])


@view_config(route_name="query", request_method="GET", renderer="json")
def query(request: Request):
    return request.GET.dict_of_lists()


@view_config(route_name="form", request_method="POST", renderer="json")
def form(request: Request):
    return request.POST.dict_of_lists()


@view_config(route_name="json", request_method="POST", renderer="json")
def json(request: Request):
    try:
        return {"got": request.json_body}
    except ValueError as error:
        raise HTTPBadRequest(str(error)) from error


@view_config(route_name="upload", request_method="POST", renderer="json")
def upload(request: Request):
    file = request.POST["file"]
    data = file.file.read()
    return {
        "note": request.POST["note"],
        "filename": file.filename,
        "type": file.type,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@view_config(route_name="cookies", request_method="GET", renderer="json")
def cookies(request: Request):
    return dict(request.cookies)


@view_config(route_name="set_cookies", request_method="GET", renderer="string")
def set_cookies(request: Request):
    request.response.set_cookie("flavour", "oat", max_age=3600)
    request.response.set_cookie("size", "large", httponly=True)
    return "two cookies"


@view_config(route_name="stream", request_method="GET")
def stream(request: Request):
    return Response(app_iter=gated(int(request.matchdict["blocks"])), content_type="text/plain")


@view_config(route_name="old", request_method="GET")
def old(request: Request):
    return HTTPFound(request.route_path("hello", name=request.matchdict["name"]))


@view_config(route_name="download", request_method="GET")
def download(request: Request):
    response = FileResponse(DOWNLOAD, request, content_type="application/octet-stream")
    response.content_disposition = f"attachment; filename={quote(DOWNLOAD.name)}"
    return response


@view_config(route_name="boom", request_method="GET")
def boom(request: Request):
    raise RuntimeError("the kettle is empty")


@view_config(route_name="event", request_method="NOTIFY")
def event(request: Request):
    record("events", f"{request.matchdict['kind']}: {request.text}")
    return HTTPNoContent()


@view_defaults(route_name="order")
class Order:
    def __init__(self, request: Request) -> None:
        self.number = int(request.matchdict["number"])

    @view_config(request_method="GET", renderer="json")
    def show(self):
        return {"order": self.number}

    @view_config(request_method="NOTIFY")
    def arrive(self):
        record("events", f"order {self.number}")
        return HTTPNoContent()


ROUTES = {
    "hello": "/hello/{name}",
    "query": "/query",
    "form": "/form",
    "json": "/json",
    "upload": "/upload",
    "set_cookies": "/cookies/set",
    "cookies": "/cookies",
    "stream": r"/stream/{blocks:\d+}",
    "old": "/old/{name}",
    "download": "/download",
    "boom": "/boom",
    "event": "/events/{kind}",
    "order": r"/orders/{number:\d+}",
}

with Configurator() as config:
    for route, pattern in ROUTES.items():
        config.add_route(route, pattern)
    config.scan(__name__)
    app = config.make_wsgi_app()
