"""Filters for lists of millions of rows, which may be related to thousands of others."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from mlops_platform.api.ids import first_uuid_at


class LookUpFilter(admin.FieldListFilter):
    """Finds the related object as the operator types; Django's own filter would list them all.

    Needs no query unless one is chosen. The related model's admin must have search_fields.
    """

    template = "operators/look_up_filter.html"

    def __init__(  # noqa: PLR0917 - Django calls it so
        self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str
    ) -> None:
        self.parameter = f"{field_path}__{field.target_field.name}__exact"
        if params.get(self.parameter, [""])[-1] == "":
            params.pop(self.parameter, None)
        super().__init__(field, request, params, model, model_admin, field_path)
        self.site = model_admin.admin_site
        self.title = field.verbose_name

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """One choice: the widget, and the rest of the query string."""
        used: dict[str, Any] = self.used_parameters
        chosen = used.get(self.parameter, [None])[-1]
        others = {**changelist.filter_params}
        others.pop(self.parameter, None)
        yield {
            "widget": widget_of(self.field, self.site).render(
                self.parameter, chosen, {"id": f"filter-{self.field_path}"}
            ),
            "label_for": f"filter-{self.field_path}",
            "others": [(name, value) for name, values in others.items() for value in values],
        }


class LookUpSelect(AutocompleteSelect):
    def build_attrs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**super().build_attrs(*args, **kwargs), "data-placeholder": "All"}


def widget_of(field: Any, site: admin.AdminSite) -> Any:
    choice = forms.ModelChoiceField(
        field.remote_field.model._default_manager.all(),
        required=False,
        widget=LookUpSelect(field, site),
    )
    return choice.widget


class LookUpMedia:
    """For an admin whose list has a LookUpFilter."""

    @property
    def media(self) -> forms.Media:
        own: forms.Media = super().media  # type: ignore[misc]  # ModelAdmin's
        needed = AutocompleteSelect(None, admin.site).media
        return own + needed + forms.Media(js=["admin/js/jquery.init.js", "operators/filters.js"])


class AgeFilter(admin.SimpleListFilter):
    """Filters by when a row was made. Its UUIDv7 key has the time, so this is an index range."""

    title = "age"
    parameter_name = "within"
    AGES = {
        "hour": ("Past hour", timedelta(hours=1)),
        "day": ("Past 24 hours", timedelta(days=1)),
        "week": ("Past 7 days", timedelta(days=7)),
        "month": ("Past 30 days", timedelta(days=30)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, said) for name, (said, _) in self.AGES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first = self.first_id(self.value() or "")
        return queryset if first is None else queryset.filter(pk__gte=first)

    @classmethod
    def first_id(cls, age: str) -> UUID | None:
        """The least id of that age; None for no age of the list."""
        chosen = cls.AGES.get(age)
        return None if chosen is None else first_uuid_at(timezone.now() - chosen[1])
