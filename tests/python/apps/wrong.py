number = 7


async def asgi(scope, receive, send):
    pass


class Asgi:
    async def __call__(self, scope, receive, send):
        pass


asgi_instance = Asgi()


def none_factory():
    return None


def failing_factory():
    raise RuntimeError("no database")


class Failing:
    @property
    def attribute(self):
        raise RuntimeError("no attribute for you")


failing = Failing()
