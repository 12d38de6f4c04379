"""The read-only admin page of the ledger, which only the scheduler writes."""

import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mlops_platform.admin.filters import AgeFilter, LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import badge, to_page
from mlops_platform.admin.pages import OperatorAdmin
from mlops_platform.api.ids import parse_uuid
from scheduler import ledger
from scheduler.admin.changelist import CyclePage, CyclePaginator
from scheduler.admin.plans import readable
from scheduler.engine.codec import UnreadableLedgerError, decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle

DECODERS = {"snapshot": decode_snapshot, "plan": decode_plan}


class EvictedFilter(admin.SimpleListFilter):
    title = "evictions"
    parameter_name = "evicted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("some", "With evictions"), ("none", "Without evictions")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "some":
            return queryset.filter(evicted_count__gt=0)
        return queryset.filter(evicted_count=0) if self.value() == "none" else queryset


@admin.register(SchedulingCycle)
class SchedulingCycleAdmin(LookUpMedia, OperatorAdmin):
    """Newest first, by the UUIDv7 key. Only the download loads the snapshot."""

    list_display = [
        "when",
        "in_cluster",
        "rung_by",
        "evaluated",
        "started",
        "evicted",
        "waiting",
        "took",
        "engine_version",
    ]
    list_display_links = ["when"]
    sortable_by = ["when"]
    list_filter = ["trigger", EvictedFilter, ("cluster", LookUpFilter), AgeFilter]
    list_select_related = ["cluster"]
    search_fields = ["id"]
    search_help_text = "A whole id."
    ordering = ["-pk"]
    paginator = CyclePaginator
    unlisted = [*DECODERS]
    change_form_template = "operators/cycle.html"
    fieldsets = [
        (None, {"fields": ["id", "in_cluster", "rung_by", "started_at", "took", "engine_version"]}),
        ("Counts", {"fields": [("evaluated", "started", "evicted", "waiting")]}),
    ]
    readonly_fields = [
        "in_cluster",
        "rung_by",
        "took",
        "evaluated",
        "started",
        "evicted",
        "waiting",
    ]

    # --- What is shown -------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("cluster").defer("snapshot")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CyclePage]:
        return CyclePage

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """By a whole id: a part of one would be looked for in the text of every id."""
        if not search_term.strip():
            return queryset, False
        cycle_id = parse_uuid(search_term.strip())
        return (queryset.filter(pk=cycle_id) if cycle_id else queryset.none()), False

    @admin.display(description="when", ordering="pk")
    def when(self, cycle: SchedulingCycle) -> datetime:
        return cycle.started_at

    @admin.display(description="cluster")
    def in_cluster(self, cycle: SchedulingCycle) -> SafeString:
        return to_page(cycle.cluster)

    @admin.display(description="trigger")
    def rung_by(self, cycle: SchedulingCycle) -> SafeString:
        return badge(cycle.trigger, "quiet")

    @admin.display
    def evaluated(self, cycle: SchedulingCycle) -> int:
        return cycle.evaluated_count

    @admin.display
    def started(self, cycle: SchedulingCycle) -> int:
        return cycle.started_count

    @admin.display
    def evicted(self, cycle: SchedulingCycle) -> int:
        return cycle.evicted_count

    @admin.display
    def waiting(self, cycle: SchedulingCycle) -> int:
        return cycle.waiting_count

    @admin.display(description="load + plan + apply, ms")
    def took(self, cycle: SchedulingCycle) -> SafeString:
        return format_html(
            '<span class="nowrap">{} + {} + {}</span>',
            *(f"{phase:.1f}" for phase in (cycle.load_ms, cycle.plan_ms, cycle.apply_ms)),
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        cycle: SchedulingCycle = context["original"]
        plan = ledger.plan_of(cycle)
        context["plan"] = readable(plan) if plan is not None else None
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Downloads -----------------------------------------------------------------------------

    def get_urls(self) -> Any:
        download = self.admin_site.admin_view(self.download)
        name = "scheduler_schedulingcycle_download"
        return [
            path("<uuid:cycle_id>/<str:part>.json", download, name=name),
            *super().get_urls(),
        ]

    def download(self, request: HttpRequest, cycle_id: UUID, part: str) -> HttpResponse:
        """The snapshot or the plan with its fields named."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        decode: Any = DECODERS.get(part)
        cycle = SchedulingCycle.objects.only(part).filter(pk=cycle_id).first() if decode else None
        if cycle is None:
            raise Http404
        try:
            values = _named(decode(bytes(getattr(cycle, part))))
        except (UnreadableLedgerError, ValueError, TypeError):
            raise Http404 from None
        answer = HttpResponse(json.dumps(values, indent=1), content_type="application/json")
        answer["Content-Disposition"] = f'attachment; filename="{cycle_id}-{part}.json"'
        return answer

    # --- Permissions ---------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _named(value: Any) -> Any:
    """The value as dicts and lists, with every field under its name."""
    if is_dataclass(value):
        return {field.name: _named(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):  # amounts of resources
        return value._asdict()
    return [_named(each) for each in value] if isinstance(value, tuple) else value
