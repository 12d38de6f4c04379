"""Which organization a request concerns: checks of access say so, and the web server, whose threads
organizations share, learns it from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

_listener: ContextVar[Callable[[UUID], None] | None] = ContextVar("tenant", default=None)


def note(organization_id: UUID) -> None:
    """The user of this request is a member of the organization that it concerns."""
    if (listener := _listener.get()) is not None:
        listener(organization_id)


@contextmanager
def noting(listener: Callable[[UUID], None]) -> Iterator[None]:
    """Call `listener`, in this thread, with each organization that is noted within."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
