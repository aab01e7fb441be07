"""PEP 3333 as statements that can be tested. Each has tests here that are named after it: test_e1_... for E1.

They are in the order of the PEP: the environ, its two streams, start_response and write(), what the application
returns. The last ones are not in it, but applications rely on them.
"""

from __future__ import annotations

from dataclasses import dataclass

MUST, SHOULD, DE_FACTO = "must", "should", "de facto"


@dataclass(frozen=True)
class Statement:
    id: str
    level: str
    text: str


STATEMENTS = [
    Statement("E1", MUST, "`environ` is a plain `dict`, fresh for each request, and the application's to change"),
    Statement("E2", MUST, "the application is any callable, called with two positional arguments"),
    Statement("E3", MUST, "the variables that PEP 3333 requires are there, and `QUERY_STRING` always"),
    Statement("E4", MUST, "CGI variables are exactly `str`, `CONTENT_LENGTH` included; none is `None`"),
    Statement("E5", MUST, "strings are bytes as latin-1, whatever encoding the sender used"),
    Statement("E6", MUST, "`wsgi.version` is the tuple `(1, 0)`"),
    Statement(
        "E7", MUST, "headers are `HTTP_*`; type and length are `CONTENT_*` only, and absent where they were not sent"
    ),
    Statement(
        "E8", DE_FACTO, "a header that is repeated counts once, the first as STOMP has it; joined values stay joined"
    ),
    Statement("E9", DE_FACTO, "no second spelling of a header smuggles a value in; `HTTP_PROXY` is never set"),
    Statement("E10", MUST, "`SCRIPT_NAME` and `PATH_INFO` split the decoded path at the mount point, between segments"),
    Statement("E11", MUST, "`QUERY_STRING` is as it was sent; `REQUEST_URI` and `RAW_URI` are path and query so"),
    Statement("E12", MUST, "scheme, server name and port are never empty, and the request's where it names a host"),
    Statement("E13", MUST, "variables of the server's own are dotted and in lower case: `stomp.*`"),
    Statement("E14", SHOULD, "the deployer may add variables; the process's own environment does not leak into them"),
    Statement("E15", MUST, "`wsgi.multithread`, `wsgi.multiprocess` and `wsgi.run_once` say what is the case"),
    Statement("E16", SHOULD, "an application that is not thread-safe can be served"),
    Statement("I1", MUST, "`wsgi.input` has `read`, `readline`, `readlines` and iteration, all of bytes"),
    Statement("I2", SHOULD, "`readline(size)` gives no more than that and loses nothing; line ends stay as they are"),
    Statement("I3", MUST, "`readlines()` and iteration give the lines that `readline()` gives"),
    Statement("I4", MUST, "the input ends where the body ends, for ever, and at once where there is none"),
    Statement("I5", DE_FACTO, "`wsgi.input_terminated` is true, and `CONTENT_LENGTH` is what is in the frame"),
    Statement("I6", DE_FACTO, "the input can `seek`, `tell` and `readinto`"),
    Statement("I7", MUST, "an application that closes the input harms nobody"),
    Statement(
        "W1", MUST, "`wsgi.errors` has `write`, `writelines` and `flush`, takes any text, and ends in the server's log"
    ),
    Statement("S1", MUST, "`start_response` takes positional arguments and returns `write`"),
    Statement("S2", MUST, "a status is a `str` of three digits and, after a space, a phrase, which may be missing; anything else is refused"),
    Statement("S3", MUST, "headers are a `list` of tuples of two `str`, fit for HTTP; anything else is refused"),
    Statement(
        "S4", SHOULD, "what is wrong is raised at the call, where the application can still do something about it"
    ),
    Statement("S5", SHOULD, "hop-by-hop headers are refused"),
    Statement("S6", MUST, "nothing leaves before the first block that is not empty, the first `write()`, or the end"),
    Statement("S7", MUST, "a second call without `exc_info` is an error, also where the first was refused"),
    Statement("S8", MUST, "with `exc_info` status and headers are replaced, or, once they are sent, it is raised"),
    Statement("S9", SHOULD, "`exc_info` is that of an exception, and is not kept"),
    Statement("S10", MUST, "the list of headers counts as it is when it is sent, and is the application's again then"),
    Statement("S11", MUST, "a generator may call it while it is iterated; whoever never does gets a 500"),
    Statement(
        "R1", MUST, "`write()` takes bytes, sends them before what is returned, and never more than Content-Length"
    ),
    Statement("R2", MUST, "any iterable is a result; what is none gives a 500"),
    Statement("R3", MUST, "blocks are bytes; anything else is an error"),
    Statement("R4", MUST, "`close()` is called exactly once, however it ended, and what it raises alters nothing"),
    Statement("R5", MUST, "a sole block sets the length"),
    Statement("R6", SHOULD, "no more than Content-Length is sent, and what is less says so"),
    Statement("R7", MUST, "a block of a stream has left before the next one is asked for"),
    Statement("R8", MUST, "blocks keep their order and every byte"),
    Statement("R9", MUST, "HEAD, 1xx, 204 and 304 have no body; the application runs and is closed all the same"),
    Statement(
        "R10", SHOULD, "whatever is raised is logged, answered, and ends that request only: 500, or a broken stream"
    ),
    Statement("R11", MUST, "headers that the server could add are the application's where it sets them"),
    Statement("F1", DE_FACTO, "`wsgi.file_wrapper` reads from where the file is, and closes it"),
    Statement("X1", DE_FACTO, "the application is loaded once in a process"),
    Statement("X2", DE_FACTO, "`SERVER_SOFTWARE` names the server"),
    Statement("X3", DE_FACTO, "`REMOTE_ADDR` is there, and empty; what is not known of the sender is left out"),
    Statement("X4", DE_FACTO, "`threading.local` outlives a request on its thread"),
    Statement("X5", DE_FACTO, "context variables do not: what one request sets is not seen by the next"),
    Statement("X6", DE_FACTO, "the application may start processes, and forks end by SIGTERM as anywhere else"),
]
