def respond(body):
    def wsgi(environ, start_response):
        start_response("200 OK", [])
        return [body]

    return wsgi


application = respond(b"application")
app = respond(b"app")
