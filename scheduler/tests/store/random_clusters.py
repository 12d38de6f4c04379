"""Random clusters in the database: nodes, what runs, what waits, reservations and quotas."""

from datetime import timedelta
from random import Random
from typing import Any

from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.models import User
from clusters.models import Cluster, MaintenanceWindow, Node, Quota, Volume
from deployments.models import Deployment, PriorityClass, Status, Sweep
from deployments.scheduling_key import key_of, request_in
from deployments.whole_nodes import ALL_GPUS, EXCLUSIVE
from mlops_platform.api.ids import time_of
from scheduler.models import ReservationRecord

CLASSES = {"MID": (500, True, True), "FIRM": (300, False, False), "IDLE": (-10, True, True)}
LABELS = [{}, {}, {}, {"zone": "x"}]
OWNERS_MATTER = ["no", "fairly", "quotas", "both"]


def fill(
    cluster: Cluster,
    owners: tuple[User, ...],
    random: Random,
    owners_matter: str = "no",
    *,
    alike: bool = False,
    swept: bool = False,
    windowed: bool = False,
) -> None:
    """Fill the cluster, with nodes or without, nearly full of deployments of all sorts, and queue
    all sorts, or two sorts of small ones where they are `alike`; of several owners where these
    matter, which share the cluster fairly, have quotas, or both. If they are `swept`, most are
    members of sweeps with limits; if it is `windowed`, most nodes have maintenance windows."""
    classes = list(PriorityClass.objects.all())
    for name, (value, may_preempt, preemptible) in CLASSES.items():
        values = {"value": value, "may_preempt": may_preempt, "preemptible": preemptible}
        classes.append(PriorityClass.objects.get_or_create(name=name, defaults=values)[0])
    nodes = [
        Node(
            cluster=cluster,
            name=f"n{number}",
            cpu_milli=16_000,
            ram_mib=16,
            gpu=8,
            labels=random.choice(LABELS),
            state=random.choice(["READY"] * 6 + ["CORDONED", "DRAINING", "NOT_READY"]),
        )
        for number in range(random.choice([0, 0, 1, 2, 5]))
    ]
    cluster.queueing = random.choice(["best_effort", "best_effort", "strict", "easy_backfill"])
    cluster.ordering = random.choice(["gpu_weighted", "fifo"])
    cluster.preemption = random.choice(["lower_priority", "lower_priority", "never"])
    cluster.placement = random.choice(["binpack", "spread"])
    cluster.reserve_after_s = random.choice([0, 3600, 3600, 10**6])
    cluster.max_preemptions = random.choice([0, 5])
    cluster.preempt_exempt_s = random.choice([0, 0, 2, 4000])
    later = Random(random.getstate()[1][0])  # leaves the examples below what they are
    cluster.preemption_within_quota = later.choice(["never", "lower_priority"])
    cluster.class_cost_ratio = later.choice([0, 0, 1, 10])
    cluster.preemption_delay_s = later.choice([0, 0, 100, 8000])
    cluster.low_share_percent = later.choice([0, 0, 10, 60])
    count = len(nodes) or 1
    cluster.total_cpu_milli, cluster.total_ram_mib = 16_000 * count, 16 * count
    cluster.total_gpu = 8 * count
    rows: list[Deployment] = []
    shapes = [shape(random) for _ in range(random.choice([3, 20]))]
    crowd = random.choice([2, 4, 8])
    for number in range(random.randint(0, crowd * count)):
        node = random.choice(nodes) if nodes else None
        row = new(cluster, owners[0], random.choice(classes), random, shapes)
        row.replicas, row.node_selector = 1, {}
        if allocate(row, node or cluster):
            where = {"node_id": str(node.pk) if node else None, "node": None, "replicas": 1}
            row.placement, row.status = [where], Status.RUNNING
            row.started_at = timezone.now() - timedelta(seconds=number)
            rows.append(row)
    for _ in range(random.randint(1, 25)):
        row = new(cluster, owners[0], random.choice(classes), random, shapes)
        row.queued_at = row.created_at - timedelta(hours=random.choice([0, 0, 0, 1, 2, 5]))
        if alike:
            row.gpu, row.cpu_milli, row.ram_mib, row.replicas = 0, random.choice([100, 200]), 1, 1
            row.max_runtime_s, row.node_selector = None, {}
            row.priority_class = classes[0]
        rows.append(row)
    if owners_matter in ("fairly", "both"):
        cluster.ordering = "fair_share"
    if owners_matter in ("quotas", "both"):
        cluster.has_quotas = True
        limited = random.sample([None, *owners], random.randint(1, len(owners)))
        Quota.objects.bulk_create(quota(cluster, user, random) for user in limited)
    volumes = offer_volumes(cluster, nodes, rows)
    sweeps = limit_sweeps(cluster, owners[0], len(rows)) if swept else []
    evicted = Random(len(rows))  # draws of its own: they change no other
    for row in rows:
        row.preemption_count = evicted.choice([0, 0, 0, 1, cluster.max_preemptions])
        row.sweep = evicted.choice(sweeps) if sweeps else None
        row.owner = random.choice(owners) if owners_matter != "no" else owners[0]
        if nodes and not alike and row.status == Status.QUEUED:
            row.whole = evicted.choice([{}, {}, {}, {EXCLUSIVE: True}, {ALL_GPUS: True}])
            row.gpu = 1 if ALL_GPUS in row.whole else row.gpu
        row.scheduling_key = key_of(row, cluster)
    cluster.has_windows = windowed and bool(nodes)
    Node.objects.bulk_create(nodes)
    cluster.save()
    if cluster.has_windows:
        plan_windows(cluster, nodes, Random(len(rows)))
    Volume.objects.bulk_create(volumes)
    Deployment.objects.bulk_create(rows)
    ReservationRecord.objects.bulk_create(
        reservation_history(row, random) for row in rows if random.random() < 0.3
    )


def plan_windows(cluster: Cluster, nodes: list[Node], random: Random) -> None:
    """Of most nodes, before, amid and after the time limits of `new`."""
    for node in nodes:
        begins_at = timezone.now() + timedelta(seconds=random.choice([-60, 30, 600, 10_000]))
        if random.random() < 0.8:
            window = MaintenanceWindow.objects.create(
                cluster=cluster,
                reason="disks",
                mode="cordon",
                begins_at=begins_at,
                ends_at=begins_at + timedelta(hours=1),
            )
            window.nodes.add(node)


def limit_sweeps(cluster: Cluster, owner: User, seed: int) -> list[Sweep | None]:
    """What each row may be a member of: mostly one of two sweeps."""
    random = Random(seed)
    cluster.has_sweeps = True
    sweeps = [
        Sweep(cluster=cluster, owner=owner, size=1, max_parallel=random.choice([1, 2, 4]))
        for _ in range(2)
    ]
    Sweep.objects.bulk_create(sweeps)
    return [None, *sweeps, *sweeps]


def offer_volumes(cluster: Cluster, nodes: list[Node], rows: list[Deployment]) -> list[Volume]:
    """In half of the clusters with nodes, volumes that all or some of them have, for some rows."""
    random = Random(len(rows) + len(nodes))  # a draw of its own: it changes no other
    if not nodes or random.random() < 0.5:
        return []
    names = [node.name for node in nodes]
    where: list[dict[str, Any]] = [
        {},
        {"node_names": random.sample(names, random.randint(1, len(names)))},
        {"node_selector": {"zone": "x"}},
    ]
    for row in rows:
        if row.status == Status.QUEUED:
            chosen = random.choice([[], [], [0], [1], [2], [0, 1], [1, 2]])
            row.volumes = [{"name": f"v{number}", "path": f"/{number}"} for number in chosen]
    cluster.has_local_volumes = True
    return [
        Volume(cluster=cluster, name=f"v{number}", kind="DOCKER_VOLUME", **given)
        for number, given in enumerate(where)
    ]


def reservation_history(row: Deployment, random: Random) -> ReservationRecord:
    hours = random.choice([0, 13, 25])
    now = [None, timezone.now() - timedelta(hours=random.choice([0, 13]))]
    return ReservationRecord(
        deployment=row,
        cluster=row.cluster,
        queued_at=row.queued_at,
        request=request_in(row.scheduling_key),
        before_ms=hours * 3_600_000,
        since=random.choice(now),
    )


def quota(cluster: Cluster, user: User | None, random: Random) -> Quota:
    def some_of(total: int) -> int | None:
        return random.choice([None, None, 0, total // 4, total // 2, total])

    return Quota(
        cluster=cluster,
        user=user,
        max_cpu_milli=some_of(cluster.total_cpu_milli),
        max_ram_mib=some_of(cluster.total_ram_mib),
        max_gpu=some_of(cluster.total_gpu),
    )


def shape(random: Random) -> tuple[int, int, int]:
    return random.randint(0, 8), 100 * random.randint(1, 100), random.randint(1, 10)


def new(
    cluster: Cluster, owner: User, priority: PriorityClass, random: Random, shapes: list[Any]
) -> Deployment:
    gpu, cpu_milli, ram_mib = random.choice(shapes)
    id_ = uuid7()
    return Deployment(
        id=id_,
        created_at=time_of(id_),
        cluster=cluster,
        owner=owner,
        name="any",
        image="any",
        priority_class=priority,
        gpu=gpu,
        cpu_milli=cpu_milli,
        ram_mib=ram_mib,
        replicas=random.choice([1, 1, 1, 2, 3]),
        max_runtime_s=random.choice([None, None, 60, 7200]),
        kind=random.choice(["job", "job", "service"]),
        node_selector=random.choice(LABELS),
    )


def allocate(row: Deployment, where: Any) -> bool:
    """Count the allocation there and in its cluster, if it still fits."""
    counted = [where, row.cluster] if where is not row.cluster else [where]
    names = ("cpu_milli", "ram_mib", "gpu")
    total = {
        name: getattr(where, name, None) or getattr(where, f"total_{name}", 0) for name in names
    }
    amounts = {name: getattr(row, name) for name in names}
    if any(getattr(where, f"allocated_{n}") + amounts[n] > total[n] for n in names):
        return False
    for each in counted:
        for name in names:
            setattr(each, f"allocated_{name}", getattr(each, f"allocated_{name}") + amounts[name])
    return True
