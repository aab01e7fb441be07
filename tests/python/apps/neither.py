from os import getcwd  # noqa: F401  (imported, so no candidate)


class View:
    pass


def main_app(environ, start_response):
    start_response("200 OK", [])
    return []
