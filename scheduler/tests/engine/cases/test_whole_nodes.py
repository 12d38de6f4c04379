"""Workloads that take whole nodes, or all GPUs of nodes."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Snapshot, make_plan
from scheduler.engine.invariants import check
from scheduler.engine.plan import Start
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import GPUS, NODE, Workload
from scheduler.forecast.future import Future
from scheduler.tests.engine.build import (
    allocated_by,
    ends,
    job,
    node,
    of,
    owned,
    pool,
    rack,
    run,
    size,
)


def whole(gpu: int = 0, *, takes: str = NODE, **more: Any) -> Workload:
    return _taking(takes, job(gpu=gpu, **more))


def all_gpus(**more: Any) -> Workload:
    return _taking(GPUS, job(gpu=1, **more))


def _taking(takes: str, asked: Workload) -> Workload:
    return replace(asked, whole=takes, scheduling_key=f"{asked.scheduling_key}/w{takes}")


def starts_of(snapshot: Snapshot) -> dict[str, Start]:
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    return {each.workload_id: each for each in plan.starts}


def nodes_of(start: Start) -> list[str | None]:
    return [each.node_id for each in start.placement]


def reason_of(snapshot: Snapshot) -> tuple[str, dict[str, Any]]:
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    assert not plan.starts
    return plan.waits[-1].reason.code, plan.waits[-1].reason.details


def test_it_gets_all_that_its_node_has() -> None:
    start = starts_of(rack([node("a", gpu=8)], queued=[whole(id="w")]))["w"]
    assert (start.given, nodes_of(start)) == (size(8, 64, 512), ["a"])


def test_it_gets_all_gpus_of_its_node_and_what_it_asks_for_of_the_rest() -> None:
    queued = [all_gpus(id="w", cpu=4, waited_s=9), job(cpu=60, id="beside")]
    starts = starts_of(rack([node("a", gpu=8)], queued=queued, ordering="fifo"))
    assert starts["w"].given == size(8, 4, 1)
    assert starts["beside"].placement == starts["w"].placement


def test_nothing_else_starts_on_its_node() -> None:
    queued = [whole(id="w", waited_s=9), job(id="low"), job(id="high", cpu=1)]
    starts = starts_of(rack([node("a")], queued=queued, ordering="fifo"))
    assert starts.keys() == {"w"}


def test_it_takes_the_smallest_empty_node_that_is_large_enough() -> None:
    nodes = [node("large", gpu=8), node("small", gpu=2), node("tiny", gpu=2, cpu=2)]
    starts = starts_of(rack(nodes, queued=[whole(2, cpu=3, id="w")]))
    assert nodes_of(starts["w"]) == ["small"]
    assert starts["w"].given == size(2, 64, 512)


def test_it_takes_a_larger_one_where_the_smaller_ones_are_not_empty() -> None:
    nodes = [node("large", gpu=8), node("small", gpu=2)]
    start = starts_of(rack(nodes, running=[run(on="small")], queued=[whole(id="w")]))["w"]
    assert (nodes_of(start), start.given) == (["large"], size(8, 64, 512))


def test_two_of_them_take_two_nodes() -> None:
    starts = starts_of(rack([node("a"), node("b")], queued=[whole(id="v"), whole(id="w")]))
    assert {*nodes_of(starts["v"]), *nodes_of(starts["w"])} == {"a", "b"}


class TestGangs:
    def test_each_replica_takes_a_node_of_its_own(self) -> None:
        nodes = [node("a"), node("b"), node("c")]
        start = starts_of(rack(nodes, queued=[whole(id="w", replicas=3)]))["w"]
        assert [each.replicas for each in start.placement] == [1, 1, 1]

    def test_its_nodes_have_equal_gpus_whichever_it_takes(self) -> None:
        nodes = [node("a", gpu=4), node("b", gpu=8), node("c", gpu=8), node("d", gpu=2)]
        for asked in (whole(id="w", replicas=2), all_gpus(id="w", replicas=2)):
            start = starts_of(rack(nodes, queued=[asked]))["w"]
            assert (nodes_of(start), start.given and start.given.gpu) == (["b", "c"], 8)

    def test_a_little_more_ram_on_one_node_makes_no_difference(self) -> None:
        nodes = [node("a", ram=512), node("b", ram=513), node("c", ram=256)]
        start = starts_of(rack(nodes, queued=[whole(id="w", replicas=2, ram=300)]))["w"]
        assert (nodes_of(start), start.given) == (["a", "b"], size(8, 64, 512))

    @pytest.mark.parametrize("takes", [NODE, GPUS])
    def test_it_never_could_start_where_too_few_nodes_are_equal(self, takes: str) -> None:
        nodes = [node("a", gpu=4), node("b", gpu=8), node("c", gpu=2)]
        found = reason_of(rack(nodes, queued=[whole(1, takes=takes, replicas=2)]))
        assert found == ("EXCEEDS_CAPACITY", {"replicas": 2, "room_for": 1, "whole": takes})


class TestPreemption:
    def test_its_victims_are_all_that_runs_on_the_node(self) -> None:
        running = [run(on="a", id="v1"), run(on="a", id="v2"), run(on="b", high=True)]
        nodes = [node("a"), node("b")]
        start = starts_of(rack(nodes, running=running, queued=[whole(id="w", high=True)]))["w"]
        assert (nodes_of(start), sorted(start.victims)) == (["a"], ["v1", "v2"])

    def test_they_are_the_cheapest_of_all_sizes_of_nodes(self) -> None:
        """The smallest node is not the one with the least work on it."""
        running = [run(on="small", ran_s=9999, id="dear"), run(on="large", ran_s=1, id="cheap")]
        nodes = [node("small", gpu=2), node("large", gpu=8)]
        start = starts_of(rack(nodes, running=running, queued=[whole(id="w", high=True)]))["w"]
        assert (nodes_of(start), start.victims) == (["large"], ("cheap",))

    def test_none_is_evicted_where_a_larger_node_is_empty(self) -> None:
        nodes = [node("small", gpu=2), node("large", gpu=8)]
        queued = [whole(id="w", high=True)]
        start = starts_of(rack(nodes, running=[run(on="small")], queued=queued))["w"]
        assert (nodes_of(start), start.victims) == (["large"], ())

    def test_all_that_has_gpus_yields_to_one_that_takes_all_gpus(self) -> None:
        running = [run(2, on="a", id="v1"), run(1, on="a", id="v2"), run(on="a", id="without")]
        queued = [all_gpus(id="w", high=True)]
        start = starts_of(rack([node("a")], running=running, queued=queued))["w"]
        assert sorted(start.victims) == ["v1", "v2"]

    def test_it_yields_itself_as_any_other(self) -> None:
        running = [run(8, 64, 512, on="a", id="v")]
        queued = [whole(id="w", high=True)]
        assert starts_of(rack([node("a")], running=running, queued=queued))["w"].victims == ("v",)

    def test_a_gang_takes_nodes_of_one_size_with_the_cheapest_victims(self) -> None:
        nodes = [node("a", gpu=4), node("b", gpu=4), node("c", gpu=8), node("d", gpu=8)]
        running = [run(on=name, ran_s=9999, id=f"on-{name}") for name in "abc"]
        queued = [whole(id="w", replicas=2, high=True)]
        start = starts_of(rack(nodes, running=running, queued=queued))["w"]
        assert (nodes_of(start), start.victims) == (["c", "d"], ("on-c",))


class TestReservations:
    def test_a_starved_one_gets_a_node_that_no_other_fills_again(self) -> None:
        running = [run(on="a", ends_ms=ends(50)), run(on="b")]
        queued = [whole(id="w", waited_s=9999), job(id="small", cpu=1)]
        plan = make_plan(rack([node("a"), node("b")], running=running, queued=queued))
        assert plan.reserved_for == ("w",)
        assert [(s.workload_id, s.placement[0].node_id) for s in plan.starts] == [("small", "b")]

    def test_one_of_its_sizes_is_reserved(self) -> None:
        running = [run(on="a", ends_ms=ends(50)), run(on="b", ends_ms=ends(50))]
        queued = [whole(id="w", waited_s=9999)]
        snapshot = rack([node("a", gpu=2), node("b")], running=running, queued=queued)
        assert make_plan(snapshot).reserved_for == ("w",)

    def test_backfill_does_not_delay_the_head_that_waits_for_a_whole_node(self) -> None:
        running = [run(on="a", ends_ms=ends(100))]
        queued = [
            whole(id="w", waited_s=50, limit_s=10),
            job(id="short", limit_s=50),
            job(id="long", limit_s=500),
        ]
        base = rack([node("a")], running=running, queued=queued, queueing="easy_backfill")
        assert starts_of(base).keys() == {"short"}


class TestQuotas:
    def test_a_quota_counts_all_of_the_node(self) -> None:
        base = rack([node("a", gpu=8)], queued=[of("ann", whole(1, id="w"))])
        assert starts_of(owned(base, ann=size(8, 64, 512))).keys() == {"w"}
        code, details = reason_of(owned(base, ann=size(7, 64, 512)))
        assert (code, details["requested"], details["quota"]) == ("QUOTA_EXCEEDED", 8, 7)

    def test_it_takes_a_node_that_the_quota_allows(self) -> None:
        nodes = [node("large", gpu=8), node("small", gpu=2)]
        base = rack(nodes, queued=[of("ann", whole(id="w"))])
        assert nodes_of(starts_of(owned(base, ann=size(4, 99, 999)))["w"]) == ["small"]
        running = [allocated_by("ben", run(on="small"))]
        full = rack(nodes, running=running, queued=[of("ann", whole(id="w"))])
        assert not starts_of(owned(full, ann=size(4, 99, 999)))

    def test_a_second_one_waits_for_the_first_one_of_its_owner(self) -> None:
        queued = [of("ann", whole(id=id_)) for id_ in ("v", "w")]
        base = owned(rack([node("a"), node("b")], queued=queued), ann=size(12, 999, 9999))
        assert starts_of(base).keys() == {"v"}


class TestReasons:
    def test_it_says_how_many_would_be_large_enough_and_how_many_are_empty(self) -> None:
        nodes = [node("a"), node("b"), node("c", gpu=0)]
        base = rack(nodes, running=[run(on="a")], queued=[whole(1, replicas=2)])
        assert reason_of(base) == ("NO_EMPTY_NODE", {"replicas": 2, "nodes": 2, "empty": 1})

    def test_closed_nodes_are_counted(self) -> None:
        nodes = [node("a"), node("b", state="CORDONED")]
        found = reason_of(rack(nodes, running=[run(on="a"), run(on="a")], queued=[whole()]))
        assert found == (
            "NO_EMPTY_NODE",
            {"replicas": 1, "nodes": 1, "empty": 0, "closed_nodes": 1},
        )

    def test_gpus_in_use_and_too_little_cpu_are_told_apart(self) -> None:
        in_use = rack([node("a")], running=[run(1, on="a"), run(1, on="a")], queued=[all_gpus()])
        assert reason_of(in_use) == ("GPUS_IN_USE", {"replicas": 1, "nodes": 1, "empty": 0})
        no_cpu = rack([node("a")], running=[run(cpu=60, on="a")], queued=[all_gpus(cpu=8)])
        assert reason_of(no_cpu)[0] == "INSUFFICIENT_CAPACITY"

    def test_other_reasons_keep_their_meaning(self) -> None:
        assert reason_of(rack([node("a", gpu=4)], queued=[whole(8)]))[0] == "EXCEEDS_CAPACITY"
        assert reason_of(rack([node("a", gpu=0)], queued=[all_gpus()]))[0] == "EXCEEDS_CAPACITY"
        assert reason_of(pool(queued=[whole()])) == (
            "EXCEEDS_CAPACITY",
            {"replicas": 1, "room_for": 0, "whole": NODE},
        )
        base = rack([node("a")], queued=[whole()], state="PAUSED")
        assert reason_of(base)[0] == "CLUSTER_PAUSED"

    def test_the_head_of_a_strict_queue_has_a_reason_of_its_own(self) -> None:
        nodes = [node("a", gpu=2), node("b")]
        running = [run(on="a"), run(on="b")]
        queued = [whole(id="w", waited_s=9), job(id="behind")]
        base = rack(nodes, running=running, queued=queued, queueing="strict", ordering="fifo")
        plan = make_plan(base)
        assert check(base, plan) == []
        codes = {wait.workload_id or wait.scheduling_key: wait.reason for wait in plan.waits}
        assert codes["w"].code == "NO_EMPTY_NODE"
        assert [each.details for each in codes.values() if each.code == "BLOCKED_BY_HEAD"] == [
            {"head": "w"}
        ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "given other than"),
        (size(7, 64, 512), "not all of its node"),
        (size(8, 64, 400), "not all RAM"),
        (size(8, 64, 513), "not all RAM"),
    ],
)
def test_a_plan_that_gives_less_than_the_node_is_refused(
    given: Resources | None, words: str
) -> None:
    snapshot = rack([node("a")], queued=[whole(id="w")])
    plan = make_plan(snapshot)
    bad = replace(plan, starts=(replace(plan.starts[0], given=given),))
    assert any(words in each for each in check(snapshot, bad))


def test_a_plan_that_takes_a_node_in_use_is_refused() -> None:
    snapshot = rack([node("a")], running=[run(on="a")], queued=[whole(id="w")])
    free = rack([node("a")], queued=snapshot.queued)
    assert any("not empty" in each for each in check(snapshot, make_plan(free)))


def test_a_run_of_the_planner_forward_gives_and_returns_whole_nodes() -> None:
    running = [run(on="a", id="r", ends_ms=ends(10), ran_s=0)]
    queued = [whole(id="w", waited_s=9), whole(id="v", waited_s=5)]
    future = Future(rack([node("a")], running=running, queued=queued), lambda *_: 10_000, bool)
    assert future.play(["w", "v"], lambda: False)
    assert {id_: start.at_ms for id_, start in future.starts.items()} == {
        "w": ends(10),
        "v": ends(20),
    }
