"""Encrypts what no reader of the database may learn: credentials, and environments of containers.

Fernet: AES-128 in CBC mode with an HMAC-SHA256. The first of CREDENTIALS_KEYS seals, all of them
open, so that a key can be replaced without a stop (`manage.py rotate_credentials`).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

BATCH = 500
UNSEALABLE = (
    "Credentials cannot be opened: none of CREDENTIALS_KEYS sealed them. Add the key that did, or "
    "attach again."
)


class Unsealable(Exception):  # noqa: N818 - a state of stored data, not a mistake
    """None of the keys opens the credentials: their key is gone, or they are damaged."""

    def __init__(self) -> None:
        super().__init__(UNSEALABLE)


def seal(values: Mapping[str, str], key: str | None = None) -> str:
    """Encrypted text for a column, without the values that are empty; empty where all are. By the
    first key, or by the given one."""
    given = {name: value for name, value in values.items() if value}
    if not given:
        return ""
    sealing = _all_keys() if key is None else Fernet(key)
    return sealing.encrypt(json.dumps(given).encode()).decode()


def unseal(sealed: str) -> dict[str, str]:
    """The values by name; raises Unsealable, which contains none of them."""
    if not sealed:
        return {}
    try:
        values: dict[str, str] = json.loads(_all_keys().decrypt(sealed))
    except (InvalidToken, ValueError):
        raise Unsealable from None
    return values


def resealed(sealed: str) -> str:
    """The same values under the first key; unchanged where that key has sealed them."""
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


class SealedColumn(NamedTuple):
    """A column that a rotation seals again. `reseal` returns the value under the first key, and the
    value itself where that key has sealed it; it raises Unsealable."""

    model: Any
    column: str
    what: str
    reseal: Callable[[Any], Any] = resealed
    empty: Sequence[Any] = ("",)  # of the column, where nothing is sealed


# Each app adds its own in `AppConfig.ready`.
SEALED: list[SealedColumn] = []


@dataclass
class Rotated:
    """How many rows were sealed again, were current already, or could not be opened."""

    what: str
    resealed: int = 0
    current: int = 0
    unopened: int = 0


def rotate() -> Iterator[Rotated]:
    """Seal everything with the first key. Can be interrupted and repeated at any time."""
    for model, column, what, reseal, empty in SEALED:
        done = Rotated(what)
        for pk, sealed in _rows(model, column, empty):
            try:
                fresh = reseal(sealed)
            except Unsealable:
                done.unopened += 1
                continue
            if fresh == sealed:
                done.current += 1
                continue
            # A row that was replaced meanwhile is sealed with the first key already.
            model.objects.filter(pk=pk, **{column: sealed}).update(**{column: fresh})
            done.resealed += 1
        yield done


def unopened() -> dict[str, int]:
    """How many rows of each kind none of the keys opens, of the kinds that have any."""
    found = {}
    for model, column, what, reseal, empty in SEALED:
        count = 0
        for _, sealed in _rows(model, column, empty):
            try:
                reseal(sealed)
            except Unsealable:
                count += 1
        if count:
            found[what] = count
    return found


def _rows(model: Any, column: str, empty: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """(key, sealed value) of all rows with anything sealed. One query for each batch."""
    rows = model.objects.exclude(**{f"{column}__in": empty}).order_by("pk")
    rows = rows.values_list("pk", column)
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])
