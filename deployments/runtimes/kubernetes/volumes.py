"""The volumes of a Pod, and the claims that the platform makes for them."""

from collections.abc import Sequence

from deployments.runtimes.kubernetes.api import Api, Refusal
from deployments.runtimes.kubernetes.creation import objection
from deployments.runtimes.kubernetes.names import CLUSTER, Json, volume_claim_name
from deployments.runtimes.mounts import Mount

ACCESS_MODE = "ReadWriteMany"


def volumes_of(mounts: Sequence[Mount], cluster_id: str) -> list[Json]:
    """`spec.volumes` of a Pod: each volume once, however often it is mounted; buckets are
    buckets.py's."""
    by_name = {mount.volume: mount for mount in mounts if mount.kind != "S3"}
    return [{"name": _name(mount), **_source(mount, cluster_id)} for mount in by_name.values()]


def volume_mounts_of(mounts: Sequence[Mount]) -> list[Json]:
    """`volumeMounts` of a container. The kubelet follows no link out of a volume for a subPath."""
    return [
        {
            "name": _name(mount),
            "mountPath": mount.path,
            "readOnly": mount.read_only,
            **({"subPath": mount.sub_path} if mount.sub_path else {}),
        }
        for mount in mounts
        if mount.kind != "S3"
    ]


def group_of(mounts: Sequence[Mount], user: str) -> Json:
    """Makes claims writable for the group of the container's user, where it has one."""
    group = user.partition(":")[2]
    if not group or not any(mount.kind == "PVC" for mount in mounts):
        return {}
    return {"fsGroup": int(group), "fsGroupChangePolicy": "OnRootMismatch"}


def ensure_claims(api: Api, namespace: str, mounts: Sequence[Mount], cluster_id: str) -> None:
    """Create the claims that do not exist yet. One that exists stays as it is.

    Raises RefusedError.
    """
    for mount in {mount.volume: mount for mount in mounts}.values():
        if mount.kind != "PVC" or "claim" in mount.source:
            continue
        try:
            claim = _claim(mount, cluster_id)
            api.call("create_namespaced_persistent_volume_claim", namespace, claim)
        except Refusal as refusal:
            if refusal.reason != "AlreadyExists":
                raise objection(refusal) from refusal


def _name(mount: Mount) -> str:
    """No name that the Pod has besides."""
    return f"v-{mount.volume}"


def _source(mount: Mount, cluster_id: str) -> Json:
    source = mount.source
    if mount.kind == "HOST_PATH":
        return {"hostPath": {"path": source["path"], "type": "Directory"}}
    if mount.kind == "NFS":
        server = {"server": source["server"], "path": source["path"]}
        return {"nfs": {**server, "readOnly": mount.never_written}}
    claim = source.get("claim") or volume_claim_name(cluster_id, mount.volume)
    return {"persistentVolumeClaim": {"claimName": claim, "readOnly": mount.never_written}}


def _claim(mount: Mount, cluster_id: str) -> Json:
    spec: Json = {
        "accessModes": [mount.source.get("access_mode", ACCESS_MODE)],
        "resources": {"requests": {"storage": f"{mount.source['size_mib']}Mi"}},
    }
    if mount.source.get("storage_class"):
        spec["storageClassName"] = mount.source["storage_class"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": volume_claim_name(cluster_id, mount.volume),
            "labels": {CLUSTER: cluster_id},
        },
        "spec": spec,
    }
