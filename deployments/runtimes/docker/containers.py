"""What is asked of the engine for one replica, in the words of its REST API."""

import re
from collections.abc import Sequence
from typing import Any

from deployments.runtimes.base import Code, Key, LaunchSpec, Probe, Problem, RefusedError
from deployments.runtimes.docker import probes
from deployments.runtimes.docker.gpus import LABEL as LABEL_OF_GPUS

LABEL = "mlops-platform"
CLUSTER = f"{LABEL}.cluster"
DEPLOYMENT = f"{LABEL}.deployment"
ATTEMPT = f"{LABEL}.attempt"
REPLICA = f"{LABEL}.replica"
FOR_PEOPLE = f"{LABEL}.label."  # and then a label of the launch, which thus hides none of ours

LEAST_CPU_MILLI = 10  # the engine takes less for "no limit" or refuses it, as it does for RAM
LEAST_RAM_MIB = 6
SECOND = 1_000_000_000  # the engine counts in nanoseconds
GPUS = "NVIDIA_VISIBLE_DEVICES"


def name(key: Key) -> str:
    return f"mlops-{key.deployment_id}-{key.attempt}-{key.replica}"


def key_of(labels: dict[str, str] | None, cluster_id: str) -> Key | None:
    """Whose container it is; None where it is not this cluster's."""
    labels = labels or {}
    if labels.get(CLUSTER) != cluster_id or not labels.get(DEPLOYMENT):
        return None
    try:
        return Key(labels[DEPLOYMENT], int(labels[ATTEMPT]), int(labels[REPLICA]))
    except (KeyError, ValueError):
        return None


def config(
    launch: LaunchSpec, replica: int, cluster_id: str, gpus: Sequence[str] = ()
) -> dict[str, Any]:
    """The body of POST /containers/create, with the indexes of the GPUs that it is to have.

    Raises RefusedError for what would open the sandbox.
    """
    key = Key(launch.deployment_id, launch.attempt, replica)
    env = {name: value for name, value in launch.env_of(replica).items() if name != GPUS}
    if not launch.gpu:
        # Where NVIDIA's is the default runtime, an image, or a user, could name GPUs this way.
        env[GPUS] = "void"
    body: dict[str, Any] = {
        "Image": launch.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {
            **{f"{FOR_PEOPLE}{name}": value for name, value in launch.labels.items()},
            CLUSTER: cluster_id,
            DEPLOYMENT: key.deployment_id,
            ATTEMPT: str(key.attempt),
            REPLICA: str(key.replica),
            **({LABEL_OF_GPUS: ",".join(gpus)} if gpus else {}),
        },
        "Healthcheck": _healthcheck(launch.probe),
        "HostConfig": _host_config(launch, gpus),
    }
    if launch.command:
        body["Entrypoint"] = list(launch.command)
    if launch.args:
        body["Cmd"] = list(launch.args)
    return body


def _host_config(launch: LaunchSpec, gpus: Sequence[str]) -> dict[str, Any]:
    sandbox = launch.sandbox
    memory = max(launch.ram_mib, LEAST_RAM_MIB) * 1024 * 1024
    host: dict[str, Any] = {
        "NanoCpus": max(launch.cpu_milli, LEAST_CPU_MILLI) * 1_000_000,
        "Memory": memory,
        "MemorySwap": memory,  # of both together: no swap
        "PidsLimit": max(sandbox.pids_limit, 1),
        "RestartPolicy": {"Name": "no"},
        "Init": True,  # so that signals arrive, and zombies go
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        "Privileged": False,
        "CapDrop": ["ALL"],
        "CapAdd": _capabilities(sandbox.add_capabilities),
        "SecurityOpt": [] if sandbox.allow_privilege_escalation else ["no-new-privileges"],
        "ReadonlyRootfs": sandbox.read_only_root,
        "NetworkMode": _network(sandbox.network),
        "IpcMode": "private",
        "CgroupnsMode": "private",
    }
    if gpus:
        host["DeviceRequests"] = [{"DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}]
    return host


def _network(network: str) -> str:
    """A network of its own. "host" and "container:…" would be somebody else's."""
    if network == "host" or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", network, re.ASCII):
        raise RefusedError(Problem(Code.REFUSED, "No network that a container may be in."))
    return network


def _capabilities(names: tuple[str, ...]) -> list[str]:
    if any(name.upper().removeprefix("CAP_") == "ALL" for name in names):
        raise RefusedError(Problem(Code.REFUSED, "Capabilities are given back one by one."))
    return list(names)


def _healthcheck(probe: Probe | None) -> dict[str, Any]:
    if probe is None:
        return {"Test": ["NONE"]}  # the image's own would cost, and tell nobody anything
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
