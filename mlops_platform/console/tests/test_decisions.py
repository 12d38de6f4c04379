"""The pages of the ledger: names in place of ids."""

import pytest

from deployments.models import Deployment, Status
from deployments.tests.workloads import make
from mlops_platform.console.pages import decisions
from mlops_platform.console.pages.decisions import decision_page, decisions_page
from scheduler import cycle
from scheduler.models import SchedulingCycle, Trigger

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_decision_names_what_started_in_place_of_what(cluster, ada, dev):
    victims = [make(cluster, dev, Status.RUNNING, name=f"low-{n}", gpu=2) for n in range(2)]
    made = make(cluster, ada, name="urgent", priority="HIGH", gpu=3)
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    assert Deployment.objects.get(pk=made.pk).status == Status.RUNNING
    listed = decisions_page(dev, str(cluster.pk), "")
    [line] = listed.cycles
    assert (line.cause, line.started, line.evicted) == ("a submit", 1, 2)
    seen = decision_page(dev, str(line.id))
    [start] = seen.starts
    assert (start.id, start.name) == (str(made.pk), "urgent of ada")
    assert "in place of " in start.said
    assert {each.name for each in seen.evictions} == {f"{each.name} of dev" for each in victims}
    assert all("Made room for urgent of ada (HIGH)" in each.said for each in seen.evictions)


def test_decisions_come_in_pages_newest_first(cluster, dev, monkeypatch):
    monkeypatch.setattr(decisions, "PER_PAGE", 2)
    for number in range(3):
        make(cluster, dev, name=f"n{number}", gpu=1)
        cycle.run(cluster.pk, Trigger.SUBMITTED)
    newest = [each.pk for each in SchedulingCycle.objects.order_by("-started_at")]
    first = decisions_page(dev, str(cluster.pk), "")
    second = decisions_page(dev, str(cluster.pk), first.older)
    assert [each.id for each in (*first.cycles, *second.cycles)] == newest
    assert second.older == ""
    assert decisions_page(dev, str(cluster.pk), "nonsense").cycles == first.cycles
