"""From the buckets that a deployment mounts to what is fetched before it starts, and with whose
keys."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from clusters.models import Volume, VolumeKind
from deployments.models import Deployment
from deployments.runtimes.base import Code, Problem, RefusedError
from deployments.runtimes.fetches import Bucket, Fetch
from organizations.secrets.owners import Scope

Reference = dict[str, str]


def mounted(row: Deployment, volumes: Mapping[str, Volume]) -> list[tuple[Volume, dict[str, Any]]]:
    """The buckets among the row's volumes, each with how the row mounts it."""
    found = [(volumes.get(given["name"]), given) for given in row.volumes]
    return [(each, given) for each, given in found if each and each.kind == VolumeKind.S3]


def references(row: Deployment, volumes: Mapping[str, Volume]) -> list[Reference]:
    """The secrets of the row's buckets, as a row has those of its own."""
    return [
        {"scope": str(Scope.ORGANIZATION), "name": name, "volume": volume.name, "part": part}
        for volume in {each.pk: each for each, _ in mounted(row, volumes)}.values()
        for part, name in volume.source.get("secrets", {}).items()
    ]


def fetch_of(
    row: Deployment, volumes: Mapping[str, Volume], keys: Mapping[str, Mapping[str, str]]
) -> Fetch | None:
    """What the row fetches; None where it mounts no bucket. `keys`: the parts of an access key, by
    volume. Raises RefusedError where the settings no longer name an image that fetches."""
    buckets = mounted(row, volumes)
    if not buckets:
        return None
    if not settings.FETCH_IMAGE:
        said = "The platform has no FETCH_IMAGE, which fetches buckets: ask an operator."
        raise RefusedError(Problem(Code.FETCH_FAILED, said))
    return Fetch(
        image=settings.FETCH_IMAGE,
        buckets={
            given["path"]: _bucket(volume, given["sub_path"], keys.get(volume.name, {}))
            for volume, given in buckets
        },
        within_s=settings.FETCH_WITHIN_S,
        ranges=[str(each) for each in settings.TENANT_ENDPOINT_RANGES],
        most_mib=row.container.get("ephemeral_mib"),
    )


def _bucket(volume: Volume, sub_path: str, keys: Mapping[str, str]) -> Bucket:
    source = volume.source
    folders = [each for each in (source.get("prefix", ""), sub_path) if each]
    return Bucket(
        volume=volume.name,
        endpoint=source["endpoint"],
        bucket=source["bucket"],
        prefix="/".join(folders),
        region=source.get("region", ""),
        max_mib=min(source.get("max_mib", settings.FETCH_MAX_MIB), settings.FETCH_MAX_MIB),
        judged=not volume.trusted,
        **keys,
    )
