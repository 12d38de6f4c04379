"""The invariants find each kind of breach: in plans that are right but for one fault."""

from dataclasses import replace

import pytest

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.invariants import InvalidPlanError, check, verify
from scheduler.engine.plan import Start
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Placement
from scheduler.tests.engine.build import job, pool, run


@pytest.fixture
def snapshot() -> Snapshot:
    """A HIGH workload evicts one of two LOW ones; another LOW one waits."""
    return pool(
        running=[run(gpu=4, id="v", ran_s=10), run(gpu=4, id="r", ran_s=99)],
        queued=[job(gpu=4, high=True, id="p"), job(gpu=4, id="w")],
    )


def spoilt(snapshot: Snapshot, plan: Plan, fault: str) -> tuple[Snapshot, Plan]:
    start, eviction = plan.starts[0], plan.evictions[0]
    match fault:
        case "started twice":
            return snapshot, replace(plan, starts=(start, start))
        case "not there":
            return snapshot, replace(plan, starts=(replace(start, workload_id="ghost"),))
        case "no reason":
            return snapshot, replace(plan, waits=())
        case "no victims":
            lone = replace(start, victims=())
            return snapshot, replace(plan, starts=(lone,), evictions=())
        case "full":
            full = snapshot.allocated.plus(Resources(gpu=4))
            return replace(snapshot, allocated=full), plan
        case "withheld":
            return snapshot, replace(
                plan, starts=(replace(start, withheld=((None, Resources(gpu=9)),)),)
            )
        case "elsewhere":
            ghost = (Placement("ghost", 1),)
            return snapshot, replace(plan, starts=(replace(start, placement=ghost),))
        case "twice":
            twice = (Placement(None, 1), Placement(None, 0))
            return snapshot, replace(plan, starts=(replace(start, placement=twice),))
        case "in part":
            part = (Placement(None, 0),)
            return snapshot, replace(plan, starts=(replace(start, placement=part),))
        case "not needed":
            both = (eviction, replace(eviction, workload_id="r"))
            greedy = replace(start, victims=("v", "r"))
            return snapshot, replace(plan, starts=(greedy,), evictions=both)
        case "for nothing":
            return snapshot, replace(plan, evictions=(replace(eviction, workload_id="r"),))
        case "may not preempt":
            never = replace(snapshot.policy, preemption="never")
            return replace(snapshot, policy=never), plan
        case "may not be preempted":
            equals = tuple(replace(each, priority="HIGH") for each in snapshot.running)
            return replace(snapshot, running=equals), plan
        case "too often":
            bounced = tuple(replace(each, preemptions=5) for each in snapshot.running)
            return replace(snapshot, running=bounced), plan
        case "still exempt":
            exempt = replace(snapshot.policy, preempt_exempt_s=11)
            return replace(snapshot, policy=exempt), plan
        case "below the share":
            shared = replace(snapshot.policy, low_share_percent=51)
            return replace(snapshot, policy=shared), plan
        case "is PAUSED":
            return replace(snapshot, state="PAUSED"), plan
        case "starts and waits":
            more = Start("w", (Placement(None, 1),))
            own = replace(plan.waits[0], workload_id="w")
            return snapshot, replace(plan, starts=(*plan.starts, more), waits=(own,))
        case "reserved too soon":
            return snapshot, replace(plan, reserved_for=("w",))
        case "reserved twice":
            return snapshot, replace(plan, reserved_for=("w", "w"))
        case "reserved for an unknown one":
            return snapshot, replace(plan, reserved_for=("ghost",))
        case "reserved for one that starts":
            at_once = replace(snapshot.policy, reserve_after_s=0)
            return replace(snapshot, policy=at_once), replace(plan, reserved_for=("p",))
        case "reserved in a strict queue":
            strict = replace(snapshot.policy, queueing="strict", reserve_after_s=0)
            return replace(snapshot, policy=strict), replace(plan, reserved_for=("w",))
    raise AssertionError(fault)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("started twice", "a second start"),
        ("not there", "start of ghost, which is not there"),
        ("no reason", "w neither starts nor has a reason to wait"),
        ("no victims", "does not fit where it starts"),
        ("full", "does not fit where it starts"),
        ("withheld", "more was withheld from p than was free"),
        ("elsewhere", "placed on ghost, which is not there"),
        ("twice", "placed twice on one node"),
        ("in part", "placed in part"),
        ("not needed", "was not needed"),
        ("for nothing", "evicted for nothing"),
        ("may not preempt", "p may not preempt"),
        ("may not be preempted", "may not be preempted by p"),
        ("too often", "preempted too often"),
        ("still exempt", "still exempt"),
        ("below the share", "take lower classes below their share"),
        ("is PAUSED", "PAUSED"),
        ("starts and waits", "w both starts and waits"),
        ("reserved too soon", "reserved for w, which has not waited for so long"),
        ("reserved twice", "reserved twice for one workload"),
        ("reserved for an unknown one", "reserved for ghost, which has not waited for so long"),
        ("reserved for one that starts", "reserved for p, which starts"),
        ("reserved in a strict queue", "reserved where it never is"),
    ],
)
def test_each_fault_is_found(snapshot: Snapshot, fault: str, sentence: str) -> None:
    plan = make_plan(snapshot)
    assert check(snapshot, plan) == []
    assert any(sentence in breach for breach in check(*spoilt(snapshot, plan, fault)))


def test_verify_raises_for_a_breach(snapshot: Snapshot) -> None:
    plan = make_plan(snapshot)
    verify(snapshot, plan)
    with pytest.raises(InvalidPlanError, match="does not fit"):
        verify(*spoilt(snapshot, plan, "full"))
