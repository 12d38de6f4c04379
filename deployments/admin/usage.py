"""The admin pages of usage: operators read them. No row is changed by hand."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from deployments.models import AllocationInterval, Price, UsageOfDay
from mlops_platform.admin.pages import HistoryPaginator, OperatorAdmin

WHOSE = ("username", "cluster", "priority_class")


class ReadOnlyAdmin(OperatorAdmin):
    paginator = HistoryPaginator
    ordering = ["-pk"]
    sortable_by = ()
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AllocationInterval)
class AllocationIntervalAdmin(ReadOnlyAdmin):
    list_display = ["__str__", *WHOSE, "node", "gpu", "begin", "end", "outcome"]
    fields = (
        *("organization_id", "cluster", "cluster_id", "username", "user_id", "priority_class"),
        *("deployment", "deployment_id", "attempt", "labels", "node", "node_id", "node_labels"),
        *("replicas", "cpu_milli", "ram_mib", "gpu", "queued_at", "begin", "end", "outcome"),
    )


@admin.register(UsageOfDay)
class UsageOfDayAdmin(ReadOnlyAdmin):
    list_display = ["day", *WHOSE, "labels", "gpu_hours"]

    @admin.display(description="GPU hours")
    def gpu_hours(self, usage: UsageOfDay) -> str:
        return f"{usage.gpu_ms / 3_600_000:.2f}"


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "organization", "rank", "gpu_hour", "core_hour", "gib_hour"]
    list_select_related = ["organization"]
