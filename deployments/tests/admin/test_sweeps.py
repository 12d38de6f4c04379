"""The operators' pages of sweeps."""

import pytest
from django.urls import reverse

from deployments.models import Status
from deployments.tests.api.sweeps.sweeping import give, members, swept
from deployments.tests.workloads import make

LIST = "/admin/deployments/sweep/"


def page(sweep):
    return reverse("admin:deployments_sweep_change", args=[sweep.pk])


@pytest.mark.parametrize("count", [1, 5])
def test_the_list_shows_what_members_do_and_costs_the_same(
    operator, dev, cluster, count, django_assert_num_queries
):
    sweeps = [swept(dev, cluster, max_parallel=2) for _ in range(count)]
    give(sweeps[0], Status.COMPLETED, Status.RUNNING, Status.QUEUED)
    # session, operator, count, rows, members
    with django_assert_num_queries(5):
        answer = operator.get(LIST)
    assert "3: 1 COMPLETED, 1 QUEUED, 1 RUNNING" in answer.content.decode()
    assert len(answer.context["cl"].result_list) == count


def test_the_page_shows_parameters_and_leads_to_the_members(operator, dev, cluster):
    sweep, other = swept(dev, cluster), make(cluster, dev)
    text = operator.get(page(sweep)).content.decode()
    assert "&#x27;n&#x27;: 2" in text or "&quot;n&quot;: 2" in text
    listed = operator.get(f"/admin/deployments/deployment/?sweep__id__exact={sweep.pk}")
    rows = {row.pk for row in listed.context["cl"].result_list}
    assert rows == {row.pk for row in members(sweep)}
    assert other.pk not in rows
    member = reverse("admin:deployments_deployment_change", args=[members(sweep)[1].pk])
    assert f"{sweep.name}, number 1" in operator.get(member).content.decode()


@pytest.mark.parametrize("text", ["lr", "nothing", "0199d1c5"])
def test_a_search_of_any_text_answers(operator, dev, cluster, text):
    swept(dev, cluster)
    found = operator.get(LIST, {"q": text}).context["cl"].result_list
    assert len(found) == (text == "lr")


def test_the_action_stops_the_members_after_a_confirmation(operator, dev, cluster):
    sweep = swept(dev, cluster)
    body = {"action": "stop", "index": "0", "_selected_action": [sweep.pk]}
    asked = operator.post(LIST, body).content.decode()
    assert "3 members wait or run" in asked
    assert {row.status for row in members(sweep)} == {"QUEUED"}
    operator.post(LIST, {**body, "confirmed": "yes"})
    assert {row.status for row in members(sweep)} == {"STOPPED"}
