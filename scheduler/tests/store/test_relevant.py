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

from accounts.models import User
from clusters.models import Cluster, Node
from clusters.services.quotas import put_quota
from deployments import hooks
from deployments.models import Deployment, Status
from deployments.names import references
from deployments.queries.names import names_of
from deployments.reasons.codes import render
from deployments.reasons.reader import reasons_for
from deployments.services.submit import create_deployment
from mlops_platform.tests.equipment.examples import examples
from scheduler import cycle
from scheduler.answers.explain import as_workload
from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.invariants import check
from scheduler.engine.reasons import Reason, blocked_by
from scheduler.engine.whatif import plan_with
from scheduler.models import Trigger
from scheduler.queries import queue_of
from scheduler.store import part_reader, read_and_decide
from scheduler.store.queue.relevant import LIMITS, Limits
from scheduler.tests.conftest import Submit
from scheduler.tests.store.random_clusters import OWNERS_MATTER, fill
from scheduler.tests.store.whole import read_whole

pytestmark = pytest.mark.django_db


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
    max_examples=examples(400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
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
    most_keys=st.sampled_from([2000, 4, 1]),
    few=st.sampled_from([1, 2, 6]),
    most_members=st.sampled_from([5_000, 4, 0]),
    alike=st.booleans(),
    owners_matter=st.sampled_from(OWNERS_MATTER),
    beside=st.sampled_from([{"swept": True}, {"windowed": True}, {"windowed": True}]),
)
@hypothesis_settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_plan_of_what_is_read_is_that_of_the_whole_with_limits_of_sweeps_or_windows(
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
    beside: dict[str, bool],
) -> None:
    limits = Limits(short=0, keys=most_keys, members=most_members, starved=few, heads=few)
    with transaction.atomic():
        mine = Cluster.objects.get(pk=cluster.pk)
        fill(mine, (dev, ada, vera), Random(seed), owners_matter, alike=alike, **beside)
        part, whole = part_and_whole(cluster, limits)
        plan = make_plan(part)
        assert check(part, plan) == []
        assert decisions(plan) == decisions(make_plan(whole))
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
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
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
    """Whether the cycle has read the deployment or not. Why nothing is preempted, and which node
    is empty next, is no part of the plan (store/spared.py, queries/soon_empty.py)."""
    monkeypatch.setattr(hooks, "find_spared", lambda waiting: {})
    monkeypatch.setattr("deployments.reasons.reader.soon_empty", lambda waiting: {})
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
            assert shown[row.pk] == with_names(reason)
        if not (plan.unfinished or plan.evictions):  # else others may be first in the queue by now
            quoted = {row.pk: quoted_reason(row) for row in waiting}
            assert {pk: shown[pk] for pk, reason in quoted.items() if reason} == {
                pk: reason for pk, reason in quoted.items() if reason
            }
        transaction.set_rollback(True)


def quoted_reason(row: Deployment) -> dict[str, Any] | None:
    """What a quote for this deployment says of its wait; None where a plan changes anything by now,
    or what is read does not say."""
    workload = as_workload(row)
    part = part_reader(row.cluster_id).now_with(workload)
    if not part.covers(workload):
        return None
    plan = plan_with(part.snapshot, workload).plan
    if plan.starts or plan.evictions:
        return None
    waits = {wait.workload_id or wait.scheduling_key: wait.reason for wait in plan.waits}
    reason = waits.get(workload.id) or waits[workload.scheduling_key]
    return with_names(reason)


def with_names(reason: Reason) -> dict[str, Any]:
    return render(reason.code, reason.details, names_of(references(reason.details)))


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
