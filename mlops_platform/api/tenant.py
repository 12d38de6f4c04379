"""Which organization a request concerns: checks of access say so, and the web server, whose threads
organizations share, learns it from them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

found: ContextVar[Callable[[UUID], None]] = ContextVar("tenant", default=lambda _: None)
"""To be called with an organization that a request concerns, and of which its user is a member."""

authenticated: ContextVar[Callable[[UUID | None], None]] = ContextVar(
    "user of a key", default=lambda _: None
)
"""To be called with the user of a request's API key or session, which does not say whose it is;
with None where it does not count."""


@contextmanager
def noting(
    listener: Callable[[UUID], None], of_key: Callable[[UUID | None], None]
) -> Iterator[None]:
    """Within, these are `found` and `authenticated`, in this thread."""
    token, key_token = found.set(listener), authenticated.set(of_key)
    try:
        yield
    finally:
        found.reset(token)
        authenticated.reset(key_token)
