"""What nodes offer the platform: their allocatable amounts, less the requests of other Pods."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from deployments.runtimes.base import Capacity
from deployments.runtimes.image_names import storable
from deployments.runtimes.kubernetes.names import CLUSTER, Json, labels_of
from deployments.runtimes.kubernetes.quantities import MIB, cpu_milli, quantity, whole

GPU = "nvidia.com/gpu"
KEEP_AWAY = ("NoSchedule", "NoExecute")  # effects of taints: the platform's Pods tolerate none


class Amounts(NamedTuple):
    cpu_milli: int = 0
    ram_bytes: int = 0
    gpu: int = 0

    def plus(self, other: "Amounts") -> "Amounts":
        return Amounts(*(a + b for a, b in zip(self, other, strict=True)))

    def most(self, other: "Amounts") -> "Amounts":
        return Amounts(*map(max, self, other))


ZERO = Amounts()


def used_by(pod: Json, cluster_id: str, namespace: str) -> tuple[str, Amounts] | None:
    """The node of a Pod that is not the cluster's own, and what the Pod takes of it.

    The cluster's own Pods have its label and are in `namespace`.
    """
    ours = labels_of(pod).get(CLUSTER) == cluster_id and pod["metadata"]["namespace"] == namespace
    ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    node = pod["spec"].get("nodeName")
    return (str(node), requests(pod["spec"])) if node and not ours and not ended else None


def node_capacities(
    nodes: Iterable[Json], used: Iterable[tuple[str, Amounts] | None]
) -> list[Capacity]:
    """The capacities of the nodes, less what Pods take of them (`used_by`)."""
    by_node: dict[str, Amounts] = defaultdict(Amounts)
    for node_name, amounts in filter(None, used):
        by_node[node_name] = by_node[node_name].plus(amounts)
    return [node_capacity(node, by_node[node["metadata"]["name"]]) for node in nodes]


def what_matters(node: Json) -> Json:
    """The node without the rest of it, such as the sizes of its images."""
    metadata, spec, status = node["metadata"], node.get("spec", {}), node.get("status", {})
    images = status.get("images") or ()
    named = [name for image in images for name in image.get("names") or ()]
    return {
        "metadata": {"name": metadata["name"], "labels": metadata.get("labels")},
        "spec": {name: spec.get(name) for name in ("taints", "unschedulable")},
        "status": {
            **{name: status.get(name) for name in ("allocatable", "conditions")},
            "images": storable(named),
        },
    }


def node_capacity(node: Json, used: Amounts) -> Capacity:
    status, spec = node.get("status", {}), node.get("spec", {})
    offered = status.get("allocatable") or {}
    cpu = int(quantity(offered.get("cpu", 0)) * 1000) - used.cpu_milli
    ram = int(quantity(offered.get("memory", 0))) - used.ram_bytes
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    is_ready = ready.get("status") == "True"
    taints = [each for each in spec.get("taints") or () if each["effect"] in KEEP_AWAY]
    return Capacity(
        node=node["metadata"]["name"],
        cpu_milli=max(0, cpu),
        ram_mib=max(0, ram // MIB),
        gpu=max(0, int(quantity(offered.get(GPU, 0))) - used.gpu),
        labels=dict(labels_of(node)),
        ready=is_ready,
        cordoned=bool(spec.get("unschedulable")) or bool(taints),
        reason=_why_closed(spec, taints) if is_ready else _why_not_ready(ready),
        images=status.get("images"),
    )


def _why_not_ready(condition: Json) -> str:
    """In the words of Kubernetes: its reason, and its message."""
    said = [str(condition[name]) for name in ("reason", "message") if condition.get(name)]
    return f"Kubernetes says that it is not ready: {': '.join(said) or 'no Ready condition'}."


def _why_closed(spec: Json, taints: Sequence[Json]) -> str:
    """Empty for an open node. Kubernetes gives a cordoned node a taint too, which says no more."""
    if spec.get("unschedulable"):
        return "It is cordoned in Kubernetes."
    if not taints:
        return ""
    names = ", ".join(f"{each.get('key')}:{each['effect']}" for each in taints)
    return f"It has a taint that no deployment tolerates: {names}."


def requests(spec: Json) -> Amounts:
    """What the kube-scheduler reserves for a Pod.

    Containers run together and init containers one after the other, while those before them that
    always restart (sidecars) stay: see "Resource sharing within containers" in the documentation
    of init containers and of sidecars. Requests of the Pod as a whole go before those of its parts.
    """
    together = ZERO
    for container in spec.get("containers") or ():
        together = together.plus(_requested(container))
    sidecars = highest = ZERO
    for container in spec.get("initContainers") or ():
        needs = _requested(container)
        if container.get("restartPolicy") == "Always":
            sidecars = sidecars.plus(needs)
            highest = highest.most(sidecars)
        else:
            highest = highest.most(sidecars.plus(needs))
    needed = together.plus(sidecars).most(highest)
    of_pod = (spec.get("resources") or {}).get("requests") or {}
    if "cpu" in of_pod:
        needed = needed._replace(cpu_milli=cpu_milli(of_pod["cpu"]))
    if "memory" in of_pod:
        needed = needed._replace(ram_bytes=whole(of_pod["memory"]))
    return needed.plus(_amounts(spec.get("overhead") or {}))


def _requested(container: Json) -> Amounts:
    return _amounts((container.get("resources") or {}).get("requests") or {})


def _amounts(named: Json) -> Amounts:
    return Amounts(
        cpu_milli(named.get("cpu", 0)), whole(named.get("memory", 0)), whole(named.get(GPU, 0))
    )
