"""What is asked of the engine for one replica, in the words of its REST API."""

import re
import shlex
from typing import Any

from deployments.runtimes.base import Code, Key, Launch, Probe, RefusedError, Trouble

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


def config(launch: Launch, replica: int, cluster_id: str) -> dict[str, Any]:
    """The body of POST /containers/create. Raises RefusedError for what would open the sandbox."""
    key = Key(launch.deployment_id, launch.attempt, replica)
    env = {name: value for name, value in launch.env.items() if name != GPUS}
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
        },
        "Healthcheck": _healthcheck(launch.probe),
        "HostConfig": _host_config(launch),
    }
    if launch.command:
        body["Entrypoint"] = list(launch.command)
    if launch.args:
        body["Cmd"] = list(launch.args)
    return body


def _host_config(launch: Launch) -> dict[str, Any]:
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
    if launch.gpu:
        host["DeviceRequests"] = [{"Count": launch.gpu, "Capabilities": [["gpu"]]}]
    return host


def _network(network: str) -> str:
    """A network of its own. "host" and "container:…" would be somebody else's."""
    if network == "host" or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", network, re.ASCII):
        raise RefusedError(Trouble(Code.REFUSED, "No network that a container may be in."))
    return network


def _capabilities(names: tuple[str, ...]) -> list[str]:
    if any(name.upper().removeprefix("CAP_") == "ALL" for name in names):
        raise RefusedError(Trouble(Code.REFUSED, "Capabilities are given back one by one."))
    return list(names)


def _healthcheck(probe: Probe | None) -> dict[str, Any]:
    if probe is None:
        return {"Test": ["NONE"]}  # the image's own would cost, and tell nobody anything
    if probe.kind == "command":
        test = ["CMD", *probe.command]
    elif probe.kind == "tcp":
        test = ["CMD-SHELL", _tcp(probe.port)]
    else:
        test = ["CMD-SHELL", _http(probe.port, probe.path, probe.timeout_s)]
    return {
        "Test": test,
        "Interval": max(probe.interval_s, 1) * SECOND,
        "Timeout": max(probe.timeout_s, 1) * SECOND,
        "Retries": 3,
    }


def _tcp(port: int) -> str:
    """The first of what images usually have, so that a refused connection is tried only once."""
    return _first_of(
        ("nc", f"nc -z 127.0.0.1 {port:d}"),
        ("bash", f"bash -c ': </dev/tcp/127.0.0.1/{port:d}'"),
        ("python3", _python(f"import socket; socket.create_connection(('127.0.0.1', {port:d}))")),
    )


def _http(port: int, path: str, timeout_s: int) -> str:
    url = f"http://127.0.0.1:{port:d}/{path.removeprefix('/')}"
    return _first_of(
        ("curl", f"curl -fsS -o /dev/null -m {timeout_s:d} {shlex.quote(url)}"),
        ("wget", f"wget -q -O /dev/null -T {timeout_s:d} {shlex.quote(url)}"),
        ("python3", _python(f"import urllib.request as r; r.urlopen({url!r})")),
    )


def _python(line: str) -> str:
    return f"python3 -c {shlex.quote(line)}"


def _first_of(*ways: tuple[str, str]) -> str:
    tried = [f"if command -v {program} >/dev/null; then exec {line}; fi" for program, line in ways]
    missing = "no " + ", ".join(program for program, _ in ways) + " to try it with"
    return "; ".join([*tried, f"echo '{missing}'", "exit 1"])
