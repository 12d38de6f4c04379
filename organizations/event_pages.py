"""The read-only page of events, for operators: nothing there can be changed or deleted."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from mlops_platform.admin.markup import EMPTY, facts
from mlops_platform.admin.pages import OperatorAdmin
from mlops_platform.api.ids import parse_uuid
from organizations.events.models import ActorKind, OrganizationEvent, TargetType
from organizations.queries import names_of_organizations


class TargetFilter(admin.SimpleListFilter):
    title = "target"
    parameter_name = "target_type__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.value, each.label) for each in TargetType]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[OrganizationEvent]
    ) -> QuerySet[OrganizationEvent]:
        return queryset.filter(target_type=self.value()) if self.value() else queryset


class ActorFilter(admin.SimpleListFilter):
    title = "actor"
    parameter_name = "actor_kind__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.value, each.label) for each in ActorKind]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[OrganizationEvent]
    ) -> QuerySet[OrganizationEvent]:
        return queryset.filter(actor_kind=self.value()) if self.value() else queryset


@admin.register(OrganizationEvent)
class OrganizationEventAdmin(OperatorAdmin):
    """Newest first. Those of deployments stand in their timelines."""

    list_display = ["at", "organization", "type", "target", "by"]
    sortable_by = ()
    list_filter = [TargetFilter, ActorFilter]
    search_fields = ["organization_id"]
    search_help_text = "The id of an organization, or of a request."
    ordering = ["-pk"]
    fields = (
        "at",
        "organization",
        "type",
        "target",
        "was",
        "became",
        "by",
        "request_id",
        "cycle_id",
    )
    readonly_fields = [*fields]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OrganizationEvent], search_term: str
    ) -> tuple[QuerySet[OrganizationEvent], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        organization_id = parse_uuid(term)
        of_organization = queryset.filter(organization_id=organization_id)
        if organization_id is not None and of_organization.exists():
            return of_organization, False
        return queryset.filter(request_id=term), False

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        names = names_of_organizations({row.organization_id for row in rows})
        for row in rows:
            row.named = names.get(row.organization_id, row.organization_id)

    @admin.display
    def organization(self, event: Any) -> str:
        return event.named or EMPTY

    @admin.display
    def target(self, event: OrganizationEvent) -> str:
        return f"{event.target_type} {event.target_name}"

    @admin.display
    def by(self, event: OrganizationEvent) -> str:
        name = event.actor_name or event.actor_kind
        key = f" with the key {event.api_key}" if event.api_key else ""
        return f"{name} (operator)" if event.actor_kind == ActorKind.OPERATOR else name + key

    @admin.display(description="before")
    def was(self, event: OrganizationEvent) -> SafeString | str:
        return _shown(event.before)

    @admin.display(description="after")
    def became(self, event: OrganizationEvent) -> SafeString | str:
        return _shown(event.after)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _shown(columns: Mapping[str, Any] | None) -> SafeString | str:
    return facts(columns) if columns else EMPTY
