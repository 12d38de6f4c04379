"""A cycle reads a part of the cluster, and its plan equals the plan of all of it."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from accounts.models import User
from clusters.models import Cluster, Node, Quota
from clusters.services.quotas import put_quota
from deployments import hooks
from deployments.models import Deployment, PriorityClass, Status
from deployments.reasons.codes import render
from deployments.reasons.reader import reasons_for
from deployments.scheduling_key import key_of, request_in
from deployments.services.submit import create_deployment
from mlops_platform.api.ids import time_of
from scheduler import cycle
from scheduler.answers.explain import as_workload
from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.invariants import check
from scheduler.engine.reasons import blocked_by
from scheduler.models import ReservationRecord, Trigger
from scheduler.queries import queue_of
from scheduler.store import read_and_decide
from scheduler.store.queue.relevant import LIMITS, Limits
from scheduler.tests.conftest import Submit
from scheduler.tests.store.whole import read_whole

pytestmark = pytest.mark.django_db

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
) -> None:
    """Fill the cluster, with nodes or without, nearly full of deployments of all sorts, and queue
    all sorts, or two sorts of small ones where they are `alike`; of several owners where these
    matter, which share the cluster fairly, have quotas, or both."""
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
    for row in rows:
        row.owner = random.choice(owners) if owners_matter != "no" else owners[0]
        row.scheduling_key = key_of(row, cluster)
    Node.objects.bulk_create(nodes)
    cluster.save()
    Deployment.objects.bulk_create(rows)
    ReservationRecord.objects.bulk_create(
        reservation_history(row, random) for row in rows if random.random() < 0.3
    )


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


def decisions(plan: Plan) -> tuple[Any, ...]:
    """The part of a plan that changes anything."""
    starts = [(s.workload_id, s.placement, s.victims) for s in plan.starts]
    return starts, [(e.workload_id, e.by) for e in plan.evictions], plan.reserved_for


def part_and_whole(cluster: Cluster, limits: Limits = LIMITS) -> tuple[Snapshot, Snapshot]:
    """What a cycle reads, and all that waits and runs, at the same moment."""
    part = read_and_decide(cluster.pk, limits=limits).snapshot
    rows = queue_of(cluster).select_related("cluster", "priority_class")
    queued = tuple(as_workload(row) for row in rows)
    return part, replace(read_whole(cluster.pk), now_ms=part.now_ms, queued=queued)


@given(
    seed=st.integers(0, 2**32),
    most_keys=st.sampled_from([2000, 4, 1]),
    few=st.sampled_from([1, 2, 6]),
    most_members=st.sampled_from([5_000, 4, 0]),
    alike=st.booleans(),
    owners_matter=st.sampled_from(OWNERS_MATTER),
    short=st.sampled_from([0, 8, 1000]),
)
@example(
    seed=351, most_keys=1, few=2, most_members=5_000, alike=False, owners_matter="no", short=0
)  # one further back blocks another
@example(
    seed=278869, most_keys=4, few=5, most_members=5_000, alike=False, owners_matter="no", short=0
)  # the cycle is full, of one not read
@example(
    seed=286192, most_keys=1, few=2, most_members=5_000, alike=False, owners_matter="no", short=0
)  # all of the first starved start
@example(
    seed=1460495, most_keys=2000, few=1, most_members=4, alike=True, owners_matter="both", short=0
)  # more of one request change of which others more start
@example(
    seed=1968, most_keys=2000, few=1, most_members=4, alike=True, owners_matter="no", short=0
)  # a starved one is read, and not those of its request before it
@example(
    seed=13845,
    most_keys=2000,
    few=1,
    most_members=5_000,
    alike=False,
    owners_matter="quotas",
    short=0,
)  # a starved workload is within its quota only once a victim has left
@example(
    seed=262, most_keys=1, few=1, most_members=5_000, alike=False, owners_matter="quotas", short=0
)  # one refused at its turn starts once a reservation ends, unless others in between do
@example(
    seed=6430152,
    most_keys=2000,
    few=1,
    most_members=5_000,
    alike=True,
    owners_matter="quotas",
    short=0,
)  # of a quota that is full only with what is reserved of it
@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_plan_of_what_is_read_is_that_of_the_whole(
    cluster: Cluster,
    dev: User,
    ada: User,
    vera: User,
    seed: int,
    most_keys: int,
    few: int,
    most_members: int,
    alike: bool,
    owners_matter: str,
    short: int,
) -> None:
    limits = Limits(short=short, keys=most_keys, members=most_members, starved=few, heads=few)
    random = Random(seed)
    hurry = override_settings(SCHEDULER_MAX_STARTS_PER_CYCLE=random.choice([1, 1000, 1000]))
    with hurry, transaction.atomic():
        owners = (dev, ada, vera)
        fill(Cluster.objects.get(pk=cluster.pk), owners, random, owners_matter, alike=alike)
        part, whole = part_and_whole(cluster, limits)
        plan = make_plan(part)
        assert check(part, plan) == []
        assert decisions(plan) == decisions(make_plan(whole))
        if not plan.unfinished:
            assert decisions(plan) == decisions(make_plan(replace(whole, max_starts=10**6)))
        transaction.set_rollback(True)


@given(
    seed=st.integers(0, 2**32),
    most_members=st.sampled_from([5_000, 4, 0]),
    owners_matter=st.sampled_from(OWNERS_MATTER),
    short=st.sampled_from([0, 8]),
)
@example(
    seed=73798, most_members=5_000, owners_matter="no", short=0
)  # a strict head is the last of its equals read
@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_wait_has_the_reason_that_the_whole_plan_gives(
    cluster: Cluster,
    dev: User,
    ada: User,
    vera: User,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    most_members: int,
    owners_matter: str,
    short: int,
) -> None:
    """Whether the cycle has read the deployment or not. Why nothing is preempted is no part of the
    plan (store/spared.py)."""
    monkeypatch.setattr(hooks, "find_spared", lambda waiting: {})
    random = Random(seed)
    hurry = override_settings(SCHEDULER_MAX_STARTS_PER_CYCLE=random.choice([1, 1000, 1000]))
    with hurry, transaction.atomic():
        fill(Cluster.objects.get(pk=cluster.pk), (dev, ada, vera), random, owners_matter)
        state = random.choice(["ACTIVE", "ACTIVE", "ACTIVE", "PAUSED", "DRAINING"])
        Cluster.objects.filter(pk=cluster.pk).update(state=state)
        plan = make_plan(read_whole(cluster.pk))
        own = {wait.workload_id: wait.reason for wait in plan.waits if wait.workload_id}
        keys = {wait.scheduling_key: wait.reason for wait in plan.waits if not wait.workload_id}
        read = partial(read_and_decide, limits=Limits(short=short, members=most_members))
        cycle.run(cluster.pk, Trigger.SUBMITTED, read=read)
        rows = Deployment.objects.filter(status=Status.QUEUED, reason_code="")
        waiting = list(rows.select_related("priority_class"))
        shown = reasons_for(waiting)
        for row in waiting:
            reason = own.get(str(row.pk)) or keys.get(row.scheduling_key)
            if reason is None:  # behind its equals, of which the snapshot has only so many
                [head] = own
                assert head is not None
                reason = blocked_by(head)
            assert shown[row.pk] == render(reason.code, reason.details)
        transaction.set_rollback(True)


@pytest.mark.parametrize("more", [{"kind": "service"}, {"max_runtime_s": 10**6}], ids=str)
def test_all_that_runs_is_read_where_an_eviction_decides_what_is_reserved_for(
    cluster: Cluster, dev: User, ada: User, more: dict[str, Any]
) -> None:
    """Ada's LOW is over her quota until her other one is evicted. Then a service, or a job with a
    limit, of a class that no waiting deployment could evict, decides where capacity is reserved."""
    of_nodes(cluster, "abc", cpu_milli=64_000)
    put_quota(cluster, ada.pk, {"max_gpu": 8})

    def submit(
        owner: User, priority: str, gpu: int, on: str | None = None, **more: Any
    ) -> Deployment:
        spec = {"image": "busybox", "cpu_milli": 1000, "ram_mib": 1024, "gpu": gpu, **more}
        spec["node_selector"] = {"on": on} if on else {}
        return create_deployment(owner, cluster.pk, spec, priority=priority).deployment

    submit(dev, "HIGH", 1, "a", **more)
    submit(dev, "HIGH", 2, "b")
    submit(ada, "LOW", 8, "c")
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    late = submit(ada, "LOW", 8)
    queued_at = timezone.now() - timedelta(hours=2)
    Deployment.objects.filter(pk=late.pk).update(queued_at=queued_at)
    submit(dev, "HIGH", 8, "c")
    submit(dev, "LOW", 1)
    part, whole = part_and_whole(cluster)
    plan = make_plan(part)
    assert plan.reserved_for == (str(late.pk),)
    assert decisions(plan) == decisions(make_plan(whole))


def test_a_starved_gang_goes_where_the_whole_plan_sends_it_also_if_all_start(
    cluster: Cluster, submit: Submit
) -> None:
    """A service has half of one node, a job half of another; the third is empty."""
    of_nodes(cluster, "abc", cpu_milli=64_000)
    Cluster.objects.filter(pk=cluster.pk).update(ordering="fifo")
    submit("LOW", gpu=4, kind="service", node_selector={"on": "a"})
    submit("LOW", gpu=4, node_selector={"on": "b"})
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    submit("LOW", gpu=4)
    gang = submit("LOW", gpu=4, replicas=2)
    queued_at = timezone.now() - timedelta(hours=2)
    Deployment.objects.filter(pk=gang.pk).update(queued_at=queued_at)
    part, whole = part_and_whole(cluster)
    assert len(make_plan(part).starts) == 2
    assert decisions(make_plan(part)) == decisions(make_plan(whole))


def test_a_deployment_for_which_services_leave_too_little_is_not_read(
    cluster: Cluster, submit: Submit
) -> None:
    """Nor are the others with the same request: there may be very many."""
    of_nodes(cluster, "ab", cpu_milli=640_000)
    submit("HIGH", gpu=1, kind="service", node_selector={"on": "a"})
    submit("HIGH", gpu=1, node_selector={"on": "b"})
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    hopeless = [submit("LOW", gpu=8, node_selector={"on": "a"}) for _ in range(40)]
    big = submit("LOW", gpu=8)
    pks = [row.pk for row in hopeless]
    Deployment.objects.filter(pk__in=pks).update(queued_at=timezone.now() - timedelta(hours=3))
    queued_at = timezone.now() - timedelta(hours=2)
    Deployment.objects.filter(pk=big.pk).update(queued_at=queued_at)
    part = read_and_decide(cluster.pk).snapshot
    assert [each.id for each in part.queued] == [str(big.pk)]
    assert make_plan(part).reserved_for == (str(big.pk),)


def of_nodes(cluster: Cluster, names: str, *, cpu_milli: int) -> None:
    """Give the cluster these nodes of 8 GPUs, each with its name as a label."""
    amounts = {"cpu_milli": cpu_milli, "ram_mib": 512 * 1024, "gpu": 8}
    Node.objects.bulk_create(
        Node(cluster=cluster, name=name, labels={"on": name}, **amounts) for name in names
    )
    totals = {f"total_{name}": amount * len(names) for name, amount in amounts.items()}
    Cluster.objects.filter(pk=cluster.pk).update(**totals)
