"""The read-only admin page that shows what is kept for how long, and what has been deleted."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from mlops_platform.admin.markup import ago
from mlops_platform.admin.pages import OperatorAdmin
from scheduler.models import Retention
from scheduler.retention.kinds import KINDS

BY_NAME = {kind.name: kind for kind in KINDS}


@admin.register(Retention)
class RetentionAdmin(OperatorAdmin):
    """A row for each kind once it has had its first turn. The settings are variables of the
    environment, so no page changes them."""

    list_display = ["what", "kept", "deleted", "ran", "finished"]
    list_display_links = None
    sortable_by = ()
    ordering = ["pk"]
    fields = ["what", "kept", "deleted", "ran", "finished"]
    readonly_fields = ["what", "kept", "deleted", "ran", "finished"]

    @admin.display
    def what(self, row: Retention) -> str:
        kind = BY_NAME.get(row.kind)
        return kind.what if kind else row.kind

    @admin.display(description="kept for")
    def kept(self, row: Retention) -> str:
        kind = BY_NAME.get(row.kind)
        return kind.kept if kind else "no longer kept"

    @admin.display(description="last turn")
    def ran(self, row: Retention) -> SafeString | str:
        return ago(row.ran_at)

    @admin.display(description="nothing left since")
    def finished(self, row: Retention) -> SafeString | str:
        return ago(_caught_up(row))

    # --- Permissions ---------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _caught_up(row: Retention) -> datetime | None:
    """None while the last turn has left some."""
    return row.finished_at if row.finished_at == row.ran_at else None
