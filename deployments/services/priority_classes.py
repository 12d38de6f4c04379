"""Creates, changes and deletes priority classes, for operators. LOW and HIGH always exist, HIGH
above LOW.

The name of a class is part of its deployments' scheduling keys and of its queues' names, so it can
no longer change once a deployment has the class.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.apps.registry import Apps
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from clusters.models import Cluster
from clusters.services.clusters import lock_clusters
from clusters.signals import cluster_changed
from deployments.models import Deployment, PriorityClass, Status
from mlops_platform.api.errors import Conflict
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import Event, Target, columns_of, differing, record_all
from organizations.models import Organization

SETTINGS = ("name", "value", "may_preempt", "preemptible")
STANDARD_CLASSES = {"LOW": (0, False), "HIGH": (1000, True)}  # value, may it preempt


def create_standard_classes(using: str, apps: Apps) -> None:
    """Create LOW and HIGH where they are missing: after every migrate, and after a test has emptied
    the tables. Does nothing where `apps` are those of a migration from before priority classes."""
    try:
        priority_class = apps.get_model("deployments", "PriorityClass")
    except LookupError:
        return
    for name, (value, may_preempt) in STANDARD_CLASSES.items():
        priority_class.objects.using(using).get_or_create(
            name=name, defaults={"value": value, "may_preempt": may_preempt, "preemptible": True}
        )


def faults(priority_class: PriorityClass, name: str, value: int) -> dict[str, str]:
    """A sentence by field for each reason against that name or value."""
    found: dict[str, str] = {}
    present = priority_class.pk and PriorityClass.objects.filter(pk=priority_class.pk).first()
    if present and name != present.name:
        if is_standard(present):
            found["name"] = f"{present.name} always exists and keeps its name."
        elif is_used(present):
            found["name"] = "Deployments have this class, so it keeps its name."
    values = dict(PriorityClass.objects.values_list("name", "value")) | {name: value}
    if name in STANDARD_CLASSES and values["LOW"] >= values["HIGH"]:
        other = "LOW" if name == "HIGH" else "HIGH"
        side = "above" if name == "HIGH" else "below"
        found["value"] = f"Must stay {side} that of {other}, {values[other]}."
    return found


def save(priority_class: PriorityClass) -> None:
    """Save it, and wake the scheduler for every cluster with queued deployments: their order may
    have changed."""
    with transaction.atomic():
        before = PriorityClass.objects.filter(pk=priority_class.pk).first()
        priority_class.save()
        _record(priority_class, columns_of(before, SETTINGS) if before else None, SETTINGS)
        waiting = Deployment.objects.filter(cluster=OuterRef("pk"), status=Status.QUEUED)
        concerned = list(Cluster.objects.filter(Exists(waiting)).values_list("pk", flat=True))
        lock_clusters(concerned)  # else one that is locked would keep the others so for long
        Cluster.objects.filter(pk__in=concerned).update(changed_at=Now())
        for cluster_id in concerned:
            cluster_changed.send(Cluster, cluster_id=cluster_id)


def delete(priority_class: PriorityClass) -> None:
    """409 for LOW and HIGH, and while a deployment, ended ones too, has the class."""
    with transaction.atomic():
        locked = PriorityClass.objects.select_for_update().get(pk=priority_class.pk)
        if is_standard(locked):
            raise Conflict(f"{locked.name} always exists.", code="standard_class")
        if is_used(locked):
            raise Conflict(
                f"Deployments have the priority {locked.name}, so it stays.", code="class_in_use"
            )
        _record(locked, columns_of(locked, SETTINGS), ())
        locked.delete()


def _record(
    priority_class: PriorityClass, before: Mapping[str, Any] | None, settings: Sequence[str]
) -> None:
    """In the feeds of all organizations: their deployments have these classes. Two queries."""
    after = columns_of(priority_class, settings)
    type_ = Type.PRIORITY_CLASS_CHANGED if before else Type.PRIORITY_CLASS_CREATED
    if not after:
        type_ = Type.PRIORITY_CLASS_DELETED
    target = Target(TargetType.PRIORITY_CLASS, str(priority_class.pk), priority_class.name)
    sides = differing(before, after) if before and after else (before, after or None)
    live = Organization.objects.filter(deleted_at=None).values_list("pk", flat=True)
    record_all(Event(each, type_, target, *sides) for each in [None, *live])


def is_standard(priority_class: PriorityClass) -> bool:
    return priority_class.name in STANDARD_CLASSES


def is_used(priority_class: PriorityClass) -> bool:
    return Deployment.objects.filter(priority_class=priority_class).exists()
