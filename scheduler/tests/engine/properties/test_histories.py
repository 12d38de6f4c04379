"""Random histories of a small cluster: any events in any order, by hypothesis."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine.reservations.starvation import DOUBLES_AFTER
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import DEFAULT_QUOTA, Policy, PriorityClass
from scheduler.tests.engine.build import HIGH, LOW, MID, job, node, of, size
from scheduler.tests.engine.world import World

FIRM = PriorityClass("FIRM", 300, may_preempt=False, preemptible=False)
IDLE = PriorityClass("IDLE", -10, may_preempt=True, preemptible=True)
CLASSES = (LOW, HIGH, MID, FIRM, IDLE)

policies = st.builds(
    Policy,
    queueing=st.sampled_from(["best_effort", "strict", "easy_backfill"]),
    ordering=st.sampled_from(["gpu_weighted", "fifo", "fair_share"]),
    preemption=st.sampled_from(["lower_priority", "lower_priority", "never"]),
    placement=st.sampled_from(["binpack", "spread"]),
    preempt_exempt_s=st.sampled_from([0, 0, 300]),
    reserve_after_s=st.sampled_from([0, 60, 3600]),
    max_preemptions=st.sampled_from([0, 2, 5]),
    preemption_within_quota=st.sampled_from(["never", "lower_priority"]),
    class_cost_ratio=st.sampled_from([0, 0, 1, 10]),
    preemption_delay_s=st.sampled_from([0, 0, 20, 300]),
    low_share_percent=st.sampled_from([0, 0, 30]),
)
numbers = st.integers(0, 10**6)


class History(RuleBasedStateMachine):
    """After each event the cluster settles, and its invariants hold (see world.py)."""

    world: World

    @initialize(nodes=st.integers(0, 4), policy=policies, hurry=st.sampled_from([1, 2, 1000]))
    def begin(self, nodes: int, policy: Policy, hurry: int) -> None:
        machines = {name: node(name, gpu=4, cpu=16, ram=16) for name in "abcd"[:nodes]}
        if "a" in machines:
            machines["a"] = replace(machines["a"], labels=(("zone", "x"),))
        self.world = World(CLASSES, size(gpu=8, cpu=32, ram=32), machines, policy)
        self.world.max_starts = hurry
        self.jobs = 0

    @rule(
        priority=st.sampled_from(["LOW", "LOW", "LOW", "HIGH", "HIGH", "MID", "FIRM", "IDLE"]),
        gpu=st.integers(0, 4),
        cpu=st.integers(1, 16),
        replicas=st.sampled_from([1, 1, 1, 2, 3]),
        limit_s=st.sampled_from([None, None, 60, 1000]),
        labelled=st.sampled_from([False, False, False, True]),
        times=st.integers(1, 4),
        owner=st.sampled_from(["ann", "ben"]),
        service=st.booleans(),
    )
    def submit(
        self,
        *,
        priority: str,
        gpu: int,
        cpu: int,
        replicas: int,
        limit_s: int | None,
        labelled: bool,
        times: int,
        owner: str,
        service: bool,
    ) -> None:
        selector = {"zone": "x"} if labelled and self.world.nodes else {}
        for _ in range(times):
            self.jobs += 1
            more: dict[str, Any] = {"replicas": replicas, "limit_s": limit_s, "selector": selector}
            more["endless"] = service and limit_s is None
            new = job(gpu, cpu, 1, priority=priority, id=f"j{self.jobs:04}", **more)
            self.world.submit(of(owner, new))
        self.settle()

    @precondition(lambda self: self.world.running)
    @rule(which=numbers)
    def finish(self, which: int) -> None:
        self.world.end(self.one_of(self.world.running, which))
        self.settle()

    @precondition(lambda self: self.world.queued)
    @rule(which=numbers)
    def stop(self, which: int) -> None:
        self.world.end(self.one_of(self.world.queued, which))
        self.settle()

    @precondition(lambda self: self.world.running)
    @rule(which=numbers)
    def checkpoint(self, which: int) -> None:
        self.world.checkpoint(self.one_of(self.world.running, which))

    @rule(seconds=st.sampled_from([1, 59, 60, 300, 3600, 10_000]))
    def wait(self, seconds: int) -> None:
        self.world.pass_time(seconds)
        self.settle()

    @precondition(lambda self: self.world.nodes)
    @rule(which=numbers, state=st.sampled_from(["READY", "READY", "CORDONED", "DRAINING"]))
    def set_node_state(self, which: int, state: str) -> None:
        self.world.set_state(self.one_of(self.world.nodes, which), state)
        self.settle()

    @precondition(lambda self: self.world.nodes)
    @rule(which=numbers)
    def lose_node(self, which: int) -> None:
        self.world.lose_node(self.one_of(self.world.nodes, which))
        self.settle()

    @rule(policy=policies)
    def change_policy(self, policy: Policy) -> None:
        self.world.policy = policy
        self.settle()

    @rule(
        owner=st.sampled_from(["ann", "ben", DEFAULT_QUOTA]),
        gpu=st.sampled_from([0, 1, 2, 4, ENDLESS]),
        cpu=st.sampled_from([1, 16, ENDLESS]),
    )
    def set_quota(self, owner: str, gpu: int, cpu: int) -> None:
        self.world.quotas[owner] = Resources(min(cpu * 1000, ENDLESS), ENDLESS, gpu)
        self.settle()

    @precondition(lambda self: self.world.quotas)
    @rule(which=numbers)
    def drop_quota(self, which: int) -> None:
        del self.world.quotas[self.one_of(self.world.quotas, which)]
        self.settle()

    def settle(self) -> None:
        self.world.check_invariants()
        self.world.settle(most=20 if self.world.max_starts > 2 else 60)

    @staticmethod
    def one_of(ids_of: dict[str, Any], which: int) -> str:
        return sorted(ids_of)[which % len(ids_of)]


TestHistories = History.TestCase
TestHistories.settings = settings(
    max_examples=examples(1000),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# --- No workload starves --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_an_endless_stream_of_small_workloads_starves_no_large_one(seed: int) -> None:
    """Small workloads of the same class arrive all the time and run for up to 15 s. One that needs
    whole nodes, or the whole pool, starts as soon as all nodes have been reserved for it."""
    random = Random(seed)
    names = "abcd"[: random.choice([0, 1, 2, 3, 4])]
    policy = Policy(
        queueing=random.choice(["best_effort", "strict", "easy_backfill"]),
        ordering=random.choice(["gpu_weighted", "fifo"]),
        placement=random.choice(["binpack", "spread"]),
        reserve_after_s=30,
    )
    machines = {name: node(name, gpu=4, cpu=16, ram=64) for name in names}
    world = World((LOW, HIGH), size(gpu=4, cpu=16, ram=64), machines, policy)
    limited = random.random() < 0.5  # whether they have time limits
    replicas = random.randint(1, max(len(names), 1))
    if names and random.random() < 0.5:  # one node that never becomes empty
        replicas = 1 if len(names) == 1 else min(replicas, len(names) - 1)
        world.submit(job(gpu=0 if len(names) == 1 else 1, cpu=1, high=True, id="forever"))
        world.cycle()
    ends: dict[str, int] = {}
    doublings = max(len(names) - 1, 0).bit_length()
    bound_s = 30 * (len(names) + 2) + 15 + DOUBLES_AFTER * 30 * doublings
    for second in range(bound_s):
        if second == 8:
            world.submit(job(gpu=4, cpu=8, replicas=replicas, id="big"))
        for number in range(random.randint(1, 1 + len(names))):
            runs_s = random.randint(1, 15)
            limit_s = runs_s if limited else None
            small = job(random.randint(0, 1), 1, id=f"s{second:04}-{number}", limit_s=limit_s)
            world.submit(small)
            ends[small.id] = runs_s
        world.cycle()
        if "big" in world.running:
            return
        world.pass_time(1)
        for id_ in list(world.running):
            started_ms = world.running[id_].started_ms
            if id_ in ends and started_ms == world.now_ms - ends[id_] * 1000:
                world.end(id_)
    pytest.fail(f"the large workload starved for {bound_s} s")


def test_a_workload_stays_after_max_preemptions() -> None:
    """HIGH workloads arrive one after the other, each as large as the pool."""
    world = World((LOW, HIGH), size(gpu=8), policy=Policy(max_preemptions=3))
    world.submit(job(gpu=8, id="low"))
    world.settle()
    for number in range(6):
        world.pass_time(10)
        world.submit(job(gpu=8, high=True, id=f"h{number}"))
        world.settle()
        if number < 3:
            world.pass_time(10)
            world.end(f"h{number}")
            world.settle()
    assert world.preemptions == {"low": 3}
    assert "low" in world.running
    assert set(world.queued) == {"h3", "h4", "h5"}


@pytest.mark.parametrize("seed", range(16))
def test_no_stream_starves_workloads_that_wait_for_different_nodes(seed: int) -> None:
    """On one node a job never ends. A workload waits for that node, others for whole nodes of other
    kinds, while small ones, and large ones that are ahead in the scheduling order, arrive all the
    time."""
    random = Random(seed)
    policy = Policy(
        queueing=random.choice(["best_effort", "easy_backfill"]),
        ordering=random.choice(["gpu_weighted", "fifo"]),
        placement=random.choice(["binpack", "spread"]),
        reserve_after_s=30,
    )
    kinds = {"a": "stuck", "b": "x", "c": "x", "d": "y", "e": "y"}
    machines = {
        name: node(name, gpu=4, cpu=16, ram=64, labels={"kind": kind})
        for name, kind in kinds.items()
    }
    world = World((LOW, HIGH), size(), machines, policy)
    world.submit(job(gpu=1, cpu=1, high=True, id="forever", selector={"kind": "stuck"}))
    world.cycle()
    ends = {"x": 20, "y": 20, "pair": 20}
    limited, waiting = random.random() < 0.7, {"x", "y", "pair"}
    for second in range(1200):
        if second == 7:
            world.submit(job(gpu=4, cpu=8, id="stuck", selector={"kind": "stuck"}))
        if second == 8:
            world.submit(job(gpu=4, cpu=8, id="x", selector={"kind": "x"}))
            world.submit(job(gpu=4, cpu=8, id="y", selector={"kind": "y"}))
            world.submit(job(gpu=4, cpu=8, replicas=2, id="pair", selector={"kind": "x"}))
        for number in range(random.randint(1, 6)):
            runs_s = random.randint(1, 15)
            gpu = 4 if random.random() < 0.1 else random.randint(0, 1)
            limit_s = runs_s if limited else None
            small = job(gpu, 1, id=f"s{second:04}-{number}", limit_s=limit_s)
            world.submit(small)
            ends[small.id] = runs_s
        world.cycle()
        waiting -= world.running.keys()
        if not waiting:
            return
        world.pass_time(1)
        for id_ in list(world.running):
            started_ms = world.running[id_].started_ms
            if id_ in ends and started_ms == world.now_ms - ends[id_] * 1000:
                world.end(id_)
    pytest.fail(f"{waiting} starved")
