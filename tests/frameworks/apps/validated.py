"""The application that APP names, within the validator that VALIDATOR names, with its warnings as errors."""

from __future__ import annotations

import importlib
import os
import warnings

#: The module, what in it wraps an application, and the categories of its warnings.
VALIDATORS = {
    "wsgiref": ("wsgiref.validate", "validator", ["WSGIWarning"]),
    "werkzeug": ("werkzeug.middleware.lint", "LintMiddleware", ["WSGIWarning", "HTTPWarning"]),
    "paste": ("paste.lint", "middleware", ["WSGIWarning"]),
    "webtest": ("webtest.lint", "middleware", ["WSGIWarning"]),
}

_name, _wrapper, _categories = VALIDATORS[os.environ["VALIDATOR"]]
_validator = importlib.import_module(_name)
for _category in _categories:
    warnings.simplefilter("error", getattr(_validator, _category))
# They know the methods of HTTP, and this is none.
warnings.filterwarnings("ignore", "Unknown REQUEST_METHOD: 'NOTIFY'")

_module, _, _attribute = os.environ["APP"].partition(":")
app = getattr(_validator, _wrapper)(getattr(importlib.import_module(_module), _attribute))
