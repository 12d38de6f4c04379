"""The admin pages of sweeps: operators read them, and stop their members."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deployments.admin.deployments import operator
from deployments.models import Sweep
from deployments.queries.sweeps import open_members, progress_of
from deployments.services.sweeps import steer
from mlops_platform.admin.filters import AgeFilter, LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import to_page
from mlops_platform.admin.pages import OperatorAdmin, counted


@admin.register(Sweep)
class SweepAdmin(LookUpMedia, OperatorAdmin):
    """Newest first, by the index of the id, a UUIDv7."""

    list_display = ["name", "status", "progress_words", "in_cluster", "owner", "max_parallel"]
    sortable_by = ()
    list_filter = [
        ("cluster", LookUpFilter),
        ("cluster__organization", LookUpFilter),
        AgeFilter,
    ]
    list_select_related = ["cluster__organization", "owner"]
    search_fields = ["name", "id"]
    ordering = ["-pk"]
    actions = ["stop"]
    unlisted = ["parameters"]
    fields = (
        *("name", "status", "progress_words", "members", "max_parallel"),
        *("in_cluster", "owner", "created_at", "id", "parameters"),
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sweep]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        """Adds what has become of the members. One query."""
        found = progress_of(rows)
        for row in rows:
            row.progress = found[row.pk]

    # --- Columns -------------------------------------------------------------------------------

    @admin.display
    def status(self, sweep: Any) -> str:
        return str(sweep.progress.status)

    @admin.display(description="members")
    def progress_words(self, sweep: Any) -> str:
        """`6: 2 COMPLETED, 4 QUEUED`."""
        counts = sorted(sweep.progress.counts.items())
        return f"{sweep.size}: {', '.join(f'{number} {status}' for status, number in counts)}"

    @admin.display(description="as deployments")
    def members(self, sweep: Sweep) -> SafeString:
        page = reverse("admin:deployments_deployment_changelist")
        query = urlencode({"sweep__id__exact": str(sweep.pk)})
        return format_html('<a href="{}?{}">its members</a>', page, query)

    @admin.display(description="cluster")
    def in_cluster(self, sweep: Sweep) -> SafeString:
        return to_page(sweep.cluster, f"{sweep.cluster.organization} / {sweep.cluster}")

    # --- Permissions ---------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # there is no form: operators stop sweeps by the action

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("deployments.change_deployment")

    # --- Actions -------------------------------------------------------------------------------

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Sweep]) -> HttpResponse | None:
        """Stop, after a confirmation: a job loses its work since the last checkpoint."""
        sweeps = list(queryset)
        members = sum(open_members(each).count() for each in sweeps)
        question = self.confirm(
            request,
            f"Stop {counted(len(sweeps), 'sweep')}?",
            [f"{counted(members, 'member')} wait or run: what is not saved is lost."],
        )
        if question:
            return question
        stopped = sum(steer.stop_sweep(operator(request), each) for each in sweeps)
        self.report(request, f"Stopped {counted(stopped, 'deployment')}.", [], "")
        return None
