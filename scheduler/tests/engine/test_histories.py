"""Random histories of a cluster: whatever happens, cycle after cycle, the invariants hold.

A small world in memory applies each plan as the store does: victims go back to the queue with their
old submit time, counters follow placements, drains count as nobody's preemption.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.check import check
from scheduler.engine.codec import decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.resources import NOTHING, Resources
from scheduler.engine.snapshot import Policy, PriorityClass, Running, Workload
from scheduler.tests.engine.build import HIGH, LOW, NOW, job, node, pool, size

MID = PriorityClass("MID", 500, may_preempt=True, preemptible=True)
CLASSES = (LOW, MID, HIGH)
VALUES = {each.name: each.value for each in CLASSES}
MOST_EVICTIONS = 3
STATES = ("READY", "CORDONED", "DRAINING", "NOT_READY")


@dataclass
class World:
    """Who waits, who runs and where, on nodes or (none) in a pool."""

    nodes: dict[str, str]  # name -> state
    policy: Policy
    now_ms: int = NOW
    waiting: dict[str, Workload] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    asked: dict[str, Workload] = field(default_factory=dict)  # everybody who ever came
    ended: set[str] = field(default_factory=set)
    evictions: dict[str, int] = field(default_factory=dict)
    pairs: set[tuple[str, str]] = field(default_factory=set)  # (preemptor, victim)

    def snapshot(self) -> Snapshot:
        held: dict[str | None, Resources] = {}
        for each in self.running.values():
            for place in each.placement:
                had = held.get(place.node_id, NOTHING)
                held[place.node_id] = had.plus(each.request.times(place.replicas))
        nodes = tuple(
            replace(node(name, gpu=4, cpu=8, ram=8, state=state), allocated=held.get(name, NOTHING))
            for name, state in self.nodes.items()
        )
        allocated = NOTHING
        for amount in held.values():
            allocated = allocated.plus(amount)
        total = size(6, 12, 12) if not nodes else size(4, 8, 8).times(len(nodes))
        base = pool(classes=CLASSES, now_ms=self.now_ms)
        return replace(
            base,
            policy=self.policy,
            nodes=nodes,
            total=total,
            allocated=allocated,
            running=tuple(self.running.values()),
            queued=tuple(self.waiting.values()),
        )

    def cycle(self) -> Plan:
        snapshot = self.snapshot()
        plan = make_plan(snapshot)
        assert check(snapshot, plan) == []
        copied = decode_snapshot(encode_snapshot(snapshot))
        assert encode_plan(make_plan(copied)) == encode_plan(plan)
        for eviction in plan.evictions:
            victim = self.running.pop(eviction.workload_id)
            self.waiting[victim.id] = replace(self.asked[victim.id], queued_ms=self.now_ms)
            if eviction.by is not None:
                self.evictions[victim.id] = self.evictions.get(victim.id, 0) + 1
                self.pairs.add((eviction.by, victim.id))
        for start in plan.starts:
            workload = self.waiting.pop(start.workload_id)
            limit_s = workload.limit_s
            self.running[workload.id] = Running(
                workload.id,
                workload.priority,
                workload.request,
                workload.replicas,
                start.placement,
                self.now_ms,
                None,
                self.evictions.get(workload.id, 0),
                None if limit_s is None else self.now_ms + limit_s * 1000,
            )
        self.judge()
        return plan

    def judge(self) -> None:
        """Nobody lost, nobody in two states, nobody bounced for ever or in turns."""
        groups = (set(self.waiting), set(self.running), self.ended)
        assert set.union(*groups) == set(self.asked)
        assert sum(map(len, groups)) == len(self.asked)
        assert max(self.evictions.values(), default=0) <= MOST_EVICTIONS
        for preemptor, victim in self.pairs:
            assert VALUES[self.asked[preemptor].priority] > VALUES[self.asked[victim].priority]
            assert (victim, preemptor) not in self.pairs

    def end(self, number: int) -> None:
        """The so-many-th of those who wait or run is stopped, or done."""
        open_ = sorted([*self.waiting, *self.running])
        if open_:
            gone = open_[number % len(open_)]
            self.waiting.pop(gone, None)
            self.running.pop(gone, None)
            self.ended.add(gone)


def some_event(draw: random.Random) -> tuple[str, Any]:
    """Mostly submits, of what the cluster can hold."""
    kind = draw.choices(
        ["submit", "end", "pass", "checkpoint", "node", "policy"], [50, 15, 15, 5, 8, 5]
    )[0]
    match kind:
        case "submit":
            return kind, {
                "gpu": draw.choice([0, 1, 1, 2, 2, 3, 4]),
                "cpu": draw.randint(1, 4),
                "priority": draw.choices(["LOW", "MID", "HIGH"], [5, 3, 2])[0],
                "replicas": draw.choice([1, 1, 1, 1, 2]),
                "limit_s": draw.choice([None, None, 30, 600]),
            }
        case "node":
            return kind, (draw.randint(0, 2), draw.choices(STATES, [6, 1, 2, 1])[0])
        case "policy":
            return kind, {
                "queueing": draw.choice(["best_effort", "best_effort", "strict", "easy_backfill"]),
                "ordering": draw.choice(["gpu_weighted", "fifo"]),
                "placement": draw.choice(["binpack", "spread"]),
                "preempt_exempt_s": draw.choice([0, 0, 120]),
            }
        case "pass":
            return kind, draw.choice([1, 60, 4000])
    return kind, draw.randint(0, 20)


def happen(world: World, event: tuple[str, Any], number: int) -> None:
    match event:
        case "submit", asked:
            workload = job(**asked, id=f"w{number:03}", submitted_ms=world.now_ms)
            world.asked[workload.id] = world.waiting[workload.id] = workload
        case "end", which:
            world.end(which)
        case "pass", seconds:
            world.now_ms += seconds * 1000
            for each in list(world.running.values()):
                if each.ends_ms is not None and each.ends_ms <= world.now_ms:
                    del world.running[each.id]
                    world.ended.add(each.id)
        case "checkpoint", which if world.running:
            key = sorted(world.running)[which % len(world.running)]
            world.running[key] = replace(world.running[key], checkpoint_ms=world.now_ms)
        case "node", (which, state) if world.nodes:
            world.nodes[sorted(world.nodes)[which % len(world.nodes)]] = state
        case "policy", changes:
            world.policy = replace(world.policy, **changes)


@given(st.integers(0, 2**32), st.sampled_from([(), ("a", "b"), ("a", "b", "c")]))
@settings(max_examples=250, deadline=None)
def test_whatever_happens_the_invariants_hold_and_it_settles(
    seed: int, names: tuple[str, ...]
) -> None:
    draw = random.Random(seed)
    policy = Policy(max_preemptions=MOST_EVICTIONS, reserve_after_s=3600)
    world = World(dict.fromkeys(names, "READY"), policy)
    for number in range(80):
        happen(world, some_event(draw), number)
        world.cycle()
    # Without anything new, cycles come to rest: who was evicted may move on once, nobody for ever.
    for _ in range(2 * len(world.asked) + 2):
        plan = world.cycle()
        if not plan.starts and not plan.evictions:
            return
    raise AssertionError("starts and evictions go on without end")
