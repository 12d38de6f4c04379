"""What the operators' pages look up: related objects by typing, and rows by their filters alone."""

from collections.abc import Collection, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from mlops_platform.admin.deletion import BoundedDeletion

LONGEST_SEARCH = 100  # letters


class LookUp(AutocompleteSelect):
    """Stays empty where the sent value is no id; Django's own widget would raise a second error."""

    def optgroups(self, name: str, value: Sequence[str], *args: Any) -> Any:
        try:
            return super().optgroups(name, value, *args)
        except ValidationError:
            return super().optgroups(name, [], *args)


class FilteredAdmin(BoundedDeletion):
    """Its list is filtered by what its filters offer alone.

    Django takes any column of the query string, with any lookup: by `?secret__startswith=a` an
    operator without the right to see a secret would find it out letter by letter.
    """

    linked: Collection[str] = ()
    """Parameters of links that lead to the list, beside those of its filters."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in self.linked or any(
            _offers(each, lookup) for each in self.get_list_filter(request)
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the beginning of a long text: each of its words costs a comparison of each column."""
        return super().get_search_results(request, queryset, search_term[:LONGEST_SEARCH])


OFFERED = {"exact", "isnull", "in", "gte", "lt", "id__exact", "name__exact", "user__exact"}
"""The lookups that filters of lists use, and links to them."""


def _offers(list_filter: Any, lookup: str) -> bool:
    """Whether an entry of `list_filter` has that parameter."""
    if isinstance(list_filter, type) and issubclass(list_filter, admin.SimpleListFilter):
        return lookup == list_filter.parameter_name
    field = list_filter if isinstance(list_filter, str) else list_filter[0]
    return lookup.startswith(f"{field}__") and lookup.removeprefix(f"{field}__") in OFFERED


class LookUpAdmin(FilteredAdmin):
    """Its `autocomplete_fields` are LookUps."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", LookUp(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
