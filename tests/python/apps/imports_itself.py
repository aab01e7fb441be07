import apps.missing  # noqa: F401
