"""Foreign keys that the operators' pages look up by typing."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.http import HttpRequest


class LookUp(AutocompleteSelect):
    """Stays empty where the sent value is no id; Django's own widget would raise a second error."""

    def optgroups(self, name: str, value: Sequence[str], *args: Any) -> Any:
        try:
            return super().optgroups(name, value, *args)
        except ValidationError:
            return super().optgroups(name, [], *args)


class LookUpAdmin(admin.ModelAdmin):
    """Its `autocomplete_fields` are LookUps."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", LookUp(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
