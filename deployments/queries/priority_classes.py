"""Reads priority classes, by name."""

from collections.abc import Mapping

from deployments.models import PriorityClass
from mlops_platform.api.errors import Invalid


def priority_classes() -> dict[str, PriorityClass]:
    """Every class by name, most urgent first; one query for a handful of rows."""
    return PriorityClass.objects.order_by("-value").in_bulk(field_name="name")


def priority_named(name: str, classes: Mapping[str, PriorityClass]) -> PriorityClass:
    """The class of that name in any letter case; 400 that lists the names."""
    found = classes.get(name.upper() if name.isascii() else name)
    if found is None:
        raise Invalid({"priority": f"One of {', '.join(classes)}."})
    return found
