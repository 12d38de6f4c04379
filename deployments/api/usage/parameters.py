"""The query string of the call for usage."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from drf_yasg import openapi
from rest_framework.request import Request

from deployments.usage.report import GROUPS, LABEL, NODE_LABEL, Question
from mlops_platform.api.errors import Invalid
from mlops_platform.api.ids import EPOCH
from mlops_platform.api.requests import query_of
from mlops_platform.api.schema import parameter
from mlops_platform.api.times import moment
from mlops_platform.database.clock import database_now

JSON, CSV = "json", "csv"
FORMATS = (JSON, CSV)
LONGEST = timedelta(days=400)
LONGEST_KEY = 253 + 1 + 63  # of a label: a prefix and a name
MOST_GROUPS = 10_000
PARAMETERS = [
    parameter(
        "from",
        openapi.TYPE_STRING,
        "RFC 3339, or a day in UTC. Without it from the first of this month.",
        format=openapi.FORMAT_DATETIME,
    ),
    parameter(
        "to",
        openapi.TYPE_STRING,
        f"Until then, at most {LONGEST.days} days later; without it, or where it lies ahead, until "
        "now.",
        format=openapi.FORMAT_DATETIME,
    ),
    parameter(
        "group_by",
        openapi.TYPE_STRING,
        f"Any of {', '.join(GROUPS)}, several with commas between them; without it one sum.",
    ),
    parameter(
        "label",
        openapi.TYPE_STRING,
        "Of `group_by=label`: the key of a label of deployments.",
        maxLength=LONGEST_KEY,
    ),
    parameter(
        "node_label",
        openapi.TYPE_STRING,
        "Of `group_by=node_label`: the key of a label of nodes.",
        maxLength=LONGEST_KEY,
    ),
    parameter(
        "format",
        openapi.TYPE_STRING,
        "`csv` for a table; so is `Accept: text/csv`.",
        enum=list(FORMATS),
    ),
]


class Wanted(NamedTuple):
    question: Question
    format: str


def wanted_usage(request: Request, organization_id: UUID) -> Wanted:
    """What the query string asks for; 400 that names each faulty parameter. One query."""
    values = query_of(request, [each.name for each in PARAMETERS])
    faults: dict[str, str] = {}
    now = database_now()
    begin = _moment("from", values.get("from"), now.replace(day=1, hour=0, minute=0), faults)
    end = min(_moment("to", values.get("to"), now, faults), now)
    if "from" not in values:
        begin = begin.replace(second=0, microsecond=0)
    if not faults and begin >= end:
        faults["from"] = "Not before the end of the window."
    elif not faults and end - begin > LONGEST:
        faults["from"] = f"At most {LONGEST.days} days before the end of the window."
    group_by = [each.strip() for each in values.get("group_by", "").split(",") if each.strip()]
    if unknown := [each for each in group_by if each not in GROUPS]:
        faults["group_by"] = f'"{unknown[0][:50]}" is none of {", ".join(GROUPS)}.'
    elif len(set(group_by)) < len(group_by):
        faults["group_by"] = "Each of them once."
    for name in (LABEL, NODE_LABEL):
        given = values.get(name, "")
        if name in values and name not in group_by and "group_by" not in faults:
            faults[name] = f"Only with group_by={name}."
        elif name in group_by and not given:
            faults[name] = f"The key of the label to group by, such as {name}=team."
        elif len(given) > LONGEST_KEY:
            faults[name] = f"At most {LONGEST_KEY} characters."
    chosen = str(values.get("format") or getattr(request.accepted_renderer, "format", JSON))
    if chosen not in FORMATS:
        faults["format"] = f"One of {', '.join(FORMATS)}."
    if faults:
        raise Invalid(faults)
    keys = {"label": values.get(LABEL, ""), "node_label": values.get(NODE_LABEL, "")}
    question = Question(
        organization_id, begin, end, now, group_by=group_by, most=MOST_GROUPS, **keys
    )
    return Wanted(question, chosen)


def _moment(name: str, text: str | None, default: datetime, faults: dict[str, str]) -> datetime:
    if text is None:
        return default
    found = moment(text)
    if found is None and len(text) == len("2026-03-01"):
        found = moment(f"{text}T00:00:00Z")
    if found is None or found < EPOCH:
        faults[name] = "A time with its zone, such as 2026-03-01T09:30:00Z, or a day."
        return default
    return found.astimezone(UTC)
