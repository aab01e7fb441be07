"""`hello` behind stompman, used as its documentation shows: `python behind_stompman.py PORT QUEUE`."""

import asyncio
import sys

import stompman
from apps import hello
from wsgi_call import call


async def main(port: str, queue: str) -> None:
    server = stompman.ConnectionParameters(host="127.0.0.1", port=int(port), login="guest", passcode="guest")
    async with stompman.Client([server]) as client:

        async def handle(frame: stompman.AckableMessageFrame) -> None:
            headers, body = call(hello, frame.headers, frame.body)
            await client.send(body, frame.headers["reply-to"], headers=headers)
            await frame.ack()

        await client.subscribe_with_manual_ack(queue, handle, ack="client-individual")


asyncio.run(main(*sys.argv[1:]))
