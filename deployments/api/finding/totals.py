"""How many deployments a list has on all of its pages, counted up to a limit."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request

from deployments.models import Deployment, Status
from deployments.queries.lists import DeploymentList, Selection, count_by_status, count_up_to

TOTAL = "X-Total-Count"
PARAMETER = "total"
MOST_COUNTED = 10_000
"""A count reads an entry of an index for each deployment, so it ends here."""


def a_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValidationError("true or false.")
    return text == "true"


def is_asked_for(request: Request) -> bool:
    return request.query_params.get(PARAMETER) == "true"


def total_of(selection: Selection) -> str:
    """`42`, or `10000+`. One query."""
    count = count_up_to(selection, MOST_COUNTED + 1)
    return f"{MOST_COUNTED}+" if count > MOST_COUNTED else str(count)


def counts_of(deployments: QuerySet[Deployment]) -> dict[str, Any]:
    """What CountsSerializer describes, of a DeploymentList. One query."""
    assert isinstance(deployments, DeploymentList)
    found = count_by_status(deployments.selection, MOST_COUNTED + 1)
    counts = {str(status): min(found.get(status, 0), MOST_COUNTED) for status in Status}
    capped = [status for status, count in found.items() if count > MOST_COUNTED]
    return {"counts": counts, "capped": sorted(capped)}


class CountsSerializer(serializers.Serializer):
    counts = serializers.DictField(
        child=serializers.IntegerField(), help_text="By status; each status is there."
    )
    capped = serializers.ListField(
        child=serializers.CharField(),
        help_text=f"The statuses that more than {MOST_COUNTED} have: counted so far.",
    )

    class Meta:
        ref_name = "Counts"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "counts": {str(status): 0 for status in Status} | {"QUEUED": 12, "RUNNING": 3},
                "capped": [],
            }
        }
