"""Offers volumes to the deployments of a cluster, changes and withdraws them.

What a volume is made of stays while a deployment that has not ended mounts it; which nodes have it,
and whether it may be written, may change at any time, for the starts that follow.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from rest_framework.serializers import ValidationError

from clusters import hooks, recording
from clusters.endpoints import buckets
from clusters.models import Cluster, Runtime, Volume, VolumeKind
from clusters.services.clusters import lock_cluster_or_404, refuse_closing
from clusters.signals import cluster_changed
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.api.paths import lies_in
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import columns_of
from organizations.secrets import owners
from organizations.secrets.queries import SecretKey, existing

MOST_VOLUMES = 100
MISSING = "There is no such secret of the organization."
SETTINGS = ("name", "kind", "source", "read_only", "node_names", "node_selector")
NAMED = 3  # users of a volume, in a sentence

KINDS = {
    Runtime.SIMULATED: frozenset(VolumeKind),
    Runtime.DOCKER: frozenset(
        {VolumeKind.HOST_PATH, VolumeKind.NFS, VolumeKind.DOCKER_VOLUME, VolumeKind.S3}
    ),
    Runtime.KUBERNETES: frozenset(
        {VolumeKind.HOST_PATH, VolumeKind.NFS, VolumeKind.PVC, VolumeKind.S3}
    ),
}
OF_OPERATORS = frozenset({VolumeKind.HOST_PATH, VolumeKind.NFS})
BY_OPERATORS = "Only operators offer it, in the admin."
NO_IMAGE = "The platform has no FETCH_IMAGE, which fetches buckets: ask an operator."
NEVER_WRITTEN = "What is fetched from a bucket is always read-only."


def add_volume(cluster: Cluster, body: Mapping[str, Any], *, trusted: bool = False) -> Volume:
    """Offer a volume. `trusted`: for an operator, who may offer folders of nodes and servers.

    400 for a kind that the runtime or the caller may not have, 409 for a name that is taken, for
    more than a cluster may have, and where the cluster is being deleted.
    """
    _check_address(cluster, body["kind"], body.get("source"), trusted=trusted)
    with transaction.atomic():
        locked = lock_cluster_or_404(cluster.pk)
        refuse_closing(locked)
        volume = Volume(cluster=locked, trusted=trusted, **body)
        _check(volume, trusted=trusted)
        others = Volume.objects.filter(cluster=locked)
        if others.filter(name=volume.name).exists():
            raise Conflict(f"There is a volume {volume.name} already.", code="name_taken")
        if others.count() >= MOST_VOLUMES:
            raise Conflict(
                f"A cluster may have {MOST_VOLUMES} volumes at most.", code="too_many_volumes"
            )
        volume.save(force_insert=True)
        _volumes_changed(locked)
        given = columns_of(volume, SETTINGS)
        recording.of_part(locked, Type.VOLUME_CREATED, _target(volume), None, given)
    return volume


def change_volume(volume: Volume, body: Mapping[str, Any], *, trusted: bool = False) -> Volume:
    """Change what is given. 409 for another source while a deployment that has not ended mounts
    it, and where an operator has offered what only operators may."""
    _check_address(volume.cluster, volume.kind, body.get("source"), trusted=trusted)
    with transaction.atomic():
        locked = lock_cluster_or_404(volume.cluster_id)
        refuse_closing(locked)
        row = _locked(volume)
        row.cluster = locked
        changed = {name: value for name, value in body.items() if getattr(row, name) != value}
        if not changed:
            return row
        _refuse_tenant(row, trusted=trusted)
        if "source" in changed:
            _refuse_in_use(row, "the volume, whose source stays meanwhile")
        before = columns_of(row, list(changed))
        for name, value in changed.items():
            setattr(row, name, value)
        row.trusted = row.trusted or (trusted and "source" in changed)
        _check(row, trusted=trusted)
        row.save(update_fields=[*changed, "trusted"])
        _volumes_changed(locked)
        recording.of_part(locked, Type.VOLUME_CHANGED, _target(row), before, changed)
    return row


def delete_volume(volume: Volume, *, trusted: bool = False) -> None:
    """Withdraw the volume; what is in it stays. 409 while a deployment that has not ended mounts
    it."""
    with transaction.atomic():
        locked = lock_cluster_or_404(volume.cluster_id)
        row = _locked(volume)
        _refuse_tenant(row, trusted=trusted)
        _refuse_in_use(row, "the volume")
        target, before = _target(row), columns_of(row, SETTINGS)
        row.delete()
        _volumes_changed(locked)
        recording.of_part(locked, Type.VOLUME_DELETED, target, before, None)


def rename_node(cluster_id: UUID, before: str, after: str) -> None:
    """Name the node in the volumes that name it; the caller has the cluster's lock. One query, and
    one more for each such volume."""
    for volume in Volume.objects.filter(cluster=cluster_id, node_names__contains=[before]):
        names = {after if each == before else each for each in volume.node_names}
        volume.node_names = sorted(names)
        volume.save(update_fields=["node_names"])


def _target(volume: Volume) -> tuple[TargetType, UUID, str]:
    return TargetType.VOLUME, volume.pk, volume.name


def _locked(volume: Volume) -> Volume:
    """The row, locked also against the submits that mount it: they share a lock of its key."""
    row = lock_row(Volume.objects.all(), volume.pk, no_key=False)
    if row is None:
        raise not_found()
    return row


def _check(volume: Volume, *, trusted: bool) -> None:
    cluster, kind = volume.cluster, VolumeKind(volume.kind)
    if kind == VolumeKind.S3:
        _check_bucket(volume)
    if kind not in KINDS[Runtime(cluster.runtime)]:
        raise Invalid({"kind": f"Not in a {cluster.runtime} cluster."})
    if kind in OF_OPERATORS and not trusted:
        raise Invalid({"kind": BY_OPERATORS})
    if kind == VolumeKind.DOCKER_VOLUME and volume.source.get("volume") and not trusted:
        raise Invalid({"source": BY_OPERATORS})
    if kind == VolumeKind.HOST_PATH and not is_below_a_root(volume.source["path"]):
        raise Invalid({"source": "Its path lies below none of VOLUME_HOST_ROOTS."})
    if volume.is_local and cluster.is_pool:
        field = "node_names" if volume.node_names else "node_selector"
        raise Invalid({field: "The cluster has no nodes: it is one pool."})


def _check_bucket(volume: Volume) -> None:
    if not volume.read_only:
        raise Invalid({"read_only": NEVER_WRITTEN})
    if volume.cluster.runtime != Runtime.SIMULATED and not settings.FETCH_IMAGE:
        raise Invalid({"kind": NO_IMAGE})
    if volume.source.get("max_mib", 0) > settings.FETCH_MAX_MIB:
        most = f"The platform fetches {settings.FETCH_MAX_MIB} MiB at most."
        raise ValidationError({"source": {"max_mib": [most]}})
    owner = owners.organization(volume.cluster.organization_id)
    names = volume.source.get("secrets", {})
    found = existing({SecretKey(owner, name) for name in names.values()})
    missing = {
        each: [MISSING] for each, name in names.items() if SecretKey(owner, name) not in found
    }
    if missing:
        raise ValidationError({"source": {"secrets": missing}})


def _check_address(
    cluster: Cluster, kind: str, source: Mapping[str, Any] | None, *, trusted: bool
) -> None:
    """400 for a bucket's URL that leads where tenants may attach nothing. A simulated cluster
    fetches nothing, so there no name is resolved."""
    if kind != VolumeKind.S3 or not source:
        return
    trusted = trusted or cluster.runtime == Runtime.SIMULATED
    if fault := buckets.why_not(source["endpoint"], trusted=trusted):
        raise ValidationError({"source": {"endpoint": [fault]}})


def is_below_a_root(path: str) -> bool:
    """Whether operators may offer the folder. The root itself would show all that is below it."""
    return any(path != root and lies_in(path, root) for root in settings.VOLUME_HOST_ROOTS)


def _refuse_tenant(volume: Volume, *, trusted: bool) -> None:
    of_operators = volume.kind in OF_OPERATORS or volume.source.get("volume")
    of_operators = of_operators or (volume.kind == VolumeKind.S3 and volume.trusted)
    if of_operators and not trusted:
        raise Conflict("An operator offers it: ask an operator.", code="offered_by_operator")


def _refuse_in_use(volume: Volume, what: str) -> None:
    count, first = hooks.volume_users(volume.cluster_id, volume.name)
    if count:
        named = ", ".join(first[:NAMED])
        more = f" and {count - NAMED} more" if count > NAMED else ""
        raise Conflict(
            f"{named}{more} {'mounts' if count == 1 else 'mount'} {what}: wait for the end, or "
            "stop first.",
            code="volume_in_use",
        )


def _volumes_changed(locked: Cluster) -> None:
    """Tell the scheduler, which plans anew what has not started yet."""
    volumes = Volume.objects.filter(cluster=locked)
    locked.has_local_volumes = any(each.is_local for each in volumes)
    locked.changed_at = database_now()
    locked.save(update_fields=["has_local_volumes", "changed_at"])
    cluster_changed.send(Cluster, cluster_id=locked.pk)
