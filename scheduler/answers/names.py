"""Names the deployments of explanations and quotes, which find them by their ids."""

from collections.abc import Iterator
from typing import Any

from deployments.names import OF_USERS, in_words
from deployments.queries.names import names_of

ONE, SEVERAL = "end_of", "any_one_of"


def with_names(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, in which each object with a `deployment_id` has a `name` and an `owner`, and ids
    that stand alone have names beside them. One query at most.

    The deployments run in the organization of the one that waits: a user of that one sees them,
    too.
    """
    objects = list(_objects(answer))
    ids = {str(each["deployment_id"]) for each in objects if "deployment_id" in each}
    for each in objects:
        ids |= {str(id_) for id_ in (each.get(ONE), *each.get(SEVERAL, ())) if id_}
    names = names_of(ids)
    for each in objects:
        if "deployment_id" in each:
            found = names.get(str(each["deployment_id"]))
            each["name"], each["owner"] = found or ("", "")
        if ONE in each:
            each["end_of_name"] = in_words(each[ONE], names) if each[ONE] else None
            each["any_one_of_names"] = [in_words(id_, names) for id_ in each[SEVERAL]]
    return answer


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects of an answer, at any depth, but for those that are words of users."""
    if isinstance(value, dict):
        yield value
        for key, each in value.items():
            if key not in OF_USERS:
                yield from _objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each)
