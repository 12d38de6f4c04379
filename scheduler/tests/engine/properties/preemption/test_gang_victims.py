"""The victims of a gang: compared with all sets of victims there are."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate, combinations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.invariants import check
from scheduler.engine.preemption.costs import cost
from scheduler.engine.snapshot import Running
from scheduler.tests.engine.build import job, node, rack, run
from scheduler.tests.engine.plans import free_amounts, release

MOST_VICTIMS = 10
Price = tuple[int, int, int]  # cost, number of victims, number of nodes


@st.composite
def clusters(draw: st.DrawFn) -> Snapshot:
    """Two to four nodes of LOW, many of them alike, and a HIGH gang that does not fit."""
    names = [f"n{number}" for number in range(draw(st.integers(2, 4)))]
    running = []
    for _ in range(draw(st.integers(2, MOST_VICTIMS))):
        spans = draw(st.integers(0, 9)) == 0
        on = draw(st.lists(st.sampled_from(names), min_size=1, max_size=1 + spans, unique=True))
        gpus, cores = draw(st.sampled_from([(1, 1), (1, 1), (1, 2), (2, 1)]))
        ran_s = draw(st.sampled_from([None, 60, 60, 60, 120]))
        running.append(run(gpus, cores, on=dict.fromkeys(on, 1), ran_s=ran_s))
    gpus = draw(st.sampled_from([1, 1, 2]))
    gang = job(gpus, draw(st.integers(1, 2)), high=True, replicas=draw(st.integers(2, 6)))
    snapshot = rack(
        [node(name, gpu=0, cpu=0) for name in names],
        running=running,
        queued=[gang],
        placement=draw(st.sampled_from(["binpack", "binpack", "binpack", "spread"])),
    )
    free = st.tuples(st.sampled_from([0, 0, 1, 2]), st.sampled_from([0, 1, 2]))
    nodes = []
    for each in snapshot.nodes:
        gpu, cpu = draw(free)
        capacity = each.allocated._replace(
            gpu=each.allocated.gpu + gpu, cpu_milli=each.allocated.cpu_milli + 1000 * cpu,
            ram_mib=2**20,
        )  # fmt: skip
        nodes.append(replace(each, capacity=capacity))
    total = nodes[0].capacity
    for each in nodes[1:]:
        total = total.plus(each.capacity)
    return replace(snapshot, nodes=tuple(nodes), total=total)


def counts_without(snapshot: Snapshot, victims: tuple[Running, ...]) -> list[int]:
    """By node, how many replicas of the gang fit after these have left."""
    free = free_amounts(snapshot)
    for victim in victims:
        release(free, victim)
    return [snapshot.queued[0].request.count_in(each) for each in free.values()]


def fewest(counts: list[int], replicas: int) -> int | None:
    """How many nodes take all replicas; None if all nodes together take fewer."""
    in_all = accumulate(sorted(counts, reverse=True))
    return next((n for n, each in enumerate(in_all, start=1) if each >= replicas), None)


def prices(snapshot: Snapshot) -> Iterator[Price]:
    """Of all sets of victims that let the gang start."""
    costs = {each.id: cost(each, snapshot.total, snapshot.now_ms) for each in snapshot.running}
    for number in range(len(snapshot.running) + 1):
        for victims in combinations(snapshot.running, number):
            nodes = fewest(counts_without(snapshot, victims), snapshot.queued[0].replicas)
            if nodes is not None:
                yield sum(costs[each.id] for each in victims), number, nodes


@given(clusters())
@settings(max_examples=examples(300), deadline=None)
def test_of_the_cheapest_and_fewest_victims_a_gang_evicts_those_that_let_it_take_the_fewest_nodes(
    snapshot: Snapshot,
) -> None:
    """Under spread the number of nodes does not count."""
    least = min(prices(snapshot), default=None)
    assume(least is not None)
    assert least is not None
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    (start,) = plan.starts
    assert start.proved
    found = (sum(each.cost for each in plan.evictions), len(start.victims))
    assert found == least[:2]
    if snapshot.policy.placement == "binpack":
        assert len(start.placement) == least[2]
