"""A deployment starts after it was queued, whatever a snapshot's time says."""

from datetime import timedelta

import pytest

from clusters.models import Cluster
from deployments.models import Deployment, DeploymentEvent
from deployments.services.submit import create_deployment
from scheduler.tests.conftest import run_cycle

pytestmark = pytest.mark.django_db


def test_the_timeline_has_the_submit_before_the_start(cluster: Cluster, dev):
    """A snapshot's time is that of its first statement, which may wait for what it reads."""
    spec = {"image": "x", "cpu_milli": 1000, "ram_mib": 512, "gpu": 0, "simulated_runtime_s": 60}
    row = create_deployment(dev, cluster.pk, spec).deployment
    later = row.created_at + timedelta(seconds=2)
    Deployment.objects.filter(pk=row.pk).update(created_at=later, queued_at=later)
    DeploymentEvent.objects.filter(deployment=row).update(at=later)
    run_cycle(cluster)
    row.refresh_from_db()
    events = DeploymentEvent.objects.filter(deployment=row).order_by("at", "id")
    assert [each.type for each in events] == ["SUBMITTED", "STARTED"]
    assert row.status == "RUNNING"
    assert row.started_at == row.admitted_at == later
    assert row.due_at == later + timedelta(seconds=60)
