"""A worker is killed with SIGKILL before a line, on a real engine; others go on as if nothing was.

Each scenario is done once by a worker that lives, which tells the lines that it takes, and then
again for each of them by one that is killed there. By default for a few of them, spread evenly: of
the lines in front of and behind whatever cannot be taken back, and of the others. With
MLOPS_EVERY_LINE=once for each line in the first scenario that takes it, and with
MLOPS_EVERY_LINE=1 for each line of each scenario, which takes hours.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import pytest

from clusters.services.nodes import drain
from deployments.models import Deployment
from deployments.runtimes.base import LaunchSpec, Place
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.killing import Moment, Seen, dry_run, killed_at
from deployments.tests.reconciler.real import Outcome, RealSite, shell
from deployments.tests.runtimes.docker.engine import IMAGE
from mlops_platform.api.redis import redis_client
from scheduler import audit

pytestmark = [pytest.mark.docker, pytest.mark.e2e]

EVERY_LINE = os.environ.get("MLOPS_EVERY_LINE", "")
ACTING = 4  # of the lines that act or follow upon an act, in each scenario
BETWEEN = 2  # of the others
AFTER_RUNNING = ("SUBMITTED", "STARTED", "RUNNING")
UNTIL_TERM = "trap 'echo done; exit {}' TERM; sleep 600 & wait"

Rows = list[Deployment]
_killed_already: set[Moment] = set()  # in this session, by whatever scenario


@dataclass(frozen=True)
class Scenario:
    """What is there before, and what has come of each deployment afterwards."""

    name: str
    before: Callable[[RealSite], Rows]
    after: tuple[Outcome, ...]


def starting(site: RealSite) -> Rows:
    row = site.submit(replicas=2)
    site.cycle()
    assert site.status(row) == "STARTING"
    return [row]


def first_contact(site: RealSite) -> Rows:
    site.cluster.nodes.update(cpu_milli=0, ram_mib=0, discovered=["cpu_milli", "ram_mib"])
    return [site.submit()]


def told_to_stop(site: RealSite) -> Rows:
    row = site.run()
    stop_deployment(site.people["dev"], site.fresh(row))
    return [row]


def deaf_to_its_stop(site: RealSite) -> Rows:
    row = site.run(**shell("trap '' TERM; sleep 600 & wait"))
    stop_deployment(site.people["dev"], site.fresh(row))
    site.look()
    site.overdue(row)
    return [row]


def over(site: RealSite) -> Rows:
    row = site.run(**shell(UNTIL_TERM.format(0)))
    site.signal(row, "SIGTERM")
    return [row]


def failed(site: RealSite) -> Rows:
    row = site.run(**shell(UNTIL_TERM.format(3)), max_retries=1)
    site.signal(row, "SIGTERM")
    return [row]


def failed_in_part(site: RealSite) -> Rows:
    row = site.run(replicas=2)
    site.signal(row, "SIGKILL", replica=1)
    return [row]


def evicted(site: RealSite) -> Rows:
    victim = site.run(cpu_milli=800)
    urgent = site.submit(priority="HIGH", cpu_milli=800)
    site.cycle()
    assert site.status(victim) == "STOPPING"
    return [victim, urgent]


def drained(site: RealSite) -> Rows:
    row = site.run()
    drain(site.cluster.nodes.get())
    site.cycle()
    return [row]


def lost(site: RealSite) -> Rows:
    row = site.run()
    site.runtime.remove(site.key(row))
    return [row]


def orphans(site: RealSite) -> Rows:
    row = site.run()
    for id_, attempt in ((str(uuid4()), 1), (str(row.pk), 7)):
        place = [Place(0, "node-1")]
        launch = LaunchSpec(id_, attempt, place, "x", IMAGE, 100, 64, 0, ["sleep"], ["600"])
        site.runtime.start(launch)
    return [row]


def without_its_image(site: RealSite) -> Rows:
    row = site.submit(image="127.0.0.1:1/nowhere:1")
    site.cycle()
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
        told_to_stop,
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
        over,
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
def test_a_worker_may_be_killed_before_any_line(real_site: RealSite, scenario: Scenario):
    site, wrong = real_site, []
    rows = prepared(site, scenario)
    seen = dry_run(lambda: go_on(site, scenario, rows))
    assert faults(site, scenario, rows) == []
    chosen = choose(seen)
    for moment in chosen:
        rows = prepared(site, scenario)
        began = time.time()
        died = killed_at(partial(go_on, site, scenario, rows), moment)
        leases_end()
        go_on(site, scenario, rows)
        found = faults(site, scenario, rows) + side_by_side(site, scenario, rows, began)
        if found:
            wrong.append(f"killed before {moment}: {'; '.join(found)}")
        if died:
            _killed_already.add(moment)
    print(f"{scenario.name}: killed at {len(chosen)} of {len(seen)} lines")  # noqa: T201 - for -s
    assert wrong == [], "\n".join(wrong)


def prepared(site: RealSite, scenario: Scenario) -> Rows:
    site.wipe()
    if scenario.before is not first_contact:
        site.look()
    return scenario.before(site)


def go_on(site: RealSite, scenario: Scenario, rows: Rows) -> None:
    """Until everything is as it should be, and once more, which changes nothing."""
    site.until(lambda: not faults(site, scenario, rows))
    site.look()


def leases_end() -> None:
    """As if the time were over for which a worker that was killed keeps others away."""
    for key in redis_client().scan_iter("endpoint:*:pull*"):
        redis_client().delete(key)


def faults(site: RealSite, scenario: Scenario, rows: Rows) -> list[str]:
    found = []
    for row, wanted in zip(rows, scenario.after, strict=True):
        if (outcome := site.outcome(row)) != wanted:
            found.append(f"{outcome} instead of {wanted}")
        notices = [str(sorted(each.items())) for each in site.notices(row)]
        if len(set(notices)) != len(notices):
            found.append(f"told twice: {notices}")
    return [*found, *map(str, site.strangers()), *map(str, audit.breaches())]


def side_by_side(site: RealSite, scenario: Scenario, rows: Rows, began: float) -> list[str]:
    """Whoever made room has died before whom it made room for has begun."""
    if scenario.before is not evicted:
        return []
    victim, urgent = (str(row.pk) for row in rows)
    history = site.history(began)
    if history.index(("die", victim)) < history.index(("start", urgent)):
        return []
    return [f"side by side: {history}"]


def choose(seen: list[Seen]) -> list[Moment]:
    if EVERY_LINE == "1":
        return [each.moment for each in seen]
    new = [each for each in seen if each.moment not in _killed_already]
    if EVERY_LINE == "once":
        return [each.moment for each in new]
    chosen = _spread([each.moment for each in new if each.acts], ACTING)
    chosen |= _spread([each.moment for each in new if not each.acts], BETWEEN)
    return [each.moment for each in new if each.moment in chosen]


def _spread(moments: list[Moment], most: int) -> set[Moment]:
    """So many of them at most, evenly from the first on."""
    return set(moments[:: -(-len(moments) // most) or 1])
