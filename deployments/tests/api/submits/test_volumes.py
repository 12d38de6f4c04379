"""What a submit mounts of its cluster's volumes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from clusters.models import Volume
from clusters.services.volumes import add_volume, change_volume
from clusters.tests.allocation import make_cluster, make_node, row
from deployments.models import Deployment, Status
from deployments.services.drafting.volumes import keep
from deployments.services.submit import create_deployment
from deployments.tests.workloads import body, make

pytestmark = pytest.mark.django_db

PATH = "/api/deployments"
MOUNT = {"name": "data", "path": "/data", "read_only": True, "sub_path": "sets/a"}
WHOLE = {"name": "data", "path": "/data", "read_only": False, "sub_path": ""}


def mounts(*given):
    return [{"name": "data", "path": "/data"} | each for each in given]


@pytest.fixture
def data(cluster):
    return add_volume(cluster, {"name": "data", "kind": "DOCKER_VOLUME"})


@pytest.fixture
def local(cluster):
    make_node(cluster)
    return add_volume(cluster, {"name": "data", "kind": "DOCKER_VOLUME", "node_names": ["node-1"]})


def test_they_are_kept_and_shown(api, dev, cluster, data):
    answer = api(dev).post(PATH, body(cluster, volumes=[MOUNT]))
    assert answer.status_code == 201, answer.json()
    assert answer.json()["volumes"] == [MOUNT]
    assert api(dev).get(f"{PATH}/{answer.json()['id']}").json()["volumes"] == [MOUNT]
    assert api(dev).get(PATH).json()[0]["volumes"] == [MOUNT]
    assert Deployment.objects.get().volumes == [MOUNT]


def test_the_defaults_and_the_order_do_not_matter(api, dev, cluster, data):
    given = mounts({"path": "/b/"}, {"path": "/a"})
    first = api(dev).post(PATH, body(cluster, volumes=given), HTTP_IDEMPOTENCY_KEY="k")
    shown = [{**WHOLE, "path": "/a"}, {**WHOLE, "path": "/b"}]
    assert first.json()["volumes"] == shown
    again = api(dev).post(PATH, body(cluster, volumes=shown), HTTP_IDEMPOTENCY_KEY="k")
    assert again.json()["id"] == first.json()["id"]
    other = api(dev).post(PATH, body(cluster), HTTP_IDEMPOTENCY_KEY="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize(
    "given",
    [
        mounts({"path": "data"}),
        mounts({"path": "/"}),
        mounts({"path": "/a/../etc"}),
        mounts({"path": "/a//b"}),
        mounts({"path": "/./a"}),
        mounts({"path": "/a\nb"}),
        mounts({"path": "/" + "a" * 255}),
        mounts({"path": "/proc"}),
        mounts({"path": "/proc/1"}),
        mounts({"path": "/sys/fs"}),
        mounts({"path": "/dev"}),
        mounts({"path": "/dev/shm"}),
        mounts({"path": "/etc"}),
        mounts({"path": "/run/secrets/a"}),
        mounts({"path": "/run"}),
        mounts({"path": "/usr"}),
        mounts({"path": "/var/run/"}),
        mounts({}, {}),
        mounts({}, {"path": "/data/"}),
        mounts({}, {"path": "/data/inner"}),
        mounts({"path": "/a"}, {"path": "/a-b"}, {"path": "/a/b"}),
        mounts({"sub_path": "/etc"}),
        mounts({"sub_path": "../etc"}),
        mounts({"sub_path": "a/../../b"}),
        mounts({"sub_path": "a//b"}),
        mounts({"sub_path": "."}),
        mounts({"name": "Data"}),
        mounts({"name": None}),
        mounts({"mode": "ro"}),
        [{"name": "data"}],
        [{"path": "/data"}],
        ["data"],
        "data",
        mounts(*({"path": f"/{n}"} for n in range(17))),
        mounts({"name": "of-no-one"}),
    ],
)
@pytest.mark.parametrize("call", ["submit", "quote", "bulk"])
def test_what_cannot_be_mounted_is_refused_by_name(api, dev, cluster, data, given, call):
    submit = body(cluster, volumes=given)
    if call == "bulk":
        answer = api(dev).post("/api/deployments/bulk", {"deployments": [submit]})
        fields = answer.json()["fields"]["deployments"]["0"]
    else:
        answer = api(dev).post(f"{PATH}/quote" if call == "quote" else PATH, submit)
        fields = answer.json()["fields"]
    assert answer.status_code == 400
    assert list(fields) == ["volumes"]
    assert not Deployment.objects.exists()


def test_a_volume_of_another_cluster_is_not_of_this_one(api, dev, cluster, data, org):
    other = make_cluster(org, name="other")
    answer = api(dev).post(PATH, body(other, volumes=[MOUNT]))
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"volumes": ["The cluster offers no volume data."]}


def test_in_a_pool_nothing_can_mount_what_only_nodes_have(api, dev, cluster, data):
    Volume.objects.update(node_names=["node-1"])
    answer = api(dev).post(PATH, body(cluster, volumes=[MOUNT]))
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["volumes"]


def test_a_bulk_reads_all_volumes_at_once(api, dev, cluster, data, django_assert_max_num_queries):
    many = [body(cluster, volumes=[MOUNT]) for _ in range(20)]
    with django_assert_max_num_queries(20):
        answer = api(dev).post("/api/deployments/bulk", {"deployments": many})
    assert answer.status_code == 201
    assert all(each["volumes"] == [MOUNT] for each in answer.json())


# --- Withdrawn and changed -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.QUEUED, Status.STARTING, Status.RUNNING])
def test_a_volume_in_use_is_neither_withdrawn_nor_made_another(
    api, ada, dev, cluster, data, status
):
    user = make(cluster, dev, status, volumes=[WHOLE])
    path, before = f"/api/clusters/{cluster.pk}/volumes/{data.pk}", row(data)
    gone = api(ada).delete(path)
    assert (gone.status_code, gone.json()["code"]) == (409, "volume_in_use")
    assert "train of dev mounts" in gone.json()["detail"]
    changed = api(ada).patch(path, {"source": {"volume": "another"}})
    assert (changed.status_code, changed.json()["code"]) == (409, "volume_in_use")
    assert "mounts the volume, whose source stays meanwhile" in changed.json()["detail"]
    assert row(data) == before
    assert api(ada).patch(path, {"read_only": True}).status_code == 200  # for the next starts
    user.delete()
    assert api(ada).delete(path).status_code == 204


def test_the_first_of_many_users_are_named(api, ada, dev, cluster, data):
    for number in range(5):
        make(cluster, dev, name=f"n{number}", volumes=[WHOLE])
    said = api(ada).delete(f"/api/clusters/{cluster.pk}/volumes/{data.pk}").json()["detail"]
    assert "n0 of dev, n1 of dev, n2 of dev and 2 more" in said


@pytest.mark.parametrize("others", [{"status": Status.COMPLETED}, {"volumes": []}])
def test_what_has_ended_or_mounts_others_keeps_none(api, ada, dev, cluster, data, others):
    make(cluster, dev, **{"volumes": [WHOLE], **others})
    path = f"/api/clusters/{cluster.pk}/volumes/{data.pk}"
    assert api(ada).delete(path).status_code == 204


def test_a_volume_withdrawn_during_the_submit_refuses_it(api, dev, cluster, data):
    deployment = make(cluster, dev, volumes=[WHOLE])
    Volume.objects.all().delete()
    with pytest.raises(Exception, match="offers no volume data"):
        keep([deployment])


@pytest.mark.django_db(transaction=True)
def test_a_withdrawal_never_passes_a_submit_that_is_under_way(api, ada, dev, cluster, data):
    def withdraw():
        try:
            return api(ada).delete(f"/api/clusters/{cluster.pk}/volumes/{data.pk}")
        finally:
            connection.close()

    given = {"image": "a", "cpu_milli": 1, "ram_mib": 1, "gpu": 0, "volumes": [WHOLE]}
    with ThreadPoolExecutor() as others, transaction.atomic():
        create_deployment(dev, cluster.pk, given)
        assert others.submit(withdraw).result().status_code == 503  # it may be tried again
    assert withdraw().status_code == 409
    assert Volume.objects.exists()


def test_a_local_volume_may_become_one_of_all_nodes(cluster, local):
    change_volume(local, {"node_names": []})
    cluster.refresh_from_db()
    assert not cluster.has_local_volumes
