"""The operators' pages of maintenance windows. ADMINs of the organization plan them by the API."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from clusters.models import MaintenanceWindow, WindowState
from clusters.services import windows
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import EMPTY, badge
from mlops_platform.admin.markup import to_page as link_to
from mlops_platform.admin.pages import OperatorAdmin

TONES = {WindowState.PLANNED: "waiting", WindowState.OPEN: "bad"}
MOST_SHOWN = 5  # nodes, in a list
SHOWN = ("reason", "in_cluster", "state_now", "begins_at", "ends_at", "mode", "of_nodes")


@admin.register(MaintenanceWindow)
class WindowAdmin(LookUpMedia, OperatorAdmin):
    list_display = SHOWN
    list_filter = ["state", ("cluster", LookUpFilter)]
    list_select_related = ["cluster__organization"]
    search_fields = ["reason", "cluster__name", "id"]
    ordering = ["-begins_at", "pk"]
    sortable_by = ["begins_at", "ends_at"]
    actions = ["call_off"]
    readonly_fields = (*SHOWN, "created_by", "created_at", "id")
    fields = (*SHOWN, "created_by", "created_at", "id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MaintenanceWindow]:
        return super().get_queryset(request).prefetch_related("nodes")

    @admin.display(description="cluster")
    def in_cluster(self, window: MaintenanceWindow) -> SafeString:
        return link_to(window.cluster, f"{window.cluster.organization} / {window.cluster}")

    @admin.display(description="state", ordering="state")
    def state_now(self, window: MaintenanceWindow) -> SafeString:
        return badge(window.state, TONES.get(WindowState(window.state), "good"))

    @admin.display(description="nodes")
    def of_nodes(self, window: MaintenanceWindow) -> str:
        names = sorted(node.name for node in window.nodes.all())
        more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
        return ", ".join(names[:MOST_SHOWN]) + more or EMPTY

    def pointless_actions(self, instance: MaintenanceWindow) -> list[str]:
        return ["call_off"] if instance.state == WindowState.ENDED else []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: MaintenanceWindow | None = None
    ) -> bool:
        """For the actions; the page of one window, asked with `obj`, has no form."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(
        self, request: HttpRequest, obj: MaintenanceWindow | None = None
    ) -> bool:
        return False

    @admin.action(description="Call off", permissions=["change"])
    def call_off(self, request: HttpRequest, queryset: QuerySet[MaintenanceWindow]) -> Any:
        """Those under way end now, and their nodes are as before."""
        count = 0
        for window in queryset.exclude(state=WindowState.ENDED):
            windows.delete_window(window)
            count += 1
        self.message_user(request, f"Called off: {count}.")
