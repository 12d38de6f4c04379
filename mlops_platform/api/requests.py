"""Reading a query string by the names that a call knows."""

from collections.abc import Collection, Iterable

from rest_framework.request import Request

from mlops_platform.api.errors import Invalid

PAGING = ("limit", "cursor")


def query_of(
    request: Request, names: Iterable[str] = PAGING, *, several: Collection[str] = ()
) -> dict[str, str]:
    """The query string's values by name, of those that may come more than once the last one; 400
    for a name that is unknown, or comes twice and is none of `several`.

    A misspelt filter must not silently answer everything.
    """
    known = set(names)
    values: dict[str, str] = {}
    faults: dict[str, str] = {}
    for name, given in request.query_params.lists():
        value = str(given[-1])
        if name not in known:
            faults[name[:100]] = "Unknown parameter."
        elif len(given) > 1 and name not in several:
            faults[name] = "Give it once."
        elif any("\x00" in str(each) for each in given):
            faults[name] = "Must not contain NUL characters."
        values[name] = value
    if faults:
        raise Invalid(faults)
    return values


def flag_of(request: Request, name: str) -> bool:
    """`?name=true`, the only parameter of its call; false without it."""
    value = query_of(request, [name]).get(name, "false").lower()
    if value not in ("true", "false"):
        raise Invalid({name: "true or false."})
    return value == "true"
