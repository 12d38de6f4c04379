"""The operators' pages of quotas, in a list of their own: a cluster may have thousands."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from rest_framework.exceptions import APIException

from clusters.admin.forms import CoresField
from clusters.models import MAX_CPU_MILLI, MAX_GPU, MAX_RAM_MIB, Quota
from clusters.services import quotas
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import ram
from mlops_platform.admin.markup import to_page as link_to
from mlops_platform.admin.refusals import RefusableForm, RefusingAdmin
from mlops_platform.api.fields import MILLI, cores
from organizations.access import role_in

ALL_OTHERS = "all others"
NO_LIMIT = "no limit"


class QuotaForm(RefusableForm, forms.ModelForm):
    max_cpu_milli = CoresField(
        label="Most CPU cores",
        decimal_places=3,
        min_value=0,
        max_value=MAX_CPU_MILLI // MILLI,
        required=False,
    )
    max_ram_mib = forms.IntegerField(
        label="Most RAM, MiB", min_value=0, max_value=MAX_RAM_MIB, required=False
    )
    max_gpu = forms.IntegerField(label="Most GPUs", min_value=0, max_value=MAX_GPU, required=False)

    class Meta:
        model = Quota
        fields = ["cluster", "user", *quotas.LIMITS.values()]
        help_texts = {
            "user": "A member of the organization; without one, the default of all others."
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.add_refusal()
        cluster, user = cleaned.get("cluster"), cleaned.get("user")
        if cluster is not None and "user" in cleaned:  # else the form has neither
            if user is not None and role_in(user, cluster.organization_id) is None:
                self.add_error("user", f"No member of {cluster.organization}.")
            if Quota.objects.filter(cluster=cluster, user=user).exists():
                raise ValidationError("There is one already: change that.")
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        """`clean` checks the user, with a better message than the constraint."""
        return {*super()._get_validation_exclusions(), "user"}  # type: ignore[misc]  # Django's


@admin.register(Quota)
class QuotaAdmin(LookUpMedia, RefusingAdmin):
    form = QuotaForm
    list_display = ["whose", "in_cluster", "cpu", "memory", "gpus"]
    list_filter = [("cluster", LookUpFilter), ("user", LookUpFilter)]
    list_select_related = ["cluster__organization", "user"]
    search_fields = ["user__username", "cluster__name", "id"]
    ordering = ["cluster", "pk"]
    sortable_by = ()
    autocomplete_fields = ["cluster", "user"]
    fields = (*QuotaForm.Meta.fields,)

    @admin.display(description="user")
    def whose(self, quota: Quota) -> str:
        return quota.user.username if quota.user else ALL_OTHERS

    @admin.display(description="cluster")
    def in_cluster(self, quota: Quota) -> SafeString:
        return link_to(quota.cluster, f"{quota.cluster.organization} / {quota.cluster}")

    @admin.display(description="CPU cores")
    def cpu(self, quota: Quota) -> str:
        limit = quota.max_cpu_milli
        return NO_LIMIT if limit is None else str(cores(limit))

    @admin.display(description="RAM")
    def memory(self, quota: Quota) -> str:
        return NO_LIMIT if quota.max_ram_mib is None else ram(quota.max_ram_mib)

    @admin.display(description="GPUs")
    def gpus(self, quota: Quota) -> str | int:
        return NO_LIMIT if quota.max_gpu is None else quota.max_gpu

    def get_readonly_fields(self, request: HttpRequest, obj: Quota | None = None) -> Any:
        return ["cluster", "whose"] if obj else []

    def get_fields(self, request: HttpRequest, obj: Quota | None = None) -> Any:
        return ["cluster", "whose" if obj else "user", *quotas.LIMITS.values()]

    def save_model(self, request: HttpRequest, obj: Quota, form: Any, change: bool) -> None:
        limits = {column: getattr(obj, column) for column in quotas.LIMITS.values()}
        kept, _ = quotas.put_quota(obj.cluster, obj.user_id, limits)
        obj.pk = kept.pk
        obj._state.adding = False

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().delete_view(request, object_id, *args, **kwargs)
        except APIException as refusal:
            self.message_user(request, str(refusal.detail), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:clusters_quota_changelist"))

    def delete_model(self, request: HttpRequest, obj: Quota) -> None:
        quotas.delete_quota(obj.cluster, obj.user_id)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without the deletion of many at once, which would not call the service."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions
