"""The pages of nodes: how full they are, and closing, emptying and opening them."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from rest_framework.exceptions import NotFound

from clusters.models import Node, NodeState
from clusters.node_changes import DELETE
from clusters.queries import effective_state
from clusters.services import nodes
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import (
    EMPTY,
    badge,
    cpu_usage,
    facts,
    gpu_usage,
    ram_usage,
    request,
)
from mlops_platform.admin.markup import to_page as link_to
from mlops_platform.admin.pages import OperatorAdmin, counted
from mlops_platform.api.resources import RESOURCES

TONES = {NodeState.READY: "good", NodeState.CORDONED: "waiting"}
ACTION_TO = {
    NodeState.CORDONED: "cordon",
    NodeState.READY: "uncordon",
    NodeState.DRAINING: "drain",
}


class StateFilter(admin.SimpleListFilter):
    """By the state that is shown, which is no column."""

    title = "state"
    parameter_name = "state__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, state.label) for state in NodeState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Node]) -> QuerySet[Node]:
        if self.value() is None:
            return queryset
        return queryset.alias(now=effective_state()).filter(now=self.value())


@admin.register(Node)
class NodeAdmin(LookUpMedia, OperatorAdmin):
    """Adding, resizing and deleting is for the organization's admins, through the API."""

    list_display = ["name", "in_cluster", "state_now", "cpu", "ram", "gpus", "carries"]
    list_filter = [StateFilter, ("cluster", LookUpFilter), ("cluster__organization", LookUpFilter)]
    list_select_related = ["cluster__organization", "endpoint"]
    unlisted = ["endpoint__secrets"]
    search_fields = ["name", "cluster__name", "id"]
    ordering = ["cluster", "name"]
    sortable_by = ["name"]
    actions = ["cordon", "uncordon", "drain"]
    readonly_fields = [
        "state_now",
        "in_cluster",
        "reached_at",
        "trouble",
        "cpu",
        "ram",
        "gpus",
        "carries",
        "then",
    ]
    fieldsets = [
        (None, {"fields": ["name", "in_cluster", "state_now", "then", "id"]}),
        ("Runtime", {"fields": ["reached_at", "trouble"]}),
        ("In use", {"fields": ["cpu", "ram", "gpus"]}),
        ("Labels", {"fields": ["carries"]}),
    ]

    # --- What is shown -------------------------------------------------------------------------

    @admin.display(description="state", ordering="state")
    def state_now(self, node: Node) -> SafeString:
        """What comes of what people want of it and what its runtime says."""
        state = NodeState(node.effective_state)
        return badge(state, TONES.get(state, "bad"))

    @admin.display(description="cluster")
    def in_cluster(self, node: Node) -> SafeString:
        return link_to(node.cluster, f"{node.cluster.organization} / {node.cluster}")

    @admin.display(description="endpoint")
    def reached_at(self, node: Node) -> SafeString | str:
        return link_to(node.endpoint) if node.endpoint else EMPTY

    @admin.display(description="error")
    def trouble(self, node: Node) -> str:
        return (node.endpoint.error if node.endpoint else "") or EMPTY

    @admin.display(description="CPU")
    def cpu(self, node: Node) -> SafeString:
        return cpu_usage(node.allocated_cpu_milli, node.cpu_milli)

    @admin.display(description="RAM")
    def ram(self, node: Node) -> SafeString:
        return ram_usage(node.allocated_ram_mib, node.ram_mib)

    @admin.display(description="GPUs")
    def gpus(self, node: Node) -> SafeString:
        return gpu_usage(node.allocated_gpu, node.gpu)

    @admin.display(description="labels")
    def carries(self, node: Node) -> SafeString | str:
        return facts(node.labels) if node.labels else EMPTY

    @admin.display(description="once it is empty")
    def then(self, node: Node) -> str:
        if node.pending is None:
            return EMPTY
        if node.pending == DELETE:
            return "It is deleted."
        sizes = (node.pending[name] for name in RESOURCES)
        return f"It has {request(*sizes)}."

    def pointless_actions(self, instance: Node) -> list[str]:
        return [action for state, action in ACTION_TO.items() if state == instance.state]

    # --- Who may -------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        """The actions need it; the page, which is asked about with its object, has no form."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        return False

    # --- What is done --------------------------------------------------------------------------

    @admin.action(description="Cordon", permissions=["change"])
    def cordon(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self._set(request, queryset, nodes.cordon, NodeState.CORDONED, "Cordoned")

    @admin.action(description="Uncordon", permissions=["change"])
    def uncordon(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self._set(request, queryset, nodes.uncordon, NodeState.READY, "Opened")

    @admin.action(description="Drain", permissions=["change"])
    def drain(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Asks first where anything runs: it loses what it has not saved."""
        held = [
            node
            for node in queryset.exclude(state=NodeState.DRAINING)
            if node.allocated_cpu_milli  # which everybody asks for
        ]
        if held:
            consequences = [
                f"{node.name}: what holds {_held(node)} will go back into the queue and lose what "
                "it has not saved; the node stays closed until you uncordon it."
                for node in held
            ]
            title = f"Drain {counted(queryset.count(), 'node')}?"
            if question := self.confirm(request, title, consequences):
                return question
        self._set(request, queryset, nodes.drain, NodeState.DRAINING, "Draining")
        return None

    def _set(
        self,
        request: HttpRequest,
        queryset: QuerySet[Node],
        service: Callable[[Node], Node],
        state: NodeState,
        done: str,
    ) -> None:
        """Call the service for each that is in another state, and tell of all."""
        changed, refused = 0, []
        for node in queryset:
            if node.state == state:
                refused.append(f"{node.name} is {state} already")
                continue
            try:
                service(node)
            except NotFound:
                refused.append(f"{node.name} is gone")
                continue
            self.log_change(request, node, f"{done}.")
            changed += 1
        told = f"{done} {counted(changed, 'node')}." if changed else None
        self.report(request, told, refused, "Left as they were")


def _held(node: Node) -> Any:
    return request(node.allocated_cpu_milli, node.allocated_ram_mib, node.allocated_gpu)
