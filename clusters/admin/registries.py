"""The operators' pages of registries. No page shows a password."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from clusters.api.registry_serializers import NewRegistrySerializer
from clusters.models import Registry
from clusters.services import registries
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import to_page as link_to
from mlops_platform.admin.refusals import RefusableForm, RefusingAdmin

GIVEN = ("host", "username", "password")


class RegistryForm(RefusableForm, forms.ModelForm):
    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Or a token. It is never shown again, so each change needs it anew.",
    )

    class Meta:
        model = Registry
        fields = ["cluster", "host", "username"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.add_refusal()
        given = {"host": self.instance.host, **cleaned}
        judge = NewRegistrySerializer(data={name: given.get(name, "") for name in GIVEN})
        if not self.errors and not judge.is_valid():
            for name, faults in judge.errors.items():
                self.add_error(
                    name if name in self.fields else None, [str(each) for each in faults]
                )
        elif not self.errors:
            cleaned |= judge.validated_data
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        """Credentials of the same host are replaced, not refused."""
        return {*super()._get_validation_exclusions(), "host"}  # type: ignore[misc]  # Django's


@admin.register(Registry)
class RegistryAdmin(LookUpMedia, RefusingAdmin):
    form = RegistryForm
    list_display = ["host", "in_cluster", "username"]
    list_filter = [("cluster", LookUpFilter)]
    list_select_related = ["cluster__organization"]
    search_fields = ["host", "cluster__name", "id"]
    ordering = ["cluster", "host", "pk"]
    unlisted = ["secret"]
    autocomplete_fields = ["cluster"]
    fields = ["cluster", "host", "username", "password"]

    @admin.display(description="cluster")
    def in_cluster(self, registry: Registry) -> SafeString:
        return link_to(registry.cluster, f"{registry.cluster.organization} / {registry.cluster}")

    def get_readonly_fields(self, request: HttpRequest, obj: Registry | None = None) -> Any:
        return ["cluster", "host"] if obj else []

    def save_model(self, request: HttpRequest, obj: Registry, form: Any, change: bool) -> None:
        given = {name: form.cleaned_data.get(name) or getattr(obj, name) for name in GIVEN}
        obj.pk = registries.put_registry(obj.cluster, **given).pk
        obj._state.adding = False
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: Registry) -> None:
        registries.delete_registry(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Registry]) -> None:
        for registry in queryset.select_related("cluster"):
            self.delete_model(request, registry)
