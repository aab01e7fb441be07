"""The suites, and which of their tests cannot pass across the wire, each with its reason.

A test that fails and is not named here is a bug of the server; one that is named here and passes is to be
taken out.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire import MODES


@dataclass(frozen=True)
class Selection:
    """Some tests of a suite, and how many they are: none may get lost unseen."""

    #: For pytest.
    arguments: tuple[str, ...]
    #: So many run; those that are skipped do not count.
    tests: int
    #: So many send a request.
    crossing: int


@dataclass(frozen=True)
class Inherent:
    """Tests that fail for one reason."""

    reason: str
    tests: tuple[str, ...]
    modes: tuple[str, ...] = MODES
    #: Whether they pass where the caller is given what the application raised.
    passes_reraised: bool = False


@dataclass(frozen=True)
class Suite:
    name: str
    #: Its directory, as it was unpacked.
    directory: str
    whole: Selection
    #: What CI runs.
    sample: Selection
    inherent: tuple[Inherent, ...]
    #: Headers of responses that the requester knows to be lists. STOMP has no repeated headers, so that they
    #: arrive joined (RFC 9110 section 5.3), and only who knows them can take them apart.
    lists: tuple[str, ...] = ()

    def excused(self, mode: str, reraise: bool) -> dict[str, str]:
        """Test -> why it fails."""
        return {
            test: group.reason
            for group in self.inherent
            if mode in group.modes and not (reraise and group.passes_reraised)
            for test in group.tests
        }


RAISED = "What an application raises stays in the server, which answers 500; the test waits for the exception."
ERRORS = "wsgi.errors is the server's: it goes to the log, and not to the stream that the test made."

#: Those of Falcon's files with the most tests that send requests, and those with an inherent failure.
FALCON_SAMPLE = (
    "cookies",
    "cors_middleware",
    "error_handlers",
    "error_reporter",
    "headers",
    "hello",
    "httperror",
    "media_handlers",
    "media_multipart",
    "middleware",
    "query_params",
    "request_media",
    "response_body",
    "response_media",
    "static",
    "uri_templates",
    "utils",
    "wsgi_errors",
)

FALCON = Suite(
    "falcon",
    "falcon-4.4.0",
    whole=Selection(("tests", "-k", "not asgi"), 2414, 941),
    sample=Selection((*(f"tests/test_{name}.py" for name in FALCON_SAMPLE), "-k", "not asgi"), 1223, 756),
    inherent=(
        Inherent(
            "The value of a STOMP header is UTF-8, so that one in latin-1 becomes UTF-8.",
            ("tests/test_headers.py::TestHeaders::test_request_latin1_headers[wsgi]",),
            modes=("property",),
        ),
        Inherent(
            "A message is whole, and says how long it is: a response without a Content-Length has one on arrival.",
            (
                "tests/test_hello.py::TestHelloWorld::test_stream_chunked",
                "tests/test_response_body.py::test_content_length_not_set_when_streaming_response[wsgi-GET]",
            ),
        ),
        Inherent(
            "A message's sender has no address: REMOTE_ADDR is empty, where the test wants it left out.",
            ("tests/test_utils.py::TestFalconTestingUtils::test_simulate_remote_addr[wsgi-None]",),
        ),
        Inherent(ERRORS, ("tests/test_wsgi_errors.py::TestWSGIError::test_responder_logged_bytestring",)),
        Inherent(
            RAISED,
            (
                "tests/test_error_handlers.py::TestErrorHandler::test_faulty_serializer[wsgi]",
                "tests/test_error_handlers.py::TestErrorHandler::test_uncaught_error[wsgi]",
                "tests/test_error_handlers.py::TestErrorHandler::test_uncaught_error_else[wsgi]",
                "tests/test_error_reporter.py::test_handler_not_found[wsgi]",
                "tests/test_error_reporter.py::test_handler_raises_exception[wsgi-False]",
                "tests/test_error_reporter.py::test_handler_raises_exception[wsgi-True]",
                "tests/test_error_reporter.py::test_handler_reraises[wsgi]",
                "tests/test_error_reporter.py::test_handler_reraises_serializer_raises[wsgi]",
                "tests/test_error_reporter.py::test_report_fatal_error_starting_resp[wsgi-False]",
                "tests/test_error_reporter.py::test_report_fatal_error_starting_resp[wsgi-True]",
                "tests/test_error_reporter.py::test_serializer_raises[wsgi-False]",
                "tests/test_error_reporter.py::test_serializer_raises[wsgi-True]",
                "tests/test_headers.py::TestHeaders::test_unicode_headers_contain_non_ascii[wsgi-PATCH]",
                "tests/test_headers.py::TestHeaders::test_unicode_headers_contain_non_ascii[wsgi-POST]",
                "tests/test_media_handlers.py::test_deserialization_raises[wsgi-application/json; answer=42]",
                "tests/test_media_handlers.py::test_deserialization_raises[wsgi-application/json]",
                "tests/test_middleware.py::TestSeveralMiddlewares::test_inner_mw_throw_exception[wsgi]",
                "tests/test_middleware.py::TestSeveralMiddlewares::test_inner_mw_throw_exception_while_processing_resp[wsgi]",
            ),
            passes_reraised=True,
        ),
    ),
)

FLASK = Suite(
    "flask",
    "flask-3.1.3",
    whole=Selection(("tests",), 490, 237),
    sample=Selection(("tests",), 490, 237),
    inherent=(
        Inherent(
            "The client keeps a request's context for the test by a callable in the environ"
            " (werkzeug.debug.preserve_context), and a message carries no callables.",
            (
                "tests/test_basic.py::test_session_accessed",
                "tests/test_basic.py::test_session_special_types",
                "tests/test_testing.py::test_environ_base_default",
                "tests/test_testing.py::test_environ_base_modified",
                "tests/test_testing.py::test_full_url_request",
                "tests/test_testing.py::test_json_request_and_response",
                "tests/test_testing.py::test_redirect_session",
                "tests/test_testing.py::test_test_client_context_binding",
            ),
        ),
        Inherent(
            "The test pushes an application context in its own thread; the view runs in another, in one of its own.",
            (
                "tests/test_appctx.py::test_app_tearing_down_with_handled_exception_by_app_handler",
                "tests/test_appctx.py::test_app_tearing_down_with_unhandled_exception",
            ),
        ),
        Inherent(
            ERRORS,
            ("tests/test_logging.py::test_log_view_exception", "tests/test_logging.py::test_wsgi_errors_stream"),
        ),
        Inherent(
            RAISED,
            (
                "tests/test_basic.py::test_baseexception_error_handling",
                "tests/test_basic.py::test_enctype_debug_helper",
                "tests/test_basic.py::test_exception_propagation[DEBUG]",
                "tests/test_basic.py::test_exception_propagation[PROPAGATE_EXCEPTIONS]",
                "tests/test_basic.py::test_exception_propagation[TESTING]",
                "tests/test_basic.py::test_response_type_errors",
                "tests/test_basic.py::test_routing_redirect_debugging",
                "tests/test_basic.py::test_session_using_samesite_attribute",
                "tests/test_basic.py::test_trap_bad_request_key_error[False-True-False-False]",
                "tests/test_basic.py::test_trap_bad_request_key_error[True-None-False-True]",
                "tests/test_basic.py::test_trapping_of_all_http_exceptions",
                "tests/test_templating.py::test_template_loader_debugging",
            ),
            passes_reraised=True,
        ),
    ),
)

HTTPBIN = Suite(
    "httpbin",
    "httpbin-0.10.4",
    whole=Selection(("tests",), 70, 66),
    sample=Selection(("tests",), 70, 66),
    inherent=(
        Inherent(
            "The test sends a body in chunks and wants httpbin to refuse that (501); the server has put them together, or"
            " dropped a Transfer-Encoding that is none of the message's.",
            ("tests/test_httpbin.py::HttpbinTestCase::test_post_chunked",),
        ),
    ),
    lists=("Animal",),
)

SUITES = {suite.name: suite for suite in (FALCON, FLASK, HTTPBIN)}
