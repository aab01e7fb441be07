from types import SimpleNamespace

from apps.both import respond

app = respond(b"app")
site = SimpleNamespace(wsgi=respond(b"site"))


def make():
    return respond(b"made")


class Factory:
    make = staticmethod(make)


class Class:
    def __init__(self, environ, start_response):
        start_response("200 OK", [])

    def __iter__(self):
        return iter([b"class"])
