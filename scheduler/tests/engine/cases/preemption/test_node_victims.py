"""Clusters with nodes and known answers: the victims of a preemption, and drained nodes."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine.snapshot import Node, Running, Workload
from scheduler.tests.engine.build import HIGH, IDLE, LOW, MID, NOW, job, node, rack, run, trio
from scheduler.tests.engine.plans import evicted, placed, plan

# --- Victims --------------------------------------------------------------------------------------


def victims_of(
    running: Iterable[Running], preemptor: Workload, nodes: list[Node] | None = None, **more: Any
) -> set[str]:
    made = plan(rack(nodes or trio(), running=list(running), queued=[preemptor], **more))
    assert set(evicted(made).values()) <= {preemptor.id}
    assert (preemptor.id in placed(made)) == bool(evicted(made))
    return set(evicted(made))


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        (
            [
                run(gpu=8, on="a", ran_s=900),
                run(gpu=8, on="b", ran_s=300, id="v"),
                run(gpu=8, on="c", ran_s=600),
            ],
            {"v"},
        ),
        (
            [
                run(gpu=8, on="a", id="v", ran_s=9000),
                run(gpu=8, on="b", priority="MID", ran_s=1),
                run(gpu=8, on="c", high=True),
            ],
            {"v"},
        ),
        (
            [
                run(gpu=8, on="a", ran_s=600),
                *(run(gpu=2, on="b", ran_s=500, id=f"v{n}") for n in range(4)),
                run(gpu=8, on="c", ran_s=700),
            ],
            {"v0", "v1", "v2", "v3"},
        ),
        (
            [
                run(gpu=8, on="a", ran_s=60, id="p"),
                run(gpu=8, on="b", ran_s=60, id="r"),
                run(gpu=8, on="c", ran_s=60, id="q"),
            ],
            {"r"},
        ),
        (
            [
                run(gpu=8, on="a", ran_s=600),
                run(gpu=8, on="b", ran_s=None, id="v"),
                run(gpu=8, on="c", ran_s=600, checkpoint_ms=NOW),
            ],
            {"v"},
        ),
    ],
    ids=["least lost", "lowest class", "cheap in sum", "highest id", "starting"],
)
def test_the_victims_are_on_the_cheapest_node(running: list[Running], expected: set[str]) -> None:
    preemptor = job(gpu=8, high=True, id="p8")
    assert victims_of(running, preemptor, classes=(LOW, MID, HIGH)) == expected


def test_of_sets_of_equal_cost_the_one_of_fewest_victims_is_evicted() -> None:
    """Shares of 16 GPUs are exact in millionths, so eight small victims cost as much as one."""
    running = [*(run(gpu=1, on="a", ran_s=60) for _ in range(8)), run(gpu=8, on="b", ran_s=60)]
    nodes = [node("a"), node("b")]
    assert victims_of(running, job(gpu=8, high=True), nodes) == {running[-1].id}


def test_victims_are_only_on_nodes_with_the_labels() -> None:
    nodes = [node("a", labels={"zone": "x"}), node("b", labels={"zone": "y"})]
    running = [run(gpu=8, on="a", ran_s=1), run(gpu=8, on="b", ran_s=9999, id="v")]
    assert victims_of(running, job(gpu=1, high=True, selector={"zone": "y"}), nodes) == {"v"}


def test_the_free_amount_of_a_node_counts() -> None:
    running = [run(gpu=2, on="a", id="v", ran_s=999), run(gpu=6, on="b"), run(gpu=6, on="c")]
    assert victims_of(running, job(gpu=8, high=True)) == {"v"}


def test_a_victim_on_several_nodes_leaves_all_of_them() -> None:
    """The capacity of its other replica goes to a workload that may not preempt."""
    running = [run(gpu=8, on={"a": 1, "b": 1}, id="v"), run(gpu=8, high=True, on="c")]
    queued = [job(gpu=8, high=True, id="p"), job(gpu=8, id="l")]
    made = plan(rack(trio(), running=running, queued=queued))
    assert evicted(made) == {"v": "p"}
    assert placed(made) == {"p": {"a": 1}, "l": {"b": 1}}


def test_a_gang_costs_as_much_as_all_its_replicas() -> None:
    """One replica of the gang would be the cheapest victim, but all four replicas are not."""
    gang = run(gpu=2, on={"a": 1, "b": 1, "c": 2}, ran_s=100)
    full = [run(gpu=6, high=True, on="a"), run(gpu=6, high=True, on="b")]
    single = run(gpu=4, on="c", ran_s=150, id="v")
    assert victims_of([gang, single, *full], job(gpu=2, high=True)) == {"v"}


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [(1, {"a1"}), (2, {"a1", "b1"}), (3, {"a1", "a2", "b1"}), (4, {"a1", "a2", "b1", "c1"})],
)
def test_a_preempting_gang_evicts_the_cheapest_victims_of_all_nodes(
    replicas: int, expected: set[str]
) -> None:
    running = [
        run(gpu=4, on="a", id="a1", ran_s=100),
        run(gpu=4, on="a", id="a2", ran_s=120),
        run(gpu=4, on="b", id="b1", ran_s=110),
        run(gpu=4, on="b", id="b2", ran_s=400),
        run(gpu=4, on="c", id="c1", ran_s=300),
        run(gpu=4, on="c", high=True),
    ]
    assert victims_of(running, job(gpu=4, replicas=replicas, high=True)) == expected


def test_a_preempting_gang_uses_free_capacity_first() -> None:
    running = [run(gpu=8, on="a", id="a1"), run(gpu=8, on="b", id="b1", ran_s=9)]
    made = plan(rack(trio(), running=running, queued=[job(gpu=8, replicas=2, high=True, id="g")]))
    assert evicted(made) == {"b1": "g"}
    assert placed(made) == {"g": {"b": 1, "c": 1}}


def test_a_preempting_gang_takes_the_fewest_nodes_once_its_victims_have_left() -> None:
    """Nodes a and b have 2 GPUs free, and c has 8 once the victim has left."""
    running = [run(gpu=6, high=True, on="a"), run(gpu=6, high=True, on="b"), run(gpu=4, on="c")]
    gang = job(gpu=1, replicas=9, high=True, id="g")
    made = plan(rack(trio(), running=running, queued=[gang]))
    assert evicted(made) == {running[2].id: "g"}
    assert placed(made) == {"g": {"a": 1, "c": 8}}


def alike(**more: Any) -> list[Running]:
    """Eight LOW of 1 GPU on each of three nodes, started in turns."""
    return [run(gpu=1, on=name, ran_s=60, **more) for _ in range(8) for name in "abc"]


def test_of_victims_of_equal_cost_a_gang_evicts_those_on_the_fewest_nodes() -> None:
    gang = job(gpu=1, replicas=8, high=True, id="g")
    made = plan(rack(trio(), running=alike(), queued=[gang]))
    assert list(placed(made)["g"].values()) == [8]


def test_the_cost_of_its_victims_counts_before_the_number_of_its_nodes() -> None:
    running = alike()
    cheap = [replace(each, id=f"v{n}", started_ms=NOW) for n, each in enumerate(running[:8])]
    gang = job(gpu=1, replicas=8, high=True, id="g")
    made = plan(rack(trio(), running=[*cheap, *running[8:]], queued=[gang]))
    assert set(evicted(made)) == {each.id for each in cheap}
    assert len(placed(made)["g"]) == 3


def test_no_workload_is_evicted_only_to_save_a_node() -> None:
    """What is STARTING costs nothing, but with c whole the gang would need one victim more."""
    running = [run(gpu=7, high=True, on=name) for name in "ab"]
    running += [run(gpu=1, on="c", ran_s=None) for _ in range(8)]
    gang = job(gpu=1, replicas=8, high=True, id="g")
    made = plan(rack(trio(), running=running, queued=[gang]))
    assert len(evicted(made)) == 6


def test_two_gangs_that_preempt_take_one_node_each() -> None:
    gangs = [job(gpu=1, replicas=8, high=True, id=id_) for id_ in "gh"]
    made = plan(rack(trio(), running=alike(), queued=gangs))
    assert [list(placed(made)[id_].values()) for id_ in "gh"] == [[8], [8]]


def test_under_spread_the_youngest_of_equal_victims_leave_wherever_they_are() -> None:
    running = alike()
    gang = job(gpu=1, replicas=8, high=True, id="g")
    made = plan(rack(trio(), running=running, queued=[gang], placement="spread"))
    assert set(evicted(made)) == {each.id for each in running[-8:]}


def test_one_victim_on_two_nodes_beats_two_that_cost_more() -> None:
    spanning = run(gpu=8, on={"a": 1, "b": 1}, id="v", ran_s=100)
    dear = [run(gpu=8, on="c", ran_s=300)]
    assert victims_of([spanning, *dear], job(gpu=8, replicas=2, high=True)) == {"v"}


def test_two_victims_beat_one_on_two_nodes_that_costs_more() -> None:
    spanning = run(gpu=4, on={"a": 1, "b": 1}, ran_s=1000)
    cheap = [run(gpu=4, on="a", id="v", ran_s=10), run(gpu=4, on="b", id="w", ran_s=10)]
    full = [run(gpu=8, high=True, on="c")]
    assert victims_of([spanning, *cheap, *full], job(gpu=4, replicas=2, high=True)) == {"v", "w"}


def test_a_gang_evicts_no_workload_if_it_would_not_fit_whole() -> None:
    running = [run(gpu=8, on="a"), run(gpu=8, on="b"), run(gpu=1, high=True, on="c")]
    assert victims_of(running, job(gpu=8, replicas=3, high=True)) == set()


def test_a_gang_evicts_a_workload_of_a_higher_class_without_loss_rather_than_work_of_a_lower() -> (
    None
):
    """The highest class among the victims is LOW either way, as node b has no other. On node a, LOW
    costs nothing."""
    running = [
        run(gpu=8, on="b", id="low", ran_s=None),
        run(gpu=4, on="a", id="idle", priority="IDLE", ran_s=9999),
        run(gpu=4, on="a", id="starting", ran_s=None),
    ]
    nodes = [node("a"), node("b")]
    gang = job(gpu=4, replicas=3, high=True)
    assert victims_of(running, gang, nodes, classes=(LOW, HIGH, IDLE)) == {"low", "starting"}


def test_a_start_names_the_next_best_victims() -> None:
    running = [
        run(gpu=8, on="a", ran_s=300, id="third"),
        run(gpu=8, on="b", ran_s=100, id="first"),
        run(gpu=8, on="c", ran_s=200, id="second"),
    ]
    (start,) = plan(rack(trio(), running=running, queued=[job(gpu=8, high=True)])).starts
    assert (start.victims, start.alternative) == (("first",), ("second",))
    assert start.proved
    assert start.alternative_cost == 1_000_000 // 3 * 260_000


# --- Draining -------------------------------------------------------------------------------------


def test_a_draining_node_loses_a_whole_gang_and_no_other_workload() -> None:
    gang, other = run(gpu=2, on={"a": 1, "b": 2}, id="g"), run(gpu=2, on="b", id="o")
    nodes = [node("a", state="DRAINING"), node("b")]
    made = plan(rack(nodes, running=[gang, other], queued=[job(gpu=6, id="w")]))
    assert evicted(made) == {"g": None}
    assert placed(made) == {"w": {"b": 1}}
    assert made.evictions[0].reason.code == "NODE_DRAINED"


def test_a_drained_workload_is_not_a_victim_too() -> None:
    running = [run(gpu=8, on="a", id="drains"), run(gpu=8, on="b", id="v")]
    nodes = [node("a", state="DRAINING"), node("b")]
    made = plan(rack(nodes, running=running, queued=[job(gpu=8, high=True, id="p")]))
    assert evicted(made) == {"drains": None, "v": "p"}
