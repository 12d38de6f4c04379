"""The container of one replica, as the body of the engine's REST API."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deployments.runtimes.base import Code, Key, LaunchSpec, Probe, Problem, RefusedError, Sandbox
from deployments.runtimes.docker import networks, pre_stop, probes
from deployments.runtimes.docker.gpus import LABEL as LABEL_OF_GPUS
from deployments.runtimes.peers import FOLDER, host_name

LABEL = "mlops-platform"
CLUSTER = f"{LABEL}.cluster"
DEPLOYMENT = f"{LABEL}.deployment"
ATTEMPT = f"{LABEL}.attempt"
REPLICA = f"{LABEL}.replica"
FOR_PEOPLE = f"{LABEL}.label."  # and a label of the launch spec: it hides none of the above

LEAST_CPU_MILLI = 10  # less means "no limit" to the engine, or is refused; so for RAM
LEAST_RAM_MIB = 6
MIB = 1024 * 1024
SECOND = 1_000_000_000  # the engine counts in nanoseconds
GPUS = "NVIDIA_VISIBLE_DEVICES"


def name(key: Key) -> str:
    return f"mlops-{key.deployment_id}-{key.attempt}-{key.replica}"


def key_of(labels: dict[str, str] | None, cluster_id: str) -> Key | None:
    """The replica that the labels name; None where they name no replica of this cluster."""
    labels = labels or {}
    if labels.get(CLUSTER) != cluster_id or not labels.get(DEPLOYMENT):
        return None
    try:
        return Key(labels[DEPLOYMENT], int(labels[ATTEMPT]), int(labels[REPLICA]))
    except (KeyError, ValueError):
        return None


def made_at(container: Mapping[str, Any]) -> str:
    """A text that orders inspected containers by age; the engine leaves zeros at its end out."""
    return str(container["Created"]).rstrip("Z")


def labels_of(key: Key, cluster_id: str) -> dict[str, str]:
    """The labels that name the replica."""
    return {
        CLUSTER: cluster_id,
        DEPLOYMENT: key.deployment_id,
        ATTEMPT: str(key.attempt),
        REPLICA: str(key.replica),
    }


def config(
    launch_spec: LaunchSpec, replica: int, cluster_id: str, gpus: Sequence[str] = ()
) -> dict[str, Any]:
    """The body of POST /containers/create, with the indexes of the container's GPUs.

    Raises RefusedError for what would open the sandbox.
    """
    key = Key(launch_spec.deployment_id, launch_spec.attempt, replica)
    given = {**launch_spec.env_of(replica), **launch_spec.secrets.env}
    env = {name: value for name, value in given.items() if name != GPUS}
    if not launch_spec.gpu:
        # Where NVIDIA's runtime is the default, an image or a user could name GPUs this way.
        env[GPUS] = "void"
    body: dict[str, Any] = {
        "Image": launch_spec.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {
            **{f"{FOR_PEOPLE}{name}": value for name, value in launch_spec.labels.items()},
            **labels_of(key, cluster_id),
            **pre_stop.labels_of(launch_spec.container.pre_stop),
            **({LABEL_OF_GPUS: ",".join(gpus)} if gpus else {}),
        },
        "Healthcheck": _healthcheck(launch_spec.probe),
        "HostConfig": _host_config(launch_spec, gpus),
    }
    if launch_spec.command:
        body["Entrypoint"] = list(launch_spec.command)
    if launch_spec.args:
        body["Cmd"] = list(launch_spec.args)
    if launch_spec.container.user:
        body["User"] = launch_spec.container.user
    if launch_spec.container.workdir:
        body["WorkingDir"] = launch_spec.container.workdir
    if launch_spec.container.stop_signal:
        body["StopSignal"] = launch_spec.container.stop_signal
    if launch_spec.peers and launch_spec.peers.reachable:
        body |= _among_peers(launch_spec, replica)
    return body


def _among_peers(launch_spec: LaunchSpec, replica: int) -> dict[str, Any]:
    """What gives the container its name among the replicas of its gang, and a folder for the
    hostfile: an anonymous volume, so that it can be written under a read-only root too."""
    assert launch_spec.peers is not None
    aliases = [launch_spec.peers.name(replica)]
    own = networks.own_network(launch_spec)
    if own:
        aliases.append(host_name(replica))  # a network of others may have several such gangs
    network = own or network_of(launch_spec.sandbox)
    return {
        "Hostname": host_name(replica),
        "Domainname": launch_spec.peers.group,
        "Volumes": {FOLDER: {}},
        "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": aliases}}},
    }


def _host_config(launch_spec: LaunchSpec, gpus: Sequence[str]) -> dict[str, Any]:
    sandbox = launch_spec.sandbox
    memory = max(launch_spec.ram_mib, LEAST_RAM_MIB) * MIB
    host: dict[str, Any] = {
        "NanoCpus": max(launch_spec.cpu_milli, LEAST_CPU_MILLI) * 1_000_000,
        "Memory": memory,
        "MemorySwap": memory,  # of both together: no swap
        "ShmSize": launch_spec.shm_mib * MIB,
        "Ulimits": [
            {"Name": name, "Soft": limit, "Hard": limit}
            for name, limit in launch_spec.container.ulimits.items()
        ],
        "PidsLimit": max(sandbox.pids_limit, 1),
        "RestartPolicy": {"Name": "no"},
        "Init": True,  # so that signals arrive, and zombies go
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        "Privileged": False,
        "CapDrop": ["ALL"],
        "CapAdd": _capabilities(sandbox.add_capabilities),
        "SecurityOpt": [] if sandbox.allow_privilege_escalation else ["no-new-privileges"],
        "ReadonlyRootfs": sandbox.read_only_root,
        "NetworkMode": networks.own_network(launch_spec) or network_of(sandbox),
        "IpcMode": "private",
        "CgroupnsMode": "private",
    }
    if launch_spec.tmp_mib:
        size = launch_spec.tmp_mib * MIB
        host["Tmpfs"] = {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={size}"}  # noqa: S108 - the container's
    if gpus:
        host["DeviceRequests"] = [{"DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}]
    return host


def network_of(sandbox: Sandbox) -> str:
    """The container's own network: "host" and "container:…" would share another one."""
    network = sandbox.network
    if network == "host" or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", network, re.ASCII):
        raise RefusedError(Problem(Code.REFUSED, "No network that a container may be in."))
    return network


def _capabilities(names: tuple[str, ...]) -> list[str]:
    if any(name.upper().removeprefix("CAP_") == "ALL" for name in names):
        raise RefusedError(Problem(Code.REFUSED, "Capabilities are given back one by one."))
    return list(names)


def _healthcheck(probe: Probe | None) -> dict[str, Any]:
    if probe is None:
        return {"Test": ["NONE"]}  # the image's own would cost, and nothing reads its result
    if probe.kind == "command":
        test = ["CMD", *probe.command]
    elif probe.kind == "tcp":
        test = ["CMD-SHELL", probes.tcp(probe.port)]
    else:
        test = ["CMD-SHELL", probes.http(probe.port, probe.path, probe.timeout_s)]
    return {
        "Test": test,
        "Interval": max(probe.interval_s, 1) * SECOND,
        "Timeout": max(probe.timeout_s, 1) * SECOND,
        "Retries": 3,
    }
