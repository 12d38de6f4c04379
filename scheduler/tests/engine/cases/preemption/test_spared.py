"""Why nothing is evicted for a HIGH workload that waits, and from when it would start: a case for
each cause."""

from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.snapshot import OTHER_THAN, PriorityClass, Workload
from scheduler.engine.whatif import Cause, WhatIf, occupants
from scheduler.tests.engine.build import (
    HIGH,
    LOW,
    MID,
    NOW,
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
from scheduler.tests.engine.plans import evicted_ids, plan

FIRM = PriorityClass("FIRM", 10, may_preempt=False, preemptible=False)
CLASSES = (LOW, MID, HIGH, FIRM)
Answer = tuple[dict[str, tuple[int, int | None]], int | None]


def answer(snapshot: Snapshot, workload: Workload) -> Answer:
    """By cause, how many are spared and until when; and the earliest start."""
    what_if = WhatIf(snapshot, workload)
    found = what_if.spared(occupants(snapshot, workload))
    start = what_if.earliest_start()
    assert what_if.complete
    causes = {str(each.cause): (each.count, each.until_ms) for each in found}
    return causes, None if start is None else start.at_ms


def full(*running: Any, **policy: Any) -> Snapshot:
    """A pool of the GPUs that these use."""
    gpus = sum(each.total.gpu for each in running)
    return pool(gpu=gpus, running=list(running), classes=CLASSES, **policy)


def of_high(snapshot: Snapshot, gpu: int = 2) -> Answer:
    return answer(snapshot, job(gpu=gpu, high=True))


ONE, TWO = (run(gpu=2, ran_s=100), run(gpu=2, ran_s=400))


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        pytest.param(
            full(ONE, preempt_exempt_s=160),
            ({"EXEMPT": (1, ends(60))}, ends(60)),
            id="it starts when the exempt time of the only victim is over",
        ),
        pytest.param(
            full(ONE, TWO, preempt_exempt_s=500),
            ({"EXEMPT": (2, ends(100))}, ends(100)),
            id="of two exempt ones, one is enough",
        ),
        pytest.param(
            full(run(gpu=2, ran_s=None, admitted_ms=ends(-5)), preempt_exempt_s=60),
            ({"EXEMPT": (1, ends(55))}, ends(55)),
            id="the exempt time of a STARTING one counts from its admission",
        ),
        pytest.param(
            full(run(gpu=2, ran_s=None), preempt_exempt_s=60),
            ({"EXEMPT": (1, ends(60))}, ends(60)),
            id="where no admission is known, the wait of the preemptor counts",
        ),
        pytest.param(
            full(ONE, preemption="never"),
            ({"PREEMPTION_OFF": (1, None)}, None),
            id="preemption is off",
        ),
        pytest.param(
            full(run(gpu=2, preemptions=2), max_preemptions=2),
            ({"MAX_PREEMPTIONS": (1, None)}, None),
            id="it has been evicted often enough",
        ),
        pytest.param(
            full(run(gpu=2, priority="FIRM")),
            ({"CLASS_NOT_PREEMPTIBLE": (1, None)}, None),
            id="its class is protected",
        ),
        pytest.param(
            full(run(gpu=2, high=True)),
            ({"SAME_OR_HIGHER_CLASS": (1, None)}, None),
            id="it has the same class",
        ),
        pytest.param(
            full(run(gpu=2, high=True), run(gpu=1, ran_s=10), preempt_exempt_s=20),
            ({"SAME_OR_HIGHER_CLASS": (1, None), "EXEMPT": (1, ends(10))}, None),
            id="one is exempt, but would free too little even then",
        ),
        pytest.param(
            full(run(gpu=1), run(gpu=1, high=True)),
            ({"SAME_OR_HIGHER_CLASS": (1, None), "TOO_LITTLE": (1, None)}, None),
            id="one may be evicted, but frees too little",
        ),
        pytest.param(
            full(run(gpu=2, endless=True, ran_s=10), preempt_exempt_s=20),
            ({"EXEMPT": (1, ends(10))}, ends(10)),
            id="a service is exempt as a job is",
        ),
        pytest.param(
            full(run(gpu=2, ran_s=10, ends_ms=ends(5)), preempt_exempt_s=20),
            ({"EXEMPT": (1, ends(10))}, ends(5)),
            id="its time limit comes before the end of its exempt time",
        ),
        pytest.param(
            full(run(gpu=2, ran_s=10, ends_ms=ends(50)), preempt_exempt_s=20),
            ({"EXEMPT": (1, ends(10))}, ends(10)),
            id="the end of its exempt time comes before its time limit",
        ),
        pytest.param(
            full(run(gpu=1, high=True, ends_ms=ends(7)), run(gpu=1, ran_s=1), preempt_exempt_s=5),
            ({"SAME_OR_HIGHER_CLASS": (1, None), "EXEMPT": (1, ends(4))}, ends(7)),
            id="one ends by its limit, and the other may be evicted by then",
        ),
        pytest.param(full(run(gpu=2, ran_s=100)), ({}, NOW), id="nothing is spared if it starts"),
        pytest.param(
            replace(full(run(gpu=2)), state="PAUSED"),
            ({"NOT_ITS_TURN": (1, None)}, None),
            id="a paused cluster evicts nothing",
        ),
    ],
)
def test_case_1_in_a_pool(snapshot: Snapshot, expected: Answer) -> None:
    assert of_high(snapshot) == expected


def test_case_2_all_that_are_exempt_are_needed_one_after_the_other() -> None:
    """Eight of one GPU each, started ten seconds apart: five GPUs need the fifth oldest."""
    running = [run(gpu=1, ran_s=10 * n) for n in range(8)]
    snapshot = full(*running, preempt_exempt_s=100)
    causes, start = of_high(snapshot, gpu=5)
    assert causes == {"EXEMPT": (8, ends(30))}
    assert start == ends(70)


def test_no_exempt_time_counts_against_one_that_has_waited_for_as_long() -> None:
    """It starts then, however young what runs is. Of two that wait the older one goes first."""
    snapshot = full(run(gpu=2, ran_s=10), preempt_exempt_s=60)
    waiting = job(gpu=2, high=True, waited_s=35)
    assert answer(snapshot, waiting) == ({"EXEMPT": (1, ends(25))}, ends(25))
    assert answer(replace(snapshot, queued=(waiting,)), job(gpu=2, high=True))[1] is None
    assert answer(snapshot, job(gpu=2, high=True, waited_s=60)) == ({}, NOW)


def test_what_another_preemptor_may_evict_is_no_promise() -> None:
    """One that has waited for long may evict at once, but asks for more than it could get. The
    younger one starts when the exempt time ends against itself."""
    patient = job(gpu=8, high=True, waited_s=100)
    snapshot = full(run(gpu=2, ran_s=10), run(gpu=4, high=True), preempt_exempt_s=60)
    snapshot = replace(snapshot, queued=(patient,))
    causes, start = of_high(snapshot)
    assert causes == {"SAME_OR_HIGHER_CLASS": (1, None), "EXEMPT": (1, ends(50))}
    assert start == ends(50)


def test_case_3_a_class_that_may_not_preempt_says_so() -> None:
    causes, start = answer(full(run(gpu=2)), job(gpu=2))
    assert (causes, start) == ({"CLASS_MAY_NOT_PREEMPT": (1, None)}, None)


def test_case_4_closed_and_unselected_nodes_do_not_count() -> None:
    nodes = [node("a", labels={"zone": "x"}), node("b"), node("c", state="CORDONED")]
    running = [run(gpu=8, on="a", ran_s=10), run(gpu=8, on="b"), run(gpu=8, on="c")]
    snapshot = rack(nodes, running=running, preempt_exempt_s=60)
    waiting = job(gpu=8, high=True, selector={"zone": "x"})
    causes, start = answer(snapshot, waiting)
    assert causes == {"OTHER_NODES": (2, None), "EXEMPT": (1, ends(50))}
    assert start == ends(50)


def test_a_node_that_the_next_attempt_avoids_is_told_from_others() -> None:
    elsewhere = {f"{OTHER_THAN}b": ""}
    nodes = [node("a", labels={**elsewhere, "zone": "x"}), node("b", labels={"zone": "x"})]
    nodes.append(node("c", labels=elsewhere))
    running = [run(gpu=8, on="a", ran_s=10), run(gpu=8, on="b"), run(gpu=8, on="c")]
    snapshot = rack(nodes, running=running, preempt_exempt_s=60)
    waiting = job(gpu=8, high=True, selector={**elsewhere, "zone": "x"})
    causes, start = answer(snapshot, waiting)
    assert causes == {
        "AVOIDED_NODE": (1, None),
        "OTHER_NODES": (1, None),
        "EXEMPT": (1, ends(50)),
    }
    assert start == ends(50)


def test_case_5_a_gang_starts_once_each_of_its_nodes_has_one_that_may_be_evicted() -> None:
    running = [run(gpu=8, on=name, ran_s=ran_s) for name, ran_s in (("a", 10), ("b", 30))]
    snapshot = rack([node("a"), node("b")], running=running, preempt_exempt_s=60)
    causes, start = answer(snapshot, job(gpu=8, high=True, replicas=2))
    assert (causes, start) == ({"EXEMPT": (2, ends(30))}, ends(50))


def test_case_6_a_gang_on_a_draining_node_leaves_anyway() -> None:
    """What it frees on its other node is free in the same cycle."""
    gang = run(gpu=8, on={"a": 1, "b": 1}, high=True)
    snapshot = rack([node("a"), node("b", state="DRAINING")], running=[gang])
    assert answer(snapshot, job(gpu=8, high=True)) == ({}, NOW)
    causes, start = answer(snapshot, job(gpu=8, high=True, replicas=2))
    assert (causes, start) == ({"LEAVES_ANYWAY": (1, None)}, None)  # the other node stays closed


def test_case_7_what_is_promised_to_the_head_of_the_queue_is_not_evicted_for_another() -> None:
    """The head relies on the ends of both: nothing may take what they free before."""
    running = [run(gpu=4, high=True, ends_ms=ends(600)), run(gpu=4, ends_ms=ends(500))]
    head = job(gpu=8, high=True)
    snapshot = full(*running, queued=[head], queueing="easy_backfill")
    assert answer(snapshot, head)[1] == ends(600)
    causes, start = of_high(snapshot, gpu=4)
    assert causes == {"SAME_OR_HIGHER_CLASS": (1, None), "RESERVED": (1, None)}
    assert start is None


def test_case_8_over_its_owners_quota_it_is_not_its_turn() -> None:
    mine, other = allocated_by("ann", run(gpu=2)), allocated_by("ben", run(gpu=6))
    snapshot = owned(full(mine, other), ann=size(gpu=2, cpu=64, ram=512))
    causes, start = answer(snapshot, of("ann", job(gpu=2, high=True)))
    assert (causes, start) == ({"NOT_ITS_TURN": (1, None)}, None)


def test_case_9_behind_the_head_of_a_strict_queue_it_is_not_its_turn() -> None:
    head = job(gpu=8, high=True, waited_s=60)
    snapshot = full(run(gpu=6), run(gpu=2, high=True), queued=[head], queueing="strict")
    causes, start = of_high(snapshot)
    assert causes == {"SAME_OR_HIGHER_CLASS": (1, None), "NOT_ITS_TURN": (1, None)}
    assert start is None


def test_case_10_another_that_goes_first_takes_what_the_first_exempt_time_frees() -> None:
    """Two of them wait: the second starts when the second exempt time is over."""
    first = job(gpu=2, high=True, waited_s=60)
    snapshot = full(ONE, TWO, preempt_exempt_s=500, queued=[first])
    assert answer(snapshot, first)[1] == ends(100)
    assert of_high(snapshot)[1] == ends(400)


def test_examples_are_the_first_that_may_be_evicted_and_else_the_largest() -> None:
    young = [run(gpu=1, ran_s=n) for n in (10, 40, 20, 30)]
    equal = [run(gpu=g, high=True) for g in (1, 3, 2, 4)]
    snapshot = full(*young, *equal, preempt_exempt_s=60)
    waiting = job(gpu=8, high=True)
    by_cause = {
        each.cause: [running.id for running, _ in each.examples]
        for each in WhatIf(snapshot, waiting).spared(occupants(snapshot, waiting))
    }
    assert by_cause[Cause.EXEMPT] == [young[1].id, young[3].id, young[2].id]
    assert by_cause[Cause.SAME_OR_HIGHER_CLASS] == [equal[3].id, equal[1].id, equal[2].id]


def test_what_the_promise_evicts_is_what_the_planner_evicts_then() -> None:
    snapshot = full(ONE, TWO, preempt_exempt_s=500)
    waiting = job(gpu=2, high=True)
    found = WhatIf(snapshot, waiting).earliest_start()
    assert found is not None
    then = replace(snapshot, now_ms=found.at_ms, queued=(waiting,))
    assert evicted_ids(plan(then)) == {each.workload_id for each in found.evictions} == {TWO.id}
