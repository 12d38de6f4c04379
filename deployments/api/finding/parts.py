"""`?fields=`: what the rows of a list show."""

from collections.abc import Collection

from django.core.exceptions import ValidationError
from rest_framework.request import Request

from deployments.api.representation import ListedDeploymentSerializer

PARAMETER = "fields"


def some_fields(text: str) -> list[str]:
    """Names of fields that rows of a list have."""
    known = ListedDeploymentSerializer().fields
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValidationError(f"No field of a list: {unknown[0][:50]!r}. All: {', '.join(known)}.")
    return names


def fields_of(request: Request) -> Collection[str] | None:
    """The fields that a sound query string asks for; None for all."""
    given = request.query_params.get(PARAMETER)
    return None if given is None else given.split(",")
