"""The operators' pages of nodes: their use, and actions to cordon, drain and uncordon them."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from clusters.models import DrainMode, Node, NodeState
from clusters.nodes.failed_starts import FailedStarts
from clusters.queries import effective_state
from clusters.services import nodes
from clusters.services.node_changes import DELETE
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import (
    EMPTY,
    badge,
    cpu_usage,
    facts,
    gpu_usage,
    ram_usage,
)
from mlops_platform.admin.markup import request as amounts
from mlops_platform.admin.markup import to_page as link_to
from mlops_platform.admin.pages import OperatorAdmin, counted
from mlops_platform.api.resources import RESOURCES

TONES = {NodeState.READY: "good", NodeState.CORDONED: "waiting", NodeState.DRAINED: "waiting"}
ACTION_TO = {
    NodeState.CORDONED: "cordon",
    NodeState.READY: "uncordon",
    NodeState.DRAINING: "drain",
}
EMPTY_SOON = (NodeState.DRAINING, NodeState.DRAINED)


class StateFilter(admin.SimpleListFilter):
    """Filters by the effective state, which is no column."""

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
    """Nodes are added, resized and deleted through the API, by ADMINs of the organization."""

    list_display = ["name", "in_cluster", "state_now", "cpu", "ram", "gpus", "carries"]
    list_filter = [StateFilter, ("cluster", LookUpFilter), ("cluster__organization", LookUpFilter)]
    list_select_related = ["cluster__organization", "endpoint"]
    unlisted = ["endpoint__secrets"]
    search_fields = ["name", "cluster__name", "id"]
    ordering = ["cluster", "name"]
    sortable_by = ["name"]
    actions = ["cordon", "uncordon", "drain", "drain_when_finished"]
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
        "why",
    ]
    fieldsets = [
        (None, {"fields": ["name", "in_cluster", "state_now", "why", "then", "id"]}),
        ("Runtime", {"fields": ["reached_at", "trouble"]}),
        ("In use", {"fields": ["cpu", "ram", "gpus"]}),
        ("Labels", {"fields": ["carries"]}),
    ]

    # --- What is shown -------------------------------------------------------------------------

    @admin.display(description="state", ordering="state")
    def state_now(self, node: Node) -> SafeString:
        """The effective state: the stricter of what users want and what the runtime reports."""
        state = NodeState(node.effective_state)
        return badge(state, TONES.get(state, "bad"))

    @admin.display(description="reason")
    def why(self, node: Node) -> str:
        return node.reason or EMPTY

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
        return f"It has {amounts(*sizes)}."

    def pointless_actions(self, instance: Node) -> list[str]:
        found = [action for state, action in ACTION_TO.items() if self.has_state(instance, state)]
        return [*found, "drain_when_finished"] if instance.state in EMPTY_SOON else found

    def has_state(self, row: Node, state: str) -> bool:
        """A node that the platform has cordoned, or tries again, is not READY, whatever users
        want. One whose drain waits can be drained now."""
        if state == NodeState.DRAINING:
            return row.evicts or row.state == NodeState.DRAINED
        is_failing = FailedStarts.read(row.failed_starts).since is not None
        return row.state == state and not (state == NodeState.READY and is_failing)

    # --- Permissions ---------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        """For the actions; the page of one node, asked with `obj`, has no form."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Node | None = None) -> bool:
        return False

    # --- What is done --------------------------------------------------------------------------

    @admin.action(description="Cordon", permissions=["change"])
    def cordon(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self.set_state(request, queryset, nodes.cordon, NodeState.CORDONED, "Cordoned")

    @admin.action(description="Uncordon", permissions=["change"])
    def uncordon(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self.set_state(request, queryset, nodes.uncordon, NodeState.READY, "Opened")

    @admin.action(description="Drain", permissions=["change"])
    def drain(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        """Drain, after a confirmation where workloads run: they lose what they have not saved."""
        in_use = [
            node
            for node in queryset
            if not node.evicts and node.allocated_cpu_milli  # every workload asks for CPU
        ]
        if in_use:
            consequences = []
            for node in in_use:
                allocated = amounts(
                    node.allocated_cpu_milli, node.allocated_ram_mib, node.allocated_gpu
                )
                consequences.append(
                    f"{node.name}: what has {allocated} allocated will go back into the queue "
                    "and lose what it has not saved; the node stays closed until you uncordon it."
                )
            title = f"Drain {counted(queryset.count(), 'node')}?"
            if question := self.confirm(request, title, consequences):
                return question
        service = partial(nodes.drain, by=request.user.get_username())
        self.set_state(request, queryset, service, NodeState.DRAINING, "Draining")
        return None

    @admin.action(description="Drain when what runs has finished", permissions=["change"])
    def drain_when_finished(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Nothing that runs loses anything, so no confirmation is asked for."""
        service = partial(nodes.drain, by=request.user.get_username(), mode=DrainMode.WHEN_FINISHED)
        waiting = queryset.exclude(state__in=EMPTY_SOON)
        self.set_state(request, waiting, service, NodeState.DRAINING, "Draining")
