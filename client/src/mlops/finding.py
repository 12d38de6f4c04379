"""From what a person types to deployments, sweeps, nodes: names, beginnings of ids, patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mlops import errors
from mlops.following import ENDED

if TYPE_CHECKING:
    from mlops.client import Client
    from mlops.models.deployments import Deployment
    from mlops.records import Record

T = TypeVar("T", bound="Record")
LIVE: Final = "QUEUED,STARTING,RUNNING,STOPPING"
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
BEGINNING: Final = re.compile(
    r"[0-9a-f]{4,8}(-[0-9a-f]{0,4}){0,3}(-[0-9a-f]{0,12})?", re.IGNORECASE
)
SHORT_ID: Final = 13
"""Letters of an id that are shown: its time to the millisecond."""
MOST_CANDIDATES: Final = 10
MOST_SCANNED: Final = 5000
LATEST_S: Final = 4102444800.0
CLOCKS_APART: Final = timedelta(minutes=2)
"""An id's time is of the machine that made it, and `created_at` of the database."""


def deployment(client: Client, text: str, **filters: Any) -> Deployment:
    """The one deployment that a name or the beginning of an id means.

    Of several with the name it is the one that has not ended; of those that have all ended, the
    newest. Raises AmbiguousError where several have not ended, NothingFitsError where none fits.
    """
    found = _fitting(client, text, filters)
    live = [each for each in found if each["status"] not in ENDED]
    if len(live) == 1:
        return _whole(client, live[0])
    if len(live) > 1 or (len(found) > 1 and is_pattern(text)):
        raise errors.AmbiguousError(text, "deployments", described(live or found))
    return _whole(client, found[0])


def deployments(
    client: Client, texts: Iterable[str], *, live: bool = True, **filters: Any
) -> list[Deployment]:
    """The deployments that names, beginnings of ids and patterns mean, each once.

    A pattern means all that fit; with `live` those alone that have not ended. A name has to mean
    one. Raises NothingFitsError for the first text that nothing fits.
    """
    found: dict[str, Deployment] = {}
    for text in texts:
        if not is_pattern(text):
            one = deployment(client, text, **filters)
            found[one["id"]] = one
            continue
        narrowed = {**filters, "status": LIVE} if live else filters
        found.update((each["id"], each) for each in _fitting(client, text, narrowed))
    return list(found.values())


def sweep(client: Client, text: str) -> Any:
    """The one sweep that a name or the beginning of an id means; of several names the newest."""
    if UUID.fullmatch(text):
        return client.sweeps.get(text)
    for each in client.sweeps.list(at_most=MOST_SCANNED):
        if each["name"] == text or (BEGINNING.fullmatch(text) and _begins(each, text)):
            return client.sweeps.get(each)
    raise errors.NothingFitsError(f"No sweep that you may see is called {text!r}.")


def named(rows: Iterable[T], texts: Sequence[str], kind: str, key: str = "name") -> list[T]:
    """The rows that names, ids, beginnings of names and patterns mean, each once."""
    every = list(rows)
    found: dict[str, T] = {}
    for text in texts:
        fitting = [row for row in every if text in {row[key], row.get("id")}]
        fitting = fitting or [row for row in every if fnmatchcase(str(row[key]), text)]
        begin = [row for row in every if str(row[key]).startswith(text)]
        if not fitting and len(begin) > 1:
            raise errors.AmbiguousError(text, kind, [str(row[key]) for row in begin])
        fitting = fitting or begin
        if not fitting:
            known = ", ".join(str(row[key]) for row in every[:MOST_CANDIDATES]) or "none"
            raise errors.NothingFitsError(f"{text!r} fits none of the {kind}: {known}.")
        found.update((str(row[key]), row) for row in fitting)
    return list(found.values())


def described(found: Sequence[Record]) -> list[str]:
    """A line for each of several that a name fits."""
    lines = [
        f"{each['id']}  {each['name']}  {each['status']}  {each['owner']}  {each['cluster']}"
        for each in found[:MOST_CANDIDATES]
    ]
    more = len(found) - MOST_CANDIDATES
    return [*lines, f"... and {more} more"] if more > 0 else lines


def is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def short(identifier: str) -> str:
    return identifier[:SHORT_ID]


def _fitting(client: Client, text: str, filters: dict[str, Any]) -> list[Deployment]:
    if UUID.fullmatch(text):
        return [client.deployments.get(text)]
    found = list(_by_name(client, text, filters))
    if not found and BEGINNING.fullmatch(text):
        found = list(_by_beginning(client, text.lower(), filters))
    if not found:
        where = f" in {filters['cluster']}" if filters.get("cluster") else ""
        raise errors.NothingFitsError(f"No deployment that you may see is called {text!r}{where}.")
    return found


def _by_name(client: Client, text: str, filters: dict[str, Any]) -> Iterator[Deployment]:
    if not text[:1] or text[0] in "*?":
        # The platform's patterns begin with a letter, as its index does.
        for each in client.deployments.list(at_most=MOST_SCANNED, **filters):
            if fnmatchcase(each["name"], text):
                yield each
        return
    yield from client.deployments.list(name=text, at_most=MOST_SCANNED, **filters)


def _by_beginning(client: Client, text: str, filters: dict[str, Any]) -> Iterator[Deployment]:
    """Ids begin with their time (UUIDv7), so few rows have to be read, in the order of submits."""
    digits = text.replace("-", "")[:12]
    since = _time_of(digits.ljust(12, "0")) - CLOCKS_APART
    until = _time_of(digits.ljust(12, "f")) + CLOCKS_APART
    rows = client.deployments.list(
        created_after=since, ordering="created_at", at_most=MOST_SCANNED, **filters
    )
    for each in rows:
        if _begins(each, text):
            yield each
        elif each.created_at > until:
            return


def _time_of(digits: str) -> datetime:
    """The time of the first 48 bits of an id, not after the year 2100."""
    return datetime.fromtimestamp(min(int(digits, 16) / 1000, LATEST_S), timezone.utc)


def _begins(row: Record, text: str) -> bool:
    return str(row["id"]).startswith(text.lower())


def _whole(client: Client, found: Deployment) -> Deployment:
    """With the fields that lists leave out."""
    return found if "command" in found else client.deployments.get(found)
