"""For Django."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["BrokerMessageMiddleware"]

#: What tells a browser's request: its cookies, and where the page came from that made it. Of the latter two
#: every browser sends one with every POST to another site.
_OF_BROWSERS = ("HTTP_COOKIE", "HTTP_ORIGIN", "HTTP_REFERER")


class BrokerMessageMiddleware:
    """Takes messages from the broker for what they are, the work of programs: they need no CSRF token.

    A CSRF token proves that a browser, which sends its cookies with every request, was not led to this one
    by a stranger's page. Whoever sends a message has logged in to the broker instead, and has no cookies
    that another could make use of. So neither notifications nor requests from the broker are checked.

    Checked as ever is what a gateway may have passed on for a browser: whatever comes with a Cookie, Origin or
    Referer header. NOTIFY is not, with any headers: no page of another site can make a browser send it.

    Nothing of this can be claimed over HTTP: under any server, a header's key in environ begins with HTTP_.
    It may stand anywhere in MIDDLEWARE. Under another server it does nothing.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """The response, or under ASGI the awaitable of it."""
        if _is_of_a_program(request.META):
            # By this Django's own test client turns the check off, and nothing but the check.
            request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        return self.get_response(request)


def _is_of_a_program(environ: Mapping[str, Any]) -> bool:
    if "stomp.message_id" not in environ:
        return False
    return environ["REQUEST_METHOD"] == "NOTIFY" or not any(name in environ for name in _OF_BROWSERS)
