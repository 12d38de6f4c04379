"""What a deployment depends on: others of its cluster that must complete before it may start.

A submit names its dependencies, which must exist already, so no circle can arise.

No end is missed: a submit with dependencies has the cluster's lock, and those of its dependencies'
rows, from before it reads them until it commits. Every end takes the cluster's lock too, except for
the short cut in stop.py, which writes its own row first and only then looks for deployments that
depend on it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from clusters.services.clusters import lock_clusters
from deployments.models import Deployment, Status
from deployments.queries.dependencies import OF_DEPENDENCY, Dependency, dependency_of
from deployments.reasons.others import some_of
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.api.ids import parse_uuid

LINKS = 10_000  # rows of one insert
HOPELESS = (Status.FAILED, Status.STOPPED)  # a deployment that ended so will never complete


class Found(NamedTuple):
    """A deployment that others may depend on, and its cluster."""

    cluster_id: UUID
    dependency: Dependency


def find(cluster_ids: Collection[UUID], ids: Collection[str]) -> dict[UUID, Found]:
    """The deployments of these clusters with these ids, by id, oldest first. One query at most."""
    keys = set(filter(None, map(parse_uuid, ids)))
    if not keys:
        return {}
    rows = Deployment.objects.filter(cluster__in=cluster_ids, pk__in=keys).order_by("pk")
    return {
        row[0]: Found(cluster_id, dependency_of(*row))
        for cluster_id, *row in rows.values_list("cluster_id", *OF_DEPENDENCY)
    }


def select(cluster_id: UUID, ids: Collection[str], found: Mapping[UUID, Found]) -> list[Dependency]:
    """The deployments of that cluster with these ids, oldest first.

    400 that names all other ids, whether they are those of another cluster or of nothing.
    """
    needed: dict[UUID, Dependency] = {}
    missing = []
    for text in ids:
        key = parse_uuid(text)
        each = found.get(key) if key else None
        if each is not None and each.cluster_id == cluster_id:
            needed[each.dependency.id] = each.dependency
        else:
            missing.append(text)
    if missing:
        raise Invalid({"depends_on": f"No deployments of this cluster: {some_of(missing)}."})
    return [needed[key] for key in sorted(needed)]


def attach(
    needs: Sequence[tuple[Deployment, Sequence[Dependency]]],
) -> list[list[Dependency]]:
    """Link each row just inserted with its dependencies; returns them as they are now, locked.

    404 where a cluster is gone. The caller refuses those that will never complete
    (refuse_hopeless). Three queries for any number of rows, two more for several clusters, one more
    where a dependency has completed since it was found.
    """
    clusters = {row.cluster_id for row, _ in needs}
    if len(lock_clusters(clusters)) < len(clusters):
        raise not_found()
    ids = {each.id for _, needed in needs for each in needed}
    rows = Deployment.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=ids)
    columns = rows.order_by("pk").values_list(*OF_DEPENDENCY)
    now = {row[0]: dependency_of(*row) for row in columns}
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
        pending = count_pending(needed)
        if pending != row.pending_dependencies:
            row.pending_dependencies = pending
            changed.append(row)
    Deployment.objects.bulk_update(changed, ["pending_dependencies"], batch_size=1000)
    return present


def refuse_hopeless(dependencies: Sequence[Dependency]) -> None:
    """409 where one of them will never complete."""
    for each in dependencies:
        if each.status in HOPELESS:
            raise Conflict(
                f"It could never start: {each.name}, on which it depends, is {each.status}.",
                code="dependency_failed",
            )


def count_pending(dependencies: Sequence[Dependency]) -> int:
    """How many of them have not completed."""
    return sum(each.status != Status.COMPLETED for each in dependencies)
