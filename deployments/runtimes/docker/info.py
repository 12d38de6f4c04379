"""What an engine says of its machine."""

import re
from typing import Any

from deployments.runtimes.base import Capacity

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the names that images go by


def capacity(node: str, info: dict[str, Any]) -> Capacity:
    """The engine's labels, and in the same words for every engine `arch` and `os`."""
    architecture = str(info.get("Architecture", ""))
    told = (label.partition("=") for label in info.get("Labels") or ())
    labels = {name: value for name, _, value in told}
    labels["arch"] = ARCHITECTURES.get(architecture, architecture)
    labels["os"] = str(info.get("OSType", ""))
    return Capacity(
        node,
        cpu_milli=int(info["NCPU"]) * 1000,
        ram_mib=int(info["MemTotal"]) // (1024 * 1024),
        gpu=_gpus(info),
        labels=labels,
        machine=str(info.get("ID") or ""),
    )


def _gpus(info: dict[str, Any]) -> int | None:
    """Newer engines name the devices of the Container Device Interface; older ones tell nothing."""
    devices = info.get("DiscoveredDevices")
    if devices is None:
        return None
    numbered = re.compile(r"nvidia\.com/gpu=\d+")
    return sum(1 for device in devices if numbered.fullmatch(str(device.get("ID")))) or None
