"""Filters of deployment lists by name, labels, node, reason and times."""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django_filters.rest_framework import FilterSet

from clusters.api.labels import NAME, VALUE
from clusters.models import Node
from deployments.queries import conditions
from deployments.queries.conditions import ANY, ONE
from deployments.queries.lists import DeploymentList
from deployments.reasons.codes import SENTENCES
from deployments.reasons.condition import has_reason
from mlops_platform.api.errors import Invalid
from mlops_platform.api.filters import ReadFilter
from mlops_platform.api.ids import EPOCH, parse_uuid
from mlops_platform.api.times import moment

LONGEST_NAME = 253
MOST_LABELS = 32
MOST_NODES = 1000  # of one name, in several clusters
TIME = {"format": "date-time"}


def an_id(text: str) -> UUID:
    found = parse_uuid(text)
    if found is None:
        raise ValidationError("Not an id.")
    return found


def a_time(text: str) -> datetime:
    """A time since 1970; in UTC where the text names no zone."""
    time = moment(text, in_utc=True)
    if time is None:
        raise ValidationError("Not a time; one is written like 2026-03-01T09:00:00Z.")
    if time < EPOCH:
        raise ValidationError("Too early a time.")
    return time


def a_pattern(text: str) -> str:
    if not text or len(text) > LONGEST_NAME:
        raise ValidationError(f"1 to {LONGEST_NAME} letters.")
    if text[0] in (ANY, ONE):
        raise ValidationError("Begin with a letter: names are found by their beginning.")
    if re.search(r"[\ud800-\udfff]", text):
        raise ValidationError("Not a name.")
    return text


def a_node(text: str) -> str:
    if not text or len(text) > LONGEST_NAME:
        raise ValidationError("A node's name or id.")
    return text


def a_code(text: str) -> str:
    code = text.upper() if text.isascii() else text
    if code not in SENTENCES:
        raise ValidationError("Not the code of a reason, such as QUOTA_EXCEEDED.")
    return code


def some_labels(texts: Sequence[str]) -> list[tuple[str, str | None]]:
    """Names, each with its value; None for any value."""
    if len(texts) > MOST_LABELS:
        raise ValidationError(f"At most {MOST_LABELS} labels.")
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            raise ValidationError("Write a label as name=value, or its name alone.")
        found.append((name, value if equals else None))
    return found


class ConditionFilterSet(FilterSet):
    """What an index of its own serves where it leaves few rows."""

    name = ReadFilter(
        read=a_pattern,
        method="of_name",
        help_text="A name, or how one looks: `lr-*`, `eval-??`. Capitals and small letters differ.",
    )
    label = ReadFilter(
        read=some_labels,
        method="of_labels",
        several=True,
        help_text="`team=vision`, or `team` for any value. Given several times: all of them.",
    )
    node = ReadFilter(
        read=a_node,
        method="of_node",
        help_text="A node's name or id: those that run there, or did in any attempt.",
    )
    reason = ReadFilter(
        read=a_code,
        method="of_reason",
        help_text="The code of a reason, or of what it waits for: `QUOTA_EXCEEDED`.",
    )
    sweep = ReadFilter(
        read=an_id,
        method="of_sweep",
        schema={"format": "uuid"},
        help_text="Members of this sweep, also those that a retry has replaced.",
    )
    started_after = ReadFilter(
        read=a_time, method="after_start", schema=TIME, help_text="RFC 3339: of its last start."
    )
    started_before = ReadFilter(
        read=a_time, method="before_start", schema=TIME, help_text="RFC 3339: of its last start."
    )
    finished_after = ReadFilter(
        read=a_time, method="after_end", schema=TIME, help_text="RFC 3339: of its end."
    )
    finished_before = ReadFilter(
        read=a_time, method="before_end", schema=TIME, help_text="RFC 3339: of its end."
    )

    def of_name(self, deployments: DeploymentList, name: str, pattern: str) -> DeploymentList:
        return deployments.that(conditions.is_named(pattern))

    def of_labels(
        self, deployments: DeploymentList, name: str, labels: Sequence[tuple[str, str | None]]
    ) -> DeploymentList:
        return deployments.that(*(conditions.has_label(*each) for each in labels))

    def of_sweep(self, deployments: DeploymentList, name: str, sweep: UUID) -> DeploymentList:
        return deployments.that(conditions.is_member_of(sweep))

    def of_node(self, deployments: DeploymentList, name: str, node: str) -> DeploymentList:
        """One query for a name. A node that is gone is found by its id."""
        key = parse_uuid(node)
        if key is not None:
            return deployments.that(conditions.has_run_on([key]))
        inside = Node.objects.filter(cluster__in=deployments.selection.clusters.order_by())
        found = inside.filter(name=node).values_list("pk", flat=True)[: MOST_NODES + 1]
        if len(found) > MOST_NODES:
            raise Invalid({"node": "Very many nodes have this name: give one's id, or a cluster."})
        return deployments.that(conditions.has_run_on(list(found)))

    def of_reason(self, deployments: DeploymentList, name: str, code: str) -> DeploymentList:
        return deployments.that(has_reason(code, deployments.selection.clusters))

    def after_start(self, deployments: DeploymentList, name: str, at: datetime) -> DeploymentList:
        return deployments.that(*conditions.started(at, None))

    def before_start(self, deployments: DeploymentList, name: str, at: datetime) -> DeploymentList:
        return deployments.that(*conditions.started(None, at))

    def after_end(self, deployments: DeploymentList, name: str, at: datetime) -> DeploymentList:
        return deployments.that(*conditions.finished(at, None))

    def before_end(self, deployments: DeploymentList, name: str, at: datetime) -> DeploymentList:
        return deployments.that(*conditions.finished(None, at))
