"""Plans evict the cheapest victims: compared with OR-tools CP-SAT on hundreds of clusters, and on
thousands with `make properties`."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.budget import Budget
from scheduler.engine.invariants import check
from scheduler.tests.engine.crowds import cluster, heap
from scheduler.tests.engine.optimum import brute_force, moments, optimum, times_dearer

CLUSTERS = examples(3200)


@dataclass
class Tally:
    """The number of preemptions proved to be cheapest, and the cost of each other one as a multiple
    of the optimum."""

    proved: int = 0
    ratios: list[float] = field(default_factory=list)

    @property
    def average(self) -> float:
        return sum(self.ratios) / len(self.ratios) if self.ratios else 1.0

    def __str__(self) -> str:
        worst = max(self.ratios, default=1.0)
        return (
            f"{self.proved} proved, {len(self.ratios)} not: "
            f"{self.average:.4f} times the optimum on average, {worst:.3f} at worst"
        )


def compare(snapshots: Iterable[Snapshot]) -> Tally:
    """Compare each preemption with the optimum; no victims would let a waiting workload start.
    Those that are chosen together are not the cheapest one by one (test_together.py)."""
    tally = Tally()
    for snapshot in snapshots:
        plan = make_plan(snapshot)
        assert check(snapshot, plan) == []  # among other things: no victim could be spared
        jointly = {start.workload_id for start in plan.starts if start.jointly}
        for moment, victims, proved in moments(snapshot, plan):
            if proved is None:
                assert moment.top() is None, f"{moment.workload} waits in vain"
            elif victims and moment.workload.id not in jointly:
                top = moment.top()
                assert top is not None
                found, best = moment.vector(victims), optimum(moment, top)
                if best is None:
                    continue  # too hard for the model
                if proved:
                    assert found == best
                    tally.proved += 1
                else:
                    tally.ratios.append(times_dearer(found, best))
    return tally


def test_the_victims_are_the_cheapest(record_property) -> None:
    """In clusters like real ones nearly all victims are proved to be the cheapest."""
    tally = compare(cluster(seed) for seed in range(CLUSTERS))
    record_property("victims", str(tally))
    assert tally.proved > 0.98 * (tally.proved + len(tally.ratios))
    assert tally.average <= 1.05


def test_with_a_ratio_of_classes_the_victims_are_the_cheapest_by_one_sum(record_property) -> None:
    """Where a class's work counts so many times as much as that of the class below."""
    ratios = [1, 2, 8]
    tally = compare(with_ratio(cluster(seed), ratios[seed % 3]) for seed in range(CLUSTERS // 4))
    record_property("victims", str(tally))
    assert tally.proved > 0.98 * (tally.proved + len(tally.ratios))
    assert tally.average <= 1.05


def with_ratio(snapshot: Snapshot, ratio: int) -> Snapshot:
    return replace(snapshot, policy=replace(snapshot.policy, class_cost_ratio=ratio))


def test_where_the_search_is_cut_short_the_victims_are_nearly_the_cheapest(record_property) -> None:
    tally = compare(heap(seed) for seed in range(CLUSTERS // 10))
    record_property("victims", str(tally))
    assert len(tally.ratios) > CLUSTERS // 200, "hardly any was cut short, so this proves nothing"
    assert tally.average <= 1.05


def test_no_workload_is_evicted_in_vain_past_the_cycles_work_limit_either(
    monkeypatch: pytest.MonkeyPatch, record_property
) -> None:
    """Past a cycle's work limit its searches are short."""
    monkeypatch.setattr(Budget, "exact", -1)
    tally = compare(cluster(seed) for seed in range(CLUSTERS // 5))
    record_property("victims", str(tally))
    assert tally.average <= 1.05


def test_the_model_agrees_with_trying_all_sets() -> None:
    tried = 0
    for seed in range(CLUSTERS // 4):
        snapshot = cluster(seed)
        for moment, victims, _ in moments(snapshot, make_plan(snapshot)):
            top = moment.top()
            if victims and top is not None and len(moment.victims) <= 10:
                assert optimum(moment, top) == brute_force(moment)
                tried += 1
    assert tried > CLUSTERS // 40
