"""Replies that come in blocks, while the application is still at work."""

from __future__ import annotations

BLOCKS = 5


def test_blocks_arrive_in_order_before_the_end(broker, reactor, serve):
    server = serve(broker, reactor)
    with server.requester() as caller:
        stream = caller.stream("GET", f"/gated/a?blocks={BLOCKS}", headers={"http_acceptStream": "true"})
        replies = []
        for n in range(BLOCKS):
            reply = next(stream)
            replies.append(reply)
            assert reply.body == f"block {n} of a\n".encode()
            assert reply.headers["http_chunkSeq"] == str(n)
            # The application waits for this gate, so the block has overtaken its end.
            (server.directory / f"gate-a-{n + 1}").touch()
            if n < BLOCKS - 1:
                assert not server.records("finished")
                assert reply.headers["http_moreContent"] == "true"
        while replies[-1].headers["http_moreContent"] == "true":
            replies.append(next(stream))
        assert server.records("finished") == ["a"]

    assert [reply.headers["http_chunkSeq"] for reply in replies] == [str(n) for n in range(len(replies))]
    assert [reply.headers["http_moreContent"] for reply in replies] == ["true"] * (len(replies) - 1) + ["false"]
    assert b"".join(reply.body for reply in replies[BLOCKS:]) == b""
    assert replies[0].headers["http_statusCode"] == "200"
    assert replies[0].headers["X-Key"] == "a"
    assert not any("http_statusCode" in reply.headers for reply in replies[1:])


def test_one_message_for_those_who_did_not_ask(broker, reactor, serve):
    server = serve(broker, reactor)
    for n in range(1, BLOCKS):
        (server.directory / f"gate-b-{n}").touch()
    with server.requester() as caller:
        reply = caller.request("GET", f"/gated/b?blocks={BLOCKS}")
        assert reply.body == b"".join(f"block {n} of b\n".encode() for n in range(BLOCKS))
        assert "http_chunkSeq" not in reply.headers
        # Nothing else is under way: the next frame answers the next request.
        assert caller.request("GET", "/ping").body == b"pong"
