"""What a submit or a change says of whole nodes, and the columns that keep it.

`exclusive` and a `required_gpu` of "all" are names in the column `whole`. While a deployment waits,
the columns of its request are the least that it asks for: of all GPUs, one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from clusters.models import Cluster
from deployments.models import Deployment
from deployments.whole_nodes import ALL_GPUS, EXCLUSIVE
from mlops_platform.api.errors import Invalid

ALL = "all"  # the value of required_gpu
NO_NODES = "The cluster has no nodes: it is one pool."


def refuse_in_pool(cluster: Cluster, spec: Mapping[str, Any]) -> None:
    """400 in a pool, of which nothing is whole. One query where it asks."""
    if asks(spec) and cluster.is_pool:
        raise Invalid({"exclusive" if spec.get("exclusive") else "required_gpu": NO_NODES})


def asks(spec: Mapping[str, Any]) -> bool:
    """Whether a submit, or a change, asks for whole nodes or for all GPUs."""
    return bool(spec.get("exclusive")) or spec.get("gpu") == ALL


def into_columns(spec: dict[str, Any]) -> None:
    """The fields of a submit as columns."""
    whole = {EXCLUSIVE: True} if spec.get("exclusive") else {}
    if spec["gpu"] == ALL:
        spec["gpu"], whole[ALL_GPUS] = 1, True
    spec["whole"] = whole


def asked_by(row: Deployment) -> dict[str, Any]:
    """What another submit has to say to ask for the same."""
    cpu_milli, ram_mib, gpu = row.asked
    return {
        "cpu_milli": cpu_milli,
        "ram_mib": ram_mib,
        "gpu": ALL if ALL_GPUS in row.whole else gpu,
        "exclusive": EXCLUSIVE in row.whole,
    }


def show_asked(rows: Iterable[Deployment]) -> None:
    """Have rows that are to be shown, and not to be saved, name what they ask for as a submit
    does."""
    for row in rows:
        if row.whole:
            row.cpu_milli, row.ram_mib, gpu = row.asked
            row.gpu = ALL if ALL_GPUS in row.whole else gpu


def value_of(row: Deployment, name: str) -> Any:
    """The present value of what a change names: a column, or `exclusive`."""
    if name == "exclusive":
        return EXCLUSIVE in row.whole
    if name == "gpu" and ALL_GPUS in row.whole:
        return ALL
    return getattr(row, name)


def set_value(row: Deployment, name: str, value: Any) -> list[str]:
    """Set what a change names; the columns that it concerns."""
    marks = {"exclusive": (EXCLUSIVE, value is True), "gpu": (ALL_GPUS, value == ALL)}
    if name in marks:
        mark, is_set = marks[name]
        others = {each: of for each, of in row.whole.items() if each != mark}
        row.whole = {**others, mark: True} if is_set else others
    if name == "exclusive":
        return ["whole"]
    setattr(row, name, 1 if value == ALL else value)
    return ["whole", name] if name == "gpu" else [name]
