"""What operators' pages show beside an object: what runs on a node, what a user has, the queue in
its order, an explanation, and the output."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from clusters.models import Cluster, Node
from clusters.tests.allocation import make_cluster, make_node
from deployments.models import Deployment, DeploymentLog, Status
from deployments.tests.workloads import make
from organizations.models import Organization
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


def page_of(client: Client, instance: Any) -> str:
    meta = instance._meta
    name = f"admin:{meta.app_label}_{meta.model_name}_change"
    return client.get(reverse(name, args=[instance.pk])).content.decode()


def section(text: str, title: str) -> str:
    """The part of a page below this heading."""
    return text.split(f'fieldset-heading">{title}</h2>')[1].split("</fieldset>", maxsplit=1)[0]


@pytest.fixture
def node(org: Organization) -> Node:
    return make_node(make_cluster(org, name="real"))


def put(node: Node, owner: User, name: str, status: Status, **columns: Any) -> None:
    at = [{"node_id": str(node.pk), "node": node.name, "replicas": 1}]
    is_over = status == Status.COMPLETED
    given = {"ran_on": [node.pk], "placement": [] if is_over else at, "name": name, **columns}
    row = make(node.cluster, owner, status)
    Deployment.objects.filter(pk=row.pk).update(**given)


def test_a_node_shows_what_runs_and_what_ran_there(
    admin_client: Client, node: Node, dev: User
) -> None:
    other = make_node(node.cluster, name="node-2")
    put(node, dev, "here-now", Status.RUNNING)
    put(node, dev, "here-before", Status.COMPLETED)
    put(other, dev, "elsewhere", Status.RUNNING)
    put(other, dev, "moved", Status.RUNNING, ran_on=[node.pk, other.pk])
    text = page_of(admin_client, node)
    assert "here-now" in section(text, "What runs here")
    assert "here-before" in section(text, "What ran here")
    for name in ("elsewhere", "moved"):
        assert name not in section(text, "What runs here")
    assert "Nothing has ended here." in page_of(admin_client, other)


def test_a_user_shows_what_they_have_allocated_and_what_waits(
    admin_client: Client, cluster: Cluster, dev: User, vera: User
) -> None:
    make(cluster, dev, Status.RUNNING, gpu=2, replicas=3)
    make(cluster, dev, Status.STOPPING, gpu=1, yielded=True)
    make(cluster, dev)
    make(cluster, dev, Status.COMPLETED, gpu=4)
    found = section(page_of(admin_client, dev), "Allocated")
    assert re.search(r'data-label="GPUs">6<', found)
    assert re.search(r'data-label="Waiting"><a [^>]*>1</a>', found)
    assert f"owner__id__exact={dev.pk}" in found
    assert "Nothing runs or waits." in page_of(admin_client, vera)


def test_lists_are_narrowed_by_owner_and_show_totals_of_whom_is_chosen(
    admin_client: Client, cluster: Cluster, dev: User, vera: User
) -> None:
    make(cluster, dev, Status.RUNNING, name="of-dev", gpu=2, replicas=3)
    make(cluster, vera, Status.RUNNING, name="of-vera", gpu=1)
    address = reverse("admin:deployments_deployment_changelist")
    narrowed = admin_client.get(address, {"owner__id__exact": str(dev.pk)}).content.decode()
    assert "of-dev" in narrowed
    assert "of-vera" not in narrowed
    assert "GPUs allocated: 6" in narrowed
    both = admin_client.get(address, {"cluster__id__exact": str(cluster.pk)}).content.decode()
    assert "GPUs allocated: 7" in both
    assert "operators-totals" not in admin_client.get(address).content.decode()
    assert admin_client.get(address, {"owner__id__exact": "nobody"}).status_code in {200, 302}


def test_the_list_of_clusters_adds_up_those_that_its_filters_leave(
    admin_client: Client, org: Organization, sams_org: Organization
) -> None:
    for where, gpus in ((org, 3), (org, 5), (sams_org, 16)):
        make_cluster(where, name=f"c{gpus}", total_gpu=gpus, allocated_gpu=2)
    address = reverse("admin:clusters_cluster_changelist")
    assert "6 / 24 GPUs" in admin_client.get(address).content.decode()
    narrowed = admin_client.get(address, {"organization__id__exact": str(org.pk)})
    assert "4 / 8 GPUs" in narrowed.content.decode()
    heads = re.findall(r'class="(?:sortable )?column-(\w+)', narrowed.content.decode())
    assert heads[:4] == ["name", "gpus", "waiting", "running"]


def test_the_queue_stands_in_its_order_and_each_explains_itself(
    admin_client: Client, submit: Submit, cluster: Cluster, django_assert_max_num_queries: Any
) -> None:
    submit("HIGH", gpu=8, name="first")
    run_cycle(cluster)
    for priority, name in (("LOW", "low"), ("HIGH", "high")):
        submit(priority, gpu=4, name=name)
    run_cycle(cluster)
    address = reverse("admin:clusters_cluster_queue", args=[cluster.pk])
    assert address in page_of(admin_client, cluster)
    with django_assert_max_num_queries(12):
        text = admin_client.get(address).content.decode()
    assert text.index(">high</a>") < text.index(">low</a>")
    assert "more GPUs" in text
    low = Deployment.objects.get(name="low")
    why = reverse("admin:deployments_deployment_why", args=[low.pk])
    assert why in page_of(admin_client, low)
    text = admin_client.get(why).content.decode()
    assert ">first</a>" in section(text, "What has allocated what it needs")
    assert "Ahead of it" in text
    assert why.replace(str(low.pk), "") not in page_of(
        admin_client, Deployment.objects.get(name="first")
    )


def test_the_output_is_text_or_the_reason_why_there_is_none(
    admin_client: Client, cluster: Cluster, dev: User
) -> None:
    row = make(cluster, dev, Status.COMPLETED, attempt=1)
    address = reverse("admin:deployments_deployment_output", args=[row.pk])
    assert address in page_of(admin_client, row)
    answer = admin_client.get(address, follow=True)
    assert "No output: " in answer.content.decode()
    DeploymentLog.objects.create(deployment=row, attempt=1, replica=0, output=b"<b>one\ntwo\n")
    answer = admin_client.get(address, {"tail": "1"})
    assert (answer.content, answer["Content-Type"]) == (b"two\n", "text/plain; charset=utf-8")
    refused = admin_client.get(address, {"replica": "7"}, follow=True)
    assert "No output: " in refused.content.decode()


@pytest.mark.parametrize("page", ["clusters_cluster_queue", "deployments_deployment_why"])
def test_what_is_not_there_is_404_and_pages_are_of_operators_alone(
    admin_client: Client, cluster: Cluster, dev: User, client: Client, page: str
) -> None:
    address = reverse(f"admin:{page}", args=[dev.pk])
    assert admin_client.get(address).status_code == 404
    client.force_login(dev)
    assert client.get(address).status_code == 302


def test_an_operator_without_the_right_to_see_deployments_sees_none(
    client: Client, cluster: Cluster, dev: User, make_staff: Callable[[], User]
) -> None:
    row = make(cluster, dev)
    client.force_login(make_staff())
    for name, of in (
        ("clusters_cluster_queue", cluster),
        ("deployments_deployment_why", row),
        ("deployments_deployment_output", row),
    ):
        assert client.get(reverse(f"admin:{name}", args=[of.pk])).status_code == 403


@pytest.fixture
def make_staff() -> Callable[[], User]:
    return lambda: User.objects.create_user("clerk", password=None, is_staff=True)
