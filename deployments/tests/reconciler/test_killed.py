"""Kills a worker with SIGKILL before a line, on a real engine; another worker finishes the work.

A worker that lives runs each scenario once and records its lines. Then, for each chosen line, a
worker runs the scenario and is killed there. By default a few lines are chosen, spread evenly:
lines before and after calls that cannot be undone, and other lines. MLOPS_EVERY_LINE=once chooses
each line in the first scenario that runs it, MLOPS_EVERY_LINE=1 each line of each scenario, which
takes hours.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from uuid import uuid4

import pytest

from clusters.services.nodes import drain
from deployments.models import Deployment
from deployments.runtimes.base import LaunchSpec, ReplicaPlacement
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.docker_testbed import DockerTestbed, Outcome, shell
from deployments.tests.reconciler.killing import Moment, TracedLine, dry_run, killed_at
from deployments.tests.runtimes.docker.engine import IMAGE
from deployments.tests.runtimes.docker.registry import ImageRegistry
from mlops_platform.coordination.redis import redis_client
from scheduler import audit

pytestmark = [pytest.mark.docker, pytest.mark.e2e]

EVERY_LINE = os.environ.get("MLOPS_EVERY_LINE", "")
ACTING = 4  # lines before or after an irreversible call, in each scenario
BETWEEN = 2  # other lines
AFTER_RUNNING = ("SUBMITTED", "STARTED", "RUNNING")
UNTIL_THE_END = ExitStack()
UNTIL_TERM = "trap 'echo done; exit {}' TERM; sleep 600 & wait"

Rows = list[Deployment]
_killed_already: set[Moment] = set()  # in this session, in any scenario


@dataclass(frozen=True)
class Scenario:
    """The deployments before, and the outcome of each one afterwards."""

    name: str
    before: Callable[[DockerTestbed], Rows]
    after: tuple[Outcome, ...]


def starting(testbed: DockerTestbed) -> Rows:
    row = testbed.submit(replicas=2)
    testbed.cycle()
    assert testbed.status(row) == "STARTING"
    return [row]


def first_contact(testbed: DockerTestbed) -> Rows:
    testbed.cluster.nodes.update(cpu_milli=0, ram_mib=0, discovered=["cpu_milli", "ram_mib"])
    return [testbed.submit()]


def stopping(testbed: DockerTestbed) -> Rows:
    row = testbed.run()
    stop_deployment(testbed.people["dev"], testbed.fresh(row))
    return [row]


def deaf_to_its_stop(testbed: DockerTestbed) -> Rows:
    row = testbed.run(**shell("trap '' TERM; sleep 600 & wait"))
    stop_deployment(testbed.people["dev"], testbed.fresh(row))
    testbed.reconcile()
    testbed.expire_grace(row)
    return [row]


def completed(testbed: DockerTestbed) -> Rows:
    row = testbed.run(**shell(UNTIL_TERM.format(0)))
    testbed.signal(row, "SIGTERM")
    return [row]


def failed(testbed: DockerTestbed) -> Rows:
    row = testbed.run(**shell(UNTIL_TERM.format(3)), max_retries=1)
    testbed.signal(row, "SIGTERM")
    return [row]


def failed_in_part(testbed: DockerTestbed) -> Rows:
    row = testbed.run(replicas=2)
    testbed.signal(row, "SIGKILL", replica=1)
    return [row]


def evicted(testbed: DockerTestbed) -> Rows:
    victim = testbed.run(cpu_milli=800)
    urgent = testbed.submit(priority="HIGH", cpu_milli=800)
    testbed.cycle()
    assert testbed.status(victim) == "STOPPING"
    return [victim, urgent]


def drained(testbed: DockerTestbed) -> Rows:
    row = testbed.run()
    drain(testbed.cluster.nodes.get())
    testbed.cycle()
    return [row]


def lost(testbed: DockerTestbed) -> Rows:
    row = testbed.run()
    testbed.runtime.remove(testbed.key(row))
    return [row]


def orphans(testbed: DockerTestbed) -> Rows:
    row = testbed.run()
    for id_, attempt in ((str(uuid4()), 1), (str(row.pk), 7)):
        placement = [ReplicaPlacement(0, "node-1")]
        spec = LaunchSpec(id_, attempt, placement, "x", IMAGE, 100, 64, 0, ["sleep"], ["600"])
        testbed.runtime.start(spec)
    return [row]


@cache
def denying_registry() -> ImageRegistry:
    """Has a password that the platform does not know. It serves until the session ends."""
    return UNTIL_THE_END.enter_context(ImageRegistry(b"", "ada", "x").serving())


def without_its_image(testbed: DockerTestbed) -> Rows:
    """Its registry denies it, which is final."""
    row = testbed.submit(image=denying_registry().image)
    testbed.cycle()
    return [row]


RUNS = ((1, 0, "running"),)
RUNS_AGAIN = ((2, 0, "running"),)
SCENARIOS = [
    Scenario(
        "start",
        starting,
        (Outcome("RUNNING", events=AFTER_RUNNING, containers=(*RUNS, (1, 1, "running"))),),
    ),
    Scenario(
        "first-contact",
        first_contact,
        (Outcome("RUNNING", events=AFTER_RUNNING, containers=RUNS),),
    ),
    Scenario(
        "stop",
        stopping,
        (
            Outcome(
                "STOPPED",
                exit_code=143,
                events=(*AFTER_RUNNING, "STOPPING", "STOPPED"),
                outputs=((1, 0, b""),),
            ),
        ),
    ),
    Scenario(
        "kill",
        deaf_to_its_stop,
        (
            Outcome(
                "STOPPED",
                exit_code=137,
                events=(*AFTER_RUNNING, "STOPPING", "STOPPED"),
                outputs=((1, 0, b""),),
            ),
        ),
    ),
    Scenario(
        "complete",
        completed,
        (
            Outcome(
                "COMPLETED",
                exit_code=0,
                events=(*AFTER_RUNNING, "COMPLETED"),
                outputs=((1, 0, b"done\n"),),
            ),
        ),
    ),
    Scenario(
        "retry",
        failed,
        (
            Outcome(
                "RUNNING",
                attempt=2,
                retries=1,
                events=(*AFTER_RUNNING, "REQUEUED", "STARTED", "RUNNING"),
                containers=RUNS_AGAIN,
                outputs=((1, 0, b"done\n"),),
            ),
        ),
    ),
    Scenario(
        "gang-fails",
        failed_in_part,
        (
            Outcome(
                "FAILED",
                exit_code=137,
                events=(*AFTER_RUNNING, "STOPPING", "FAILED"),
                outputs=((1, 0, b""), (1, 1, b"")),
            ),
        ),
    ),
    Scenario(
        "preemption",
        evicted,
        (
            Outcome(
                "QUEUED",
                preemptions=1,
                events=(*AFTER_RUNNING, "PREEMPTED", "REQUEUED"),
                outputs=((1, 0, b""),),
            ),
            Outcome("RUNNING", events=AFTER_RUNNING, containers=RUNS),
        ),
    ),
    Scenario(
        "drain",
        drained,
        (
            Outcome(
                "QUEUED",
                events=(*AFTER_RUNNING, "DRAINED", "REQUEUED"),
                outputs=((1, 0, b""),),
            ),
        ),
    ),
    Scenario(
        "lost",
        lost,
        (
            Outcome(
                "RUNNING",
                attempt=2,
                events=(*AFTER_RUNNING, "REQUEUED", "STARTED", "RUNNING"),
                containers=RUNS_AGAIN,
            ),
        ),
    ),
    Scenario(
        "orphans",
        orphans,
        (
            Outcome(
                "RUNNING",
                events=AFTER_RUNNING,
                containers=RUNS,
                outputs=((7, 0, b""),),
            ),
        ),
    ),
    Scenario(
        "no-image",
        without_its_image,
        (Outcome("FAILED", events=("SUBMITTED", "STARTED", "FAILED")),),
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_a_worker_may_be_killed_before_any_line(docker_testbed: DockerTestbed, scenario: Scenario):
    testbed, wrong = docker_testbed, []
    rows = prepared(testbed, scenario)
    seen = dry_run(lambda: go_on(testbed, scenario, rows))
    assert faults(testbed, scenario, rows) == []
    chosen = choose(seen)
    for moment in chosen:
        rows = prepared(testbed, scenario)
        began = time.time()
        died = killed_at(partial(go_on, testbed, scenario, rows), moment)
        leases_end()
        go_on(testbed, scenario, rows)
        found = faults(testbed, scenario, rows) + side_by_side(testbed, scenario, rows, began)
        if found:
            wrong.append(f"killed before {moment}: {'; '.join(found)}")
        if died:
            _killed_already.add(moment)
    print(f"{scenario.name}: killed at {len(chosen)} of {len(seen)} lines")  # noqa: T201 - for -s
    assert wrong == [], "\n".join(wrong)


def prepared(testbed: DockerTestbed, scenario: Scenario) -> Rows:
    testbed.wipe()
    if scenario.before is not first_contact:
        testbed.reconcile()
    return scenario.before(testbed)


def go_on(testbed: DockerTestbed, scenario: Scenario, rows: Rows) -> None:
    """Run until the outcomes are as expected, and once more, which changes nothing."""
    testbed.run_until(lambda: not faults(testbed, scenario, rows))
    testbed.reconcile()


def leases_end() -> None:
    """As if the locks of a killed worker had timed out."""
    for key in redis_client().scan_iter("endpoint:*:pull*"):
        redis_client().delete(key)


def faults(testbed: DockerTestbed, scenario: Scenario, rows: Rows) -> list[str]:
    found = []
    for row, wanted in zip(rows, scenario.after, strict=True):
        if (outcome := testbed.outcome(row)) != wanted:
            found.append(f"{outcome} instead of {wanted}")
        notices = [str(sorted(each.items())) for each in testbed.notices(row)]
        if len(set(notices)) != len(notices):
            found.append(f"noted twice: {notices}")
    return [*found, *map(str, testbed.orphaned_ids()), *map(str, audit.breaches())]


def side_by_side(testbed: DockerTestbed, scenario: Scenario, rows: Rows, began: float) -> list[str]:
    """The victim's container has to die before the preemptor's starts."""
    if scenario.before is not evicted:
        return []
    victim, urgent = (str(row.pk) for row in rows)
    history = testbed.history(began)
    if history.index(("die", victim)) < history.index(("start", urgent)):
        return []
    return [f"side by side: {history}"]


def choose(seen: list[TracedLine]) -> list[Moment]:
    if EVERY_LINE == "1":
        return [each.moment for each in seen]
    new = [each for each in seen if each.moment not in _killed_already]
    if EVERY_LINE == "once":
        return [each.moment for each in new]
    chosen = _spread([each.moment for each in new if each.acts], ACTING)
    chosen |= _spread([each.moment for each in new if not each.acts], BETWEEN)
    return [each.moment for each in new if each.moment in chosen]


def _spread(moments: list[Moment], most: int) -> set[Moment]:
    """At most so many of the moments, spread evenly from the first on."""
    return set(moments[:: -(-len(moments) // most) or 1])
