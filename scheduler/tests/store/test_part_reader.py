"""An answer rests on a part of the cluster, and on what it covers it says what all of it would."""

from dataclasses import replace
from random import Random

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment
from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot
from scheduler.engine.snapshot import Workload
from scheduler.engine.whatif import plan_with
from scheduler.store import part_reader
from scheduler.store.part_reader import PART_LIMITS, PartLimits
from scheduler.tests.api.test_bounded_answers import queue_many
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.tests.store.random_clusters import OWNERS_MATTER, fill
from scheduler.tests.store.whole import read_whole

pytestmark = pytest.mark.django_db
Outcome = tuple[object, ...]


def outcome(snapshot: Snapshot, workload: Workload) -> Outcome:
    found = plan_with(snapshot, workload)
    placement = found.start.placement if found.start else None
    return placement, sorted(each.workload_id for each in found.evictions)


@example(
    seed=3453641, keys=4, members=4000, alike=True, owners_matter="quotas"
)  # it is within its owner's quota once one behind it has evicted the owner's other one
@example(
    seed=137, keys=2000, members=4000, alike=False, owners_matter="fairly"
)  # another one starts first, in what the victims of a third have freed beyond its need
@given(
    seed=st.integers(0, 2**32),
    keys=st.sampled_from([2000, 4, 2]),
    members=st.sampled_from([4000, 4, 0]),
    alike=st.booleans(),
    owners_matter=st.sampled_from(OWNERS_MATTER),
)
@hypothesis_settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_a_part_covers_gets_the_answer_of_the_whole(
    cluster: Cluster,
    dev: User,
    ada: User,
    vera: User,
    seed: int,
    keys: int,
    members: int,
    alike: bool,
    owners_matter: str,
) -> None:
    random = Random(seed)
    with transaction.atomic():
        owners = (dev, ada, vera)
        fill(Cluster.objects.get(pk=cluster.pk), owners, random, owners_matter, alike=alike)
        limits = replace(PART_LIMITS, keys=keys, members=members)
        reader, whole = part_reader(cluster.pk, limits=limits), read_whole(cluster.pk)
        whole = replace(whole, now_ms=reader.now.snapshot.now_ms)
        for workload in random.sample(whole.queued, min(4, len(whole.queued))):
            for part in (reader.now, reader.ever):
                if part.covers(workload):
                    assert outcome(part.snapshot, workload) == outcome(whole, workload)
        transaction.set_rollback(True)


def test_a_part_is_no_larger_than_its_limits(cluster: Cluster, submit: Submit) -> None:
    for n in range(30):
        submit("LOW", cpu=n + 1)
    reader = part_reader(cluster.pk, limits=PartLimits(keys=5, members=5, running=5))
    for part in (reader.now, reader.ever):
        assert len(part.snapshot.queued) == 5
        assert part.last is not None
        covered = [each for each in read_whole(cluster.pk).queued if part.covers(each)]
        assert {each.id for each in covered} == {each.id for each in part.snapshot.queued}


def test_equals_beyond_the_limit_are_noticed(cluster: Cluster, submit: Submit) -> None:
    rows = [submit("LOW", cpu=1) for _ in range(20)]
    part = part_reader(cluster.pk, limits=PartLimits(keys=5, members=5)).now
    assert len(part.snapshot.queued) == 6
    assert part.is_cut
    assert not part.covers(read_whole(cluster.pk).queued[0])
    assert not part_reader(cluster.pk, limits=PartLimits(keys=5, members=len(rows))).now.is_cut


def rows_fetched() -> int:
    """By index scans of this transaction, of deployments."""
    table = Deployment._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = %s", [table]
        )
        return int(cursor.fetchone()[0])


def test_reading_costs_little_though_postgresql_expects_few_rows(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    """The table was never analyzed, as right after a bulk."""
    submit("LOW", gpu=8)
    run_cycle(cluster)
    queue_many(cluster, dev, 1500, gpu=1)
    reader = part_reader(cluster.pk)
    before = rows_fetched()
    assert len(reader.ever.snapshot.queued) == 1500
    assert rows_fetched() - before < 20_000  # not of each row all others
