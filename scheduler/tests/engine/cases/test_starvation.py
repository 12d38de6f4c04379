"""Reservations for starved workloads with known answers: which workload, nodes and amounts."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine.reservations.history import history_after
from scheduler.engine.snapshot import Node, ReservationRecord, Running
from scheduler.tests.engine.build import NOW, ends, job, node, pool, rack, run, size, trio
from scheduler.tests.engine.plans import evicted, placed, plan, reason


def churn(
    nodes: list[Node], pinned: list[Running], seconds: int, *, high: bool = False, **policy: Any
) -> int | None:
    """The second at which a workload as large as a node starts, or None.

    The nodes are full of small LOW workloads. Each second one of these ends on each node, and a new
    one arrives.
    """
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
    return any(each.node_id == name for each in running.placement)


@pytest.mark.parametrize("placement", ["binpack", "spread"])
@pytest.mark.parametrize("ordering", ["gpu_weighted", "fifo"])
def test_case_4_a_stream_does_not_starve_a_workload_as_large_as_a_node(
    placement: str, ordering: str
) -> None:
    """From the 60th second on one node is reserved, and is empty 8 seconds later."""
    policy: dict[str, Any] = {"reserve_after_s": 60, "placement": placement, "ordering": ordering}
    assert churn([node("a"), node("b")], [], 100, **policy) == 67
    assert churn([node("a"), node("b")], [], 60, **policy | {"reserve_after_s": 10**6}) is None


def test_case_4_a_reservation_widens_beyond_a_node_that_never_empties() -> None:
    """On node a one job never ends, so the least is missing there. Node b is reserved too after the
    reservation of a has lasted for twelve times reserve_after_s."""
    pinned = [run(gpu=1, high=True, on="a")]
    assert churn([node("a"), node("b")], pinned, 137, reserve_after_s=10) is None
    assert churn([node("a"), node("b")], pinned, 138, reserve_after_s=10) == 137


def test_case_4_a_node_with_a_permanent_service_is_never_reserved() -> None:
    pinned = [run(gpu=1, high=True, on="a", endless=True)]
    assert churn([node("a"), node("b")], pinned, 200, reserve_after_s=10) == 17


def test_case_4_a_node_is_reserved_if_its_service_may_be_evicted_later() -> None:
    """The service is on node a; on node b a job never ends. Small workloads arrive on both, and end
    before their exempt time is over."""
    service = run(gpu=1, on="a", id="service", ran_s=10**6, endless=True)
    pinned = [service, run(gpu=1, high=True, on="b", id="for ever")]
    policy: dict[str, Any] = {"reserve_after_s": 10, "preempt_exempt_s": 60}
    nodes = [node("a"), node("b")]
    assert churn(nodes, pinned, 200, high=True, **policy) == 16
    young, other = replace(service, started_ms=NOW - 30_000), run(gpu=2, high=True, on="b")
    assert reserved_on([young, other], high=True, waited_s=20, **policy) == {"a"}
    spared = replace(young, preemptions=5)
    assert reserved_on(
        [spared, other], ReservationRecord("big", 10**9, None), high=True, **policy
    ) == {"b"}


def test_a_reservation_with_a_promised_end_does_not_widen() -> None:
    running = [run(gpu=4, high=True, on=name, ends_ms=ends(10**6)) for name in "ab"]
    assert reserved_on(running, ReservationRecord("big", 10**9, NOW)) == {"a"}
    running = [replace(each, ends_ms=None) for each in running]
    assert reserved_on(running, ReservationRecord("big", 10**9, NOW)) == {"a", "b"}


@pytest.mark.parametrize(
    ("known", "nodes"),
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
def test_a_reservation_doubles_by_the_time_that_it_has_lasted(
    known: tuple[str, int, int | None] | None, nodes: str
) -> None:
    """The waiting time of the starved workload makes no difference."""
    running = [run(gpu=1, high=True, on=name) for name in "abcde"]
    history = []
    if known is not None:
        id_, before_s, since_s = known
        history = [
            ReservationRecord(
                id_, before_s * 1000, None if since_s is None else NOW - since_s * 1000
            )
        ]
    assert reserved_on(running, *history) == set(nodes)


def test_a_reservation_without_a_delay_doubles_each_half_day() -> None:
    running = [run(gpu=1, high=True, on=name) for name in "ab"]
    for lasted_s, nodes in ((12 * 3600 - 1, {"a"}), (12 * 3600, {"a", "b"})):
        record = ReservationRecord("big", lasted_s * 1000, None)
        assert reserved_on(running, record, reserve_after_s=0) == nodes


def reserved_on(
    running: list[Running],
    *reservation_history: ReservationRecord,
    high: bool = False,
    waited_s: int = 10**7,
    **policy: Any,
) -> set[str]:
    """The nodes on which no small workload starts while one as large as a node is starved."""
    names = sorted({at.node_id or "" for each in running for at in each.placement})
    queued = [job(gpu=8, high=high, id="big", waited_s=waited_s)]
    queued += [job(gpu=1, id=f"s{n}") for n in range(40)]
    snapshot = rack(
        [node(name) for name in names],
        running=running,
        queued=queued,
        reservation_history=reservation_history,
        **policy,
    )
    made = plan(snapshot)
    assert made.reserved_for == ("big",)
    return {name for name in names if not any(name in where for where in placed(made).values())}


def test_no_node_is_reserved_on_which_services_leave_too_little() -> None:
    service = run(gpu=1, high=True, on="a", endless=True)
    others = [run(gpu=2, high=True, on=name) for name in "bc"]
    assert reserved_on([service, *others]) == {"b"}
    assert reserved_on([service, *others], ReservationRecord("big", 10**9, None)) == {"b", "c"}


@pytest.mark.parametrize("lasted_s", [0, 13 * 3600, 10**7])
def test_a_workload_that_does_not_fit_beside_services_gets_no_reservation(lasted_s: int) -> None:
    """The next starved workload gets the reservation instead."""
    running = [run(gpu=1, high=True, on=name, endless=True) for name in "ab"]
    running.append(run(gpu=3, high=True, on="a"))
    big, next_ = job(gpu=8, id="big", waited_s=10**7), job(gpu=7, id="next", waited_s=5000)
    small = [job(gpu=1, id=f"s{n}", limit_s=10) for n in range(20)]
    history = (ReservationRecord("big", lasted_s * 1000, None), ReservationRecord("next", 0, None))
    cluster = rack(
        [node("a"), node("b")], running=running, queued=[big, *small], reservation_history=history
    )
    assert len(placed(plan(cluster))) == 4 + 7
    assert plan(cluster).reserved_for == ()
    cluster = replace(cluster, queued=(big, next_, *small))
    assert placed(plan(cluster))["next"] == {"b": 1}
    a, b = cluster.nodes
    made = plan(replace(cluster, nodes=(a, replace(b, state="CORDONED"))))
    assert (made.reserved_for, len(placed(made))) == (("next",), 0)


@pytest.mark.parametrize("state", ["CORDONED", "NOT_READY"])
def test_the_next_workload_gets_the_reservation_if_the_first_waits_for_a_closed_node(
    state: str,
) -> None:
    running = [run(gpu=1, high=True, on="a", endless=True), run(gpu=1, high=True, on="a")]
    queued = [job(gpu=8, id="big", waited_s=5000), job(gpu=7, id="next", waited_s=4000)]
    queued += [job(gpu=1, id=f"s{n}") for n in range(9)]
    snapshot = rack([node("a"), node("c", state=state)], running=running, queued=queued)
    made = plan(snapshot)
    assert (made.reserved_for, placed(made)) == (("next",), {})


def test_a_drained_service_does_not_prevent_a_reservation() -> None:
    """It spans both nodes, and its capacity on node b goes to the starved workload."""
    service = run(gpu=1, high=True, on={"a": 1, "b": 1}, endless=True)
    queued = [job(gpu=8, id="big", waited_s=5000), *(job(gpu=1, id=f"s{n}") for n in range(9))]
    job_on_b = run(gpu=1, high=True, on="b")
    nodes = [node("a", state="DRAINING"), node("b")]
    made = plan(rack(nodes, running=[service, job_on_b], queued=queued))
    assert (made.reserved_for, placed(made)) == (("big",), {})


def test_a_pool_is_not_reserved_for_a_workload_that_does_not_fit_beside_services() -> None:
    running = [run(gpu=1, high=True, endless=True)]
    queued = [job(gpu=8, waited_s=10**7), *(job(gpu=1, id=f"s{n}") for n in range(9))]
    assert len(placed(plan(pool(running=running, queued=queued)))) == 7


def test_a_gang_that_does_not_fit_beside_services_blocks_no_other() -> None:
    running = [run(gpu=1, high=True, on=name, endless=True) for name in "abc"]
    gang = job(gpu=8, replicas=4, id="gang", waited_s=4000)
    queued = [gang, job(gpu=8, id="whole", waited_s=3700), job(gpu=8, id="another", waited_s=3600)]
    made = plan(rack([node(name) for name in "abcd"], running=running, queued=queued))
    assert placed(made) == {"whole": {"d": 1}}
    assert made.reserved_for == ("another",)


def test_an_evicted_service_lets_a_starved_workload_get_its_reservation_at_once() -> None:
    """A LOW service of 5 and a HIGH job of 3 GPUs fill the node. The urgent job evicts the
    service."""
    running = [run(gpu=5, on="a", id="service", endless=True), run(gpu=3, high=True, on="a")]
    big, urgent = job(gpu=8, id="big", waited_s=4000), job(gpu=1, high=True, id="urgent")
    queued = [big, urgent, *(job(gpu=1, id=f"s{n}") for n in range(5))]
    made = plan(rack([node("a")], running=running, queued=queued))
    assert evicted(made) == {"service": "urgent"}
    assert (set(placed(made)), made.reserved_for) == ({"urgent"}, ("big",))


def test_a_gangs_reservation_has_as_many_replicas_per_node_as_fit_beside_services() -> None:
    running = [run(gpu=1, high=True, on="a", endless=True)]
    running += [run(gpu=5, high=True, on="b"), run(gpu=6, high=True, on="c")]
    queued = [job(gpu=4, replicas=3, id="gang", waited_s=4000)]
    queued += [job(gpu=1, id=f"s{n}") for n in range(20)]
    made = placed(plan(rack(trio(), running=running, queued=queued)))
    assert Counter(at for where in made.values() for at in where) == {"a": 3, "c": 2}


def test_a_reservation_binds_on_its_own_nodes_only() -> None:
    running = [run(gpu=7, high=True, on="a"), run(gpu=1, high=True, on="b")]
    big = job(gpu=8, id="big", waited_s=4000)
    queued = [big, job(gpu=1, id="s"), job(gpu=1, id="t"), job(gpu=7, id="l")]
    made = plan(rack([node("a"), node("b")], running=running, queued=queued, ordering="fifo"))
    assert placed(made) == {"s": {"a": 1}}
    assert reason(made, queued[2]) == ("RESERVED_FOR_HEAD", {"head": "big"})


@pytest.mark.parametrize(
    ("ends", "reserved"),
    [({"a": 900, "b": 100}, "b"), ({"a": 100, "b": 900}, "a"), ({"b": 900}, "b"), ({}, "a")],
    ids=["b ends sooner", "a ends sooner", "a has no limit", "neither has a limit"],
)
def test_the_reserved_node_is_the_one_that_will_be_free_soonest(
    ends: dict[str, int], reserved: str
) -> None:
    running = [
        run(gpu=4, high=True, on=name, ends_ms=NOW + ends[name] * 1000 if name in ends else None)
        for name in ("a", "b")
    ]
    queued = [job(gpu=8, id="big", waited_s=4000), job(gpu=4, id="s"), job(gpu=4, id="t")]
    made = plan(rack([node("a"), node("b")], running=running, queued=queued))
    assert placed(made) == {"s": {"b" if reserved == "a" else "a": 1}}


def test_a_gangs_reservation_is_on_as_many_nodes_as_it_needs() -> None:
    running = [run(gpu=4, high=True, on=name) for name in "abc"]
    queued = [job(gpu=8, replicas=2, id="gang", waited_s=4000)]
    queued += [job(gpu=4, id=f"s{n}") for n in range(3)]
    assert placed(plan(rack(trio(), running=running, queued=queued))) == {"s0": {"c": 1}}


def test_a_more_urgent_workload_uses_reserved_capacity() -> None:
    running = [run(gpu=4, high=True, on="a"), run(gpu=8, high=True, on="b")]
    queued = [job(gpu=8, id="big", waited_s=4000), job(gpu=4, high=True, id="h"), job(gpu=4)]
    made = plan(rack([node("a"), node("b")], running=running, queued=queued))
    assert placed(made) == {"h": {"a": 1}}


def test_a_starved_more_urgent_workload_gets_the_reservation_itself() -> None:
    running = [run(gpu=4, high=True, on="a")]
    low, high = job(gpu=8, waited_s=9999, id="low"), job(gpu=8, waited_s=4000, high=True, id="high")
    small = job(gpu=1, high=True, id="small")
    made = plan(rack([node("a")], running=running, queued=[low, high, small]))
    assert reason(made, small) == ("RESERVED_FOR_HEAD", {"head": "high"})


def test_a_preemptor_beside_a_reservation_leaves_it_alone() -> None:
    """Small HIGH workloads may not use the amounts reserved for HIGH, but they may evict LOW."""
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
