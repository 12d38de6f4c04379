"""A machine's capacity and labels, from the engine's info."""

import re
from typing import Any

from deployments.runtimes.base import Capacity

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the names that images go by
NO_LIVE_RESTORE = (
    "live-restore is off at its engine: a restart of the engine ends what runs, "
    "which then starts again."
)


def capacity(node: str, info: dict[str, Any]) -> Capacity:
    """The labels are the engine's, and `arch` and `os` in the same words for every engine."""
    architecture = str(info.get("Architecture", ""))
    pairs = (label.partition("=") for label in info.get("Labels") or ())
    labels = {name: value for name, _, value in pairs}
    labels["arch"] = ARCHITECTURES.get(architecture, architecture)
    labels["os"] = str(info.get("OSType", ""))
    return Capacity(
        node,
        cpu_milli=int(info["NCPU"]) * 1000,
        ram_mib=int(info["MemTotal"]) // (1024 * 1024),
        gpu=_gpus(info),
        labels=labels,
        reason=NO_LIVE_RESTORE if info.get("LiveRestoreEnabled") is False else "",
        machine=str(info.get("ID") or ""),
    )


def _gpus(info: dict[str, Any]) -> int | None:
    """Counts the devices of the Container Device Interface; None for older engines without it."""
    devices = info.get("DiscoveredDevices")
    if devices is None:
        return None
    numbered = re.compile(r"nvidia\.com/gpu=\d+")
    return sum(1 for device in devices if numbered.fullmatch(str(device.get("ID")))) or None
