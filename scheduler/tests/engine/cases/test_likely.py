"""On which nodes the first in line will likely start."""

from typing import Any

import pytest

from scheduler.engine import Snapshot, decide
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.whatif.likely import likely_nodes
from scheduler.tests.engine.build import ends, job, of, owned, pool, rack, run, size, trio


def likely(snapshot: Snapshot, most: int = 4) -> dict[str, set[str]]:
    decision = decide(ClusterView(snapshot))
    return {id_: set(nodes) for id_, nodes in likely_nodes(decision, most)}


def full(**more: Any) -> list[Any]:
    """Nodes a, b and c are full, of jobs that end after 300, 100 and 200 seconds."""
    seconds = {"a": 300, "b": 100, "c": 200}
    return [run(gpu=8, on=name, ends_ms=ends(after), **more) for name, after in seconds.items()]


def test_those_in_line_get_the_nodes_that_time_limits_free_first_each_another() -> None:
    queued = [job(gpu=8, id=name, waited_s=9 - number) for number, name in enumerate("xyz")]
    snapshot = rack(trio(), running=full(), queued=queued)
    assert likely(snapshot) == {"x": {"b"}, "y": {"c"}, "z": {"a"}}
    assert likely(snapshot, most=1) == {"x": {"b"}}


@pytest.mark.parametrize("queueing", ["best_effort", "strict", "easy_backfill"])
def test_the_first_gets_it_in_any_queueing(queueing: str) -> None:
    snapshot = rack(trio(), running=full(), queued=[job(gpu=8, id="x")], queueing=queueing)
    assert likely(snapshot) == {"x": {"b"}}


def test_a_starved_one_gets_what_is_reserved_for_it() -> None:
    queued = [job(gpu=8, id="x", waited_s=7200)]
    snapshot = rack(trio(), running=full(), queued=queued, reserve_after_s=3600)
    assert likely(snapshot) == {"x": {"b"}}


def test_one_that_waits_for_a_promised_place_gets_that() -> None:
    queued = [job(gpu=8, id="x", high=True)]
    snapshot = rack(trio(), running=full(), queued=queued, preemption_delay_s=150)
    assert likely(snapshot) == {"x": {"b"}}


def test_a_gang_gets_as_many_nodes_as_it_needs() -> None:
    snapshot = rack(trio(), running=full(), queued=[job(gpu=8, replicas=2, id="gang")])
    assert likely(snapshot) == {"gang": {"b", "c"}}


def test_what_starts_or_can_never_start_is_not_in_line() -> None:
    queued = [job(gpu=8, id="starts"), job(gpu=99, id="never"), job(gpu=8, id="waits")]
    snapshot = rack(trio(), running=full()[1:], queued=queued)
    assert set(likely(snapshot)) == {"waits"}


def test_one_whose_owner_has_no_quota_left_is_not_likely() -> None:
    queued = [of("ann", job(gpu=8, id="gated")), of("ben", job(gpu=8, id="waits"))]
    snapshot = owned(rack(trio(), running=full(), queued=queued), ann=size(0, 99, 999))
    assert set(likely(snapshot)) == {"waits"}


@pytest.mark.parametrize("state", ["PAUSED", "DRAINING"])
def test_nothing_is_likely_in_a_cluster_that_starts_nothing(state: str) -> None:
    snapshot = rack(trio(), running=full(), queued=[job(gpu=8)], state=state)
    assert likely(snapshot) == {}


def test_a_pool_has_no_nodes() -> None:
    assert likely(pool(gpu=1, queued=[job(gpu=1), job(gpu=1)])) == {}
