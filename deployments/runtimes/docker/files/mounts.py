"""What a container mounts, as the engine's REST API takes it.

A folder of the node is a bind mount. What a file server exports is a volume of the engine's `local`
driver, which mounts it for each container, as is a folder of the node with a `sub_path`: of a
volume, and of nothing else, an engine from 26 on (API 1.45) mounts a sub-folder without following a
link that leads out of it.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from deployments.runtimes.base import Code, Problem, RefusedError
from deployments.runtimes.mounts import Mount

SAFE_SUB_PATHS = (1, 45)  # the API's version from which links in a sub_path lead nowhere else
DEEP_READ_ONLY = (1, 44)  # from which read-only folders have no writable mount inside
NFS_OPTIONS = "nfsvers=4,nosuid,nodev"


def mounts_of(mounts: Sequence[Mount], cluster_id: str, version: str) -> list[dict[str, Any]]:
    """`HostConfig.Mounts` of a container. Raises RefusedError for a sub_path that this engine would
    follow out of a volume. What buckets fill is theirs (buckets.py)."""
    known = tuple(int(part) for part in version.split("."))
    return [_mount(mount, cluster_id, known) for mount in mounts if mount.kind != "S3"]


def _mount(mount: Mount, cluster_id: str, version: tuple[int, ...]) -> dict[str, Any]:
    shared = {"Target": mount.path, "ReadOnly": mount.read_only}
    by_engine = bool(mount.sub_path) and version >= SAFE_SUB_PATHS
    if mount.sub_path and not by_engine and not _is_safe(mount):
        raise RefusedError(Problem(Code.REFUSED, _unsafe(mount)))
    if mount.kind == "HOST_PATH" and not by_engine:
        options: dict[str, Any] = {"Propagation": "rprivate"}
        if mount.read_only and version < DEEP_READ_ONLY:
            options["NonRecursive"] = True  # what is mounted inside would be writable
        folder = _joined(str(mount.source["path"]), mount.sub_path)
        return {"Type": "bind", "Source": folder, "BindOptions": options, **shared}
    volume: dict[str, Any] = {"Labels": {}}
    if by_engine:
        volume["Subpath"] = mount.sub_path
    if mount.kind == "DOCKER_VOLUME":
        name = str(mount.source.get("volume") or own_volume(cluster_id, mount.volume))
    else:
        driven = _options(mount, "" if by_engine else mount.sub_path)
        name = driven_volume(cluster_id, mount.volume, driven)
        volume |= {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": driven}}
    return {"Type": "volume", "Source": name, "VolumeOptions": volume, **shared}


def own_volume(cluster_id: str, volume: str) -> str:
    """The name that a cluster's volume has on its engines."""
    return f"mlops-{cluster_id}-{volume}"


def driven_volume(cluster_id: str, volume: str, options: Mapping[str, str]) -> str:
    """The name of one that the `local` driver mounts with these options. No volume of a cluster has
    a dot in its name, so this is none that an ADMIN offers."""
    return f"{own_volume(cluster_id, volume)}.{_digest(options)}"


def _options(mount: Mount, inner: str) -> dict[str, str]:
    """What the `local` driver mounts, each time that the volume's first container starts."""
    folder = _joined(str(mount.source["path"]), inner)
    if mount.kind == "HOST_PATH":
        return {"type": "none", "o": "bind", "device": folder}
    options = f"addr={mount.source['server']},{NFS_OPTIONS}{',ro' if mount.never_written else ''}"
    return {"type": "nfs", "o": options, "device": f":{folder}"}


def _is_safe(mount: Mount) -> bool:
    """No deployment can make a link in a folder that none may write."""
    return mount.never_written and mount.kind in {"HOST_PATH", "NFS"}


def _unsafe(mount: Mount) -> str:
    return (
        f"A sub_path of {mount.volume} needs Docker Engine 26 or later: earlier ones follow links "
        "out of a volume."
    )


def _joined(folder: str, inner: str) -> str:
    return f"{folder}/{inner}" if inner else folder


def _digest(options: Mapping[str, str]) -> str:
    """The engine keeps the options that a volume was made with: others need another name."""
    text = "\n".join(f"{name}={options[name]}" for name in sorted(options))
    return sha256(text.encode()).hexdigest()[:12]
