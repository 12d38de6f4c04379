"""Whatever happens: what users had together is what the cluster had allocated, in any window."""

from bisect import bisect_right
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clusters.allocation import move
from clusters.models import Node, NodeState
from clusters.services.nodes import drain, uncordon
from deployments.lifecycle import transitions
from deployments.models import AllocationInterval, Deployment, Status
from deployments.reasons import codes
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.services.stop import stop_deployment
from deployments.services.submit import create_deployment
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.usage.conftest import Show
from deployments.tests.workloads import allocated
from deployments.usage import rollups
from deployments.usage.measures import AMOUNTS, MEASURES
from deployments.usage.models import DAY_MS, UsageOfDay
from deployments.usage.report import CLUSTER, DAY, LABEL, USER, Question, usage_of
from mlops_platform.api.ids import milliseconds, moment
from mlops_platform.database.clock import database_now
from mlops_platform.tests.equipment.examples import examples
from organizations.models import Role
from organizations.tests.people import make_member
from scheduler import audit
from scheduler.store import apply

pytestmark = pytest.mark.django_db

STRETCH = 1_000_000  # a history takes some tenths of a second: some days in the tables
FAULTS = {
    "complete": Assessment(Outcome.COMPLETE),
    "fail": Assessment(Outcome.FAIL, "EXITED", exit_code=1, final=True),
    "try again": Assessment(Outcome.FAIL, "EXITED", exit_code=1),
    "lose": Assessment(Outcome.REQUEUE, codes.NODE_LOST),
    "run": Assessment(Outcome.CONFIRM),
    "checkpoint": None,
}
kinds = [
    *["submit"] * 4,
    *["cycle"] * 4,
    *FAULTS,
    "lose",
    "complete",
    "stop",
    "leave",
    "drain",
    "sum up",
]
steps = st.tuples(st.sampled_from(kinds), st.integers(0, 30), st.booleans(), st.integers(1, 3))
Step = tuple[str, int, bool, int]
FULL_THEN_URGENT: list[Step] = [
    *[("submit", number, False, 3) for number in range(2)],
    ("cycle", 0, False, 1),
    ("submit", 2, True, 2),
    ("cycle", 0, False, 1),
]
Amounts = tuple[int, int, int]


class History:
    """What the cluster's counters have been, and since when."""

    def __init__(self, testbed: Testbed, show: Show, moved: list[datetime]) -> None:
        self.testbed, self.show, self.moved = testbed, show, moved
        self.log: list[tuple[int, Amounts]] = []
        self.begin_ms = milliseconds(database_now())
        self.users = list(testbed.people.values())
        self.note()

    def note(self) -> None:
        now = allocated(self.testbed.cluster)
        if not self.log or now != self.log[-1][1]:
            at_ms = milliseconds(self.moved[-1]) if self.moved else self.begin_ms
            self.log.append((at_ms, now))

    def act(self, kind: str, number: int, high: bool, size: int) -> None:
        self._act(kind, number, high, size)
        self.note()

    def _act(self, kind: str, number: int, high: bool, size: int) -> None:
        if kind == "submit":
            spec = {"image": "x", "cpu_milli": 500 * size, "ram_mib": 100 + size, "gpu": 1}
            spec |= {"replicas": size, "max_retries": 3, "labels": {"team": f"t{number % 3}"}}
            owner = self.users[number % len(self.users)]
            priority = "HIGH" if high else "LOW"
            create_deployment(owner, self.testbed.cluster.pk, spec, priority=priority)
            return
        if kind == "cycle":
            self.testbed.end_retry_pauses()
            self.testbed.cycle()
        elif kind == "drain":
            nodes = list(Node.objects.order_by("name"))
            node = nodes[number % len(nodes)]
            uncordon(node) if node.state != NodeState.READY else drain(node)
        elif kind == "sum up":  # as if all of it had ended yesterday
            next(rollups.sum_up(database_now() + timedelta(days=1), batch=size), None)
        elif row := self._one(kind, number):
            if kind == "stop":
                stop_deployment(row.owner, row)
            elif kind == "checkpoint":
                Deployment.objects.filter(pk=row.pk).update(checkpoint_at=database_now())
            else:
                self.show(row, FAULTS.get(kind) or Assessment(Outcome.GONE))

    def _one(self, kind: str, number: int) -> Deployment | None:
        statuses = {
            "stop": (Status.QUEUED, Status.STARTING, Status.RUNNING),
            "leave": (Status.STOPPING,),
            "run": (Status.STARTING,),
        }.get(kind, (Status.STARTING, Status.RUNNING))
        rows = list(Deployment.objects.filter(status__in=statuses).order_by("pk"))
        return rows[number % len(rows)] if rows else None

    def allocated(self, begin_ms: int, end_ms: int) -> list[int]:
        """The integral of the counters between two times."""
        times = [at for at, _ in self.log]
        first = max(bisect_right(times, begin_ms) - 1, 0)
        sums = [0, 0, 0]
        for (at, amounts), (until, _) in pairwise([*self.log[first:], (end_ms, (0, 0, 0))]):
            lasted = max(min(until, end_ms) - max(at, begin_ms), 0)
            sums = [each + lasted * amount for each, amount in zip(sums, amounts, strict=True)]
        return sums


def stretch(history: History) -> int:
    """Have all times so much further apart; returns what is now, then."""

    def later(ms: int) -> int:
        return origin + (ms - origin) * STRETCH

    origin = history.begin_ms // DAY_MS * DAY_MS
    history.log = [(later(at), amounts) for at, amounts in history.log]
    columns = ("queued_ms", "begin_ms", "end_ms", "lost_ms")
    sets = ", ".join(f"{name} = %(origin)s + ({name} - %(origin)s) * {STRETCH}" for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE deployments_allocationinterval SET {sets}", {"origin": origin})
    return later(milliseconds(database_now()) + 1)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """When the counters were moved, as said by what moved them."""
    times: list[datetime] = []

    def note(*args: Any, **named: Any) -> None:
        move(*args, **named)
        times.append(named.get("changed_at") or named["evaluated_at"])

    for module in (apply, transitions):
        monkeypatch.setattr(module, "move", note)
    return times


def test_what_users_had_is_what_the_cluster_had_allocated(
    testbed: Testbed, show: Show, moved: list[datetime]
) -> None:
    org = testbed.cluster.organization
    testbed.people["eve"] = make_member(org, "eve", Role.DEVELOPER)
    for name in "ab":
        testbed.add_node(name, cpu_milli=3000, gpu=3)
    Node.objects.update(observed=NodeState.READY)
    seen: dict[str, int] = {}

    @settings(
        max_examples=examples(14),
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],  # a history is short as it is
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(changes=st.lists(steps, min_size=8, max_size=20), seed=st.integers(0, 10**6))
    def adds_up(changes: list[Step], seed: int) -> None:
        with transaction.atomic():
            moved.clear()
            history = History(testbed, show, moved)
            for change in [*FULL_THEN_URGENT, *changes]:
                history.act(*change)
            assert audit.breaches() == []
            for outcome in AllocationInterval.objects.values_list("outcome", flat=True):
                seen[outcome] = seen.get(outcome, 0) + 1
            # Sums of the days as they were are of no use once the times are stretched.
            UsageOfDay.objects.all().delete()
            AllocationInterval.objects.update(is_summed=False)
            now_ms = stretch(history)
            choose = Random(seed)
            list(rollups.sum_up(moment(choose.randint(history.log[0][0], now_ms)), batch=3))
            for _ in range(6):
                begin_ms, end_ms = sorted(
                    choose.randint(history.log[0][0] - DAY_MS, now_ms) for _ in range(2)
                )
                compare(history, begin_ms, end_ms, now_ms)
            transaction.set_rollback(True)

    def compare(history: History, begin_ms: int, end_ms: int, now_ms: int) -> None:
        begin, end, now = (moment(each) for each in (begin_ms, end_ms, now_ms))
        expected = history.allocated(begin_ms, end_ms)
        for group_by in ([], [USER], [CLUSTER, DAY], [LABEL, USER]):
            question = Question(org.pk, begin, end, now, group_by=group_by, label="team")
            found = usage_of(question)
            assert found == usage_of(question, summed=False)
            sums = {name: sum(each.measures[name] for each in found) for name in MEASURES}
            assert [sums[name] for name in AMOUNTS] == expected

    adds_up()
    endings = ("", "completed", "failed", "evicted", "stopped", "lost")
    assert min(seen.get(each, 0) for each in endings) > 0, seen  # it did come to all of them
