"""On a running platform each kind of damage is done once, and all of it is found."""

from collections.abc import Iterator
from contextlib import closing
from time import monotonic, sleep

import pytest

from chaos.checks import final, recovery
from chaos.checks.capacity import Watch
from chaos.checks.findings import Breach
from chaos.load.calls import Tally
from chaos.load.journal import Journal, Submit
from chaos.load.load import Load
from chaos.load.members import set_up
from chaos.platforms.make_run import MakeRun
from chaos.platforms.platform import Platform

pytestmark = pytest.mark.e2e
LOAD_S, WAIT_S = 8.0, 60.0

LOSE = """
DELETE FROM deployments_deploymentevent WHERE deployment_id = %(id)s;
DELETE FROM deployments_deployment WHERE id = %(id)s;
"""
DOUBLE = """
INSERT INTO deployments_deployment
SELECT (jsonb_populate_record(d, jsonb_build_object(
           'id', gen_random_uuid(), 'idempotency_key', NULL))).*
  FROM deployments_deployment d WHERE id = %(id)s;
"""
REVIVE = """
UPDATE deployments_deployment SET status = 'QUEUED', finished_at = NULL, started_at = NULL
 WHERE id = %(id)s;
"""
OVERCOMMIT = """
UPDATE clusters_cluster SET allocated_cpu_milli = allocated_cpu_milli - 1000
 WHERE allocated_cpu_milli > 0;
"""
ANOTHER_PLAN = """
UPDATE scheduler_schedulingcycle c SET plan = other.plan
  FROM scheduler_schedulingcycle other
 WHERE other.id <> c.id AND c.id = (SELECT min(id::text)::uuid FROM scheduler_schedulingcycle)
   AND other.plan <> c.plan;
"""


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with MakeRun() as platform:
        yield platform


def ended(journal: Journal) -> Iterator[Submit]:
    """Those that have a run time and were not stopped."""
    return (each for each in journal.submits if each.id and each.runtime_s)


def test_a_sound_platform_breaks_nothing_and_each_planted_damage_is_found(
    platform: Platform,
) -> None:
    tally, journal = Tally(), Journal("chaos-planted")
    world = set_up(platform, tally)
    with Load(world, journal, seed=1) as load:
        sleep(LOAD_S)
        measured = recovery.measure(load, journal)
    load.stop_the_rest()
    assert load.errors == []
    assert tally.troubles == []
    assert None not in {measured.runs, measured.reads, measured.ends}
    assert len(journal.submits) > 20
    assert list(final.check(platform, journal)) == []
    assert final.cycles(platform) > 0

    submits = ended(journal)
    with closing(platform.sql()) as connection, connection.cursor() as cursor:
        for damage in (LOSE, DOUBLE, REVIVE):
            cursor.execute(damage, {"id": next(submits).id})
        cursor.execute(ANOTHER_PLAN)
        assert cursor.rowcount == 1
        with Watch(platform.sql) as watch:
            cursor.execute(OVERCOMMIT)
            assert cursor.rowcount == 1
            deadline = monotonic() + WAIT_S
            while not watch.findings:
                assert monotonic() < deadline
                sleep(0.1)
    assert {each.breach for each in watch.findings} == {Breach.OVERCOMMITTED}
    found = {each.breach for each in final.check(platform, journal)}
    assert found == {Breach.LOST, Breach.DOUBLED, Breach.AUDIT, Breach.REPLAY}
