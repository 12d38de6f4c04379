"""Redis queues that are wrong are mended although no cycle looks at them."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from pytest_django import Settings
from uuid_utils.compat import uuid7

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments import redis_queues
from deployments.models import Deployment
from deployments.services.stop import stop_deployment
from mlops_platform.coordination.redis import redis_client
from mlops_platform.tests.equipment.own_redis import OwnRedis
from organizations.models import Organization
from scheduler.queries import queue_lengths
from scheduler.queues import queue_check, queue_sync
from scheduler.tests.conftest import Submit

pytestmark = pytest.mark.django_db
SOUND: dict[str, int] = {"HIGH": 0, "LOW": 0}


def ghost(cluster: Cluster, name: str = "LOW") -> UUID:
    """In the queue, and nowhere else."""
    id_ = uuid7()
    redis_queues.enter(cluster.pk, [(name, id_, 0)])
    return id_


@pytest.fixture
def settled(cluster: Cluster) -> None:
    """The server is known, and nothing is left to rebuild."""
    queue_check.check_some()
    assert redis_client().scard(queue_check.UNCHECKED) == 0


@pytest.mark.usefixtures("settled")
def test_a_ghost_goes_where_no_deployment_waits(cluster: Cluster) -> None:
    ghost(cluster)
    assert queue_lengths(cluster) == {"HIGH": 0, "LOW": 1}
    queue_check.check_some()
    assert queue_lengths(cluster) == SOUND


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("name", ["HIGH", "LOW"])
def test_a_ghost_goes_where_others_wait(cluster: Cluster, submit: Submit, name: str) -> None:
    row = submit("LOW", gpu=1)
    queue_sync.mend(cluster.pk)
    ghost(cluster, name)
    queue_check.check_some()
    assert queue_lengths(cluster) == {"HIGH": 0, "LOW": 1}
    assert redis_queues.members(cluster.pk, ["HIGH", "LOW"]) == {
        "HIGH": set(),
        "LOW": {str(row.pk)},
    }


@pytest.mark.usefixtures("settled")
def test_one_that_is_missing_comes_back(cluster: Cluster, submit: Submit) -> None:
    row = submit("LOW", gpu=1)
    queue_check.check_some()
    assert redis_queues.members(cluster.pk, ["LOW"]) == {"LOW": {str(row.pk)}}


@pytest.mark.usefixtures("settled")
def test_looks_take_turns_over_all_clusters(
    org: Organization, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_check, "AT_ONCE", 2)
    clusters = [cluster, *(make_cluster(org, name=f"c{number}") for number in range(4))]
    for each in clusters:
        ghost(each)
    left = []
    for _ in range(3):
        queue_check.check_some()
        left.append(sum(queue_lengths(each)["LOW"] for each in clusters))
    assert left == [3, 1, 0]


@pytest.fixture
def own_redis(settings: Settings, tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path / "redis")
    server.start()
    settings.REDIS_URL = server.url
    yield server
    server.stop()


def test_after_a_return_from_an_older_snapshot_all_queues_are_right(
    own_redis: OwnRedis, org: Organization, cluster: Cluster, submit: Submit
) -> None:
    """One cluster has ghosts; in the other as many have come as have gone, so that the lengths are
    right and the members wrong."""
    other = make_cluster(org, name="other", total_gpu=8)
    gone = [submit("LOW", gpu=1), submit("LOW", gpu=1, into=other)]
    for each in (cluster, other):
        queue_sync.mend(each.pk)
    queue_check.check_some()
    own_redis.stop()  # it saves
    own_redis.start()
    for row in gone:
        stop_deployment(row.owner, Deployment.objects.get(pk=row.pk))
    new = submit("LOW", gpu=1, into=other)
    assert queue_lengths(cluster) == {"HIGH": 0, "LOW": 1}
    queue_check.check_some()
    assert queue_lengths(cluster) == SOUND
    assert redis_queues.members(other.pk, ["LOW"]) == {"LOW": {str(new.pk)}}
    assert redis_client().scard(queue_check.UNCHECKED) == 0


def test_the_queues_of_a_cluster_that_was_deleted_meanwhile_go(
    own_redis: OwnRedis, cluster: Cluster, ada: User
) -> None:
    ghost(cluster)
    key = redis_queues.queue_key(cluster.pk, "LOW")
    cluster.delete()
    queue_check.check_some()
    assert redis_client().exists(key) == 0
