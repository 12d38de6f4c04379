"""Names deployments in reasons and events, where rows have their ids. No Django here.

Details that refer to a deployment by its id, under `by` say, get `by_name` and `by_owner` beside it
when they are read; sentences are made of these. A deployment that is gone has its short id instead.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

ONE = ("by", "head", "after")
"""Keys of details whose value is the id of a deployment."""
SEVERAL = {"deployments": "deployment_names", "victims": "victim_names"}
"""Keys whose value is a list of such ids, and under which key their names stand, in that order."""
OF_USERS = frozenset({"labels", "node_selector", "without_labels"})
"""Keys whose values are words of users: no id in them refers to a deployment."""
ID_LETTERS = 36
SHORT_ID = 13  # letters of an id: the millisecond at which it was made
CALLED = "{} of {}"  # a name and the owner's
CALLED_BY_ID = "a deployment ({short})"

Details = Mapping[str, Any]


class Named(NamedTuple):
    """What people call a deployment: a name, which several may have, and the owner's."""

    name: str
    owner: str

    def __str__(self) -> str:
        return CALLED.format(*self)


Names = Mapping[str, Named]
"""By id, as text."""


def named(id_: object, name: str, owner: str, image: str, kind: str) -> Named:
    """One without a name of its own is called by what it runs: `a python:3.12 job (0199a3…)`."""
    if name:
        return Named(name, owner)
    runs = image.partition("@")[0].rpartition("/")[2]
    return Named(f"a {runs} {kind} ({short(id_)})", owner)


def short(id_: object) -> str:
    return f"{str(id_)[:SHORT_ID]}…"


def references(details: Any) -> Iterator[str]:
    """The ids of the deployments that details refer to without naming them, at any depth."""
    if not isinstance(details, Mapping):
        return
    for key, value in details.items():
        if key in ONE and _is_id(value) and f"{key}_name" not in details:
            yield value
        elif key in SEVERAL and isinstance(value, list) and SEVERAL[key] not in details:
            yield from filter(_is_id, value)
        elif isinstance(value, Mapping) and key not in OF_USERS:
            yield from references(value)


def with_names(details: Details, names: Names) -> dict[str, Any]:
    """The details with what those deployments are called; those that are gone have no names."""
    found: dict[str, Any] = {}
    for key, value in details.items():
        is_ours = isinstance(value, Mapping) and key not in OF_USERS
        found[key] = with_names(value, names) if is_ours else value
        if key in ONE and _is_id(value) and f"{key}_name" not in details:
            name, owner = names.get(value, (None, None))
            found |= {f"{key}_name": name, f"{key}_owner": owner}
        elif key in SEVERAL and isinstance(value, list) and SEVERAL[key] not in details:
            found[SEVERAL[key]] = [in_words(each, names) for each in value]
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) == ID_LETTERS


def in_words(id_: object, names: Names) -> str:
    """`eval-7 of ada`, or the short id of one that is gone."""
    found = names.get(str(id_))
    return str(found) if found else CALLED_BY_ID.format(short=short(id_))


def called(details: Details, key: str) -> str:
    """What a sentence calls the deployment under that key."""
    if name := details.get(f"{key}_name"):
        return str(Named(name, details[f"{key}_owner"]))
    return CALLED_BY_ID.format(short=short(details[key]))


def names_in(details: Details, key: str) -> Sequence[str]:
    """The same of each of several."""
    given: Sequence[str] | None = details.get(SEVERAL[key])
    return given if given is not None else [in_words(each, {}) for each in details[key]]


def all_references(several: Iterable[Any]) -> set[str]:
    return {each for details in several for each in references(details)}
