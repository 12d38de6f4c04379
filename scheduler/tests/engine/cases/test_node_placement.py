"""Clusters with nodes and known answers: placements, impossible requests and fragmentation."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine.snapshot import Workload
from scheduler.tests.engine.build import job, node, rack, run, trio
from scheduler.tests.engine.plans import evicted, placed, plan, reason

# --- Placement ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("placement", "left", "expected"),
    [
        ("binpack", {"a": {"gpu": 8}, "b": {"gpu": 2}, "c": {"gpu": 4}}, "b"),
        ("spread", {"a": {"gpu": 4}, "b": {"gpu": 2}, "c": {"gpu": 8}}, "c"),
        ("binpack", {"a": {"gpu": 1}, "b": {"gpu": 4}, "c": {"gpu": 3}}, "c"),
        ("binpack", {"a": {"cpu": 8}, "b": {"cpu": 4}, "c": {"cpu": 6}}, "b"),
        ("spread", {"a": {"cpu": 4}, "b": {"cpu": 8}, "c": {"cpu": 6}}, "b"),
        ("binpack", {"a": {"ram": 9}, "b": {"ram": 8}, "c": {"ram": 7}}, "c"),
        ("spread", {"a": {"ram": 7}, "b": {"ram": 8}, "c": {"ram": 9}}, "c"),
        ("binpack", {"a": {"gpu": 2, "cpu": 9}, "b": {"gpu": 3, "cpu": 2}, "c": {}}, "a"),
        ("binpack", {}, "a"),
        ("spread", {}, "a"),
    ],
    ids=[
        "least gpu",
        "most gpu",
        "least gpu that is enough",
        "then least cpu",
        "then most cpu",
        "then least ram",
        "then most ram",
        "gpu before cpu",
        "then the id",
        "then the id, spread",
    ],
)
def test_one_replica_is_placed_by_the_policy(
    placement: str, left: dict[str, dict[str, int]], expected: str
) -> None:
    whole = {"gpu": 8, "cpu": 64, "ram": 512}
    nodes = trio(**{name: whole | free for name, free in left.items()})
    for order in (nodes, nodes[::-1]):
        made = plan(rack(order, queued=[job(gpu=2, id="j")], placement=placement))
        assert placed(made) == {"j": {expected: 1}}


@pytest.mark.parametrize(
    ("placement", "replicas", "expected"),
    [
        ("binpack", 2, {"b": 2}),
        ("binpack", 3, {"a": 3}),
        ("binpack", 7, {"a": 4, "c": 3}),
        ("binpack", 9, {"a": 4, "b": 1, "c": 4}),
        ("spread", 2, {"a": 1, "c": 1}),
        ("spread", 5, {"a": 2, "b": 1, "c": 2}),
        ("spread", 10, {"a": 4, "b": 2, "c": 4}),
        ("binpack", 11, None),
        ("spread", 11, None),
    ],
)
def test_a_gang_is_placed_by_the_policy_whole_or_not_at_all(
    placement: str, replicas: int, expected: dict[str, int] | None
) -> None:
    """The nodes have capacity for 4, 2 and 4 replicas of 2 GPUs."""
    gang = job(gpu=2, replicas=replicas, id="g")
    busy = [run(gpu=4, high=True, on="b")]
    made = plan(rack(trio(), running=busy, queued=[gang], placement=placement))
    assert placed(made) == ({"g": expected} if expected else {})


def test_a_gang_takes_the_fewest_nodes_and_of_these_the_one_that_it_fills_best() -> None:
    """Eight nodes have one GPU left each, another one has eight, and a larger one has twelve."""
    ones = [f"one-{n}" for n in range(8)]
    nodes = [*map(node, ones), node("twelve", gpu=12), node("eight", gpu=8)]
    busy = [run(gpu=7, high=True, on=each) for each in ones]
    gang = job(gpu=1, replicas=8, id="g")
    assert placed(plan(rack(nodes, running=busy, queued=[gang]))) == {"g": {"eight": 8}}


@pytest.mark.parametrize("placement", ["binpack", "spread"])
@pytest.mark.parametrize(
    ("cores", "replicas", "expected"),
    [
        (2, 1, {"cpu": 1}),
        (2, 2, {"cpu": 2}),
        (5, 1, {"taken": 1}),  # it fits on no node without GPUs
        (2, 3, {"cpu": 2, "taken": 1}),
    ],
)
def test_work_without_gpus_avoids_nodes_with_gpus(
    placement: str, cores: int, replicas: int, expected: dict[str, int]
) -> None:
    """Otherwise it would occupy the cores that the next training on these GPUs needs."""
    nodes = [node("taken", gpu=8, cpu=8), node("cpu", gpu=0, cpu=4)]
    busy = [run(gpu=8, cpu=3, high=True, on="taken")]
    waiting = job(gpu=0, cpu=cores, replicas=replicas, id="j")
    made = plan(rack(nodes, running=busy, queued=[waiting], placement=placement))
    found = placed(made)["j"]
    if replicas < 3:
        assert found == expected
    else:  # the gang needs both
        assert found.keys() == expected.keys()


def test_spread_counts_the_gangs_own_replicas() -> None:
    nodes = trio(a={"gpu": 6}, b={"gpu": 4}, c={"gpu": 2})
    made = plan(rack(nodes, queued=[job(gpu=1, replicas=6, id="g")], placement="spread"))
    assert placed(made) == {"g": {"a": 4, "b": 2}}


def test_workloads_that_start_in_one_cycle_do_not_share_capacity() -> None:
    queued = [job(gpu=5, id="x"), job(gpu=5, id="y"), job(gpu=3, id="z"), job(gpu=4, id="w")]
    made = plan(rack(trio(), queued=queued))
    assert placed(made) == {"x": {"a": 1}, "y": {"b": 1}, "w": {"c": 1}, "z": {"a": 1}}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, "a"),
        ({"zone": "x"}, "a"),
        ({"zone": "y"}, "b"),
        ({"zone": "y", "disk": "fast"}, "c"),
    ],
)
def test_a_node_must_carry_all_labels_of_the_selector(
    selector: dict[str, str], expected: str
) -> None:
    nodes = [
        node("a", labels={"zone": "x"}),
        node("b", labels={"zone": "y"}),
        node("c", labels={"zone": "y", "disk": "fast"}),
    ]
    made = plan(rack(nodes, queued=[job(gpu=1, selector=selector, id="j")]))
    assert placed(made) == {"j": {expected: 1}}


@pytest.mark.parametrize("state", ["CORDONED", "NOT_READY", "DRAINING"])
def test_a_closed_node_gets_no_new_workload(state: str) -> None:
    nodes = [node("a", state=state), node("b", gpu=4)]
    small, large = job(gpu=2, high=True, id="small"), job(gpu=8, high=True, id="large")
    made = plan(rack(nodes, queued=[small, large]))
    assert placed(made) == {"small": {"b": 1}}
    code, details = reason(made, large)
    assert (code, details["short"]) == ("INSUFFICIENT_CAPACITY", {"gpu": 6})


@pytest.mark.parametrize("state", ["CORDONED", "NOT_READY"])
def test_no_workload_is_evicted_from_a_closed_node(state: str) -> None:
    """The preemptor could not use it."""
    nodes, running = [node("a", state=state), node("b")], [run(gpu=8, on="a"), run(gpu=8, on="b")]
    made = plan(rack(nodes, running=running, queued=[job(gpu=1, high=True, id="p")]))
    assert evicted(made) == {running[1].id: "p"}


# --- Impossible requests --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workload", "details"),
    [
        (job(gpu=25), {"resource": "gpu", "requested": 25, "total": 24}),
        (job(gpu=9), {"resource": "gpu", "requested": 9, "total": 8, "on_a_node": True}),
        (job(cpu=99), {"resource": "cpu_milli", "requested": 99_000, "total": 64_000}),
        (job(gpu=5, replicas=4), {"replicas": 4, "room_for": 3}),
        (job(gpu=8, replicas=4), {"resource": "gpu", "requested": 32, "total": 24}),
        (
            job(gpu=1, selector={"zone": "z"}),
            {"nearest": [{"label": "zone", "value": "x", "nodes": 1}]},
        ),
        (job(gpu=8, selector={"zone": "x"}, replicas=2), {"resource": "gpu", "requested": 16}),
    ],
    ids=["all", "one node", "cpu", "side by side", "all replicas", "no such node", "labelled"],
)
def test_an_impossible_request_names_what_the_empty_cluster_lacks(
    workload: Workload, details: dict[str, Any]
) -> None:
    nodes = [node("a", labels={"zone": "x"}), node("b"), node("c")]
    high = replace(workload, priority="HIGH")
    for state in ("READY", "CORDONED"):  # closed for now is no reason for never
        open_ = [replace(each, state=state) for each in nodes]
        running = [run(gpu=1, on="a")]
        made = plan(rack(open_, running=running, queued=[high]))
        code, found = reason(made, high)
        assert code == ("NO_MATCHING_NODE" if "nearest" in details else "EXCEEDS_CAPACITY")
        assert found.items() >= details.items()
        assert evicted(made) == {}


def test_an_impossible_request_is_compared_with_the_node_that_comes_nearest() -> None:
    """Node b has more of all resources but the requested GPUs."""
    nodes = [node("a", gpu=4, cpu=8, ram=8), node("b", gpu=0, cpu=640, ram=5120)]
    made = plan(rack(nodes, queued=[big := job(gpu=3, cpu=9)]))
    assert reason(made, big) == (
        "EXCEEDS_CAPACITY",
        {"resource": "cpu_milli", "requested": 9000, "total": 8000, "on_a_node": True},
    )


def test_an_impossible_request_blocks_no_workload_in_a_strict_queue() -> None:
    queued = [job(gpu=9, high=True), job(gpu=1, id="small")]
    assert placed(plan(rack(trio(), queued=queued, queueing="strict"))) == {"small": {"a": 1}}


# --- Fragmentation --------------------------------------------------------------------------------


def test_case_1_no_workload_is_evicted_if_that_would_not_free_one_whole_node() -> None:
    """HIGH workloads fill 6 of 8 GPUs on each of four nodes, so evicting LOW frees at most 2."""
    nodes = [node(name) for name in "abcd"]
    running = [run(gpu=6, high=True, on=name) for name in "abc"]
    running += [run(gpu=1, on=name) for name in "abc" for _ in range(2)]
    running += [run(gpu=6, high=True, on="d")]
    whole = job(gpu=8, high=True, id="whole")
    queued = [whole, job(gpu=2, id="s"), job(gpu=1, id="t")]
    made = plan(rack(nodes, running=running, queued=queued))
    assert evicted(made) == {}
    assert placed(made) == {"s": {"d": 1}}
    assert reason(made, whole)[0] == "FRAGMENTED"
    full = plan(rack(nodes, running=running[:3], queued=queued[:1]))
    assert evicted(full) == {}


def test_case_1_free_gpus_scattered_over_the_nodes_are_fragmented() -> None:
    nodes = [node(name) for name in "abcd"]
    running = [run(gpu=6, high=True, on=name) for name in "abcd"]
    whole = job(gpu=8, high=True, id="whole")
    small = [job(gpu=2, id=f"s{n}") for n in range(3)]
    made = plan(rack(nodes, running=running, queued=[whole]))
    code, details = reason(made, whole)
    assert code == "FRAGMENTED"
    assert (details["free"]["gpu"], details["best_node"]["gpu"], details["room_for"]) == (8, 2, 0)
    assert len(placed(plan(rack(nodes, running=running, queued=[whole, *small])))) == 3


SIX_AND_TWO = [run(gpu=6, high=True, on=name) for name in "abcd"] + [
    run(gpu=2, on=name, id=f"low-{name}", ran_s=60) for name in "abcd"
]


def test_case_1_what_could_be_evicted_on_several_nodes_is_fragmented() -> None:
    """Nothing is free, and all that HIGH may evict adds up to one node, but is on four."""
    nodes = [node(name) for name in "abcd"]
    whole, high = job(gpu=8, high=True), run(gpu=2, high=True, on="d")
    made = plan(rack(nodes, running=[*SIX_AND_TWO[:-1], high], queued=[whole]))
    assert reason(made, whole)[0] == "INSUFFICIENT_CAPACITY"
    made = plan(rack(nodes, running=SIX_AND_TWO, queued=[whole], preempt_exempt_s=600))
    code, details = reason(made, whole)
    assert (code, details["room_for"]) == ("FRAGMENTED", 0)
    amounts = (details[name]["gpu"] for name in ("free", "evictable", "best_node"))
    assert tuple(amounts) == (0, 8, 2)


@pytest.mark.parametrize(
    ("workload", "policy"),
    [
        (job(gpu=8), {}),
        (job(gpu=8, high=True), {"preemption": "never"}),
        (job(gpu=8, high=True), {"max_preemptions": 0}),
        (job(gpu=2, high=True), {"preempt_exempt_s": 600}),
    ],
    ids=["may not evict", "never", "too often", "fits once they are no longer exempt"],
)
def test_what_cannot_be_evicted_or_would_be_enough_on_one_node_is_not_fragmented(
    workload: Workload, policy: dict[str, Any]
) -> None:
    nodes = [node(name) for name in "abcd"]
    made = plan(rack(nodes, running=SIX_AND_TWO, queued=[workload], **policy))
    assert reason(made, workload)[0] == "INSUFFICIENT_CAPACITY"


def test_a_gang_for_which_all_that_it_could_evict_leaves_room_in_part_waits_as_fragmented() -> None:
    running = [run(gpu=5, high=True, on=name) for name in "abc"]
    running += [run(gpu=3, on=name) for name in "abc"]
    gang = job(gpu=2, replicas=4, high=True)
    code, details = reason(plan(rack(trio(), running=running, queued=[gang])), gang)
    assert (code, details["room_for"], details["evictable"]["gpu"]) == ("FRAGMENTED", 3, 9)


def test_a_gang_that_fits_in_part_waits_as_fragmented() -> None:
    running = [run(gpu=5, high=True, on=name) for name in "abc"]
    gang = job(gpu=2, replicas=4, high=True)
    code, details = reason(plan(rack(trio(), running=running, queued=[gang])), gang)
    assert (code, details["replicas"], details["room_for"]) == ("FRAGMENTED", 4, 3)


def test_case_6_amounts_freed_on_two_nodes_do_not_add_up() -> None:
    """LOW workloads have 4 GPUs on each of two nodes; evicting both would not free 8 on one."""
    running = [run(gpu=4, on="a"), run(gpu=4, on="b"), run(gpu=4, high=True, on="a")]
    running += [run(gpu=4, high=True, on="b")]
    made = plan(rack([node("a"), node("b")], running=running, queued=[job(gpu=8, high=True)]))
    assert (placed(made), evicted(made)) == ({}, {})
