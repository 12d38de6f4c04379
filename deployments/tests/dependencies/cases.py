"""Deployments that depend on others, and the ways in which those end."""

from datetime import timedelta

from django.utils import timezone

from deployments.models import Deployment, Status
from deployments.services.stop import stop_one
from deployments.services.submit import create_deployment
from deployments.tests import clock

SPEC = {"image": "train:1.2", "cpu_milli": 1000, "ram_mib": 512, "gpu": 0}


def ids(*deployments):
    return [str(deployment.pk) for deployment in deployments]


def submit(user, cluster, *dependencies, **columns):
    """The row of a deployment that depends on the others."""
    spec = {**SPEC, **columns, "depends_on": ids(*dependencies)}
    return create_deployment(user, cluster.pk, spec).deployment


def state(deployment):
    row = Deployment.objects.get(pk=deployment.pk)
    return row.status, row.pending_dependencies


def blamed(deployment):
    row = Deployment.objects.get(pk=deployment.pk)
    assert (row.status, row.reason_code) == (Status.FAILED, "DEPENDENCY_FAILED")
    assert row.finished_at is not None
    return row.reason_details["by"]


def run(*deployments, **columns):
    """As if a cycle had started them; due now unless `columns` say otherwise."""
    placement = [{"node_id": None, "node": None, "replicas": 1}]
    now = timezone.now()
    given = {
        "started_at": now - timedelta(hours=1),
        "due_at": now,
        "placement": placement,
        **columns,
    }
    for row in deployments:
        cluster = row.cluster
        Deployment.objects.filter(pk=row.pk).update(status=Status.RUNNING, **given)
        cluster.refresh_from_db()
        cluster.allocated_cpu_milli += row.cpu_milli
        cluster.allocated_ram_mib += row.ram_mib
        cluster.save()


def complete(*deployments):
    run(*deployments)
    assert clock.finish_due(timezone.now()) == len(deployments)


def overstay(deployment):
    run(deployment, max_runtime_s=60)
    assert clock.finish_due(timezone.now()) == 1


def stop_it(deployment):
    assert stop_one(Deployment.objects.get(pk=deployment.pk), deployment.owner)


def stop_it_running(deployment):
    run(deployment)
    stop_it(deployment)
