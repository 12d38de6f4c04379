"""No plan changes unnoticed. Replay compares plans only within one version of the engine."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.invariants import check
from scheduler.tests.engine import golden


@pytest.fixture
def recorded() -> dict[str, Any]:
    return dict(json.loads(golden.FILE.read_text()))


def test_the_plans_are_the_recorded_ones(recorded: dict[str, Any]) -> None:
    golden.verify(recorded)


def test_a_changed_plan_of_the_same_version_is_refused_with_what_to_do(
    recorded: dict[str, Any],
) -> None:
    def hasty(snapshot: Snapshot) -> Plan:
        return make_plan(replace(snapshot, now_ms=snapshot.now_ms + 3_600_000))

    with pytest.raises(golden.UnpinnedError, match=r"crowd \d+.*raise ENGINE_VERSION"):
        golden.verify(recorded, hasty)


def test_a_new_version_has_to_be_recorded(recorded: dict[str, Any]) -> None:
    with pytest.raises(golden.UnpinnedError, match="engine version 0, and this is"):
        golden.verify(recorded | {"engine_version": "0"})


def _differs(plan: Plan, snapshot: Snapshot, **changes: Any) -> bool:
    return make_plan(replace(snapshot, **changes)).starts != plan.starts


def test_the_recorded_plans_include_every_kind_of_decision() -> None:
    """Otherwise a change could go unnoticed."""
    seen: Counter[str] = Counter()
    snapshots = [*map(golden.snapshot, golden.SEEDS)]
    snapshots += map(golden.snapshot_of_owners, golden.OWNED_SEEDS)
    snapshots += map(golden.snapshot_with_windows, golden.WINDOW_SEEDS)
    for snapshot in snapshots:
        plan = make_plan(snapshot)
        assert check(snapshot, plan) == []
        seen.update({"start"} if plan.starts else {})
        seen.update({"eviction"} if any(each.by for each in plan.evictions) else {})
        seen.update({"alternative"} if any(each.alternative for each in plan.starts) else {})
        seen.update({"unfinished"} if plan.unfinished else {})
        seen.update({"windows"} if plan.starts and _differs(plan, snapshot, windows=()) else {})
        seen.update({"withheld"} if any(each.withheld for each in plan.starts) else {})
        seen.update({"reservation"} if plan.reserved_for else {})
        seen.update(
            {"doubled reservation"} if _differs(plan, snapshot, reservation_history=()) else {}
        )
        alike = tuple(replace(each, endless=False) for each in snapshot.running)
        started = {start.workload_id for start in plan.starts}
        services = {each.id for each in snapshot.queued if each.endless}
        seen.update(
            {"service beside a reservation"} if started & services and plan.reserved_for else {}
        )
        seen.update({"services"} if _differs(plan, snapshot, running=alike) else {})
        seen.update({wait.reason.code.value for wait in plan.waits})
    missing = {
        "start", "eviction", "alternative", "unfinished", "withheld", "EXCEEDS_CAPACITY",
        "NO_MATCHING_NODE",
        "INSUFFICIENT_CAPACITY", "FRAGMENTED", "BLOCKED_BY_HEAD", "RESERVED_FOR_HEAD",
        "QUOTA_EXCEEDED", "reservation", "doubled reservation", "services",
        "service beside a reservation", "windows", "MAINTENANCE_WINDOW",
    } - set(seen)  # fmt: skip
    assert missing == set()
