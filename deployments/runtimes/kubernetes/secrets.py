"""Gives a Pod its secrets: by a Secret of its own, which the Pod owns.

The Pod comes first, closed by a scheduling gate; then the Secret, which names it as its owner; then
the gate goes. So no Secret is ever without a Pod: the API server's garbage collector deletes it
with its Pod, whatever becomes of the worker. A worker that finds the gate still there goes on.
"""

from base64 import b64encode
from collections.abc import Sequence

from deployments.runtimes.base import (
    SECRETS,
    Code,
    Key,
    LaunchSpec,
    Problem,
    RefusedError,
    RuntimeUnavailable,
    Secrets,
)
from deployments.runtimes.kubernetes.api import TRIES, Api, Refusal
from deployments.runtimes.kubernetes.buckets import ENTRY
from deployments.runtimes.kubernetes.names import GATE, IDENTITY, Json, labels_of, pod_name

VOLUME = "secrets"
ROOT = "0"
_MISSING_RIGHT = 'forbidden: User "'
ANY_GROUP = 65534  # of a Pod whose user has none: "nogroup" in most images


def env_of(secrets: Secrets, key: Key) -> list[Json]:
    """References: the Pod itself has no value."""
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": pod_name(key), "key": _entry(name)}}}
        for name in secrets.env
    ]


def volumes_of(launch_spec: LaunchSpec, key: Key) -> list[Json]:
    files = launch_spec.secrets.files
    if not files:
        return []
    items = [{"key": _file(number), "path": path} for number, path in enumerate(files)]
    secret = {"secretName": pod_name(key), "items": items, "defaultMode": _mode(launch_spec)}
    return [{"name": VOLUME, "secret": secret}]


def volume_mounts_of(secrets: Secrets) -> list[Json]:
    return [{"name": VOLUME, "mountPath": SECRETS, "readOnly": True}] if secrets.files else []


def group_of(launch_spec: LaunchSpec) -> Json:
    """A group through which the container's user, whichever it is, may read the files: kubelets
    give these to root. Not beside volumes, to whose folders they would give that group too."""
    user, _, group = launch_spec.container.user.partition(":")
    if not launch_spec.secrets.files or launch_spec.mounts or user == ROOT:
        return {}
    return {"fsGroup": int(group or ANY_GROUP)}


def gates_of(secrets: Secrets) -> Json:
    return {"schedulingGates": [{"name": GATE}]} if secrets else {}


def is_gated(pod: Json) -> bool:
    return any(each.get("name") == GATE for each in pod["spec"].get("schedulingGates") or ())


def give(api: Api, namespace: str, pods: Sequence[Json], secrets: Secrets) -> None:
    """Create the Secrets of an attempt's Pods, which have been created, and then let these go to
    their nodes; nothing where that is done already. Raises RefusedError for a Secret of others that
    has the name of one.

    A Secret that a killed worker has left gets the present values, unless a Pod of the attempt has
    gone to its node with the others: all replicas have the same.
    """
    there = [api.call("read_namespaced_pod", pod["metadata"]["name"], namespace) for pod in pods]
    waiting = [pod for pod in there if _waits(pod)]
    for pod in waiting:
        _ensure(api, namespace, pod, secrets, keep=len(waiting) < len(there))
    for pod in waiting:
        _let_go(api, namespace, pod)


def _waits(pod: Json) -> bool:
    return is_gated(pod) and not pod["metadata"].get("deletionTimestamp")


def _let_go(api: Api, namespace: str, pod: Json) -> None:
    for _ in range(TRIES):
        try:
            _open(api, namespace, pod)
            return
        except Refusal as refusal:
            if refusal.status != 409:  # else it has changed since it was read
                raise
        pod = api.call("read_namespaced_pod", pod["metadata"]["name"], namespace)
        if not _waits(pod):
            return
    raise RuntimeUnavailable("The Pod changes faster than its secrets can be given to it.")


def _ensure(api: Api, namespace: str, pod: Json, secrets: Secrets, *, keep: bool) -> None:
    """`keep`: also one with other values, as an earlier version has."""
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    wanted = _secret_of(pod, secrets)
    for _ in range(TRIES):
        try:
            api.call("create_namespaced_secret", namespace, wanted)
            return
        except RuntimeUnavailable as error:
            if not isinstance(error, Refusal) or error.reason != "AlreadyExists":
                raise _silenced(error) from None
        try:
            existing = api.call("read_namespaced_secret", name, namespace)
            if not _identity(existing).items() == _identity(pod).items():
                raise RefusedError(
                    Problem(Code.REFUSED, f"A Secret {name} that is not ours is there.")
                )
            owners = existing["metadata"].get("ownerReferences", ())
            if any(each["uid"] == uid for each in owners) and (
                keep or existing.get("data") == wanted["data"]
            ):
                return
            # Of another version, or of an earlier Pod of the same name, with which it would go.
            api.call("delete_namespaced_secret", name, namespace)
        except Refusal as refusal:
            if refusal.status != 404:
                raise
    raise RuntimeUnavailable("The Secret of the Pod can neither be created nor found.")


def _silenced(error: RuntimeUnavailable) -> Exception:
    """The error without what the API server or a webhook says of the Secret: it may quote a value.
    RefusedError where that is final."""
    if not isinstance(error, Refusal):
        return type(error)("The API server has not taken the Secret of a Pod.")
    if _MISSING_RIGHT in error.message:
        return error
    why = f"The API server refuses the Secret of a Pod: {error.reason or error.status}."
    if error.status in {400, 413, 422}:
        return RefusedError(Problem(Code.REFUSED, why))
    return RuntimeUnavailable(why)


def _secret_of(pod: Json, secrets: Secrets) -> Json:
    metadata = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    content = {_entry(name): value for name, value in secrets.env.items()}
    content |= {_file(number): value for number, value in enumerate(secrets.files.values())}
    if secrets.document:
        content[ENTRY] = secrets.document
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {
            "name": metadata["name"],
            "labels": _identity(pod),
            "ownerReferences": [owner],
        },
        "data": {name: b64encode(value.encode()).decode() for name, value in content.items()},
    }


def _open(api: Api, namespace: str, pod: Json) -> None:
    """Take the platform's gate from this very Pod; those of others stay."""
    metadata = {name: pod["metadata"][name] for name in ("uid", "resourceVersion")}
    gates = [each for each in pod["spec"]["schedulingGates"] if each["name"] != GATE]
    change = {"metadata": metadata, "spec": {"schedulingGates": gates}}
    api.call("patch_namespaced_pod", pod["metadata"]["name"], namespace, change)


def _mode(launch_spec: LaunchSpec) -> int:
    """For root alone, where the user is root; a kubelet adds the Pod's group, where there is one.
    Beside volumes there is none, and any user of the container may read the files."""
    user = launch_spec.container.user.partition(":")[0]
    return 0o444 if launch_spec.mounts and user != ROOT else 0o400


def _entry(variable: str) -> str:
    return f"env.{variable}"


def _file(number: int) -> str:
    return f"file.{number}"


def _identity(thing: Json) -> dict[str, str]:
    labels = labels_of(thing)
    return {name: labels[name] for name in IDENTITY if name in labels}
