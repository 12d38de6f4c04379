"""Fetches buckets into a Pod before its program starts: by an init container of the platform's own
image, which writes empty folders that the program then reads.

The credentials are in the Pod's Secret, of which the init container alone mounts that part.
"""

from deployments.runtimes.base import Code, LaunchSpec, Problem, one_line
from deployments.runtimes.fetches import (
    COMMAND,
    DELAYED,
    DOCUMENT,
    FAILED,
    FOLDER,
    LEAST_CPU_MILLI,
    LEAST_RAM_MIB,
)
from deployments.runtimes.kubernetes.names import Json

CONTAINER = "fetch"  # no name of a deployment's own container
ENTRY = "fetch"  # of the Pod's Secret
_DOCUMENT = "fetch"
_READABLE = 0o444  # by the user of the image, whichever it is; no other container mounts it


def init_containers_of(launch_spec: LaunchSpec, security: Json) -> list[Json]:
    """With the deployment's amounts, so that the Pod asks for no more than without it; limits that
    are too small for the program are widened."""
    fetch = launch_spec.fetch
    if fetch is None:
        return []
    requests = {"cpu": f"{launch_spec.cpu_milli}m", "memory": f"{launch_spec.ram_mib}Mi"}
    limits = {
        "cpu": f"{max(launch_spec.cpu_milli, LEAST_CPU_MILLI)}m",
        "memory": f"{max(launch_spec.ram_mib, LEAST_RAM_MIB)}Mi",
    }
    if launch_spec.container.ephemeral_mib is not None:
        disk = {"ephemeral-storage": f"{launch_spec.container.ephemeral_mib}Mi"}
        requests, limits = requests | disk, limits | disk
    mounts: list[Json] = [{"name": _DOCUMENT, "mountPath": FOLDER, "readOnly": True}]
    mounts += [{"name": _name(n), "mountPath": fetch.folder(p)} for n, p in _numbered(launch_spec)]
    return [
        {
            "name": CONTAINER,
            "image": fetch.image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(COMMAND),
            "resources": {"requests": requests, "limits": limits},
            "securityContext": {**security, "readOnlyRootFilesystem": True},
            "volumeMounts": mounts,
        }
    ]


def volumes_of(launch_spec: LaunchSpec, secret_name: str) -> list[Json]:
    fetch = launch_spec.fetch
    if fetch is None:
        return []
    item = {"key": ENTRY, "path": DOCUMENT}
    secret = {"secretName": secret_name, "items": [item], "defaultMode": _READABLE}
    sizes = {path: f"{bucket.max_mib}Mi" for path, bucket in fetch.buckets.items()}
    return [
        {"name": _DOCUMENT, "secret": secret},
        *(
            {"name": _name(number), "emptyDir": {"sizeLimit": sizes[path]}}
            for number, path in _numbered(launch_spec)
        ),
    ]


def volume_mounts_of(launch_spec: LaunchSpec) -> list[Json]:
    """Of the deployment's container."""
    return [
        {"name": _name(number), "mountPath": path, "readOnly": True}
        for number, path in _numbered(launch_spec)
    ]


def status_of(status: Json) -> Json:
    """The state of the init container that fetches; {} where there is none."""
    for each in status.get("initContainerStatuses") or ():
        if each.get("name") == CONTAINER:
            return dict(each.get("state") or {})
    return {}


def problem_of_end(ended: Json) -> Problem | None:
    """Why the init container has failed; None where it has not."""
    exit_code = ended.get("exitCode")
    if not exit_code:
        return None
    code = Code.FETCH_DELAYED if exit_code == DELAYED else Code.FETCH_FAILED
    said = one_line(ended.get("message") or "")
    if exit_code not in (FAILED, DELAYED):
        reason = ended.get("reason") or ""
        said = one_line(f"It has ended with exit code {exit_code} {reason}")
    return Problem(code, said)


def _numbered(launch_spec: LaunchSpec) -> list[tuple[int, str]]:
    return list(enumerate(launch_spec.fetch.buckets)) if launch_spec.fetch else []


def _name(number: int) -> str:
    """No name that the Pod has besides."""
    return f"fetched-{number}"
