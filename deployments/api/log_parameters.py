"""The query string of the call for a deployment's logs."""

from typing import Any

from drf_yasg import openapi
from rest_framework.request import Request

from deployments.log_selection import LogQuery
from mlops_platform.api.errors import Invalid
from mlops_platform.api.requests import query_of
from mlops_platform.api.schema import parameter
from mlops_platform.api.times import moment

MOST_LINES = 100_000
LONGEST_GREP = 256  # bytes
# The whole numbers, each with the least and the most.
RANGES = {
    "tail": (0, MOST_LINES),
    "skip": (0, 10_000_000),
    "limit": (1, MOST_LINES),
    "replica": (0, 999),
    "attempt": (1, 2**31 - 1),
}
MOMENTS = ("since", "until")
FLAGS = ("timestamps", "follow")


def _limits(name: str) -> dict[str, Any]:
    least, most = RANGES[name]
    return {"minimum": least, "maximum": most}


PARAMETERS = [
    parameter(
        "tail",
        openapi.TYPE_INTEGER,
        "So many lines from the end, of those that `grep` leaves.",
        **_limits("tail"),
    ),
    parameter(
        "skip",
        openapi.TYPE_INTEGER,
        "Without so many lines from the beginning, of those that `grep` leaves.",
        **_limits("skip"),
    ),
    parameter("limit", openapi.TYPE_INTEGER, "So many lines at most.", **_limits("limit")),
    parameter(
        "grep",
        openapi.TYPE_STRING,
        f"Lines that contain this text as it is, of {LONGEST_GREP} bytes of UTF-8 at most.",
        minLength=1,
        maxLength=LONGEST_GREP,
    ),
    parameter(
        "since",
        openapi.TYPE_STRING,
        "Lines written from then on; RFC 3339.",
        format=openapi.FORMAT_DATETIME,
    ),
    parameter(
        "until",
        openapi.TYPE_STRING,
        "Lines written until then; RFC 3339. Not with `follow`.",
        format=openapi.FORMAT_DATETIME,
    ),
    parameter(
        "timestamps",
        openapi.TYPE_BOOLEAN,
        "Begin each line with its time by the runtime's clock, in RFC 3339.",
    ),
    parameter("follow", openapi.TYPE_BOOLEAN, "Go on until it ends; waits until it starts."),
    parameter(
        "replica", openapi.TYPE_INTEGER, "From 0, which is the default.", **_limits("replica")
    ),
    parameter(
        "attempt",
        openapi.TYPE_INTEGER,
        "From 1; else the present one, or the last.",
        **_limits("attempt"),
    ),
]


def wanted_logs(request: Request) -> LogQuery:
    """Which lines the query string asks for; 400 that names each faulty parameter."""
    values = query_of(request, [each.name for each in PARAMETERS])
    found: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, (least, most) in RANGES.items():
        if name in values:
            text = values[name]
            if text.isascii() and text.isdigit() and least <= int(text[:20]) <= most:
                found[name] = int(text)
            else:
                faults[name] = f"A whole number from {least} to {most}."
    for name in MOMENTS:
        if name in values:
            found[name] = moment(values[name])
            if found[name] is None:
                faults[name] = "A time with its zone, such as 2026-03-01T09:30:00Z."
    for name in FLAGS:
        if name in values:
            found[name] = values[name].lower() == "true"
            if values[name].lower() not in ("true", "false"):
                faults[name] = "true or false."
    if "grep" in values:
        found["grep"] = values["grep"].encode(errors="replace")
        if not 1 <= len(found["grep"]) <= LONGEST_GREP:
            faults["grep"] = f"A text of 1 to {LONGEST_GREP} bytes of UTF-8."
        elif b"\n" in found["grep"]:
            faults["grep"] = "Within one line: without a newline."
    faults = _contradictions(found) | faults
    if faults:
        raise Invalid(faults)
    return LogQuery(**found)


def _contradictions(found: dict[str, Any]) -> dict[str, str]:
    """A fault for each parameter that does not go with the others."""
    faults: dict[str, str] = {}
    since, until = found.get("since"), found.get("until")
    if "tail" in found and ("skip" in found or "limit" in found):
        faults["tail"] = "Not with skip or limit: they count from the beginning."
    if until is not None and found.get("follow"):
        faults["until"] = "Not with follow, which goes on."
    elif until is not None and since is not None and until < since:
        faults["until"] = "Not before since."
    return faults
