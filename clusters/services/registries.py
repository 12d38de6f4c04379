"""Credentials for the registries that a cluster's images come from."""

from django.db import transaction

from clusters import recording
from clusters.models import Cluster, Registry, Runtime
from clusters.services.clusters import lock_cluster_or_404
from mlops_platform.api.errors import Conflict
from mlops_platform.database.row_waits import lock_row
from mlops_platform.sealing import seal
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import REPLACED

MOST_REGISTRIES = 100


def put_registry(cluster: Cluster, host: str, username: str, password: str) -> Registry:
    """Store the credentials. Those of the same host are replaced, and keep their id.

    409 in a simulated cluster, which pulls no images, and for more than a cluster may have.
    """
    if cluster.runtime == Runtime.SIMULATED:
        raise Conflict("A simulated cluster pulls no images.", code="simulated")
    with transaction.atomic():
        locked = lock_cluster_or_404(cluster.pk)
        others = Registry.objects.filter(cluster=locked).exclude(host=host)
        if others.count() >= MOST_REGISTRIES:
            raise Conflict(
                f"A cluster may have {MOST_REGISTRIES} registries at most.",
                code="too_many_registries",
            )
        columns = {"username": username, "secret": seal({"password": password})}
        registry, created = Registry.objects.update_or_create(
            cluster=locked, host=host, defaults=columns
        )
        recording.of_part(
            locked,
            Type.REGISTRY_CREATED if created else Type.REGISTRY_CHANGED,
            (TargetType.REGISTRY, registry.pk, host),
            None,
            {"username": username, "password": REPLACED},
        )
    return registry


def delete_registry(registry: Registry) -> None:
    """Delete the credentials; images that were pulled with them stay on the nodes."""
    with transaction.atomic():
        row = lock_row(Registry.objects.all(), registry.pk, no_key=False)
        if row is not None:
            target = (TargetType.REGISTRY, row.pk, row.host)
            before = {"username": row.username}
            row.delete()
            recording.of_part(registry.cluster, Type.REGISTRY_DELETED, target, before, None)
