"""Reads the groups of a question, and answers with them as a table: for the API and the console."""

from collections.abc import Sequence
from uuid import UUID

from django.http import StreamingHttpResponse

from deployments.api.usage.parameters import MOST_GROUPS
from deployments.api.usage.shown import csv_lines
from deployments.usage.report import Group, Question, usage_of
from mlops_platform.api.errors import Invalid
from mlops_platform.api.throttling.concurrency import Share, slot

TOO_MANY = (
    f"More than {MOST_GROUPS} groups: take a shorter window, or group by less than "
    "{words} together."
)


def groups_of(question: Question) -> list[Group]:
    """400 where there are too many; 429 where the organization has as many sums under way as may
    be. One query."""
    with slot([share_of(question.organization_id)]):
        groups = usage_of(question)
    if len(groups) > question.most:
        raise Invalid({"group_by": TOO_MANY.format(words=" and ".join(question.group_by))})
    return groups


def share_of(organization_id: UUID) -> Share:
    """Of the sums that are under way at once."""
    return Share(f"usage:{organization_id}", running=2, waiting=4)


def csv_answer(
    question: Question, groups: Sequence[Group], name: str = "usage"
) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        csv_lines(question.group_by, groups),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
