"""The operators' pages of maintenance windows."""

from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import User
from clusters.models import MaintenanceWindow, Node
from clusters.services import windows
from clusters.tests.allocation import make_cluster, make_node
from organizations.tests.people import PASSWORD

LIST = "/admin/clusters/maintenancewindow/"
HOUR = timedelta(hours=1)


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def planned(cluster):
    body = {"begins_at": HOUR, "ends_at": 2 * HOUR, "mode": "now", "reason": "new <disks>"}
    return windows.plan_window(cluster, body, by="ada").window


@pytest.fixture
def window(cluster):
    for number in range(7):
        make_node(cluster, name=f"node-{number}")
    return planned(cluster)


@pytest.mark.parametrize("size", [1, 20])
def test_the_list_costs_the_same_for_few_and_many(
    operator, org, window, size, django_assert_num_queries
):
    for number in range(size - 1):
        other = make_cluster(org, name=f"pool-{number}")
        make_node(other)
        planned(other)
    # session, operator, count, rows with their clusters, their nodes
    with django_assert_num_queries(5):
        answer = operator.get(LIST)
    assert len(answer.context["cl"].result_list) == size


def test_list_and_page_show_when_where_and_why(operator, window):
    page = reverse("admin:clusters_maintenancewindow_change", args=[window.pk])
    for path in (LIST, page):
        text = operator.get(path).content.decode()
        for part in ("new &lt;disks&gt;", "PLANNED", "node-0, node-1", "and 2 more", "west"):
            assert part in text, part
    assert "ada" in operator.get(page).content.decode()
    assert operator.get(f"{LIST}add/").status_code == 403


def test_an_operator_calls_one_off_that_is_under_way(operator, window):
    MaintenanceWindow.objects.update(begins_at=window.begins_at - HOUR, next_at="2026-01-01T00:00Z")
    windows.turn(window.cluster_id)
    assert set(Node.objects.values_list("state", flat=True)) == {"DRAINED"}
    body = {"action": "call_off", "index": "0", "_selected_action": [window.pk]}
    answer = operator.post(LIST, body, follow=True)
    assert [str(each) for each in answer.context["messages"]] == ["Called off: 1."]
    assert not MaintenanceWindow.objects.exists()
    assert set(Node.objects.values_list("state", flat=True)) == {"READY"}
