"""Replacing the key under which credentials are sealed, while everything runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clusters.models import Endpoint, Registry
from clusters.sealing import Unsealable, resealed

BATCH = 500
SEALED = ((Endpoint, "secrets", "Endpoints"), (Registry, "secret", "Registries"))


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
