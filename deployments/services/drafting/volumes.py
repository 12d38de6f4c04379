"""Checks the volumes that deployments mount, and keeps them from being withdrawn meanwhile."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection

from clusters.models import Cluster, Volume
from deployments.models import Deployment
from mlops_platform.api.errors import Invalid

Found = Mapping[UUID, Mapping[str, Volume]]  # by cluster and name

_KEEP = """
SELECT cluster_id, name FROM clusters_volume WHERE cluster_id = ANY(%(clusters)s)
   AND name = ANY(%(names)s) ORDER BY id FOR KEY SHARE
"""


def find(specs: Iterable[tuple[UUID, Mapping[str, Any]]]) -> Found:
    """The volumes of each cluster that its specs mount. One query, none where they mount none."""
    wanted = [(cluster, mount["name"]) for cluster, spec in specs for mount in _mounts(spec)]
    found: dict[UUID, dict[str, Volume]] = defaultdict(dict)
    if wanted:
        clusters, names = {each for each, _ in wanted}, {each for _, each in wanted}
        for volume in Volume.objects.filter(cluster__in=clusters, name__in=names):
            found[volume.cluster_id][volume.name] = volume
    return found


def refuse_unknown(cluster: Cluster, spec: Mapping[str, Any], found: Found) -> None:
    """400 for a volume that the cluster does not offer, and in a cluster without nodes for one that
    only some nodes have. Where there are nodes the deployment waits for one that has it."""
    offered = found.get(cluster.pk, {})
    names = {mount["name"] for mount in _mounts(spec)}
    _refuse_missing(names - offered.keys())
    local = sorted(name for name in names if offered[name].is_local)
    if local and not cluster.nodes.exists():
        raise Invalid({"volumes": f"Nodes have {local[0]}, and the cluster is one pool."})


def keep(deployments: Collection[Deployment]) -> None:
    """Have the volumes outlive the transaction that inserts these deployments; 400 where one has
    been withdrawn. Last in the transaction: the cluster's row is locked before a volume's.

    One query, none where they mount none.
    """
    wanted = {
        (row.cluster_id, mount["name"])
        for row in deployments
        if row.volumes
        for mount in row.volumes
    }
    if not wanted:
        return
    params = {
        "clusters": list({cluster for cluster, _ in wanted}),
        "names": list({name for _, name in wanted}),
    }
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, params)
        _refuse_missing({name for _, name in wanted - set(cursor.fetchall())})


def _refuse_missing(names: Collection[str]) -> None:
    if names:
        raise Invalid({"volumes": f"The cluster offers no volume {min(names)}."})


def _mounts(spec: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return spec.get("volumes") or ()
