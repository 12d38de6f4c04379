"""Which organization a request concerns: checks of access say so, and the web server, whose threads
organizations share, learns it from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

found: ContextVar[Callable[[UUID], None]] = ContextVar("tenant", default=lambda _: None)
"""To be called with an organization that a request concerns, and of which its user is a member."""


@contextmanager
def noting(listener: Callable[[UUID], None]) -> Iterator[None]:
    """Within, `found` is this listener, in this thread."""
    token = found.set(listener)
    try:
        yield
    finally:
        found.reset(token)
