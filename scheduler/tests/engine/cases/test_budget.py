"""A plan costs a bounded number of steps, whatever waits and runs."""

from collections.abc import Callable
from random import Random

import pytest

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.budget import Budget
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.codec import encode_plan
from scheduler.engine.decision import admit_in_turn, sift
from scheduler.engine.invariants import check
from scheduler.engine.queue.waiting_queue import WaitingQueue
from scheduler.engine.snapshot import Running, Workload
from scheduler.engine.whatif import Unanswered, plan_with
from scheduler.tests.engine.build import job, node, pool, rack, run

SLACK = 200_000  # steps of what one workload may cost at its turn: they are counted, not foreseen


def gang_on_full_nodes(replicas: int, nodes: int) -> Snapshot:
    """Nodes of 128 cores, full of LOW of 4 to 32 cores, and a HIGH gang of 1 core each."""
    random, running = Random(1), []
    for number in range(nodes):
        left = 128
        while left:
            cores = min(random.choice([4, 8, 16, 32]), left)
            left -= cores
            ran_s = random.randrange(10, 10_000)
            running.append(run(cpu=cores, ram=cores, on=f"n{number:04}", ran_s=ran_s))
    waiting = job(cpu=1, ram=1, high=True, replicas=replicas)
    empty = [node(f"n{number:04}", gpu=0, cpu=128, ram=128) for number in range(nodes)]
    return rack(empty, running=running, queued=[waiting])


def full_pool(preemptors: int, victims: int) -> Snapshot:
    """A pool full of different LOW, and different HIGH."""
    random = Random(2)
    running = [_running(random, None) for _ in range(victims)]
    gpu, cpu, ram = (
        sum(each.request.gpu for each in running),
        sum(each.request.cpu_milli for each in running) // 1000,
        sum(each.request.ram_mib for each in running) // 1024,
    )
    return pool(gpu, cpu, ram, running=running, queued=_preemptors(random, preemptors))


def full_nodes(preemptors: int, nodes: int, **policy: object) -> Snapshot:
    """Nodes of eight different LOW each, and different HIGH."""
    random = Random(3)
    names = [f"n{number:04}" for number in range(nodes)]
    running = [_running(random, name) for name in names for _ in range(8)]
    empty = [node(name, gpu=8, cpu=8 * 64, ram=8 * 256) for name in names]
    return rack(empty, running=running, queued=_preemptors(random, preemptors), **policy)


def _running(random: Random, name: str | None) -> Running:
    return run(
        random.randrange(2),
        random.randrange(1, 65),
        random.randrange(1, 257),
        on=name,
        ran_s=random.randrange(10, 10_000),
        ends_ms=10**13 + random.randrange(10**9) if random.random() < 0.5 else None,
    )


def _preemptors(random: Random, count: int) -> list[Workload]:
    return [
        job(
            random.randrange(8),
            random.randrange(1, 500),
            random.randrange(1, 2000),
            high=True,
            waited_s=random.randrange(100_000),
        )
        for _ in range(count)
    ]


HARD: dict[str, Callable[[], Snapshot]] = {
    "a gang over full nodes": lambda: gang_on_full_nodes(300, 300),
    "different ones in a pool": lambda: full_pool(200, 2_000),
    "different ones on nodes": lambda: full_nodes(300, 500),
    "starved ones on nodes": lambda: full_nodes(300, 500, reserve_after_s=0),
    "ones that may be backfilled": lambda: full_nodes(300, 500, queueing="easy_backfill"),
}


def steps_of(snapshot: Snapshot) -> int:
    view = ClusterView(snapshot)
    possible, _ = sift(view)
    return admit_in_turn(view, WaitingQueue(snapshot, possible)).budget.spent


@pytest.mark.parametrize("name", HARD)
def test_no_plan_costs_more_than_its_steps(name: str) -> None:
    assert steps_of(HARD[name]()) <= Budget.most + SLACK


@pytest.mark.parametrize("name", HARD)
def test_a_plan_that_is_cut_short_keeps_every_invariant_and_is_made_again_alike(name: str) -> None:
    snapshot = HARD[name]()
    plan = make_plan(snapshot)
    assert plan.starts
    assert check(snapshot, plan) == []
    assert encode_plan(make_plan(snapshot)) == encode_plan(plan)


def test_a_gang_over_hundreds_of_full_nodes_has_victims_that_are_proved_the_cheapest() -> None:
    plan = make_plan(gang_on_full_nodes(300, 300))
    assert [start.proved for start in plan.starts] == [True]


def few_full_nodes() -> Snapshot:
    return full_nodes(20, 4)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step is left for an exact search."""
    monkeypatch.setattr(Budget, "exact", -1)


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single step is left for the whole cycle."""
    monkeypatch.setattr(Budget, "most", 1)


def preempting(plan: Plan) -> list[tuple[bool, bool]]:
    """Of each start with victims: whether they are proved, and whether it has an alternative."""
    return [(each.proved, bool(each.alternative)) for each in plan.starts if each.victims]


@pytest.mark.usefixtures("hasty")
def test_hasty_victims_are_not_called_proved_and_have_no_alternative() -> None:
    snapshot = few_full_nodes()
    plan = make_plan(snapshot)
    assert set(preempting(plan)) == {(False, False)}
    assert check(snapshot, plan) == []


def test_with_steps_left_victims_are_proved_and_have_alternatives() -> None:
    assert (True, True) in preempting(make_plan(few_full_nodes()))


@pytest.mark.usefixtures("spent")
def test_a_cycle_without_steps_ends_after_one_start_and_asks_for_another() -> None:
    snapshot = pool(gpu=8, queued=[job(1), job(2), job(3)])
    plan = make_plan(snapshot)
    assert (len(plan.starts), plan.unfinished) == (1, True)
    assert check(snapshot, plan) == []


@pytest.mark.usefixtures("spent")
def test_of_a_workload_that_the_steps_did_not_reach_no_answer_is_given() -> None:
    first, last = job(1), job(1)
    assert plan_with(pool(gpu=8, queued=[last]), first).start is not None
    with pytest.raises(Unanswered):
        plan_with(pool(gpu=8, queued=[first]), last)


@pytest.mark.usefixtures("spent")
def test_a_cycle_without_steps_in_which_nothing_can_start_asks_for_no_other() -> None:
    plan = make_plan(pool(gpu=8, running=[run(8)], queued=[job(1), job(2)]))
    assert (plan.starts, plan.unfinished) == ((), False)
