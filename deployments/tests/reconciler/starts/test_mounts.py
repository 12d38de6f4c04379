"""From a deployment's volumes to what its containers mount."""

import pytest

from clusters.models import Volume
from clusters.services.volumes import add_volume
from deployments.reconciler.starts.launch_spec import LaunchSpecs
from deployments.reconciler.starts.mounts import Mounts
from deployments.runtimes.base import Code, RefusedError
from deployments.runtimes.mounts import Mount
from deployments.tests.workloads import make

pytestmark = pytest.mark.django_db

FOLDER = {"name": "sets", "kind": "HOST_PATH", "source": {"path": "/srv/data/sets"}}


@pytest.fixture
def offered(docker, settings):
    settings.VOLUME_HOST_ROOTS = ("/srv/data",)
    add_volume(docker, {"name": "out", "kind": "DOCKER_VOLUME"})
    return add_volume(docker, {**FOLDER, "read_only": True}, trusted=True)


@pytest.fixture
def deployment(docker, dev, offered):
    given = [("out", "/out", False, ""), ("sets", "/sets", False, "a"), ("out", "/in", True, "")]
    names = ("name", "path", "read_only", "sub_path")
    return make(docker, dev, volumes=[dict(zip(names, each, strict=True)) for each in given])


def test_each_is_mounted_as_the_cluster_offers_it(docker, deployment):
    spec = LaunchSpecs(docker, [deployment]).of(
        deployment, [(number, docker.nodes.model(name="a")) for number in (0, 1)]
    )
    assert list(spec.mounts) == [
        Mount("out", "DOCKER_VOLUME", "/out"),
        Mount(
            *("sets", "HOST_PATH", "/sets", {"path": "/srv/data/sets"}),
            read_only=True,
            never_written=True,
            sub_path="a",
        ),
        Mount("out", "DOCKER_VOLUME", "/in", read_only=True),
    ]


def test_a_change_counts_from_the_next_start_on(docker, deployment):
    Volume.objects.filter(name="out").update(read_only=True)
    assert [each.read_only for each in Mounts(docker, [deployment]).of(deployment)] == [
        True,
        True,
        True,
    ]


def test_the_volumes_of_a_cluster_are_read_once_and_before_any_start(
    docker, dev, deployment, django_assert_num_queries
):
    other, without = make(docker, dev, volumes=deployment.volumes), make(docker, dev)
    with django_assert_num_queries(0):
        assert Mounts(docker, [without]).of(without) == []
    with django_assert_num_queries(1):
        mounts = Mounts(docker, [without, deployment, other])
    with django_assert_num_queries(0):
        assert mounts.of(deployment) == mounts.of(other)
        assert mounts.of(without) == []


@pytest.mark.parametrize("roots", [(), ("/srv/other",), ("/srv/data/sets",)])
def test_a_folder_that_the_settings_no_longer_allow_is_refused(docker, deployment, settings, roots):
    settings.VOLUME_HOST_ROOTS = roots
    with pytest.raises(RefusedError, match="VOLUME_HOST_ROOTS") as refusal:
        Mounts(docker, [deployment]).of(deployment)
    assert refusal.value.problem.code == Code.REFUSED


def test_a_volume_that_is_gone_is_named(docker, deployment, offered):
    offered.delete()
    with pytest.raises(RefusedError, match="offers no volume sets any more"):
        Mounts(docker, [deployment]).of(deployment)
