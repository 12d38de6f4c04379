"""Reading a query string by the names that a call knows."""

from collections.abc import Iterable

from rest_framework.request import Request

from mlops_platform.api.errors import Invalid

PAGING = ("limit", "cursor")


def query_of(request: Request, names: Iterable[str] = PAGING) -> dict[str, str]:
    """The query string's values by name; 400 for a name that is unknown or comes twice.

    A misspelt filter must not silently answer everything.
    """
    known = set(names)
    values: dict[str, str] = {}
    faults: dict[str, str] = {}
    for name, given in request.query_params.lists():
        value = str(given[-1])
        if name not in known:
            faults[name[:100]] = "Unknown parameter."
        elif len(given) > 1:
            faults[name] = "Give it once."
        elif "\x00" in value:
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
