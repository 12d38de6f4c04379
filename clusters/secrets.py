"""Credentials at rest: sealed with the keys of the environment, opened only to be used.

Fernet: AES-128 in CBC mode with an HMAC-SHA256. The first of CREDENTIALS_KEYS seals, all of them
open, so that a key can be replaced while everything runs (`manage.py rotate_credentials`).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from clusters.models import Endpoint, Registry

BATCH = 500
SEALED = ((Endpoint, "secrets", "Endpoints"), (Registry, "secret", "Registries"))


class Unsealable(Exception):  # noqa: N818 - a state of what is kept, not a mistake
    """No key that is there opens it: it was sealed with one that is gone, or is damaged."""

    def __init__(self) -> None:
        super().__init__(
            "Credentials cannot be opened: none of CREDENTIALS_KEYS sealed them. Add the key that "
            "did, or attach again."
        )


def seal(secrets: Mapping[str, str]) -> str:
    """Text for a column; nothing where there are no secrets."""
    kept = {name: secret for name, secret in secrets.items() if secret}
    if not kept:
        return ""
    return _all_keys().encrypt(json.dumps(kept).encode()).decode()


def unseal(sealed: str) -> dict[str, str]:
    """What was sealed; raises Unsealable, which tells no part of it."""
    if not sealed:
        return {}
    try:
        secrets: dict[str, str] = json.loads(_all_keys().decrypt(sealed))
    except (InvalidToken, ValueError):
        raise Unsealable from None
    return secrets


def resealed(sealed: str) -> str:
    """The same under the first key, or as it is where it is under that key already."""
    if not sealed or _opens(Fernet(settings.CREDENTIALS_KEYS[0]), sealed):
        return sealed
    return seal(unseal(sealed))


def _opens(key: Fernet, sealed: str) -> bool:
    try:
        key.decrypt(sealed)
    except InvalidToken:
        return False
    return True


def _all_keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIALS_KEYS])


@dataclass
class Rotated:
    """How many of them were sealed again, needed no sealing, or could not be opened."""

    what: str
    resealed: int = 0
    current: int = 0
    unopened: int = 0


def rotate() -> Iterator[Rotated]:
    """Seal everything with the first key. May be broken off, and run again, at any time."""
    for model, column, what in SEALED:
        done = Rotated(what)
        for pk, sealed in _rows(model, column):
            try:
                fresh = resealed(sealed)
            except Unsealable:
                done.unopened += 1
                continue
            if fresh == sealed:
                done.current += 1
                continue
            # Whoever has replaced it meanwhile has sealed it with the first key.
            model.objects.filter(pk=pk, **{column: sealed}).update(**{column: fresh})
            done.resealed += 1
        yield done


def _rows(model: Any, column: str) -> Iterator[tuple[Any, str]]:
    """(key, sealed text) of all that have any, a query for each batch."""
    rows = model.objects.exclude(**{column: ""}).order_by("pk").values_list("pk", column)
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])
