"""How much of a lower class may be lost before the next class yields, with known answers."""

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.codec import canonical, decode_snapshot, encode_snapshot
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import PriorityClass, Running
from scheduler.tests.engine.build import (
    HIGH,
    IDLE,
    LOW,
    MID,
    allocated_by,
    job,
    node,
    of,
    owned,
    pool,
    rack,
    run,
)
from scheduler.tests.engine.plans import evicted_ids, replayed_plan

CLASSES = (IDLE, LOW, MID, HIGH)
FIRM = PriorityClass("FIRM", 300, may_preempt=False, preemptible=False)


def low(id_: str, gpu: int = 1, ran_s: int = 940) -> Running:
    return run(gpu=gpu, id=id_, ran_s=ran_s)


def mid(id_: str, gpu: int = 4, ran_s: int = 40) -> Running:
    return run(gpu=gpu, id=id_, ran_s=ran_s, priority="MID")


FOUR = [low("l1"), low("l2"), low("l3"), low("l4")]  # 4 GPUs for 1,000 s, one of MID for 100 s


def full(*running: Running, ratio: int, classes: tuple[PriorityClass, ...] = CLASSES) -> Snapshot:
    """A full pool of 8 GPUs, and a HIGH that asks for 4."""
    waiting = job(gpu=4, high=True)
    snapshot = pool(running=list(running), queued=[waiting], classes=classes)
    return pool(
        gpu=snapshot.allocated.gpu,
        running=list(running),
        queued=[waiting],
        classes=classes,
        class_cost_ratio=ratio,
    )


@pytest.mark.parametrize(
    ("ratio", "victims"),
    [
        pytest.param(0, {"l1", "l2", "l3", "l4"}, id="any number of the lowest class"),
        pytest.param(1, {"mid"}, id="classes count alike"),
        pytest.param(9, {"mid"}, id="900 s are less than 1,000"),
        pytest.param(11, {"l1", "l2", "l3", "l4"}, id="1,100 s are more"),
    ],
)
def test_the_next_class_yields_where_the_lowest_would_lose_so_many_times_as_much(
    ratio: int, victims: set[str]
) -> None:
    [start] = (made := replayed_plan(full(*FOUR, mid("mid"), ratio=ratio))).starts
    assert evicted_ids(made) == victims
    assert start.proved


def test_two_classes_higher_the_square_counts() -> None:
    """IDLE is one class below LOW and two below MID, which loses a tenth of what IDLE would."""
    idle = run(gpu=4, id="idle", ran_s=940, priority="IDLE")
    assert evicted_ids(replayed_plan(full(idle, mid("mid"), ratio=3))) == {"mid"}
    assert evicted_ids(replayed_plan(full(idle, mid("mid"), ratio=4))) == {"idle"}


def test_a_class_that_is_never_preempted_is_no_step_between_two() -> None:
    classes = (LOW, FIRM, MID, HIGH)
    found = replayed_plan(full(*FOUR, mid("mid"), ratio=9, classes=classes))
    assert evicted_ids(found) == {"mid"}


def test_a_class_of_which_none_runs_is_a_step_too() -> None:
    """Else the victims would depend on what else runs."""
    classes = (IDLE, LOW, PriorityClass("BETWEEN", 100, False, True), MID, HIGH)
    found = replayed_plan(full(*FOUR, mid("mid"), ratio=9, classes=classes))
    assert evicted_ids(found) == {"l1", "l2", "l3", "l4"}


def test_whatever_the_ratio_no_class_evicts_its_own() -> None:
    waiting = job(gpu=4, priority="MID")
    snapshot = pool(
        gpu=8,
        running=[*FOUR, mid("mid", ran_s=1)],
        queued=[waiting],
        classes=CLASSES,
        class_cost_ratio=1,
    )
    assert evicted_ids(replayed_plan(snapshot)) == {"l1", "l2", "l3", "l4"}


def test_two_preemptors_of_different_classes_share_what_runs() -> None:
    """MID's search does not offer what HIGH has evicted."""
    running = [low("cheap", 4, ran_s=10), low("dear", 4, ran_s=900)]
    queued = [job(gpu=4, high=True, id="high"), job(gpu=4, priority="MID", id="mid")]
    snapshot = pool(gpu=8, running=running, queued=queued, classes=CLASSES, class_cost_ratio=5)
    made = replayed_plan(snapshot)
    assert {each.workload_id: each.by for each in made.evictions} == {
        "cheap": "high",
        "dear": "mid",
    }


def test_a_gang_and_the_room_in_a_quota_count_by_the_ratio() -> None:
    running = [
        run(gpu=8, id="low a", on="a", ran_s=940),
        run(gpu=8, id="mid b", on="b", ran_s=40, priority="MID"),
        run(gpu=8, id="low c", on="c", ran_s=940),
    ]
    waiting = [job(gpu=8, high=True, replicas=2)]
    nodes = [node("a"), node("b"), node("c")]
    for ratio, victims in ((9, 1), (11, 0)):
        base = rack(nodes, running=running, queued=waiting, classes=CLASSES, class_cost_ratio=ratio)
        made = replayed_plan(base)
        assert sum(each.startswith("mid") for each in evicted_ids(made)) == victims
    own = [allocated_by("ann", each) for each in (*FOUR, mid("mid"))]
    for ratio, expected in ((9, {"mid"}), (11, {"l1", "l2", "l3", "l4"})):
        base = pool(
            gpu=16,
            running=own,
            queued=[of("ann", job(gpu=4, high=True))],
            classes=CLASSES,
            class_cost_ratio=ratio,
            preemption_within_quota="lower_priority",
        )
        made = replayed_plan(owned(base, ann=Resources(ENDLESS, ENDLESS, 8)))
        assert evicted_ids(made) == expected


def test_a_snapshot_from_before_the_field_is_read_with_its_default() -> None:
    """As it is not written where it has its default, the bytes are those of then."""
    snapshot = full(*FOUR, ratio=0)
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    assert b'"lower_priority","binpack",0,3600,5]' in canonical(encode_snapshot(snapshot))
    assert decode_snapshot(encode_snapshot(full(*FOUR, ratio=7))).policy.class_cost_ratio == 7
