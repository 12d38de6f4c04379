"""The admin pages of usage, which are only read, and of prices, which operators change too."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from rest_framework.exceptions import ValidationError

from clusters.api.labels import Labels
from deployments.api.usage.serializers import MOST_MILLI, MOST_PRICES
from deployments.models import AllocationInterval, Price, UsageOfDay
from deployments.usage.prices import MILLI, PER_HOUR, delete_price, keep_price
from mlops_platform.admin.pages import HistoryPaginator, OperatorAdmin
from mlops_platform.admin.refusals import sentences_of

WHOSE = ("username", "cluster", "priority_class")
LOOKED_AT = 200_000
"""The newest rows, among which a search finds: no index leads to the names of that time."""


class HistoryAdmin(OperatorAdmin):
    """Rows that stay as they are, found by whole names of users and clusters in any letter case."""

    search_fields = ["username", "cluster"]
    search_help_text = f"A user or a cluster, by the whole name; of the newest {LOOKED_AT:,} rows."
    paginator = HistoryPaginator
    ordering = ["-pk"]
    sortable_by = ()
    actions = None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        newest = self.model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
        named = Q(username__iexact=term) | Q(cluster__iexact=term)
        return queryset.filter(named, pk__gt=(newest or 0) - LOOKED_AT), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AllocationInterval)
class AllocationIntervalAdmin(HistoryAdmin):
    list_display = ["__str__", *WHOSE, "node", "gpu", "begin", "end", "outcome"]
    fields = (
        *("organization_id", "cluster", "cluster_id", "username", "user_id", "priority_class"),
        *("deployment", "deployment_id", "attempt", "labels", "node", "node_id", "node_labels"),
        *("replicas", "cpu_milli", "ram_mib", "gpu", "queued_at", "begin", "end", "outcome"),
    )


@admin.register(UsageOfDay)
class UsageOfDayAdmin(HistoryAdmin):
    list_display = ["day", *WHOSE, "labels", "gpu_hours"]

    @admin.display(description="GPU hours")
    def gpu_hours(self, usage: UsageOfDay) -> str:
        return f"{usage.gpu_ms / 3_600_000:.2f}"


class AmountField(forms.DecimalField):
    """Shows no zeros at the end: stored amounts have more decimals than may be entered."""

    def prepare_value(self, value: Any) -> Any:
        return f"{value.normalize():f}" if isinstance(value, Decimal) else value


class PriceForm(forms.ModelForm):
    class Meta:
        model = Price
        fields = ["organization", "rank", "label", "value", *PER_HOUR]
        help_texts = {
            "rank": "Of the prices that fit a node the one of the lowest rank counts.",
            "label": "A label of nodes; without one, any node and any pool.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in PER_HOUR:
            self.fields[name] = AmountField(
                min_value=0, max_value=MOST_MILLI // MILLI, decimal_places=3, initial=0
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        label, value = cleaned.get("label", ""), cleaned.get("value", "")
        if value and not label:
            self.add_error("label", "The label that has this value.")
        try:
            Labels(most=1).run_validation({label: value} if label else {})
        except ValidationError as refusal:
            self.add_error("label", " ".join(said for _, said in sentences_of(refusal.detail)))
        organization = cleaned.get("organization")
        others = Price.objects.filter(organization=organization).exclude(pk=self.instance.pk)
        if organization is not None and others.count() >= MOST_PRICES:
            self.add_error(None, f"An organization has {MOST_PRICES} prices at most.")
        return cleaned


@admin.register(Price)
class PriceAdmin(OperatorAdmin):
    form = PriceForm
    list_display = ["__str__", "organization", "rank", *PER_HOUR]
    list_select_related = ["organization"]
    search_fields = ["organization__name", "label", "value"]
    ordering = ["organization", "rank"]
    sortable_by = ()
    autocomplete_fields = ["organization"]
    fields = (*PriceForm.Meta.fields,)

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        return ["organization"] if obj else []

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        keep_price(obj)

    def delete_model(self, request: HttpRequest, obj: Price) -> None:
        delete_price(obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without the deletion of many at once, which would not call the service."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions
