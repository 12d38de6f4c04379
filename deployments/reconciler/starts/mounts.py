"""From the volumes that a deployment names to what its containers mount."""

from collections.abc import Mapping, Sequence

from clusters.models import Cluster, Volume, VolumeKind
from clusters.queries import volumes_in
from clusters.services.volumes import is_below_a_root
from deployments.models import Deployment
from deployments.runtimes.base import Code, Problem, RefusedError
from deployments.runtimes.mounts import Mount


class Mounts:
    """Of these rows of one cluster. One query, none where they mount no volume; it is made at once,
    as each of the threads that start containers would open a connection of its own for it."""

    def __init__(self, cluster: Cluster, rows: Sequence[Deployment]) -> None:
        self.volumes: Mapping[str, Volume] = {}
        if any(row.volumes for row in rows):
            self.volumes = {each.name: each for each in volumes_in(cluster)}

    def of(self, row: Deployment) -> Sequence[Mount]:
        """Raises RefusedError where a volume is gone, or where the settings no longer allow its
        folder: it was offered under others."""
        return [self._mount(self.volumes.get(given["name"]), given) for given in row.volumes]

    @staticmethod
    def _mount(volume: Volume | None, given: Mapping[str, str]) -> Mount:
        if volume is None:
            raise _refused(f"The cluster offers no volume {given['name']} any more.")
        if volume.kind == VolumeKind.HOST_PATH and not is_below_a_root(volume.source["path"]):
            raise _refused(f"The folder of {volume.name} lies below none of VOLUME_HOST_ROOTS.")
        return Mount(
            volume=volume.name,
            kind=volume.kind,  # type: ignore[arg-type]  # one of VolumeKind, as Mount has them
            path=given["path"],
            source=volume.source,
            read_only=bool(given["read_only"]) or volume.read_only,
            never_written=volume.read_only,
            sub_path=given["sub_path"],
        )


def _refused(why: str) -> RefusedError:
    return RefusedError(Problem(Code.REFUSED, why))
