"""Checks the limits that the environment sets, when the platform starts."""

import re

from django.core.exceptions import ImproperlyConfigured

MOST = 10**9
MOST_AT_ONCE = 10_000  # of threads, processes and the like
RATE = re.compile(r"[1-9][0-9]{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)", re.ASCII)


def whole_number(name: str, given: str, most: int = MOST) -> int:
    """What the variable `name` says: from 1 to `most`."""
    if given.isascii() and given.isdigit() and 1 <= int(given) <= most:
        return int(given)
    raise ImproperlyConfigured(f"{name} is {given[:20]!r}; use a whole number from 1 to {most}.")


def rate(name: str, given: str) -> str:
    """What the variable `name` says, as Django REST framework reads it."""
    if RATE.fullmatch(given):
        return given
    raise ImproperlyConfigured(f"{name} is {given[:20]!r}; use a rate such as 10/min or 60/hour.")
