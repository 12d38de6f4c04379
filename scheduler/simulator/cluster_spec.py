"""The cluster that a trace runs on, parsed from a short text or a JSON file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Node, PriorityClass
from scheduler.simulator.jobs import SpecError

CLASSES = (
    PriorityClass("HIGH", 1000, may_preempt=True, preemptible=True),
    PriorityClass("LOW", 0, may_preempt=False, preemptible=True),
)
HELP = """\
a pool without nodes:      pool:cpu=128            (cpu in cores, ram in MiB, gpu whole)
equal nodes:               nodes=40,gpu=8,cpu=48,ram=491520
anything else, as JSON:    cluster.json, with
    {"nodes": [{"count": 40, "gpu": 8, "cpu": 48, "ram": 491520, "labels": {"zone": "a"}}],
     "classes": [{"name": "HIGH", "value": 1000, "may_preempt": true, "preemptible": true}]}
    or {"pool": {"cpu": 128}}; without classes there are HIGH (1000) and LOW (0)"""

AMOUNTS = ("cpu", "ram", "gpu")


@dataclass(frozen=True, slots=True)
class Cluster:
    """An empty cluster; a pool of `total` if it has no nodes."""

    total: Resources
    nodes: tuple[Node, ...] = ()
    classes: tuple[PriorityClass, ...] = CLASSES


def parse(spec: str) -> Cluster:
    """Parse one of the forms in HELP; raises SpecError for any other text."""
    try:
        if spec.endswith(".json"):
            return _from_json(json.loads(Path(spec).read_text()))
        if spec.startswith("pool:"):
            return Cluster(_amounts(_pairs(spec.removeprefix("pool:"))))
        if spec.startswith("nodes="):
            return _of_nodes([_pairs(spec.replace("nodes=", "count=", 1))])
    except OSError as error:
        raise SpecError(f"The cluster's file cannot be read: {error}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SpecError(f"The cluster {spec!r} cannot be understood ({error}).") from error
    raise SpecError(
        f"The cluster {spec!r} is neither pool:cpu=…, nor nodes=…, nor the name of a .json file."
    )


def _pairs(text: str) -> dict[str, Any]:
    return dict(pair.split("=", 1) for pair in text.split(","))


def _amounts(words: dict[str, Any]) -> Resources:
    if unknown := set(words) - set(AMOUNTS):
        raise ValueError(f"{', '.join(sorted(unknown))} is none of {', '.join(AMOUNTS)}")
    cores, ram_mib, gpu = (words.get(name, 0) for name in AMOUNTS)
    amounts = Resources(round(float(cores) * 1000), int(ram_mib), int(gpu))
    if min(amounts) < 0 or max(amounts) == 0:
        raise ValueError("amounts are zero or more, and one of them is more")
    return amounts


def _of_nodes(groups: list[dict[str, Any]]) -> Cluster:
    nodes: list[Node] = []
    for group in groups:
        each = dict(group)
        count, labels = int(each.pop("count", 1)), each.pop("labels", {})
        capacity = _amounts(each)
        pairs = tuple(sorted((str(name), str(value)) for name, value in labels.items()))
        for number in range(len(nodes), len(nodes) + count):
            id_ = f"node-{number:05d}"
            nodes.append(Node(id_, id_, capacity, ZERO, pairs))
    if not nodes:
        raise ValueError("there is no node")
    total = ZERO
    for node in nodes:
        total = total.plus(node.capacity)
    return Cluster(total, tuple(nodes))


def _from_json(values: dict[str, Any]) -> Cluster:
    if unknown := set(values) - {"pool", "nodes", "classes"}:
        raise ValueError(f"{', '.join(sorted(unknown))} is none of pool, nodes, classes")
    cluster = Cluster(_amounts(values["pool"])) if "pool" in values else _of_nodes(values["nodes"])
    if "classes" not in values:
        return cluster
    return Cluster(
        cluster.total, cluster.nodes, tuple(PriorityClass(**each) for each in values["classes"])
    )
