"""The operators' page of a cluster, without what the scheduler adds (see this package)."""

from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from clusters import recording
from clusters.admin.forms import POLICY, QUEUE_LIMITS, TOTALS, ClusterForm
from clusters.models import Cluster, Endpoint, Node, Quota, Runtime, State
from clusters.services import clusters, deletion
from mlops_platform.admin.markup import (
    EMPTY,
    ago,
    badge,
    cpu_usage,
    gpu_usage,
    ram_usage,
    to_list,
)
from mlops_platform.admin.pages import counted
from mlops_platform.admin.refusals import RefusingAdmin
from mlops_platform.api.errors import Conflict

TONES = {
    State.ACTIVE: "good",
    State.PAUSED: "waiting",
    State.DRAINING: "bad",
    State.DELETING: "bad",
}

ACTION_TO = {State.PAUSED: "pause", State.ACTIVE: "resume", State.DRAINING: "drain"}


class ClusterAdmin(RefusingAdmin):
    """Every change goes through the services: the same locks, checks and wake-ups as in the API."""

    form = ClusterForm
    list_display = [
        "name",
        "organization",
        "state_now",
        "cpu",
        "ram",
        "gpus",
        "machines",
        "looked_at",
    ]
    list_filter = ["state"]
    list_select_related = ["organization"]
    search_fields = ["name", "organization__name", "id"]
    ordering = ["organization__name", "name", "pk"]
    autocomplete_fields = ["organization"]
    actions = ["pause", "resume"]
    fieldsets = [
        (None, {"fields": ["name", "organization", "runtime", "state_now", "state_set"]}),
        ("In use", {"fields": ["cpu", "ram", "gpus", "machines", "reached_at"]}),
        ("Totals", {"fields": [*TOTALS]}),
        ("Policy", {"fields": [*POLICY, "node_lost_after_s", "its_quotas"]}),
        ("Queue", {"fields": [*QUEUE_LIMITS]}),
        ("Record", {"fields": ["looked_at", "created_at", "id"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["organization", "name", "runtime"]}),
        (
            "Totals",
            {
                "fields": [*TOTALS],
                "description": "Of a simulated cluster; the nodes of any other make its totals.",
            },
        ),
        ("Policy", {"fields": [*POLICY, "node_lost_after_s"]}),
        ("Queue", {"fields": [*QUEUE_LIMITS]}),
    ]
    readonly_fields = [
        "state_now",
        "state_set",
        "cpu",
        "ram",
        "gpus",
        "machines",
        "reached_at",
        "its_quotas",
        "looked_at",
        "created_at",
        "id",
    ]

    # --- What is shown -------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cluster]:
        """The clusters with the numbers of their nodes."""
        nodes = Node.objects.filter(cluster=OuterRef("pk")).order_by().values("cluster")
        count = Subquery(nodes.annotate(total=Count("pk")).values("total"))
        return super().get_queryset(request).annotate(node_count=Coalesce(count, 0))

    @admin.display(description="state", ordering="state")
    def state_now(self, cluster: Cluster) -> SafeString:
        return badge(cluster.state, TONES.get(State(cluster.state), "quiet"))

    @admin.display(description="state set")
    def state_set(self, cluster: Cluster) -> str:
        """By whom, when and why."""
        found = cluster.state_change
        if not found:
            return EMPTY
        by, why = found["by"] or "unknown", f": {found['reason']}" if found["reason"] else ""
        return f"by {by} at {datetime.fromisoformat(found['at']):%F %T} UTC{why}"

    @admin.display(description="CPU")
    def cpu(self, cluster: Cluster) -> SafeString:
        return cpu_usage(cluster.allocated_cpu_milli, cluster.total_cpu_milli)

    @admin.display(description="RAM")
    def ram(self, cluster: Cluster) -> SafeString:
        return ram_usage(cluster.allocated_ram_mib, cluster.total_ram_mib)

    @admin.display(description="GPUs", ordering="total_gpu")
    def gpus(self, cluster: Cluster) -> SafeString:
        return gpu_usage(cluster.allocated_gpu, cluster.total_gpu)

    @admin.display(description="nodes", ordering="node_count")
    def machines(self, cluster: Any) -> SafeString | str:
        """A link to the list of nodes, of which there may be thousands."""
        if not cluster.node_count:
            return "one pool" if cluster.runtime == Runtime.SIMULATED else "none yet"
        return to_list(Node, counted(cluster.node_count, "node"), cluster__id__exact=cluster.pk)

    @admin.display(description="endpoints")
    def reached_at(self, cluster: Cluster) -> SafeString | str:
        """A link to its Docker engines or its API server."""
        if cluster.runtime == Runtime.SIMULATED:
            return EMPTY
        return to_list(Endpoint, "Its endpoints", cluster__id__exact=cluster.pk)

    @admin.display(description="quotas")
    def its_quotas(self, cluster: Cluster) -> SafeString:
        label = "Its quotas" if cluster.has_quotas else "none yet"
        return to_list(Quota, label, cluster__id__exact=cluster.pk)

    @admin.display(description="last looked at", ordering="evaluated_at")
    def looked_at(self, cluster: Cluster) -> SafeString | str:
        """The time of its last cycle."""
        return ago(cluster.evaluated_at)

    def pointless_actions(self, instance: Cluster) -> list[str]:
        """All of them while the cluster is being deleted."""
        if instance.state == State.DELETING:
            return list(ACTION_TO.values())
        return [ACTION_TO[State(instance.state)]]

    def get_fieldsets(self, request: HttpRequest, obj: Cluster | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        return [each for each in self.fieldsets if each[0] != "Totals" or has_totals(obj)]

    def get_readonly_fields(self, request: HttpRequest, obj: Cluster | None = None) -> Any:
        settled = ["organization", "runtime"] if obj else []
        return [*self.readonly_fields, *settled, *(TOTALS if obj and not has_totals(obj) else [])]

    # --- What is changed -----------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Cluster, form: Any, change: bool) -> None:
        if change:
            clusters.change_cluster(
                obj, {name: form.cleaned_data[name] for name in form.changed_data}
            )
            return
        try:
            with transaction.atomic():
                obj.save()
                recording.cluster_created(obj)
        except IntegrityError:  # the name was free when the form was checked
            raise Conflict(f"The organization has a cluster named {obj.name!r} already.") from None

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().delete_view(request, object_id, *args, **kwargs)
        except Conflict:
            self.message_user(
                request, "Deployments wait or run here: stop them first.", messages.ERROR
            )
            return HttpResponseRedirect(reverse("admin:clusters_cluster_change", args=[object_id]))

    def delete_model(self, request: HttpRequest, obj: Cluster) -> None:
        deletion.delete_cluster(obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without the deletion of many at once: each deletes a history."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Cluster]) -> HttpResponse | None:
        """Running workloads go on; none starts."""
        self.set_state(
            request,
            queryset,
            partial(clusters.pause, by=request.user.get_username()),
            State.PAUSED,
            "Paused",
        )
        return None

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Cluster]) -> HttpResponse | None:
        self.set_state(
            request,
            queryset,
            partial(clusters.resume, by=request.user.get_username()),
            State.ACTIVE,
            "Resumed",
        )
        return None


def has_totals(cluster: Any) -> bool:
    """Whether the form has its totals; else they are the sum of its nodes."""
    return cluster.runtime == Runtime.SIMULATED and not cluster.node_count
