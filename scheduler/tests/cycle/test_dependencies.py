"""Deployments that wait for others, end to end: submits, cycles, ends, and what a model says."""

import random
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from clusters.models import Cluster
from deployments.models import ENDED, Deployment, Status
from deployments.queries.deployments import deployment_by_id
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop, stop_deployment
from deployments.services.submit import create_deployment
from deployments.tests import clock
from mlops_platform.api.errors import Conflict
from mlops_platform.tests.equipment.examples import examples
from organizations.tests.people import all_at_once, client_for
from scheduler import audit, cycle
from scheduler.models import SchedulingCycle, Trigger
from scheduler.store import StalePlanError
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db

GONE = (Status.FAILED, Status.STOPPED)


def after(*rows: Deployment) -> list[str]:
    return [str(row.pk) for row in rows]


def status(*rows: Deployment) -> list[str]:
    found = dict(Deployment.objects.values_list("pk", "status"))
    return [found[row.pk] for row in rows]


def finish(*rows: Deployment, fails: bool = False) -> None:
    """Let time run out for these, and for no others."""
    now = timezone.now()
    due = {"due_at": now, "max_runtime_s": 1 if fails else None, "simulated_runtime_s": None}
    Deployment.objects.filter(pk__in=[row.pk for row in rows], status=Status.RUNNING).update(**due)
    clock.finish_due(now)


# --- End to end --------------------------------------------------------------------------------


def test_a_chain_runs_one_after_another(cluster: Cluster, submit: Submit) -> None:
    rows = [submit("LOW", gpu=1)]
    for _ in range(3):
        rows.append(submit("HIGH", gpu=1, depends_on=after(rows[-1])))
    for step, row in enumerate(rows):
        run_cycle(cluster)
        waiting = len(rows) - step - 1
        assert status(*rows) == ["COMPLETED"] * step + ["RUNNING"] + ["QUEUED"] * waiting
        assert audit.breaches(queues_too=True) == []
        finish(row)
    assert status(*rows) == ["COMPLETED"] * 4
    assert audit.breaches() == []


def test_a_diamond_waits_for_both_sides(cluster: Cluster, submit: Submit) -> None:
    top = submit("LOW", gpu=1)
    left, right = (submit("LOW", gpu=1, depends_on=after(top)) for _ in range(2))
    bottom = submit("LOW", gpu=1, depends_on=after(left, right, top))
    run_cycle(cluster)
    finish(top)
    run_cycle(cluster)
    assert status(top, left, right, bottom) == ["COMPLETED", "RUNNING", "RUNNING", "QUEUED"]
    finish(left)
    run_cycle(cluster)
    assert status(bottom) == ["QUEUED"]
    finish(right)
    run_cycle(cluster)
    assert status(bottom) == ["RUNNING"]
    assert audit.breaches() == []


@pytest.mark.parametrize("queueing", ["best_effort", "strict", "easy_backfill"])
def test_a_deployment_with_pending_dependencies_blocks_no_other(
    cluster: Cluster, submit: Submit, queueing: str
) -> None:
    """Not even as a HIGH at the head of a strict queue; it evicts none and reserves nothing."""
    Cluster.objects.filter(pk=cluster.pk).update(queueing=queueing)
    needed = submit("LOW", gpu=4)
    gated = submit("HIGH", gpu=8, depends_on=after(needed))
    other = submit("LOW", gpu=4)
    outcome = run_cycle(cluster)
    assert status(needed, gated, other) == ["RUNNING", "QUEUED", "RUNNING"]
    assert [each.id for each in outcome.snapshot.queued] == after(needed, other)
    assert (outcome.plan.waits, outcome.plan.evictions) == ((), ())
    finish(needed)
    run_cycle(cluster)
    assert status(gated, other) == ["RUNNING", "QUEUED"]
    assert audit.breaches(queues_too=True) == []


def test_it_keeps_its_place_in_the_queue(cluster: Cluster, submit: Submit, dev: User) -> None:
    needed = submit("LOW", gpu=8)
    run_cycle(cluster)
    gated, later = submit("LOW", gpu=8, depends_on=after(needed)), submit("LOW", gpu=8)
    run_cycle(cluster)
    found = client_for(dev).get(f"/api/clusters/{cluster.pk}/queue").json()
    assert [(row["id"], row["position"], row["reason"]["code"]) for row in found] == [
        (str(gated.pk), 1, "WAITING_FOR_DEPENDENCIES"),
        (str(later.pk), 2, "INSUFFICIENT_CAPACITY"),
    ]


def test_an_eviction_is_no_end(cluster: Cluster, submit: Submit) -> None:
    needed = submit("LOW", gpu=8)
    run_cycle(cluster)
    gated = submit("LOW", gpu=1, depends_on=after(needed))
    urgent = submit("HIGH", gpu=8)
    run_cycle(cluster)
    assert status(needed, gated, urgent) == ["QUEUED", "QUEUED", "RUNNING"]
    finish(urgent)
    run_cycle(cluster)
    finish(needed)
    run_cycle(cluster)
    assert status(needed, gated) == ["COMPLETED", "RUNNING"]
    assert audit.breaches() == []


def test_a_failure_ends_its_dependents_and_no_others(cluster: Cluster, submit: Submit) -> None:
    root, other = submit("LOW", gpu=1), submit("LOW", gpu=1)
    child = submit("LOW", gpu=1, depends_on=after(root))
    both = submit("LOW", gpu=1, depends_on=after(child, other))
    spared = submit("LOW", gpu=1, depends_on=after(other))
    run_cycle(cluster)
    finish(root, fails=True)
    assert status(root, child, both, other) == ["FAILED", "FAILED", "FAILED", "RUNNING"]
    finish(other)
    run_cycle(cluster)
    assert status(both, spared) == ["FAILED", "RUNNING"]
    assert audit.breaches() == []


def test_the_next_cycle_of_a_replayed_ledger_never_saw_it(cluster: Cluster, submit: Submit) -> None:
    needed = submit("LOW", gpu=1)
    submit("LOW", gpu=1, depends_on=after(needed))
    run_cycle(cluster)
    assert SchedulingCycle.objects.get().evaluated_count == 1


def test_priority_and_request_of_a_waiting_one_can_change(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    needed = submit("LOW", gpu=1)
    gated = submit("LOW", gpu=1, depends_on=after(needed))
    run_cycle(cluster)
    change_deployment(dev, gated, {"gpu": 2, "cpu_milli": 500}, priority="HIGH")
    run_cycle(cluster)
    assert status(gated) == ["QUEUED"]
    assert audit.breaches(queues_too=True) == []
    finish(needed)
    run_cycle(cluster)
    row = Deployment.objects.get(pk=gated.pk)
    assert (row.status, row.gpu, row.priority_class.name) == ("RUNNING", 2, "HIGH")


def test_ends_let_go_and_fail_in_few_queries(
    cluster: Cluster, submit: Submit, django_assert_num_queries
) -> None:
    """However many wait: 40 are let go, 40 fail."""
    good, bad = submit("LOW", gpu=1), submit("LOW", gpu=1)
    for _ in range(40):
        submit("LOW", gpu=1, depends_on=after(good))
        submit("LOW", gpu=1, depends_on=after(good, bad))
    run_cycle(cluster)
    now = timezone.now()
    Deployment.objects.filter(pk=bad.pk).update(max_runtime_s=1)
    Deployment.objects.filter(pk__in=[good.pk, bad.pk]).update(due_at=now)
    # the clusters; in a savepoint the lock and the rows; for one that completes the write, the
    # release, its interval, its dependents, the event; for one that fails the same, with the
    # dependents' write, intervals and events
    with django_assert_num_queries(18):
        assert clock.finish_due(now) == 2
    rows = Deployment.objects.filter(depends_on=good).distinct()
    assert rows.filter(status=Status.FAILED).count() == 40
    assert rows.filter(status=Status.QUEUED, pending_dependencies=0).count() == 40


# --- Whatever happens --------------------------------------------------------------------------

kinds = ["submit"] * 4 + ["complete"] * 3 + ["fail", "stop", "stop many"]
steps = st.tuples(
    st.sampled_from(kinds),
    st.lists(st.integers(0, 30), min_size=1, max_size=3),  # whom, of those whom it can concern
    st.booleans(),  # HIGH
    st.booleans(),  # a cycle comes next
)
Step = tuple[str, list[int], bool, bool]


class Model:
    """What should have become of each, in plain Python."""

    def __init__(self) -> None:
        self.needs: dict[str, set[str]] = {}
        self.status: dict[str, str] = {}

    def ended(self, keys: set[str], how: str) -> None:
        self.status.update(dict.fromkeys(keys, how))
        if how != Status.COMPLETED:
            while doomed := {
                key
                for key, needs in self.needs.items()
                if self.status[key] == Status.QUEUED and any(self.status[n] in GONE for n in needs)
            }:
                self.status.update(dict.fromkeys(doomed, Status.FAILED))

    def pending(self, key: str) -> int:
        return sum(self.status[need] != Status.COMPLETED for need in self.needs[key])

    def moved(self, now: dict[str, str]) -> None:
        """A cycle may only have started what waits for no other, and requeued what ran."""
        for key, found in now.items():
            if found != self.status[key]:
                assert {found, self.status[key]} == {Status.QUEUED, Status.RUNNING}
                assert self.pending(key) == 0
        self.status.update(now)


def table() -> dict[str, tuple[str, int]]:
    rows = Deployment.objects.values_list("pk", "status", "pending_dependencies")
    return {str(key): (found, pending) for key, found, pending in rows}


def act(model: Model, cluster: Cluster, dev: User, step: Step) -> None:
    kind, numbers, high, cycle_next = step
    concerned = {
        "submit": {key for key, found in model.status.items() if found not in GONE},
        "complete": {key for key, found in model.status.items() if found == Status.RUNNING},
        "fail": {key for key, found in model.status.items() if found == Status.RUNNING},
    }.get(kind, {key for key, found in model.status.items() if found not in ENDED})
    keys = sorted(concerned)
    chosen = {keys[number % len(keys)] for number in numbers} if keys else set()
    rows = list(Deployment.objects.filter(pk__in=chosen))
    if kind == "submit":
        spec = {"image": "x", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}
        spec["depends_on"] = sorted(chosen)
        priority = "HIGH" if high else "LOW"
        made = str(create_deployment(dev, cluster.pk, spec, priority=priority).deployment.pk)
        model.needs[made], model.status[made] = chosen, Status.QUEUED
    elif kind == "stop many":
        stop([row.pk for row in rows], dev)
        model.ended(chosen, Status.STOPPED)
    elif kind == "stop":
        for row in rows[:1]:
            stop_deployment(dev, row)
            model.ended({str(row.pk)}, Status.STOPPED)
    else:
        finish(*rows, fails=kind == "fail")
        model.ended(chosen, Status.FAILED if kind == "fail" else Status.COMPLETED)
    if cycle_next:
        cycle.run(cluster.pk, Trigger.SUBMITTED)
        model.moved({key: found for key, (found, _) in table().items()})


def test_any_history_goes_as_the_model_says(cluster: Cluster, dev: User) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(total_gpu=3)  # so that some wait and some yield
    seen: dict[str, int] = defaultdict(int)

    @settings(
        max_examples=examples(60),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(history=st.lists(steps, min_size=8, max_size=25))
    def goes(history: list[Step]) -> None:
        with transaction.atomic():
            model = Model()
            for step in history:
                act(model, cluster, dev, step)
                expected = {key: (found, model.pending(key)) for key, found in model.status.items()}
                assert table() == expected
            assert audit.breaches() == []
            for row in Deployment.objects.filter(reason_code="DEPENDENCY_FAILED"):
                seen["failed"] += 1
                assert model.status[row.reason_details["by"]] in GONE
            seen["let go"] += sum(
                bool(model.needs[key]) and found in (Status.RUNNING, Status.COMPLETED)
                for key, found in model.status.items()
            )
            transaction.set_rollback(True)

    goes()
    assert min(seen["failed"], seen["let go"]) > 20, seen  # it did come to both


def test_many_completions_at_once_release_every_dependent(
    transactional_db: None, cluster: Cluster, dev: User
) -> None:
    """Submits with dependencies, stops by both ways, ends and cycles from several threads."""

    def blow(seed: int) -> None:
        choice = random.Random(seed)
        for _ in range(40):
            open_ = list(Deployment.objects.exclude(status__in=ENDED).values_list("pk", flat=True))
            some = choice.sample(open_, min(len(open_), choice.randint(0, 3)))
            draw = choice.random()
            if draw < 0.5:
                spec = {"image": "x", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}
                with suppress(Conflict):  # one of them has failed meanwhile
                    create_deployment(dev, cluster.pk, {**spec, "depends_on": list(map(str, some))})
            elif draw < 0.6:
                for key in some[:1]:
                    stop_deployment(dev, deployment_by_id(key))
            elif draw < 0.65:
                stop(some, dev)
            elif draw < 0.85:
                late = timezone.now() - timedelta(seconds=1)
                running = Deployment.objects.filter(pk__in=some, status=Status.RUNNING)
                running.update(due_at=late, max_runtime_s=choice.choice([None, None, 1]))
                clock.finish_due(timezone.now())
            else:
                with suppress(StalePlanError):  # too much has changed under it
                    cycle.run(cluster.pk, Trigger.SUBMITTED)

    assert all_at_once(*[partial(blow, seed) for seed in range(4)]) == [None] * 4
    assert audit.breaches() == []
    while Deployment.objects.exclude(status__in=ENDED).exists():  # and it comes to an end
        assert cycle.run(cluster.pk, Trigger.SUBMITTED) is not None
        running = Deployment.objects.filter(status=Status.RUNNING)
        assert running.exists(), "a deployment waits for none"
        running.update(due_at=timezone.now(), max_runtime_s=None)
        clock.finish_due(timezone.now())
    assert audit.breaches() == []
