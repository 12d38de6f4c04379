"""The filter of the deployments' page by a label, which an operator types."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from clusters.api.labels import NAME, VALUE
from deployments.models import Deployment

LONGEST = 400  # letters: of a DNS name, a name and a value


def label_in(text: str) -> tuple[str, str | None] | None:
    """The name and the value of `team=vision`, of `team` no value; None for what is no label."""
    name, equals, value = text.strip().partition("=")
    if not NAME.fullmatch(name) or not VALUE.fullmatch(value):
        return None
    return name, value if equals else None


class LabelFilter(admin.SimpleListFilter):
    """`team=vision`, or `team` with any value; what is no label finds nothing."""

    title = "label"
    parameter_name = "label"
    template = "operators/look_up_filter.html"

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        if params.get(self.parameter_name, [""])[-1].strip() == "":
            params.pop(self.parameter_name, None)
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return []

    def has_output(self) -> bool:
        return True

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Deployment]
    ) -> QuerySet[Deployment]:
        """Not read where the list is one of ranges (changelist.py)."""
        text = self.value()
        if text is None:
            return queryset
        label = label_in(text)
        if label is None:
            return queryset.none()
        name, value = label
        labelled = Q(labels__has_key=name) if value is None else Q(labels__contains={name: value})
        return queryset.exclude(labels={}).filter(labelled)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """One choice: the field, and the rest of the query string."""
        others = {**changelist.filter_params}
        others.pop(self.parameter_name, None)
        field = forms.TextInput({"placeholder": "team=vision", "maxlength": LONGEST})
        yield {
            "widget": field.render(self.parameter_name, self.value(), {"id": "filter-label"}),
            "label_for": "filter-label",
            "others": [(name, value) for name, values in others.items() for value in values],
        }
