"""The operators' pages of endpoints."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node, State
from clusters.services import attach
from clusters.tests.allocation import row
from clusters.tests.attached import secrets
from clusters.tests.endpoints.pki import kubeconfig, pem
from organizations.tests.people import PASSWORD

LIST = "/admin/clusters/endpoint/"
ADD = f"{LIST}add/"


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def page(endpoint):
    return reverse("admin:clusters_endpoint_change", args=[endpoint.pk])


def text_of(answer):
    return answer.content.decode()


def test_this_very_host_is_attached_as_a_node(operator, docker):
    url = "unix:///var/run/docker.sock"
    given = {"cluster": docker.pk, "node": "local", "url": url, "cpu": "2.5", "gpu": "0"}
    assert operator.post(ADD, given).status_code == 302
    node = Node.objects.get()
    assert node.endpoint is not None
    assert (node.name, node.endpoint.url, node.endpoint.trusted) == ("local", url, True)
    assert (node.cpu_milli, node.discovered) == (2500, ["ram_mib"])
    assert str(node.endpoint_id) == LogEntry.objects.get().object_id


def test_an_api_server_is_attached_and_replaced(operator, kube):
    Endpoint.objects.all().delete()
    config = kubeconfig(cluster={"server": "https://127.0.0.1:6443"})
    given = {"cluster": kube.pk, "kubeconfig": config, "namespace": "ml"}
    assert operator.post(ADD, given).status_code == 302
    endpoint = Endpoint.objects.get()
    assert (endpoint.url, endpoint.namespace) == ("https://127.0.0.1:6443", "ml")
    assert endpoint.trusted

    given = {"kubeconfig": kubeconfig(user={"token": "new"}), "namespace": "ml"}
    assert operator.post(page(endpoint), given).status_code == 302
    assert row(endpoint)["url"] == "https://10.0.0.9:6443"
    assert secrets()["token"] == "new"


def test_an_engines_endpoint_is_replaced_as_a_whole(operator, engine):
    url = "tcp://127.0.0.1:2375"
    assert operator.post(page(engine.endpoint), {"url": url}).status_code == 302
    after = row(engine.endpoint)
    assert (after["url"], after["trusted"], after["secrets"]) == (url, True, "")
    assert Node.objects.count() == 1


def test_saving_the_form_without_input_changes_nothing(operator, engine, kube):
    for endpoint in Endpoint.objects.all():
        before = row(endpoint)
        given = {"url": endpoint.url, "namespace": endpoint.namespace}
        assert operator.post(page(endpoint), given).status_code == 302
        assert row(endpoint) == before


def test_an_endpoint_replaced_by_a_tenant_is_no_longer_trusted(api, ada, docker):
    node = attach.add_node(
        docker, {"name": "n", "endpoint": {"url": "tcp://127.0.0.1:2375"}}, trusted=True
    )
    path = f"/api/clusters/{docker.pk}/nodes/{node.pk}"
    assert api(ada).patch(path, {"endpoint": pem().body()}).status_code == 200
    assert not Endpoint.objects.get().trusted


FAULTY = [
    ("docker", {}, "This field is required."),
    ("docker", {"node": "n", "url": "http://10.0.0.5"}, "Give tcp://host:port, unix:///path"),
    ("docker", {"node": "n", "url": "ssh://a:hunter2@h"}, "must not have a user name"),
    ("docker", {"node": "n", **pem().body(key=pem("two").key)}, "not the certificate&#x27;s key"),
    ("docker", {"node": "n", "url": "tcp://10.0.0.5:1", "cpu": "0"}, "greater than or equal"),
    ("kube", {}, "This field is required."),
    ("kube", {"kubeconfig": "hunter2"}, "The kubeconfig is no mapping."),
    ("kube", {"kubeconfig": kubeconfig(user={"exec": {"command": "x"}})}, "names a program to run"),
    ("kube", {"kubeconfig": kubeconfig(user={"tokenFile": "/x"})}, "names a file"),
    ("kube", {"kubeconfig": kubeconfig(), "namespace": "Up"}, "Enter a valid value."),
    ("cluster", {"node": "n", "url": "tcp://10.0.0.5:1"}, "A simulated cluster has no endpoints."),
]


@pytest.mark.parametrize(("which", "given", "said"), FAULTY)
def test_an_invalid_value_is_a_form_error_without_secrets(operator, which, given, said, request):
    cluster = request.getfixturevalue(which)
    Endpoint.objects.all().delete()
    answer = operator.post(ADD, {"cluster": cluster.pk, **given})
    assert answer.status_code == 200
    assert said in text_of(answer)
    assert "PRIVATE KEY-" not in text_of(answer)
    assert "kube-token-hunter2" not in text_of(answer)
    assert not Endpoint.objects.exists()
    assert not Node.objects.exists()


def test_a_refusal_of_the_service_is_a_form_error(operator, docker, engine):
    again = {"cluster": docker.pk, "node": "node-1", "url": "tcp://10.0.0.6:2375"}
    assert "has a node named" in text_of(operator.post(ADD, again))
    twice = {"cluster": docker.pk, "node": "node-2", "url": "tcp://10.0.0.5:2376"}
    assert "is attached at tcp://10.0.0.5:2376 already" in text_of(operator.post(ADD, twice))
    Cluster.objects.update(state=State.DELETING)
    going = {"cluster": docker.pk, "node": "node-2", "url": "tcp://10.0.0.6:2375"}
    assert "is being deleted" in text_of(operator.post(ADD, going))
    assert Endpoint.objects.count() == 1


def test_no_page_shows_a_secret(operator, docker, engine, kube):
    Endpoint.objects.update(error="<b>refused</b>")
    node_page = f"/admin/clusters/node/{engine.pk}/change/"
    for path in (LIST, ADD, node_page, *map(page, Endpoint.objects.all())):
        text = text_of(operator.get(path))
        assert "BEGIN" not in text
        assert "<b>refused" not in text
        for endpoint in Endpoint.objects.all():
            assert endpoint.secrets not in text
    assert "tcp://10.0.0.5:2376" in text_of(operator.get(LIST))
    assert "its organization" in text_of(operator.get(page(engine.endpoint)))
    assert "Its endpoints" in text_of(operator.get(f"/admin/clusters/cluster/{docker.pk}/change/"))


@pytest.mark.parametrize("size", [1, 20])
def test_the_list_costs_the_same_for_few_and_many(
    operator, docker, size, django_assert_num_queries
):
    for number in range(size):
        Endpoint.objects.create(cluster=docker, url=f"tcp://10.0.0.{number}:1")
    # session, operator, count, rows with their clusters
    with django_assert_num_queries(4):
        operator.get(LIST)


def test_endpoints_are_not_deleted_in_the_admin(operator, engine):
    path = reverse("admin:clusters_endpoint_delete", args=[engine.endpoint_id])
    assert operator.post(path, {"post": "yes"}).status_code == 403
    assert Endpoint.objects.count() == 1


def test_a_user_with_the_view_permission_changes_nothing(client, engine, vera):
    vera.is_staff = True
    vera.save()
    vera.user_permissions.add(Permission.objects.get(codename="view_endpoint"))
    client.force_login(vera)
    before = row(engine.endpoint)
    text = text_of(client.get(page(engine.endpoint)))
    assert "BEGIN" not in text
    assert before["secrets"] not in text
    assert client.post(page(engine.endpoint), {"url": "tcp://h:1"}).status_code == 403
    assert client.get(ADD).status_code == 403
    assert row(engine.endpoint) == before
