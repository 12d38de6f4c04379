"""Several starved workloads that wait for different nodes, each with its own reservation."""

from collections import Counter
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from scheduler.engine.reservations.starvation import StarvationReservation
from scheduler.engine.snapshot import ReservationRecord, Running, Workload
from scheduler.tests.engine.build import ends, job, node, of, owned, rack, run, size
from scheduler.tests.engine.plans import placed, plan, reason, started

LABELS = {"a": {"zone": "a"}, "b": {"zone": "b"}, "c": {"zone": "b"}}


def zones(names: str, running: list[Running], queued: list[Workload], **policy: Any) -> Any:
    """Nodes of 8 GPUs: a in zone a, b and c in zone b."""
    nodes = [node(name, labels=LABELS[name]) for name in names]
    return rack(nodes, running=running, queued=queued, **policy)


def half_full(names: str) -> list[Running]:
    """Jobs without a time limit on half of each node."""
    return [run(gpu=4, high=True, on=name) for name in names]


def big(name: str, zone: str | None = None, waited_s: int = 5000, **more: Any) -> Workload:
    selector = {"zone": zone} if zone else {}
    return job(gpu=8, id=name, waited_s=waited_s, selector=selector, **more)


def small(count: int) -> list[Workload]:
    return [job(gpu=1, id=f"s{n:02}") for n in range(count)]


def test_a_workload_that_waits_for_one_node_starves_none_that_waits_for_another() -> None:
    queued = [big("for a", "a", 9000), big("for b", "b", 5000), *small(20)]
    made = plan(zones("ab", half_full("ab"), queued))
    assert made.reserved_for == ("for a", "for b")
    assert placed(made) == {}
    assert reason(made, queued[-1])[0] == "RESERVED_FOR_HEAD"


def test_workloads_that_compete_for_the_same_nodes_have_one_reservation() -> None:
    """Otherwise an overloaded cluster would serve by waiting time alone."""
    queued = [big("first", waited_s=9000), big("second"), big("third"), *small(20)]
    made = plan(zones("abc", half_full("abc"), queued))
    assert made.reserved_for == ("first",)
    assert len(placed(made)) == 8


def test_a_later_one_has_a_reservation_on_the_nodes_that_the_first_cannot_use() -> None:
    """It could run on all three. On b and c it need not wait for node a, on which a job never ends;
    the third starved one competes with it for these."""
    queued = [
        big("for a", "a", 9000),
        big("anywhere", waited_s=8000),
        big("for b", "b"),
        *small(20),
    ]
    made = plan(zones("abc", half_full("abc"), queued))
    assert made.reserved_for == ("for a", "anywhere")
    assert len(placed(made)) == 4  # on one of b and c


def test_a_gang_has_a_reservation_only_where_the_nodes_left_take_it_whole() -> None:
    gang = job(gpu=8, replicas=3, id="gang", waited_s=8000)
    queued = [big("for a", "a", 9000), gang, big("for b", "b"), *small(20)]
    made = plan(zones("abc", half_full("abc"), queued))
    assert made.reserved_for == ("for a", "for b")
    fits = replace(gang, replicas=2, scheduling_key="pair")
    made = plan(zones("abc", half_full("abc"), [queued[0], fits, *queued[2:]]))
    assert made.reserved_for == ("for a", "gang")


def test_a_reservation_does_not_bind_a_starved_workload_before_it() -> None:
    """The first has less to wait for on b, where the second could never run beside the service."""
    service = run(gpu=4, high=True, on="b", endless=True)
    running = [service, run(gpu=2, high=True, on="a"), run(gpu=3, high=True, on="b")]
    first, second = job(gpu=2, id="first", waited_s=9000), big("second", waited_s=8000)
    made = plan(zones("ab", running, [first, second, *small(9)]))
    assert placed(made)["first"] == {"a": 1}
    running = [*running, run(gpu=6, high=True, on="a")]
    made = plan(zones("ab", running, [first, second, *small(9)]))
    assert made.reserved_for == ("first",)


def test_each_reservation_doubles_by_its_own_age_on_its_own_nodes() -> None:
    queued = [big("for a", "a", 9000), big("for b", "b", 9000), *small(20)]
    old = ReservationRecord("for b", 0, ends(-12 * 3600))
    made = plan(replace(zones("abc", half_full("abc"), queued), reservation_history=(old,)))
    assert (made.reserved_for, placed(made)) == (("for a", "for b"), {})
    made = plan(zones("abc", half_full("abc"), queued))
    assert len(placed(made)) == 4


def test_the_next_in_its_nodes_takes_over_from_one_that_starts() -> None:
    queued = [big("for a", "a", 9000), big("for b", "b", 8000), big("next", "b", 7000), *small(9)]
    made = plan(zones("abc", [*half_full("a"), *half_full("b")], queued))
    assert placed(made) == {"for b": {"c": 1}}
    assert made.reserved_for == ("for a", "next")


def test_the_reserved_quota_of_the_first_is_not_given_to_a_later_reservation() -> None:
    queued = [
        of("ann", big("for a", "a", 9000)),
        of("ann", big("for b", "b", 8000)),
        of("ben", big("also for b", "b", 7000)),
    ]
    snapshot = owned(zones("ab", half_full("ab"), queued), ann=size(8, 64, 512))
    assert plan(snapshot).reserved_for == ("for a", "also for b")


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_under_easy_backfill_too(names: str) -> None:
    first, other = (big(f"for {name}", name, 9000) for name in names)
    queued = [first, other, *small(20)]
    made = plan(zones("ab", half_full("ab"), queued, queueing="easy_backfill", ordering="fifo"))
    assert set(made.reserved_for) == {"for a", "for b"}
    assert placed(made) == {}


def test_what_binds_a_workload_is_asked_once_while_no_reservation_changes() -> None:
    """Refused workloads have another turn after each eviction: with ten reservations each turn took
    ten times as long."""
    names = [f"z{number}" for number in range(5)]
    nodes = [node(name, labels={"zone": name}) for name in names]
    running = [run(gpu=4, high=True, on=name) for name in names]
    running += [run(gpu=1, on=name) for name in names for _ in range(4)]
    starved = [
        job(gpu=8, high=True, waited_s=9999 - number, selector={"zone": name}, cpu=number + 1)
        for number, name in enumerate(names * 4)
    ]
    small = [job(gpu=1, high=True, cpu=number + 1, ram=40) for number in range(10)]
    binds, asked = StarvationReservation.binds, list[str]()

    def noted(self: StarvationReservation, workload: Workload, value: int) -> bool:
        asked.append(workload.id)
        return binds(self, workload, value)

    snapshot = rack(nodes, running=running, queued=[*starved, *small])
    with patch.object(StarvationReservation, "binds", noted):
        made = plan(snapshot)
    assert len(made.reserved_for) == len(names)
    assert len(started(made)) == len(small)
    assert max(Counter(asked).values()) <= 2 * len(names)
