"""Turns a launch spec into Pods."""

from collections.abc import Mapping, Sequence

from deployments.runtimes.base import Key, LaunchSpec, Probe, ReplicaPlacement, Sandbox
from deployments.runtimes.kubernetes import buckets, gangs, secrets
from deployments.runtimes.kubernetes.names import (
    CONTAINER,
    Json,
    for_people,
    identity,
    pod_name,
)
from deployments.runtimes.kubernetes.node_capacity import GPU
from deployments.runtimes.kubernetes.volumes import group_of, volume_mounts_of, volumes_of

PULL_POLICIES = {"if_missing": "IfNotPresent", "always": "Always"}
VISIBLE_GPUS = "NVIDIA_VISIBLE_DEVICES"


def pod_of(
    launch_spec: LaunchSpec,
    placement: ReplicaPlacement,
    cluster_id: str,
    pull_secret: str | None = None,
) -> Json:
    """The Pod of one replica, without access to its node or to the Kubernetes API."""
    key = Key(launch_spec.deployment_id, launch_spec.attempt, placement.replica)
    labels, annotations = for_people({"name": launch_spec.name, **launch_spec.labels})
    spec: Json = {
        "restartPolicy": "Never",  # the platform decides about another attempt
        "terminationGracePeriodSeconds": launch_spec.grace_s,
        "affinity": {"nodeAffinity": _only_on(placement.node)},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # keeps other services' addresses out of its environment
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        # Else the program is process 1, to which signals without a handler do nothing: each stop
        # would take the whole grace. So its parent is the Pod's own process, which reaps zombies.
        "shareProcessNamespace": True,
        "securityContext": {
            "seccompProfile": {"type": "RuntimeDefault"},
            **group_of(launch_spec.mounts, launch_spec.container.user),
            **secrets.group_of(launch_spec),
        },
        "containers": [_container(launch_spec, key)],
        "volumes": [
            *(_volume(name, mib) for name, _, mib in _in_memory(launch_spec)),
            *volumes_of(launch_spec.mounts, cluster_id),
            *secrets.volumes_of(launch_spec, key),
            *buckets.volumes_of(launch_spec, pod_name(key)),
        ],
        **secrets.gates_of(launch_spec.secrets),
    }
    if launch_spec.fetch:
        security = _security_context(Sandbox())
        spec["initContainers"] = buckets.init_containers_of(launch_spec, security)
    if pull_secret:
        spec["imagePullSecrets"] = [{"name": pull_secret}]
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(key),
            "labels": {**labels, **identity(cluster_id, key)},
            "annotations": annotations,
        },
        "spec": spec,
    }
    return gangs.join(pod, launch_spec.peers, placement.replica) if launch_spec.peers else pod


def _only_on(node: str) -> Json:
    """Not `nodeName`, which bypasses the kube-scheduler: it checks that the Pod fits."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [field]}]
        }
    }


def _container(launch_spec: LaunchSpec, key: Key) -> Json:
    amounts = {"cpu": f"{launch_spec.cpu_milli}m", "memory": f"{launch_spec.ram_mib}Mi"}
    if launch_spec.gpu:
        amounts[GPU] = str(launch_spec.gpu)
    if launch_spec.container.ephemeral_mib is not None:
        amounts["ephemeral-storage"] = f"{launch_spec.container.ephemeral_mib}Mi"
    container: Json = {
        "name": CONTAINER,
        "image": launch_spec.image,
        "env": [
            *_env(_without_gpus(launch_spec.env_of(key.replica), launch_spec.gpu)),
            *secrets.env_of(launch_spec.secrets, key),
        ],
        "imagePullPolicy": PULL_POLICIES[launch_spec.container.pull_policy],
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "securityContext": {
            **_security_context(launch_spec.sandbox),
            **_user(launch_spec.container.user),
        },
        "volumeMounts": [
            *({"name": name, "mountPath": path} for name, path, _ in _in_memory(launch_spec)),
            *volume_mounts_of(launch_spec.mounts),
            *secrets.volume_mounts_of(launch_spec.secrets),
            *buckets.volume_mounts_of(launch_spec),
        ],
    }
    if launch_spec.command:
        container["command"] = _literal(launch_spec.command)
    if launch_spec.args:
        container["args"] = _literal(launch_spec.args)
    if launch_spec.container.workdir:
        container["workingDir"] = launch_spec.container.workdir
    if launch_spec.container.pre_stop:
        command = list(launch_spec.container.pre_stop)
        container["lifecycle"] = {"preStop": {"exec": {"command": command}}}
    if launch_spec.probe:
        container["readinessProbe"] = _readiness(launch_spec.probe)
    return container


def _in_memory(launch_spec: LaunchSpec) -> list[tuple[str, str, int]]:
    """Name, path and MiB of the folders that are kept in the container's RAM."""
    folders = [("shm", "/dev/shm", launch_spec.shm_mib)]  # noqa: S108 - the container's
    if launch_spec.tmp_mib:
        folders.append(("tmp", "/tmp", launch_spec.tmp_mib))  # noqa: S108 - the container's
    return folders


def _volume(name: str, mib: int) -> Json:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": f"{mib}Mi"}}


def _user(user: str) -> Json:
    if not user:
        return {}
    number, _, group = user.partition(":")
    return {"runAsUser": int(number), **({"runAsGroup": int(group)} if group else {})}


def _without_gpus(env: Mapping[str, str], gpu: int) -> dict[str, str]:
    """Where NVIDIA's runtime is the default, an image or a user could name GPUs this way."""
    others = {name: value for name, value in env.items() if name != VISIBLE_GPUS}
    return others if gpu else {**others, VISIBLE_GPUS: "void"}


def _env(env: Mapping[str, str]) -> list[Json]:
    return [
        {"name": name, "value": value}
        for name, value in zip(env, _literal(list(env.values())), strict=True)
    ]


def _literal(words: Sequence[str]) -> list[str]:
    """Kubernetes replaces "$(NAME)" and no other runtime does: "$$" stands for one "$"."""
    return [word.replace("$", "$$") for word in words]


def _security_context(sandbox: Sandbox) -> Json:
    capabilities: Json = {"drop": ["ALL"]}
    if sandbox.add_capabilities:
        # Docker's names may begin with CAP_, those of Kubernetes do not.
        capabilities["add"] = [name.removeprefix("CAP_") for name in sandbox.add_capabilities]
    return {
        "privileged": False,
        "allowPrivilegeEscalation": sandbox.allow_privilege_escalation,
        "readOnlyRootFilesystem": sandbox.read_only_root,
        "capabilities": capabilities,
    }


def _readiness(probe: Probe) -> Json:
    ask: Json
    if probe.kind == "http":
        ask = {"httpGet": {"path": probe.path, "port": probe.port}}
    elif probe.kind == "tcp":
        ask = {"tcpSocket": {"port": probe.port}}
    else:
        ask = {"exec": {"command": list(probe.command)}}
    return {
        **ask,
        "periodSeconds": probe.interval_s,
        "timeoutSeconds": probe.timeout_s,
    }
