"""Sizes of nodes, as labels that no node has but those of the size carry.

So a workload may ask for nodes of one size as it asks for any label (whole_nodes/variants.py), and
the label means the same in every snapshot of a cluster.
"""

from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import GPUS, NODE

SIZE = "size:"  # no label of a user has a colon in its name
EQUAL = f"{SIZE}{NODE}"  # equal in all amounts
ALIKE = f"{SIZE}{NODE}~"  # equal in CPUs and GPUs, and nearly in RAM
OF_GPUS = f"{SIZE}{GPUS}"  # equal in GPUs
RAM_TOLERANCE = 32

Label = tuple[str, str]


def label_of(kind: str, size: Resources) -> Label:
    return (kind, "/".join(map(str, size)))


def carries(label: Label, total: Resources) -> bool:
    """Whether a node with this capacity is of the size."""
    kind, text = label
    size = Resources(*map(int, text.split("/")))
    if kind == OF_GPUS:
        return total.gpu == size.gpu
    return total == size if kind == EQUAL else are_alike(total, size)


def are_alike(total: Resources, least: Resources) -> bool:
    """Whether a node with this capacity counts as one of the size of which `least` is the
    smallest."""
    if (total.cpu_milli, total.gpu) != (least.cpu_milli, least.gpu):
        return False
    return least.ram_mib <= total.ram_mib <= least.ram_mib + least.ram_mib // RAM_TOLERANCE
