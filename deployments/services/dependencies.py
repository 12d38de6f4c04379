"""What a submit may depend on.

A submit names its dependencies, which must be there already, so no circle can be made.

No end is missed: a submit that names others holds the cluster's lock, and theirs, from before it
reads them until it commits. Every end takes the cluster's lock too, but for the short cut of
stop.py; that one writes its own row first and only then looks for deployments that depend on it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from clusters.services.clusters import lock_clusters
from deployments.models import Deployment, Status
from deployments.queries import Dependency
from deployments.reasons import some_of
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.api.ids import parse_uuid

LINKS = 10_000  # rows of one insert
HOPELESS = (Status.FAILED, Status.STOPPED)  # what ended so will never complete


class Known(NamedTuple):
    """A deployment that may be depended on, and where it is."""

    cluster_id: UUID
    dependency: Dependency


def known(cluster_ids: Collection[UUID], ids: Collection[str]) -> dict[UUID, Known]:
    """Those of the clusters that `ids` name, by id, oldest first. One query, none for no ids."""
    keys = set(filter(None, map(parse_uuid, ids)))
    if not keys:
        return {}
    rows = Deployment.objects.filter(cluster__in=cluster_ids, pk__in=keys).order_by("pk")
    return {
        pk: Known(cluster_id, Dependency(pk, status))
        for pk, cluster_id, status in rows.values_list("pk", "cluster_id", "status")
    }


def named(cluster_id: UUID, ids: Collection[str], found: Mapping[UUID, Known]) -> list[Dependency]:
    """Those that `ids` name, of that cluster, oldest first.

    400 that names the others, told alike whether they are elsewhere or nowhere.
    """
    there: dict[UUID, Dependency] = {}
    missing = []
    for text in ids:
        key = parse_uuid(text)
        each = found.get(key) if key else None
        if each is not None and each.cluster_id == cluster_id:
            there[each.dependency.id] = each.dependency
        else:
            missing.append(text)
    if missing:
        raise Invalid({"depends_on": f"No deployments of this cluster: {some_of(missing)}."})
    return [there[key] for key in sorted(there)]


def attach(
    needs: Sequence[tuple[Deployment, Sequence[Dependency]]],
) -> list[list[Dependency]]:
    """Let each row just inserted depend on those found; answers them as they are now, and locked.

    404 where a cluster is gone. Three queries however many, one more where one has completed since
    it was found. Whoever will never complete is the caller's to refuse (refuse_hopeless).
    """
    clusters = {row.cluster_id for row, _ in needs}
    if len(lock_clusters(clusters)) < len(clusters):
        raise not_found()
    ids = {each.id for _, needed in needs for each in needed}
    rows = Deployment.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    now = {pk: Dependency(pk, status) for pk, status in rows.values_list("pk", "status")}
    present = [[now[each.id] for each in needed if each.id in now] for _, needed in needs]
    through = Deployment.depends_on.through
    through.objects.bulk_create(
        [
            through(from_deployment_id=row.pk, to_deployment_id=each.id)
            for (row, _), needed in zip(needs, present, strict=True)
            for each in needed
        ],
        batch_size=LINKS,
    )
    changed = []
    for (row, _), needed in zip(needs, present, strict=True):
        if pending(needed) != row.pending_dependencies:
            row.pending_dependencies = pending(needed)
            changed.append(row)
    Deployment.objects.bulk_update(changed, ["pending_dependencies"], batch_size=1000)
    return present


def refuse_hopeless(dependencies: Sequence[Dependency]) -> None:
    """409 where one of them will never complete."""
    for each in dependencies:
        if each.status in HOPELESS:
            raise Conflict(
                f"It could never start: {each.id}, on which it depends, is {each.status}.",
                code="dependency_failed",
            )


def pending(dependencies: Sequence[Dependency]) -> int:
    """How many of them have not completed."""
    return sum(each.status != Status.COMPLETED for each in dependencies)
