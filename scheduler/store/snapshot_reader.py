"""From the tables to a snapshot: a few queries, rows that follow what can start."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from clusters.models import Cluster, Node, NodeState, Runtime
from clusters.services.clusters import lock_cluster
from deployments.models import Deployment, PriorityClass, Status
from deployments.scheduling_key import name_owners_of_late
from mlops_platform.api.ids import milliseconds
from scheduler.engine import Decision, Snapshot, decide
from scheduler.engine import snapshot as engine
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.leaving import is_draining
from scheduler.engine.resources import Resources
from scheduler.store.images import with_local_images
from scheduler.store.part_reader import PART_LIMITS, PartLimits, PartReader
from scheduler.store.queue.head import Decide
from scheduler.store.queue.reader import QueueReader
from scheduler.store.queue.relevant import LIMITS, Limits, RelevantReader
from scheduler.store.queue.short import decide_whole
from scheduler.store.reservation_history import history_in
from scheduler.store.running import allocated_in, quotas_in, running_in, sweeps_in
from scheduler.store.volumes import Volumes, avoided_in, labels_of, local_volumes, names_of
from scheduler.store.windows import windows_in

_AVOIDING = Deployment.objects.filter(
    avoided_node_id=OuterRef("pk"), avoid_until__isnull=False, status=Status.QUEUED
)


def read_and_decide(cluster_id: UUID, decide: Decide = decide, limits: Limits = LIMITS) -> Decision:
    """Read what matters to the plan, and decide that. Raises Cluster.DoesNotExist.

    The caller's transaction sees one moment, or has locked the cluster's row.

    What matters depends on what is decided: `decide` is called for each part that is read, most
    often once. The plan is that of the full queue; see queue/relevant.py for what is left out.
    """
    cluster = Cluster.objects.get(pk=cluster_id)
    if cluster.by_owner:
        name_owners_of_late(cluster)
    snapshot, queue = _empty(cluster)
    if is_draining(snapshot):
        snapshot = replace(snapshot, running=running_in(snapshot))
    if snapshot.state != engine.ACTIVE:
        return decide(ClusterView(snapshot))  # the queue is not looked at
    if (whole := queue.all(limits.short)) is not None:
        decision = decide_whole(ClusterView(replace(snapshot, queued=whole)), decide)
    else:
        decision = RelevantReader(queue, decide, limits).read(ClusterView(snapshot))
    if cluster.runtime == Runtime.SIMULATED:
        return decision
    return with_local_images(cluster.pk, decision)


def part_reader(
    cluster_id: UUID, *, lock: bool = False, limits: PartLimits = PART_LIMITS
) -> PartReader:
    """For questions. Raises Cluster.DoesNotExist.

    Without `lock` it delays no cycle, and is of one moment in a REPEATABLE READ transaction.
    """
    cluster = lock_cluster(cluster_id) if lock else Cluster.objects.get(pk=cluster_id)
    return PartReader(*_empty(cluster), limits)


def empty_snapshots(clusters: Iterable[Cluster], volumes: Volumes) -> dict[UUID, Snapshot]:
    """Each cluster without workloads, classes, reservations and time, by id. One query, and one
    more each for the allocations and quotas of owners, for sweeps and for maintenance windows,
    where these matter. `volumes` are those that only some nodes have."""
    clusters = list(clusters)
    nodes = _nodes(clusters, volumes)
    with_quotas = [each.pk for each in clusters if each.has_quotas]
    with_owners = [each.pk for each in clusters if each.by_owner]
    quotas = quotas_in(with_quotas) if with_quotas else {}
    allocated = allocated_in(with_owners) if with_owners else {}
    with_sweeps = [each.pk for each in clusters if each.has_sweeps]
    sweeps = sweeps_in(with_sweeps) if with_sweeps else {}
    with_windows = [each.pk for each in clusters if each.has_windows]
    windows = windows_in(with_windows) if with_windows else {}
    return {
        each.pk: Snapshot(
            cluster_id=str(each.pk),
            state=each.state,
            policy=engine.Policy(
                queueing=each.queueing,
                ordering=each.ordering,
                preemption=each.preemption,
                placement=each.placement,
                preempt_exempt_s=each.preempt_exempt_s,
                reserve_after_s=each.reserve_after_s,
                max_preemptions=each.max_preemptions,
                preemption_within_quota=each.preemption_within_quota,
                class_cost_ratio=each.class_cost_ratio,
                preemption_delay_s=each.preemption_delay_s,
                low_share_percent=each.low_share_percent,
                assumed_runtime_s=each.assumed_runtime_s,
            ),
            total=Resources(each.total_cpu_milli, each.total_ram_mib, each.total_gpu),
            allocated=Resources(
                each.allocated_cpu_milli, each.allocated_ram_mib, each.allocated_gpu
            ),
            classes=(),
            nodes=tuple(nodes[each.pk]),
            running=(),
            queued=(),
            now_ms=0,
            max_starts=settings.SCHEDULER_MAX_STARTS_PER_CYCLE,
            allocated_by_owner=allocated.get(each.pk, ()),
            quotas=quotas.get(each.pk, ()),
            sweeps=sweeps.get(each.pk, ()),
            windows=windows.get(each.pk, ()),
        )
        for each in clusters
    }


def see_one_moment() -> None:
    """First in a transaction: nothing that commits meanwhile is seen, nothing can be written.

    Does nothing where an outer transaction has begun already.
    """
    if not connection.savepoint_ids:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _empty(cluster: Cluster) -> tuple[Snapshot, QueueReader]:
    """The cluster without its workloads, and the reader of its queue.

    The database's time comes with the classes, of which there always are some. It is the snapshot's
    time, since it is compared with times in rows that other hosts have written.
    """
    volumes: Volumes = local_volumes([cluster]) if cluster.has_local_volumes else {}
    classes = list(PriorityClass.objects.annotate(read_at=Now()).order_by("-value"))
    snapshot = replace(
        empty_snapshots([cluster], volumes)[cluster.pk],
        classes=tuple(
            engine.PriorityClass(each.name, each.value, each.may_preempt, each.preemptible)
            for each in classes
        ),
        now_ms=milliseconds(classes[0].read_at),
        reservation_history=history_in(cluster.pk),
    )
    ids = {each.name: each.pk for each in classes}
    local = names_of(volumes.get(cluster.pk, ())) if volumes else frozenset()
    avoided = avoided_in(snapshot) if cluster.runtime != Runtime.SIMULATED else frozenset()
    return snapshot, QueueReader(cluster.pk, ids, snapshot.by_owner, local, avoided)


def _nodes(clusters: Collection[Cluster], volumes: Volumes) -> dict[UUID, list[engine.Node]]:
    """Of each cluster, by id."""
    found: dict[UUID, list[engine.Node]] = {each.pk: [] for each in clusters}
    nodes = Node.objects.filter(cluster__in=list(found)).order_by("pk")
    avoided: dict[UUID, set[UUID]] = {}
    if any(each.runtime != Runtime.SIMULATED for each in clusters):  # else no node is at fault
        annotated = nodes.annotate(is_avoided=Exists(_AVOIDING))
        for each in annotated:
            if each.is_avoided:
                avoided.setdefault(each.cluster_id, set()).add(each.pk)
        nodes = annotated
    for node in nodes:
        found[node.cluster_id].append(
            engine.Node(
                id=str(node.pk),
                name=node.name,
                capacity=Resources(node.cpu_milli, node.ram_mib, node.gpu),
                allocated=Resources(
                    node.allocated_cpu_milli, node.allocated_ram_mib, node.allocated_gpu
                ),
                labels=labels_of(
                    node, volumes.get(node.cluster_id, ()), avoided.get(node.cluster_id, ())
                ),
                state=_state(node),
                saved_since_ms=(
                    milliseconds(node.drain_since)
                    if node.drains_at_checkpoints and node.drain_since
                    else None
                ),
            )
        )
    return found


def _state(node: Node) -> str:
    """As the engine knows it: what waits for its workloads to leave, or has been drained, takes
    nothing new."""
    state = node.effective_state
    waits = node.state == NodeState.DRAINING and not node.evicts
    return engine.CORDONED if waits or state == NodeState.DRAINED else state
