"""Which of equal nodes a workload gets, where some have its image."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.snapshot import LocalImage
from scheduler.tests.engine.build import job, node, rack, run, trio
from scheduler.tests.engine.plans import placed, replayed_plan

A, B, C = range(3)


def known(snapshot: Snapshot, *where: tuple[str, list[int]]) -> Snapshot:
    """The snapshot in which the nodes with the image of each of these workloads are known."""
    images = tuple(LocalImage((id_,), tuple(nodes)) for id_, nodes in where)
    return replace(snapshot, local_images=images)


@pytest.mark.parametrize("placement", ["binpack", "spread"])
@pytest.mark.parametrize(
    ("has", "expected"),
    [([], "a"), ([A], "a"), ([C], "c"), ([B, C], "b"), ([A, C], "a")],
)
def test_of_equal_nodes_the_first_that_has_the_image_is_taken(
    placement: str, has: list[int], expected: str
) -> None:
    snapshot = rack(trio(), queued=[job(gpu=1, id="train")], placement=placement)
    made = replayed_plan(known(snapshot, ("train", has)))
    assert placed(made) == {"train": {expected: 1}}
    assert [start.by_image for start in made.starts] == [expected != "a"]


@pytest.mark.parametrize(
    "c",
    [{"gpu": 7}, {"gpu": 9}, {"cpu": 63}, {"ram": 513}],
    ids=["less gpu", "more gpu", "less cpu", "more ram"],
)
def test_an_image_never_weighs_more_than_what_is_left_over(c: dict[str, int]) -> None:
    snapshot = rack(trio(c=c), queued=[job(gpu=1, id="train")])
    assert placed(replayed_plan(known(snapshot, ("train", [C])))) == placed(replayed_plan(snapshot))


def test_a_node_whose_label_another_waiting_workload_asks_for_is_no_equal() -> None:
    nodes = [node("a"), node("b", labels={"zone": "x"}), node("c", labels={"disk": "y"})]
    queued = [job(gpu=1, id="train"), job(gpu=9, selector={"zone": "x"})]
    snapshot = rack(nodes, queued=queued)
    assert placed(replayed_plan(known(snapshot, ("train", [B])))) == {"train": {"a": 1}}
    assert placed(replayed_plan(known(snapshot, ("train", [C])))) == {"train": {"c": 1}}


def test_what_starts_together_on_a_node_moves_together_where_more_of_it_finds_its_image() -> None:
    queued = [job(gpu=4, id="one"), job(gpu=2, id="two"), job(gpu=2, id="three")]
    snapshot = rack(trio(), queued=queued)
    known_ones: list[tuple[str, list[int]]] = [("one", [B]), ("two", [C]), ("three", [C])]
    made = replayed_plan(known(snapshot, *known_ones))
    assert placed(made) == {id_: {"c": 1} for id_ in ("one", "two", "three")}


def test_each_replica_of_a_gang_finds_its_image_where_there_is_a_node_for_it() -> None:
    gang = job(gpu=8, replicas=2, id="gang")
    snapshot = rack([*trio(), node("d")], queued=[gang])
    made = replayed_plan(known(snapshot, ("gang", [B, 3])))
    assert placed(made) == {"gang": {"b": 1, "d": 1}}


@pytest.mark.parametrize("state", ["CORDONED", "NOT_READY"])
def test_a_closed_node_is_taken_for_no_image(state: str) -> None:
    nodes = [node("a"), node("b", state=state)]
    snapshot = rack(nodes, queued=[job(gpu=1, id="train")])
    assert placed(replayed_plan(known(snapshot, ("train", [B])))) == {"train": {"a": 1}}


def test_a_reserved_node_is_taken_for_no_image() -> None:
    """A gang has waited for two days; what is free is reserved for it, and not for the image."""
    queued: list[Any] = [
        job(gpu=8, replicas=3, waited_s=172_800, id="starved"),
        job(gpu=1, limit_s=60, id="short"),
    ]
    running = [run(gpu=8, on="c", ends_ms=None, ran_s=100)]
    snapshot = rack(trio(), queued=queued, running=running)
    without = placed(replayed_plan(snapshot))
    assert placed(replayed_plan(known(snapshot, ("short", [B])))) == without


def test_a_cycle_that_evicts_moves_nothing() -> None:
    running = [run(gpu=8, on="c", id="victim")]
    queued = [
        job(gpu=8, high=True, id="first"),
        job(gpu=8, high=True, id="second"),
        job(gpu=8, high=True, id="third"),
    ]
    snapshot = rack(trio(), queued=queued, running=running)
    without = replayed_plan(snapshot)
    assert without.evictions
    assert replayed_plan(known(snapshot, ("first", [B]), ("second", [A]))).starts == without.starts
