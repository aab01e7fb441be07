"""What frameworks need besides WSGI to be served from a message broker by stomp-wsgi.

The server brings this package along: an application can import it without installing anything. Install it
where the application is imported by something else as well (`manage.py`, tests, another server).
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
