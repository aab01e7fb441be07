"""The contract, as one writes it with Django; then sessions, forms with a token, and the database."""

from __future__ import annotations

import hashlib
import json as jsonlib
import os
import threading

from backstage import DOWNLOAD, gated, record
from django.contrib.auth import authenticate, login
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.db import connection, transaction
from django.db.backends.signals import connection_created
from django.db.models import Count, F
from django.dispatch import receiver
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect
from django.views import View
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .models import Item


@require_safe
def hello(request: HttpRequest, name: str):
    return HttpResponse(f"Hello, {name}!", content_type="text/plain; charset=utf-8")


@require_safe
def query(request: HttpRequest):
    return JsonResponse(dict(request.GET.lists()))


@require_POST
def form(request: HttpRequest):
    return JsonResponse(dict(request.POST.lists()))


@require_POST
def json(request: HttpRequest):
    try:
        return JsonResponse({"got": jsonlib.loads(request.body)})
    except ValueError as error:
        raise BadRequest("no JSON") from error


@require_POST
def upload(request: HttpRequest):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse(
        {
            "note": request.POST["note"],
            "filename": file.name,
            "type": file.content_type,
            "size": file.size,
            "sha256": digest.hexdigest(),
        }
    )


@require_safe
def cookies(request: HttpRequest):
    return JsonResponse(request.COOKIES)


@require_safe
def set_cookies(request: HttpRequest):
    response = HttpResponse("two cookies")
    response.set_cookie("flavour", "oat", max_age=3600)
    response.set_cookie("size", "large", httponly=True)
    return response


@require_safe
def stream(request: HttpRequest, blocks: int):
    return StreamingHttpResponse(gated(blocks), content_type="text/plain")


@require_safe
def old(request: HttpRequest, name: str):
    return redirect("hello", name=name)


@require_safe
def download(request: HttpRequest):
    return FileResponse(DOWNLOAD.open("rb"), as_attachment=True, content_type="application/octet-stream")


@require_safe
def boom(request: HttpRequest):
    raise RuntimeError("the kettle is empty")


@require_http_methods(["NOTIFY"])
def event(request: HttpRequest, kind: str):
    record("events", f"{kind}: {request.body.decode()}")
    return HttpResponse(status=204)


class Order(View):
    # Django has a list of the methods that views may have.
    http_method_names = [*View.http_method_names, "notify"]

    def get(self, request: HttpRequest, number: int):
        return JsonResponse({"order": number})

    def notify(self, request: HttpRequest, number: int):
        record("events", f"order {number}")
        return HttpResponse(status=204)


@require_http_methods(["GET", "POST"])
def items(request: HttpRequest):
    if request.method == "POST":
        made = Item.objects.create(name=request.POST["name"], stock=request.POST["stock"])
        return JsonResponse({"id": made.pk}, status=201)
    return JsonResponse({"items": list(Item.objects.order_by("pk").values("name", "stock"))})


@require_safe
def item(request: HttpRequest, pk: int):
    found = get_object_or_404(Item.objects.annotate(sold=Count("sales")), pk=pk)
    return JsonResponse({"name": found.name, "stock": found.stock, "sold": found.sold})


@require_POST
def sell(request: HttpRequest, pk: int):
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(stock=F("stock") - 1)
        get_object_or_404(Item, pk=pk).sales.create(customer=request.body.decode())
    return HttpResponse("sold")


@require_safe
def token(request: HttpRequest):
    return JsonResponse({"token": get_token(request)})


@require_POST
def log_in(request: HttpRequest):
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponse("unknown", status=403)
    login(request, user)
    return redirect("/whoami")


@login_required(login_url="/login")
def whoami(request: HttpRequest):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"user": request.user.get_username(), "visits": request.session["visits"]})


#: The thread of each connection that was ever opened.
_opened: list[int] = []


@receiver(connection_created)
def _remember(connection, **kwargs) -> None:
    _opened.append(threading.get_ident())


@require_safe
def held_connections(request: HttpRequest):
    """How many connections this process holds, and the threads that have opened any."""
    database = os.path.realpath(connection.settings_dict["NAME"])
    files = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    held = sum(os.path.realpath(file) == database for file in files)
    return JsonResponse({"held": held, "opened": _opened})
