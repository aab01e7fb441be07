"""`hello` behind stomp.py, used as its documentation shows: `python behind_stomp_py.py PORT QUEUE`."""

import signal
import sys

import stomp
from apps import hello
from wsgi_call import call


class Listener(stomp.ConnectionListener):
    def __init__(self, connection: stomp.Connection12) -> None:
        self.connection = connection

    def on_message(self, frame) -> None:
        headers, body = call(hello, frame.headers, frame.body.encode())
        self.connection.send(frame.headers["reply-to"], body, headers=headers)
        self.connection.ack(frame.headers["ack"])


def main(port: str, queue: str) -> None:
    connection = stomp.Connection12([("127.0.0.1", int(port))])
    connection.set_listener("", Listener(connection))
    connection.connect("guest", "guest", wait=True)
    connection.subscribe(queue, id="0", ack="client-individual")
    signal.pause()


main(*sys.argv[1:])
