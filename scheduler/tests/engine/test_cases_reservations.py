"""Holds on nodes, with known answers: for whom, where, how much, and how long."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine.reservations.history import history_after
from scheduler.engine.snapshot import Node, ReservationRecord, Running
from scheduler.tests.engine.build import NOW, job, node, pool, rack, run, size
from scheduler.tests.engine.test_cases_nodes import ends, evicted, placed, plan, reason, trio


def churn(
    nodes: list[Node], pinned: list[Running], seconds: int, *, high: bool = False, **policy: Any
) -> int | None:
    """One as large as a node waits; each second, on each node, one of the small LOW ones ends and a
    new one comes. When it starts, if ever."""
    big = job(gpu=8, high=high, id="big", submitted_ms=NOW)
    free = {each.id: 8 - sum(r.request.gpu for r in pinned if _on(r, each.id)) for each in nodes}
    small = [
        run(gpu=1, on=name, id=f"{name}{n}", ran_s=1)
        for name, gpus in free.items()
        for n in range(gpus)
    ]
    reservation_history: tuple[ReservationRecord, ...] = ()
    for second in range(seconds):
        now = NOW + second * 1000
        for name in free:
            ended = next((each for each in small if _on(each, name)), None)
            small = [each for each in small if each is not ended]
        arrived = [job(gpu=1, id=f"s{second}-{n}", submitted_ms=now) for n in range(len(nodes))]
        waiting: dict[str, Any] = {
            "queued": [big, *arrived],
            "reservation_history": reservation_history,
        }
        snapshot = rack(nodes, running=pinned + small, **waiting, now_ms=now, **policy)
        decided = plan(snapshot)
        reservation_history, made = history_after(snapshot, decided), placed(decided)
        if "big" in made:
            return second
        small += [
            run(gpu=1, on=dict(where), id=each, started_ms=now) for each, where in made.items()
        ]
    return None


def _on(running: Running, name: str) -> bool:
    return any(place.node_id == name for place in running.placement)


@pytest.mark.parametrize("placement", ["binpack", "spread"])
@pytest.mark.parametrize("ordering", ["gpu_weighted", "fifo"])
def test_case_4_on_nodes_a_stream_does_not_starve_one_as_large_as_a_node(
    placement: str, ordering: str
) -> None:
    """Held back from its 60th second on, on one node, it needs 8 seconds; the other goes on."""
    policy: dict[str, Any] = {"reserve_after_s": 60, "placement": placement, "ordering": ordering}
    assert churn([node("a"), node("b")], [], 100, **policy) == 67
    assert churn([node("a"), node("b")], [], 60, **policy | {"reserve_after_s": 10**6}) is None


def test_case_4_a_node_that_never_empties_is_not_waited_for_alone() -> None:
    """On a, one stays for ever, so that the least is missing there; b is held too once a has been
    held for twelve times as long as the big one had to wait for that."""
    pinned = [run(gpu=1, high=True, on="a")]
    assert churn([node("a"), node("b")], pinned, 137, reserve_after_s=10) is None
    assert churn([node("a"), node("b")], pinned, 138, reserve_after_s=10) == 137


def test_case_4_a_node_that_a_service_never_leaves_is_not_waited_for_at_all() -> None:
    pinned = [run(gpu=1, high=True, on="a", endless=True)]
    assert churn([node("a"), node("b")], pinned, 200, reserve_after_s=10) == 17


def test_case_4_a_service_that_may_be_evicted_later_is_waited_for() -> None:
    """On a; b is kept by a job that never ends. Small ones come to both, and none may be evicted
    before it has run for longer than any of them does."""
    service = run(gpu=1, on="a", id="service", ran_s=10**6, endless=True)
    pinned = [service, run(gpu=1, high=True, on="b", id="for ever")]
    policy: dict[str, Any] = {"reserve_after_s": 10, "preempt_exempt_s": 60}
    nodes = [node("a"), node("b")]
    assert churn(nodes, pinned, 200, high=True, **policy) == 16
    young, other = replace(service, started_ms=NOW - 30_000), run(gpu=2, high=True, on="b")
    assert held_on([young, other], high=True, **policy) == {"a"}
    spared = replace(young, preemptions=5)
    assert held_on([spared, other], ReservationRecord("big", 10**9, None), high=True, **policy) == {
        "b"
    }


def test_a_hold_that_time_limits_promise_to_fill_is_not_widened() -> None:
    running = [run(gpu=4, high=True, on=name, ends_ms=ends(10**6)) for name in "ab"]
    assert held_on(running, ReservationRecord("big", 10**9, NOW)) == {"a"}
    running = [replace(each, ends_ms=None) for each in running]
    assert held_on(running, ReservationRecord("big", 10**9, NOW)) == {"a", "b"}


@pytest.mark.parametrize(
    ("known", "held"),
    [
        (None, "a"),
        (("big", 0, 12 * 3600 - 1), "a"),
        (("big", 0, 12 * 3600), "ab"),
        (("big", 12 * 3600, None), "ab"),
        (("big", 6 * 3600, 6 * 3600), "ab"),
        (("big", 6 * 3600, 6 * 3600 - 1), "a"),
        (("big", 0, 24 * 3600 - 1), "ab"),
        (("big", 0, 24 * 3600), "abcd"),
        (("big", 0, 10**9), "abcde"),
        (("another", 0, 24 * 3600), "a"),
    ],
)
def test_a_hold_doubles_by_the_time_that_it_has_lasted(
    known: tuple[str, int, int | None] | None, held: str
) -> None:
    """However long the holder has waited."""
    running = [run(gpu=1, high=True, on=name) for name in "abcde"]
    occupants = []
    if known is not None:
        id_, before_s, since_s = known
        occupants = [
            ReservationRecord(
                id_, before_s * 1000, None if since_s is None else NOW - since_s * 1000
            )
        ]
    assert held_on(running, *occupants) == set(held)


def test_a_hold_that_is_to_begin_at_once_doubles_each_half_day() -> None:
    running = [run(gpu=1, high=True, on=name) for name in "ab"]
    for held_s, held in ((12 * 3600 - 1, {"a"}), (12 * 3600, {"a", "b"})):
        reserved_for = ReservationRecord("big", held_s * 1000, None)
        assert held_on(running, reserved_for, reserve_after_s=0) == held


def held_on(
    running: list[Running],
    *reservation_history: ReservationRecord,
    high: bool = False,
    **policy: Any,
) -> set[str]:
    """The nodes on which small ones may not start beside one as large as a node."""
    names = sorted({place.node_id or "" for each in running for place in each.placement})
    queued = [job(gpu=8, high=high, id="big", waited_s=10**7)]
    queued += [job(gpu=1, id=f"s{n}") for n in range(40)]
    snapshot = rack(
        [node(name) for name in names],
        running=running,
        queued=queued,
        reservation_history=reservation_history,
        **policy,
    )
    made = plan(snapshot)
    assert made.reserved_for == "big"
    return {name for name in names if not any(name in where for where in placed(made).values())}


def test_the_hold_is_not_where_services_leave_no_room() -> None:
    service = run(gpu=1, high=True, on="a", endless=True)
    others = [run(gpu=2, high=True, on=name) for name in "bc"]
    assert held_on([service, *others]) == {"b"}
    assert held_on([service, *others], ReservationRecord("big", 10**9, None)) == {"b", "c"}


@pytest.mark.parametrize("held_s", [0, 13 * 3600, 10**7])
def test_nothing_is_held_for_one_for_whom_services_leave_no_room(held_s: int) -> None:
    """The next who has waited too long is held for instead."""
    running = [run(gpu=1, high=True, on=name, endless=True) for name in "ab"]
    running.append(run(gpu=3, high=True, on="a"))
    big, next_ = job(gpu=8, id="big", waited_s=10**7), job(gpu=7, id="next", waited_s=5000)
    small = [job(gpu=1, id=f"s{n}", limit_s=10) for n in range(20)]
    memory = (ReservationRecord("big", held_s * 1000, None), ReservationRecord("next", 0, None))
    cluster = rack(
        [node("a"), node("b")], running=running, queued=[big, *small], reservation_history=memory
    )
    assert len(placed(plan(cluster))) == 4 + 7
    assert plan(cluster).reserved_for is None
    cluster = replace(cluster, queued=(big, next_, *small))
    assert placed(plan(cluster))["next"] == {"b": 1}
    a, b = cluster.nodes
    made = plan(replace(cluster, nodes=(a, replace(b, state="CORDONED"))))
    assert (made.reserved_for, len(placed(made))) == ("next", 0)


@pytest.mark.parametrize("state", ["CORDONED", "NOT_READY"])
def test_the_next_is_held_for_where_one_waits_for_a_closed_node(state: str) -> None:
    running = [run(gpu=1, high=True, on="a", endless=True), run(gpu=1, high=True, on="a")]
    queued = [job(gpu=8, id="big", waited_s=5000), job(gpu=7, id="next", waited_s=4000)]
    queued += [job(gpu=1, id=f"s{n}") for n in range(9)]
    snapshot = rack([node("a"), node("c", state=state)], running=running, queued=queued)
    made = plan(snapshot)
    assert (made.reserved_for, placed(made)) == ("next", {})


def test_a_service_that_is_drained_is_in_nobodys_way() -> None:
    """It spans both nodes: what it leaves on b is for who has waited longest."""
    service = run(gpu=1, high=True, on={"a": 1, "b": 1}, endless=True)
    queued = [job(gpu=8, id="big", waited_s=5000), *(job(gpu=1, id=f"s{n}") for n in range(9))]
    job_on_b = run(gpu=1, high=True, on="b")
    nodes = [node("a", state="DRAINING"), node("b")]
    made = plan(rack(nodes, running=[service, job_on_b], queued=queued))
    assert (made.reserved_for, placed(made)) == ("big", {})


def test_a_pool_is_held_for_nobody_for_whom_services_leave_no_room() -> None:
    running = [run(gpu=1, high=True, endless=True)]
    queued = [job(gpu=8, waited_s=10**7), *(job(gpu=1, id=f"s{n}") for n in range(9))]
    assert len(placed(plan(pool(running=running, queued=queued)))) == 7


def test_a_gang_for_whom_services_leave_no_room_is_in_nobodys_way() -> None:
    running = [run(gpu=1, high=True, on=name, endless=True) for name in "abc"]
    gang = job(gpu=8, replicas=4, id="gang", waited_s=4000)
    queued = [gang, job(gpu=8, id="whole", waited_s=3700), job(gpu=8, id="another", waited_s=3600)]
    made = plan(rack([node(name) for name in "abcd"], running=running, queued=queued))
    assert placed(made) == {"whole": {"d": 1}}
    assert made.reserved_for == "another"


def test_one_for_whom_a_victim_makes_room_is_held_for_at_once() -> None:
    """A LOW service of 5 and a HIGH job of 3 fill the node. The urgent one evicts the service."""
    running = [run(gpu=5, on="a", id="service", endless=True), run(gpu=3, high=True, on="a")]
    big, urgent = job(gpu=8, id="big", waited_s=4000), job(gpu=1, high=True, id="urgent")
    queued = [big, urgent, *(job(gpu=1, id=f"s{n}") for n in range(5))]
    made = plan(rack([node("a")], running=running, queued=queued))
    assert evicted(made) == {"service": "urgent"}
    assert (set(placed(made)), made.reserved_for) == ({"urgent"}, "big")


def test_the_hold_for_a_gang_is_for_as_many_replicas_as_services_leave_room_for() -> None:
    running = [run(gpu=1, high=True, on="a", endless=True)]
    running += [run(gpu=5, high=True, on="b"), run(gpu=6, high=True, on="c")]
    queued = [job(gpu=4, replicas=3, id="gang", waited_s=4000)]
    queued += [job(gpu=1, id=f"s{n}") for n in range(20)]
    made = placed(plan(rack(trio(), running=running, queued=queued)))
    assert Counter(at for where in made.values() for at in where) == {"a": 3, "c": 2}


def test_a_hold_is_for_its_own_nodes_only() -> None:
    running = [run(gpu=7, high=True, on="a"), run(gpu=1, high=True, on="b")]
    big = job(gpu=8, id="big", waited_s=4000)
    queued = [big, job(gpu=1, id="s"), job(gpu=1, id="t"), job(gpu=7, id="l")]
    made = plan(rack([node("a"), node("b")], running=running, queued=queued, ordering="fifo"))
    assert placed(made) == {"s": {"a": 1}}
    assert reason(made, queued[2]) == ("RESERVED_FOR_HEAD", {"head": "big"})


@pytest.mark.parametrize(
    ("ends", "held"),
    [({"a": 900, "b": 100}, "b"), ({"a": 100, "b": 900}, "a"), ({"b": 900}, "b"), ({}, "a")],
    ids=["b ends sooner", "a ends sooner", "a never tells", "neither tells"],
)
def test_the_hold_is_where_it_will_fit_soonest(ends: dict[str, int], held: str) -> None:
    running = [
        run(gpu=4, high=True, on=name, ends_ms=NOW + ends[name] * 1000 if name in ends else None)
        for name in ("a", "b")
    ]
    queued = [job(gpu=8, id="big", waited_s=4000), job(gpu=4, id="s"), job(gpu=4, id="t")]
    made = plan(rack([node("a"), node("b")], running=running, queued=queued))
    assert placed(made) == {"s": {"b" if held == "a" else "a": 1}}


def test_a_hold_for_a_gang_is_on_as_many_nodes_as_it_takes() -> None:
    running = [run(gpu=4, high=True, on=name) for name in "abc"]
    queued = [job(gpu=8, replicas=2, id="gang", waited_s=4000)]
    queued += [job(gpu=4, id=f"s{n}") for n in range(3)]
    assert placed(plan(rack(trio(), running=running, queued=queued))) == {"s0": {"c": 1}}


def test_a_more_urgent_one_takes_the_hold_over() -> None:
    running = [run(gpu=4, high=True, on="a"), run(gpu=8, high=True, on="b")]
    queued = [job(gpu=8, id="big", waited_s=4000), job(gpu=4, high=True, id="h"), job(gpu=4)]
    made = plan(rack([node("a"), node("b")], running=running, queued=queued))
    assert placed(made) == {"h": {"a": 1}}


def test_a_more_urgent_one_that_waits_too_long_has_the_hold_itself() -> None:
    running = [run(gpu=4, high=True, on="a")]
    low, high = job(gpu=8, waited_s=9999, id="low"), job(gpu=8, waited_s=4000, high=True, id="high")
    small = job(gpu=1, high=True, id="small")
    made = plan(rack([node("a")], running=running, queued=[low, high, small]))
    assert reason(made, small) == ("RESERVED_FOR_HEAD", {"head": "high"})


def test_who_preempts_beside_a_hold_leaves_it_alone() -> None:
    """HIGH small ones may not use what is held for HIGH, but evict LOW, there or elsewhere."""
    running = [
        run(gpu=4, high=True, on="a"),
        run(gpu=2, on="a", ran_s=1, id="cheap"),
        run(gpu=8, on="b", id="dear"),
        run(gpu=1, high=True, on="b"),
    ]
    nodes = [node("a"), node("b", gpu=9)]
    big = job(gpu=8, id="big", high=True, waited_s=4000, replicas=2)
    small = job(gpu=2, high=True, id="small")
    snapshot = rack(nodes, running=running, queued=[big, small])
    made = plan(snapshot)
    assert evicted(made) == {"cheap": "small"}
    (start,) = made.starts
    assert dict(start.withheld)["a"] == size(gpu=2, cpu=1, ram=1)
