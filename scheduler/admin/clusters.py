"""The admin page of clusters, with their queues and running deployments.

`clusters` may import neither `deployments` nor this app, so its ClusterAdmin covers the cluster
alone. This module, in the layer above all three, adds the rest and registers the page.
"""

from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from clusters.admin.clusters import ClusterAdmin
from clusters.models import Cluster, State
from clusters.services import clusters as services
from deployments import redis_queues
from deployments.models import PLACED, Deployment, Status
from deployments.queries.allocations import in_use
from deployments.queries.priority_classes import priority_classes
from mlops_platform.admin.filters import LookUpFilter, LookUpMedia
from mlops_platform.admin.markup import cpu_usage, gpu_usage, ram_usage, to_list
from mlops_platform.admin.pages import counted
from scheduler import wakeup
from scheduler.models import SchedulingCycle, Trigger

WORDS = ("allocated", "total")
EVICTABLE = (Status.STARTING, Status.RUNNING)


@admin.register(Cluster)
class ScheduledClusterAdmin(LookUpMedia, ClusterAdmin):
    list_display = [  # what matters first, as a narrow page cuts the rest
        *("name", "gpus", "waiting", "running", "state_now", "cpu", "ram"),
        *("machines", "organization", "looked_at"),
    ]
    list_filter = [("organization", LookUpFilter), *ClusterAdmin.list_filter]
    actions = [*ClusterAdmin.actions, "drain", "schedule_now"]
    fieldsets = [
        *ClusterAdmin.fieldsets[:2],
        ("Deployments", {"fields": ["waiting", "running", "cycles"]}),
        *ClusterAdmin.fieldsets[2:],
    ]
    readonly_fields = [*ClusterAdmin.readonly_fields, "waiting", "running", "cycles"]

    # --- What is shown -------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cluster]:
        """Each cluster with its number of allocated deployments, counted by a partial index."""
        allocated = (
            Deployment.objects.filter(cluster=OuterRef("pk"), status__in=PLACED)
            .order_by()
            .values("cluster")
            .annotate(total=Count("pk"))
            .values("total")
        )
        running = Coalesce(Subquery(allocated, output_field=IntegerField()), 0)
        return super().get_queryset(request).annotate(running_count=running)

    def prepare(self, request: HttpRequest, rows: list[Any]) -> None:
        """One query and one Redis round trip."""
        names = list(priority_classes())
        found = redis_queues.lengths_of([row.pk for row in rows], names)
        for row in rows:
            row.queue_lengths = found.get(row.pk)

    def totals(self, request: HttpRequest, changelist: ChangeList) -> list[tuple[str, Any]]:
        """One query."""
        names = ("gpu", "cpu_milli", "ram_mib")
        sums = {f"{word}_{name}": Sum(f"{word}_{name}") for word in WORDS for name in names}
        rows = Cluster.objects.filter(pk__in=changelist.queryset.order_by().values("pk"))
        found = {name: value or 0 for name, value in rows.aggregate(**sums).items()}
        shown = zip(("GPUs", "CPU", "RAM"), (gpu_usage, cpu_usage, ram_usage), names, strict=True)
        return [
            (title, usage(*(found[f"{word}_{name}"] for word in WORDS)))
            for title, usage, name in shown
        ]

    @admin.display(description="waiting")
    def waiting(self, cluster: Any) -> SafeString:
        """The number of queued deployments by class, most urgent first, as a link to their list."""
        if cluster.queue_lengths is None:
            return to_list(
                Deployment, "unknown: Redis is away", **_list_parameters(cluster, Status.QUEUED)
            )
        lines = format_html_join(
            "", "<span>{} {}</span>", [(name, size) for name, size in cluster.queue_lengths.items()]
        )
        return to_list(
            Deployment,
            format_html('<span class="queues">{}</span>', lines),
            **_list_parameters(cluster, Status.QUEUED),
        )

    @admin.display(description="running", ordering="running_count")
    def running(self, cluster: Any) -> SafeString:
        return to_list(Deployment, cluster.running_count, **_list_parameters(cluster, *PLACED))

    @admin.display(description="ledger")
    def cycles(self, cluster: Cluster) -> SafeString:
        return to_list(SchedulingCycle, "Its cycles", cluster__id__exact=cluster.pk)

    # --- What is done --------------------------------------------------------------------------

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The related rows as counts, because a cluster's history may be millions of rows."""
        deployments = Deployment.objects.filter(cluster__in=objs).count()
        cycles = SchedulingCycle.objects.filter(cluster__in=objs).count()
        using = sum(in_use(each).count() for each in objs)
        said = "1 deployment that waits or runs here: stop it first."
        if using > 1:
            said = f"{using} deployments that wait or run here: stop them first."
        totals = {"Clusters": len(objs), "Deployments": deployments, "Scheduling cycles": cycles}
        return [str(each) for each in objs], totals, set(), [said] if using else []

    @admin.action(description="Drain", permissions=["change"])
    def drain(self, request: HttpRequest, queryset: QuerySet[Cluster]) -> HttpResponse | None:
        """Drain, after a confirmation: running deployments lose what they have not saved."""
        going = list(queryset.exclude(state=State.DRAINING))
        if going:
            running = dict(
                Deployment.objects.filter(cluster__in=going, status__in=EVICTABLE)
                .order_by()
                .values_list("cluster")
                .annotate(Count("pk"))
            )
            consequences = [
                f"{cluster.name}: {counted(running.get(cluster.pk, 0), 'deployment')} will go back "
                "into the queue and lose what they have not saved; nothing starts until you resume."
                for cluster in going
            ]
            title = f"Drain {counted(len(going), 'cluster')}?"
            if question := self.confirm(request, title, consequences):
                return question
        service = partial(services.drain, by=request.user.get_username())
        self.set_state(request, queryset, service, State.DRAINING, "Draining")
        return None

    @admin.action(description="Schedule now", permissions=["change"])
    def schedule_now(self, request: HttpRequest, queryset: QuerySet[Cluster]) -> None:
        """Request a cycle, even if one is requested already: its message may be lost."""
        clusters = list(queryset)
        for cluster in clusters:
            wakeup.request_cycle(cluster.pk, Trigger.OPERATOR, again=True)
        total = counted(len(clusters), "cluster")
        self.report(request, f"Asked for a cycle of {total}; a worker runs it in a moment.", [])


def _list_parameters(cluster: Cluster, *statuses: Status) -> dict[str, str]:
    """The query parameters of the list of the cluster's deployments in these states."""
    which = (
        {"status__exact": statuses[0]} if len(statuses) == 1 else {"status__in": ",".join(statuses)}
    )
    return {"cluster__id__exact": str(cluster.pk), **which}
