"""What a container mounts, the same for every runtime."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MountKind = Literal["HOST_PATH", "NFS", "DOCKER_VOLUME", "PVC", "S3"]


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume at a path of the container.

    `source` is what the volume is made of, by its kind: `path`; `server` and `path`; `volume`;
    `claim`, or `size_mib`, `storage_class` and `access_mode`. What is fetched of a bucket is in the
    launch spec's `fetch`.
    """

    volume: str  # its name in the cluster
    kind: MountKind
    path: str
    source: Mapping[str, Any] = field(default_factory=dict)
    read_only: bool = False
    never_written: bool = False  # the volume is offered read-only: no deployment may write it
    sub_path: str = ""
