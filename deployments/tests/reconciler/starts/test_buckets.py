"""From the buckets that a deployment mounts to what is fetched for it, and with whose keys."""

import json
from dataclasses import replace

import pytest

from clusters.models import Volume
from clusters.services.volumes import add_volume
from deployments.models import DeploymentEvent
from deployments.queries.secrets import users_of
from deployments.reconciler.starts.launch_spec import LaunchSpecs
from deployments.reconciler.starts.secret_values import NoSecret
from deployments.runtimes.base import Code, DataAwaited, ImageMissing, RefusedError
from deployments.runtimes.fetches import Bucket
from deployments.tests.reconciler.testbed import reason
from deployments.tests.workloads import make
from organizations.models import Secret
from organizations.secrets import owners
from organizations.secrets.services import put_secret

pytestmark = pytest.mark.django_db

IMAGE = "registry.test/mlops-platform:1"
KEYS = {"access_key_id": "s3-key-id", "secret_access_key": "s3-key"}
SOURCE = {"endpoint": "https://10.20.0.7", "bucket": "datasets", "prefix": "imagenet"}
SETS = {"name": "sets", "kind": "S3", "source": {**SOURCE, "secrets": KEYS}, "read_only": True}
MOUNT = {"name": "sets", "path": "/data", "read_only": False, "sub_path": ""}


@pytest.fixture
def fetching(settings):
    settings.FETCH_IMAGE, settings.FETCH_WITHIN_S = IMAGE, 900


@pytest.fixture
def offered(docker, ada, fetching):
    for name, value in (("s3-key-id", "an-id"), ("s3-key", "a-key")):
        put_secret(ada, owners.organization(docker.organization_id), name, value)
    return add_volume(docker, SETS)


@pytest.fixture
def deployment(docker, dev, offered):
    other = {**MOUNT, "path": "/more", "sub_path": "a/b"}
    return make(docker, dev, volumes=[MOUNT, other], container={"ephemeral_mib": 512})


def spec_of(docker, deployment):
    return LaunchSpecs(docker, [deployment]).of(deployment, [(0, docker.nodes.model(name="a"))])


def test_each_mount_is_fetched_with_the_newest_keys_which_nothing_else_has(docker, ada, deployment):
    put_secret(ada, owners.organization(docker.organization_id), "s3-key", "a-newer-key")
    spec = spec_of(docker, deployment)
    fetch = spec.fetch
    sets = Bucket("sets", "https://10.20.0.7", "datasets", "imagenet", "", 102_400, True)
    keyed = replace(sets, access_key_id="an-id", secret_access_key="a-newer-key")
    assert fetch.buckets == {"/data": keyed, "/more": replace(keyed, prefix="imagenet/a/b")}
    assert (fetch.image, fetch.within_s, fetch.most_mib) == (IMAGE, 900, 512)
    assert all(mount.read_only for mount in spec.mounts)
    document = json.loads(spec.secrets.document)
    assert [each["to"] for each in document["buckets"]] == ["/fetched/0", "/fetched/1"]
    assert {each["secret_access_key"] for each in document["buckets"]} == {"a-newer-key"}
    assert "a-newer-key" not in repr(spec) + json.dumps(spec.env_of(0))
    assert spec.secrets.env == spec.secrets.files == {}


def test_what_an_operator_offers_is_not_judged_and_a_public_bucket_has_no_keys(
    docker, dev, fetching
):
    add_volume(docker, {**SETS, "source": {**SOURCE, "max_mib": 7}}, trusted=True)
    row = make(docker, dev, volumes=[MOUNT])
    [bucket] = spec_of(docker, row).fetch.buckets.values()
    assert (bucket.judged, bucket.max_mib, bucket.access_key_id) == (False, 7, "")


def test_a_key_that_is_gone_is_awaited_as_any_secret(docker, deployment):
    Secret.objects.filter(name="s3-key").delete()
    with pytest.raises(NoSecret) as awaited:
        spec_of(docker, deployment)
    assert awaited.value.code == "SECRET_MISSING"
    assert awaited.value.details == {"target": "sets", "secret": "s3-key"}


def test_a_platform_that_fetches_no_more_says_so(docker, deployment, settings):
    settings.FETCH_IMAGE = ""
    with pytest.raises(RefusedError, match="FETCH_IMAGE") as refused:
        spec_of(docker, deployment)
    assert refused.value.problem.code == Code.FETCH_FAILED


def test_a_secret_is_in_use_while_what_mounts_its_bucket_has_not_ended(docker, dev, deployment):
    unrelated = make(docker, dev)
    key = Secret.objects.get(name="s3-key")
    assert users_of(key, 10) == (1, [f"{deployment.name} of {dev.username}"])
    type(deployment).objects.filter(pk=deployment.pk).update(status="COMPLETED")
    assert users_of(key, 10) == (0, [])
    assert unrelated.status == "QUEUED"


def test_the_image_that_fetches_is_pulled_as_others_are_and_named(testbed, a, settings):
    settings.FETCH_IMAGE = IMAGE
    Volume.objects.create(cluster=testbed.cluster, **{**SETS, "source": SOURCE})
    testbed.reconcile()

    def lacks_it(go_on, spec):
        if spec.fetch:
            raise ImageMissing(spec.fetch.image)
        go_on(spec)

    testbed.intercept(a, "start", lacks_it)
    testbed.runtime_of(a).delayed_images[IMAGE] = "no such host"
    row, other = testbed.submit(volumes=[MOUNT]), testbed.submit()
    testbed.settle()
    assert reason(row)["code"] == "IMAGE_PULL_DELAYED"
    assert "no such host" in reason(row)["message"]
    notices = DeploymentEvent.objects.filter(deployment=row, type="NOTICE").order_by("pk")
    assert notices[0].details["said"] == f"{IMAGE}, which fetches its buckets"
    assert testbed.status(other) == "RUNNING"
    testbed.intercept(a, "start", None)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"


def test_what_is_being_fetched_is_starting_and_no_pass_counts_it_as_a_failed_start(
    testbed, a, settings
):
    settings.FETCH_IMAGE = IMAGE
    Volume.objects.create(cluster=testbed.cluster, **{**SETS, "source": SOURCE})
    testbed.reconcile()
    tries = []

    def fetches(go_on, spec):
        tries.append(spec)
        if len(tries) < 3:
            raise DataAwaited
        go_on(spec)

    testbed.intercept(a, "start", fetches)
    row = testbed.submit(volumes=[MOUNT])
    testbed.cycle()
    testbed.reconcile()
    assert testbed.status(row) in ("STARTING", "RUNNING")
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert testbed.fresh(row).attempt == 1
