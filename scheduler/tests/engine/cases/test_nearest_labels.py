"""What nodes carry instead of the labels of a selector."""

import pytest

from scheduler.engine.placement.nearest_labels import nearest_labels
from scheduler.engine.snapshot import VOLUME, Labels
from scheduler.tests.engine.build import node

NODES = [
    *(node(f"a{n}", labels={"gpu": "A100", "zone": "x"}) for n in range(3)),
    node("h", labels={"gpu": "h100", "zone": "y", f"{VOLUME}data": ""}),
    node("l", labels={"gpu": "l4", "zone": "y"}),
    node("t", labels={"gpu": "t4", "zone": "y"}),
    node("bare"),
]


@pytest.mark.parametrize(
    ("selector", "near"),
    [
        ({"gpu": "a100"}, ["gpu=A100 3", "gpu=h100 1", "gpu=l4 1"]),
        ({"gpu": "h200"}, ["gpu=h100 1", "gpu=A100 3", "gpu=l4 1"]),
        ({"gpu": "mi300"}, ["gpu=A100 3", "gpu=h100 1", "gpu=l4 1"]),
        ({"GPU": "h100"}, ["gpu=h100 1", "gpu=A100 3", "gpu=l4 1"]),
        ({"gpus": "t4"}, ["gpu=t4 1", "gpu=A100 3", "gpu=h100 1"]),
        ({"disk": "nvme"}, []),
        ({"gpu": "A100", "zone": "y"}, ["gpu=A100 3", "zone=y 3"]),
        ({"gpu": "A100", "zone": "z"}, ["gpu=A100 3", "zone=x 3", "zone=y 3"]),
        ({f"{VOLUME}data": "", "zone": "x"}, ["zone=x 3"]),
    ],
    ids=lambda case: str(case)[:40],
)
def test_it_is_what_looks_alike_then_what_most_nodes_carry(
    selector: dict[str, str], near: list[str]
) -> None:
    labels: Labels = tuple(sorted(selector.items()))
    found = nearest_labels(NODES, labels)
    assert [f"{each['label']}={each['value']} {each['nodes']}" for each in found] == near
    assert nearest_labels(NODES[::-1], labels) == found
