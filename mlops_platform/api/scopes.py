"""How much an API key may do: a bound beside the role of its user, and never a right of its own."""

from enum import StrEnum
from typing import Any

ANY_KEY = "With an API key: scope {scope}."
NO_KEY = "No API key may call it."


class KeyScope(StrEnum):
    """Each includes those before it."""

    READ = "read"
    SUBMIT = "submit"
    MANAGE = "manage"

    def includes(self, needed: "KeyScope") -> bool:
        order = list(KeyScope)
        return order.index(self) >= order.index(needed)


def scope_needed(view: Any, method: str) -> KeyScope | None:
    """The scope that a key needs for the view's action; None: no key may call it.

    It is the one of the viewset's table, else `read` for a call that reads, and `manage` for any
    other: a call that is new is closed to the lesser keys until its viewset says otherwise.
    """
    by_method = KeyScope.READ if method in ("GET", "HEAD", "OPTIONS") else KeyScope.MANAGE
    scope: KeyScope | None = view.key_scopes.get(view.action, by_method)
    return scope


def describe(view: Any, method: str) -> str:
    """The sentence that Swagger shows."""
    needed = scope_needed(view, method)
    return NO_KEY if needed is None else ANY_KEY.format(scope=needed)
