"""The contract, as one writes it with FastAPI; a2wsgi makes a WSGI application of it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Annotated, Any

from a2wsgi import ASGIMiddleware
from backstage import DOWNLOAD, gated, record
from fastapi import BackgroundTasks, Body, FastAPI, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, StreamingResponse

api = FastAPI()


@api.api_route("/hello/{name}", methods=["GET", "HEAD"], response_class=PlainTextResponse)
async def hello(name: str):
    return f"Hello, {name}!"


@api.get("/query")
async def query(a: Annotated[list[str], Query()], b: Annotated[list[str], Query()]):
    return {"a": a, "b": b}


@api.post("/form")
async def form(a: Annotated[list[str], Form()], b: Annotated[list[str], Form()]):
    return {"a": a, "b": b}


@api.post("/json")
async def json(got: Annotated[Any, Body()]):
    return {"got": got}


@api.post("/upload")
async def upload(file: UploadFile, note: Annotated[str, Form()]):
    data = await file.read()
    return {
        "note": note,
        "filename": file.filename,
        "type": file.content_type,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


@api.get("/cookies")
async def cookies(request: Request):
    return request.cookies


@api.get("/cookies/set", response_class=PlainTextResponse)
async def set_cookies(response: Response):
    response.set_cookie("flavour", "oat", max_age=3600)
    response.set_cookie("size", "large", httponly=True)
    return "two cookies"


@api.get("/stream/{blocks}")
def stream(blocks: int):
    return StreamingResponse(gated(blocks), media_type="text/plain")


@api.get("/old/{name}")
async def old(request: Request, name: str):
    return RedirectResponse(request.url_for("hello", name=name), 302)


@api.get("/download")
async def download():
    return FileResponse(DOWNLOAD, media_type="application/octet-stream", filename=DOWNLOAD.name)


@api.exception_handler(Exception)
async def on_error(request: Request, error: Exception):
    # Under any server a2wsgi has no word about errors that FastAPI has answered.
    logging.getLogger(__name__).error("%s %s failed", request.method, request.url.path, exc_info=error)
    return PlainTextResponse("Internal Server Error", 500)


@api.get("/boom")
async def boom():
    raise RuntimeError("the kettle is empty")


@api.get("/later")
async def later(tasks: BackgroundTasks):
    tasks.add_task(record, "later", "done")
    return {"state": "accepted"}


@api.get("/tasks")
async def tasks():
    return {"running": len(asyncio.all_tasks())}


@api.api_route("/events/{kind}", methods=["NOTIFY"], status_code=204)
async def event(request: Request, kind: str):
    record("events", f"{kind}: {(await request.body()).decode()}")


@api.get("/orders/{number}")
async def order(number: int):
    return {"order": number}


@api.api_route("/orders/{number}", methods=["NOTIFY"], status_code=204)
async def order_arrives(number: int):
    record("events", f"order {number}")


app = ASGIMiddleware(api)
