"""Clusters with nodes and known answers: where things go, who yields there, and what is held."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.invariants import check
from scheduler.engine.snapshot import Node, PriorityClass, Running, Workload
from scheduler.tests.engine.build import HIGH, LOW, NOW, job, node, rack, run

MID = PriorityClass("MID", 500, may_preempt=True, preemptible=True)


def plan(snapshot: Snapshot) -> Plan:
    made = make_plan(snapshot)
    assert check(snapshot, made) == []
    return made


def placed(made: Plan) -> dict[str, dict[str | None, int]]:
    """Who starts, and with how many replicas where."""
    return {
        start.workload_id: {each.node_id: each.replicas for each in start.placement}
        for start in made.starts
    }


def evicted(made: Plan) -> dict[str, str | None]:
    """Who leaves, and for whom; None: the node is drained."""
    return {eviction.workload_id: eviction.by for eviction in made.evictions}


def reason(made: Plan, workload: Workload) -> tuple[str, dict[str, Any]]:
    own = [wait for wait in made.waits if wait.workload_id == workload.id]
    key = [
        w for w in made.waits if w.scheduling_key == workload.scheduling_key and not w.workload_id
    ]
    told = (own + key)[0].reason
    return told.code.value, told.details


def trio(**sizes: dict[str, int]) -> list[Node]:
    """Nodes a, b and c of 8 GPUs, 64 cores and 512 GiB, or as told."""
    return [node(name, **sizes.get(name, {})) for name in ("a", "b", "c")]


# --- Where it goes --------------------------------------------------------------------------------


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
def test_one_goes_where_the_policy_says(
    placement: str, left: dict[str, dict[str, int]], expected: str
) -> None:
    whole = {"gpu": 8, "cpu": 64, "ram": 512}
    nodes = trio(**{name: whole | room for name, room in left.items()})
    for order in (nodes, nodes[::-1]):
        made = plan(rack(order, queued=[job(gpu=2, id="j")], placement=placement))
        assert placed(made) == {"j": {expected: 1}}


@pytest.mark.parametrize(
    ("placement", "replicas", "expected"),
    [
        ("binpack", 2, {"b": 2}),
        ("binpack", 3, {"b": 2, "a": 1}),
        ("binpack", 7, {"b": 2, "a": 4, "c": 1}),
        ("spread", 2, {"a": 1, "c": 1}),
        ("spread", 5, {"a": 2, "b": 1, "c": 2}),
        ("spread", 10, {"a": 4, "b": 2, "c": 4}),
        ("binpack", 11, None),
        ("spread", 11, None),
    ],
)
def test_a_gang_is_laid_out_by_the_policy_and_whole(
    placement: str, replicas: int, expected: dict[str, int] | None
) -> None:
    """There is room for 4, 2 and 4 replicas of 2 GPUs."""
    gang = job(gpu=2, replicas=replicas, id="g")
    busy = [run(gpu=4, high=True, on="b")]
    made = plan(rack(trio(), running=busy, queued=[gang], placement=placement))
    assert placed(made) == ({"g": expected} if expected else {})


def test_spread_counts_what_the_gang_itself_has_taken() -> None:
    nodes = trio(a={"gpu": 6}, b={"gpu": 4}, c={"gpu": 2})
    made = plan(rack(nodes, queued=[job(gpu=1, replicas=6, id="g")], placement="spread"))
    assert placed(made) == {"g": {"a": 4, "b": 2}}


def test_those_that_start_together_see_each_other() -> None:
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
def test_a_node_must_carry_all_the_labels(selector: dict[str, str], expected: str) -> None:
    nodes = [
        node("a", labels={"zone": "x"}),
        node("b", labels={"zone": "y"}),
        node("c", labels={"zone": "y", "disk": "fast"}),
    ]
    made = plan(rack(nodes, queued=[job(gpu=1, selector=selector, id="j")]))
    assert placed(made) == {"j": {expected: 1}}


@pytest.mark.parametrize("state", ["CORDONED", "NOT_READY", "DRAINING"])
def test_a_closed_node_takes_nobody_new(state: str) -> None:
    nodes = [node("a", state=state), node("b", gpu=4)]
    small, large = job(gpu=2, high=True, id="small"), job(gpu=8, high=True, id="large")
    made = plan(rack(nodes, queued=[small, large]))
    assert placed(made) == {"small": {"b": 1}}
    code, details = reason(made, large)
    assert (code, details["short"]) == ("INSUFFICIENT_CAPACITY", {"gpu": 6})


@pytest.mark.parametrize("state", ["CORDONED", "NOT_READY"])
def test_nobody_is_evicted_from_a_closed_node(state: str) -> None:
    """It could not be used by the preemptor."""
    nodes, running = [node("a", state=state), node("b")], [run(gpu=8, on="a"), run(gpu=8, on="b")]
    made = plan(rack(nodes, running=running, queued=[job(gpu=1, high=True, id="p")]))
    assert evicted(made) == {running[1].id: "p"}


# --- What can never run ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workload", "details"),
    [
        (job(gpu=25), {"resource": "gpu", "requested": 25, "total": 24}),
        (job(gpu=9), {"resource": "gpu", "requested": 9, "total": 8, "on_a_node": True}),
        (job(cpu=99), {"resource": "cpu_milli", "requested": 99_000, "total": 64_000}),
        (job(gpu=5, replicas=4), {"replicas": 4, "room_for": 3}),
        (job(gpu=8, replicas=4), {"resource": "gpu", "requested": 32, "total": 24}),
        (job(gpu=1, selector={"zone": "z"}), {"node_selector": {"zone": "z"}}),
        (job(gpu=8, selector={"zone": "x"}, replicas=2), {"resource": "gpu", "requested": 16}),
    ],
    ids=["all", "one node", "cpu", "side by side", "all replicas", "no such node", "labelled"],
)
def test_what_no_empty_cluster_could_run_is_told_why(
    workload: Workload, details: dict[str, Any]
) -> None:
    nodes = [node("a", labels={"zone": "x"}), node("b"), node("c")]
    high = replace(workload, priority="HIGH")
    for state in ("READY", "CORDONED"):  # closed for now is no reason for never
        open_ = [replace(each, state=state) for each in nodes]
        running = [run(gpu=1, on="a")]
        made = plan(rack(open_, running=running, queued=[high]))
        code, told = reason(made, high)
        assert code == "EXCEEDS_CAPACITY"
        assert told.items() >= details.items()
        assert evicted(made) == {}


def test_the_largest_node_is_the_one_that_comes_nearest() -> None:
    """b has more of everything but what is asked for."""
    nodes = [node("a", gpu=4, cpu=8, ram=8), node("b", gpu=0, cpu=640, ram=5120)]
    made = plan(rack(nodes, queued=[big := job(gpu=3, cpu=9)]))
    assert reason(made, big) == (
        "EXCEEDS_CAPACITY",
        {"resource": "cpu_milli", "requested": 9000, "total": 8000, "on_a_node": True},
    )


def test_what_can_never_run_blocks_nobody_in_strict() -> None:
    queued = [job(gpu=9, high=True), job(gpu=1, id="small")]
    assert placed(plan(rack(trio(), queued=queued, queueing="strict"))) == {"small": {"a": 1}}


# --- Fragmentation --------------------------------------------------------------------------------


def test_case_1_nobody_is_evicted_where_that_would_not_make_one_node_free() -> None:
    """Four nodes of 8 GPUs, 6 HIGH and 2 LOW on each; a HIGH asks for 8."""
    nodes = [node(name) for name in "abcd"]
    running = [run(gpu=6, high=True, on=name) for name in "abc"]
    running += [run(gpu=1, on=name) for name in "abc" for _ in range(2)]
    running += [run(gpu=6, high=True, on="d")]
    whole = job(gpu=8, high=True, id="whole")
    queued = [whole, job(gpu=2, id="s"), job(gpu=1, id="t")]
    made = plan(rack(nodes, running=running, queued=queued))
    assert evicted(made) == {}
    assert placed(made) == {"s": {"d": 1}}
    assert reason(made, whole)[0] == "INSUFFICIENT_CAPACITY"
    full = plan(rack(nodes, running=running[:3], queued=queued[:1]))
    assert evicted(full) == {}


def test_case_1_with_two_free_on_each_it_is_fragmented() -> None:
    nodes = [node(name) for name in "abcd"]
    running = [run(gpu=6, high=True, on=name) for name in "abcd"]
    whole = job(gpu=8, high=True, id="whole")
    small = [job(gpu=2, id=f"s{n}") for n in range(3)]
    made = plan(rack(nodes, running=running, queued=[whole]))
    code, details = reason(made, whole)
    assert code == "FRAGMENTED"
    assert (details["free"]["gpu"], details["best_node"]["gpu"], details["room_for"]) == (8, 2, 0)
    assert len(placed(plan(rack(nodes, running=running, queued=[whole, *small])))) == 3


def test_a_gang_that_fits_in_part_is_fragmented() -> None:
    running = [run(gpu=5, high=True, on=name) for name in "abc"]
    gang = job(gpu=2, replicas=4, high=True)
    code, details = reason(plan(rack(trio(), running=running, queued=[gang])), gang)
    assert (code, details["replicas"], details["room_for"]) == ("FRAGMENTED", 4, 3)


def test_case_6_what_comes_free_on_two_nodes_is_not_one_nodes() -> None:
    """Four GPUs of LOW on each of two nodes; evicting both would not make 8 on one."""
    running = [run(gpu=4, on="a"), run(gpu=4, on="b"), run(gpu=4, high=True, on="a")]
    running += [run(gpu=4, high=True, on="b")]
    made = plan(rack([node("a"), node("b")], running=running, queued=[job(gpu=8, high=True)]))
    assert (placed(made), evicted(made)) == ({}, {})


# --- Who yields where -----------------------------------------------------------------------------


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
def test_the_cheapest_node_yields(running: list[Running], expected: set[str]) -> None:
    preemptor = job(gpu=8, high=True, id="p8")
    assert victims_of(running, preemptor, classes=(LOW, MID, HIGH)) == expected


def test_between_equal_costs_the_fewest_yield() -> None:
    """Shares of 16 GPUs are exact in millionths, so that eight small ones cost what one does."""
    running = [*(run(gpu=1, on="a", ran_s=60) for _ in range(8)), run(gpu=8, on="b", ran_s=60)]
    nodes = [node("a"), node("b")]
    assert victims_of(running, job(gpu=8, high=True), nodes) == {running[-1].id}


def test_only_nodes_with_the_labels_yield() -> None:
    nodes = [node("a", labels={"zone": "x"}), node("b", labels={"zone": "y"})]
    running = [run(gpu=8, on="a", ran_s=1), run(gpu=8, on="b", ran_s=9999, id="v")]
    assert victims_of(running, job(gpu=1, high=True, selector={"zone": "y"}), nodes) == {"v"}


def test_what_is_free_on_a_node_counts() -> None:
    running = [run(gpu=2, on="a", id="v", ran_s=999), run(gpu=6, on="b"), run(gpu=6, on="c")]
    assert victims_of(running, job(gpu=8, high=True)) == {"v"}


def test_a_victim_on_several_nodes_leaves_all_of_them() -> None:
    """Its other replica makes room for one who may not preempt."""
    running = [run(gpu=8, on={"a": 1, "b": 1}, id="v"), run(gpu=8, high=True, on="c")]
    queued = [job(gpu=8, high=True, id="p"), job(gpu=8, id="l")]
    made = plan(rack(trio(), running=running, queued=queued))
    assert evicted(made) == {"v": "p"}
    assert placed(made) == {"p": {"a": 1}, "l": {"b": 1}}


def test_a_gang_is_a_dear_victim_as_a_whole() -> None:
    """One replica of it would be the cheapest, all four of them are not."""
    gang = run(gpu=2, on={"a": 1, "b": 1, "c": 2}, ran_s=100)
    full = [run(gpu=6, high=True, on="a"), run(gpu=6, high=True, on="b")]
    single = run(gpu=4, on="c", ran_s=150, id="v")
    assert victims_of([gang, single, *full], job(gpu=2, high=True)) == {"v"}


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [(1, {"a1"}), (2, {"a1", "b1"}), (3, {"a1", "a2", "b1"}), (4, {"a1", "a2", "b1", "c1"})],
)
def test_a_preempting_gang_takes_the_cheapest_anywhere(replicas: int, expected: set[str]) -> None:
    running = [
        run(gpu=4, on="a", id="a1", ran_s=100),
        run(gpu=4, on="a", id="a2", ran_s=120),
        run(gpu=4, on="b", id="b1", ran_s=110),
        run(gpu=4, on="b", id="b2", ran_s=400),
        run(gpu=4, on="c", id="c1", ran_s=300),
        run(gpu=4, on="c", high=True),
    ]
    assert victims_of(running, job(gpu=4, replicas=replicas, high=True)) == expected


def test_a_preempting_gang_uses_what_is_free_first() -> None:
    running = [run(gpu=8, on="a", id="a1"), run(gpu=8, on="b", id="b1", ran_s=9)]
    made = plan(rack(trio(), running=running, queued=[job(gpu=8, replicas=2, high=True, id="g")]))
    assert evicted(made) == {"b1": "g"}
    assert placed(made) == {"g": {"b": 1, "c": 1}}


def test_a_victim_that_makes_room_in_two_places_beats_two() -> None:
    spanning = run(gpu=8, on={"a": 1, "b": 1}, id="v", ran_s=100)
    dear = [run(gpu=8, on="c", ran_s=300)]
    assert victims_of([spanning, *dear], job(gpu=8, replicas=2, high=True)) == {"v"}


def test_two_victims_beat_one_that_makes_room_in_two_places() -> None:
    spanning = run(gpu=4, on={"a": 1, "b": 1}, ran_s=1000)
    cheap = [run(gpu=4, on="a", id="v", ran_s=10), run(gpu=4, on="b", id="w", ran_s=10)]
    full = [run(gpu=8, high=True, on="c")]
    assert victims_of([spanning, *cheap, *full], job(gpu=4, replicas=2, high=True)) == {"v", "w"}


def test_a_gang_evicts_nobody_where_it_would_not_fit_whole() -> None:
    running = [run(gpu=8, on="a"), run(gpu=8, on="b"), run(gpu=1, high=True, on="c")]
    assert victims_of(running, job(gpu=8, replicas=3, high=True)) == set()


def test_a_gang_takes_one_of_a_higher_class_that_loses_nothing_rather_than_work_of_a_lower() -> (
    None
):
    """The highest class touched is LOW either way, for b has no other; at a, LOW costs nothing."""
    idle = PriorityClass("IDLE", -10, may_preempt=False, preemptible=True)
    running = [
        run(gpu=8, on="b", id="low", ran_s=None),
        run(gpu=4, on="a", id="idle", priority="IDLE", ran_s=9999),
        run(gpu=4, on="a", id="starting", ran_s=None),
    ]
    nodes = [node("a"), node("b")]
    gang = job(gpu=4, replicas=3, high=True)
    assert victims_of(running, gang, nodes, classes=(LOW, HIGH, idle)) == {"low", "starting"}


def test_the_receipt_names_the_next_best_victims() -> None:
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


def test_a_draining_node_loses_a_gang_as_a_whole_and_nobody_else() -> None:
    gang, other = run(gpu=2, on={"a": 1, "b": 2}, id="g"), run(gpu=2, on="b", id="o")
    nodes = [node("a", state="DRAINING"), node("b")]
    made = plan(rack(nodes, running=[gang, other], queued=[job(gpu=6, id="w")]))
    assert evicted(made) == {"g": None}
    assert placed(made) == {"w": {"b": 1}}
    assert made.evictions[0].reason.code == "NODE_DRAINED"


def test_whoever_drains_is_nobodys_victim_too() -> None:
    running = [run(gpu=8, on="a", id="drains"), run(gpu=8, on="b", id="v")]
    nodes = [node("a", state="DRAINING"), node("b")]
    made = plan(rack(nodes, running=running, queued=[job(gpu=8, high=True, id="p")]))
    assert evicted(made) == {"drains": None, "v": "p"}


# --- EASY backfilling on nodes --------------------------------------------------------------------


def ends(seconds: int) -> int:
    return NOW + seconds * 1000


def easy(queued: list[Workload], *, running: list[Running] | None = None) -> Plan:
    """b is full until 100 s, a half full until 200 s; the head needs a whole node."""
    busy = [
        run(gpu=4, on="a", high=True, ends_ms=ends(200)),
        run(gpu=8, on="b", high=True, ends_ms=ends(100)),
    ]
    nodes = [node("a"), node("b")]
    policy = {"queueing": "easy_backfill", "ordering": "fifo"}
    return plan(rack(nodes, running=running or busy, queued=queued, **policy))


HEAD = job(gpu=8, id="head", submitted_ms=NOW - 9)


@pytest.mark.parametrize(
    ("limit_s", "passes"),
    [(100, True), (101, True), (None, True)],
    ids=["short", "long", "endless"],
)
def test_easy_beside_the_nodes_of_the_reservation_all_pass(
    limit_s: int | None, passes: bool
) -> None:
    """The head will start on b."""
    made = easy([HEAD, job(gpu=4, limit_s=limit_s, id="j")])
    assert ("j" in placed(made)) is passes


def test_easy_on_the_reserved_node_only_what_ends_in_time_passes() -> None:
    """Until 100 s, 4 of b are free, and a is full for good."""
    running = [run(gpu=8, on="a", high=True), run(gpu=4, on="b", high=True, ends_ms=ends(100))]
    queued = [HEAD, *(job(gpu=1, limit_s=limit, id=f"j{limit}") for limit in (100, 101, None))]
    made = easy(queued, running=running)
    assert placed(made) == {"j100": {"b": 1}}
    assert reason(made, queued[2]) == ("RESERVED_FOR_HEAD", {"head": "head"})


def test_easy_what_leaves_the_heads_share_alone_passes() -> None:
    """The head takes 8 GPUs of b and one core; the others' cores are left over."""
    running = [run(gpu=8, on="a", cpu=64, high=True), run(gpu=4, on="b", ends_ms=ends(100))]
    head = replace(HEAD, priority="LOW")
    queued = [head, job(cpu=62, id="cpu"), job(cpu=2, id="more"), job(gpu=1, id="gpu")]
    assert placed(easy(queued, running=running)) == {"cpu": {"b": 1}}


def test_easy_without_any_known_end_everybody_passes() -> None:
    running = [run(gpu=8, on="a", high=True), run(gpu=4, on="b", high=True)]
    assert placed(easy([HEAD, job(gpu=4, id="j")], running=running)) == {"j": {"b": 1}}


def test_easy_counts_those_that_start_in_the_same_cycle() -> None:
    """The first fills a until 50 s; that is sooner than b, so the head will start there."""
    running = [run(gpu=8, on="b", high=True, ends_ms=ends(100))]
    first = job(gpu=4, limit_s=50, id="first", submitted_ms=NOW - 20)
    queued = [first, HEAD, job(gpu=1, limit_s=51, id="late"), job(gpu=1, limit_s=50, id="in time")]
    assert placed(easy(queued, running=running)) == {"first": {"a": 1}, "in time": {"a": 1}}


def test_easy_a_gang_reserves_on_all_its_nodes() -> None:
    running = [
        run(gpu=4, on="a", high=True, ends_ms=ends(200)),
        run(gpu=7, on="b", high=True, ends_ms=ends(100)),
    ]
    head = job(gpu=8, replicas=2, id="head", submitted_ms=NOW - 9)
    queued = [head, job(gpu=1, limit_s=201, id="late"), job(gpu=1, limit_s=200, id="in time")]
    assert placed(easy(queued, running=running)) == {"in time": {"b": 1}}


def test_easy_an_overdue_end_may_come_at_any_moment() -> None:
    running = [run(gpu=8, on="a", high=True), run(gpu=4, on="b", high=True, ends_ms=ends(-5))]
    made = easy([HEAD, job(gpu=1, limit_s=1, id="j")], running=running)
    assert placed(made) == {}
