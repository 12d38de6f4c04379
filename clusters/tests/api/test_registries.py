"""GET, POST /api/clusters/{id}/registries and DELETE …/registries/{registry_id}"""

import pytest

from clusters.models import Registry
from clusters.queries import registries_of
from clusters.services.registries import MOST_REGISTRIES, put_registry
from clusters.tests.allocation import make_cluster, row
from clusters.tests.paging import all_rows

GIVEN = {"host": "registry.example.com:5000", "username": "robot", "password": " hunter2 "}


def path(cluster, registry=None):
    return f"/api/clusters/{cluster.pk}/registries" + (f"/{registry.pk}" if registry else "")


@pytest.fixture
def kept(docker):
    return put_registry(docker, "docker.io", "ada", "hunter2")


@pytest.mark.parametrize("which", ["docker", "kube"])
def test_an_admin_gives_credentials(api, ada, which, request):
    cluster = request.getfixturevalue(which)
    response = api(ada).post(path(cluster), GIVEN)
    assert response.status_code == 201
    registry = Registry.objects.get()
    shown = {"id": str(registry.pk), "host": "registry.example.com:5000", "username": "robot"}
    assert response.json() == shown
    assert api(ada).get(path(cluster)).json() == [shown]
    assert "hunter2" not in registry.secret
    assert registries_of(cluster) == [("registry.example.com:5000", "robot", " hunter2 ")]


def test_those_of_the_same_host_are_replaced(api, ada, docker, kept):
    given = {"host": "Docker.io", "username": "grace", "password": "new"}
    assert api(ada).post(path(docker), given).json()["id"] == str(kept.pk)
    assert registries_of(docker) == [("docker.io", "grace", "new")]


def test_another_clusters_are_its_own(api, ada, docker, kube, kept):
    assert api(ada).post(path(kube), {**GIVEN, "host": "docker.io"}).status_code == 201
    assert registries_of(docker) == [("docker.io", "ada", "hunter2")]
    assert api(ada).delete(path(kube, kept)).status_code == 404
    assert Registry.objects.count() == 2


def test_an_admin_forgets_them(api, ada, docker, kept):
    response = api(ada).delete(path(docker, kept))
    assert (response.status_code, response.content) == (204, b"")
    assert registries_of(docker) == []
    assert api(ada).delete(path(docker, kept)).status_code == 404


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_neither_see_nor_change_them(api, docker, kept, person, status, request):
    client, before = api(request.getfixturevalue(person)), row(kept)
    for answer in (
        client.get(path(docker)),
        client.post(path(docker), {**GIVEN, "host": "docker.io"}),
        client.post(path(docker), {"nonsense": 1}),
        client.delete(path(docker, kept)),
    ):
        assert answer.status_code == status
        assert "ada" not in answer.content.decode()
    assert row(kept) == before
    assert Registry.objects.count() == 1


def test_a_call_without_a_token_is_401(anyone, docker, kept):
    for call in (anyone.get, anyone.post):
        assert call(path(docker)).status_code == 401
    assert anyone.delete(path(docker, kept)).status_code == 401
    assert Registry.objects.count() == 1


def test_a_simulated_cluster_has_no_registries(api, ada, cluster):
    response = api(ada).post(path(cluster), GIVEN)
    assert (response.status_code, response.json()["code"]) == (409, "simulated")
    assert not Registry.objects.exists()
    assert api(ada).get(path(cluster)).json() == []


def test_there_is_a_most_and_replacing_needs_no_room(api, ada, docker, kept):
    others = (Registry(cluster=docker, host=f"r{n}.example.org") for n in range(1, MOST_REGISTRIES))
    Registry.objects.bulk_create(others)
    response = api(ada).post(path(docker), GIVEN)
    assert (response.status_code, response.json()["code"]) == (409, "too_many_registries")
    assert Registry.objects.count() == MOST_REGISTRIES
    assert api(ada).post(path(docker), {**GIVEN, "host": "docker.io"}).status_code == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "https://docker.io"),
        ("host", "docker.io/team"),
        ("host", "docker.io:port"),
        ("host", "a b"),
        ("host", "ä.example"),
        ("host", ""),
        ("host", "a" * 254),
        ("username", "a:b"),
        ("username", "a\nb"),
        ("username", ""),
        ("password", ""),
        ("password", "x" * 17_000),
        ("password", None),
    ],
)
def test_bad_values_are_named(api, ada, docker, field, value):
    response = api(ada).post(path(docker), {**GIVEN, field: value})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]
    assert not Registry.objects.exists()


def test_it_goes_with_its_cluster(api, ada, docker, kept):
    assert api(ada).delete(f"/api/clusters/{docker.pk}").status_code == 204
    assert not Registry.objects.exists()


def test_pages_contain_each_row_once(api, ada, docker):
    for number in range(5):
        put_registry(docker, f"r{number}.example.com", "u", "p")
    hosts = [each["host"] for each in all_rows(api(ada), f"{path(docker)}?limit=2")]
    assert hosts == [f"r{number}.example.com" for number in range(5)]


def test_the_calls_take_few_queries(api, ada, org, docker, kept, django_assert_num_queries):
    # the caller, the cluster, the role; begin, the lock, how many, look it up, write in a savepoint
    with django_assert_num_queries(3 + 1):
        api(ada).get(path(docker))
    with django_assert_num_queries(4 + 6):  # begin, lock, delete, its cluster, event, commit
        api(ada).delete(path(docker, kept))
    assert not make_cluster(org).registries.exists()
