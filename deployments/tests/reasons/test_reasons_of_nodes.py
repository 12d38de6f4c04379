"""The sentences of reasons that only clusters with nodes have."""

import pytest

from deployments.reasons.codes import render

SIZE = {"cpu_milli": 4000, "ram_mib": 1024, "gpu": 4}
FREE = {"cpu_milli": 64000, "ram_mib": 4096, "gpu": 6}
BEST = {"cpu_milli": 32000, "ram_mib": 2048, "gpu": 3}


@pytest.mark.parametrize(
    ("code", "details", "sentence"),
    [
        (
            "FRAGMENTED",
            {"requested": SIZE, "replicas": 1, "free": FREE, "best_node": BEST, "room_for": 0},
            "Enough is free in all, but not on one node: asks for 4 GPUs, the best has 3.",
        ),
        (
            "FRAGMENTED",
            {"requested": SIZE, "replicas": 3, "free": FREE, "best_node": BEST, "room_for": 2},
            "Enough is free in all, but side by side only 2 of 3 replicas fit.",
        ),
        (
            "FRAGMENTED",
            {
                "requested": SIZE,
                "replicas": 1,
                "free": FREE,
                "evictable": FREE,
                "best_node": BEST,
                "room_for": 0,
            },
            "Enough is free or could be preempted in all, but not on one node: asks for 4 GPUs, "
            "the best has 3.",
        ),
        (
            "INSUFFICIENT_CAPACITY",
            {"short": {"gpu": 4}, "requested": SIZE, "free": {**FREE, "gpu": 0}, "closed_nodes": 2},
            "Needs 4 more GPUs: asks for 4, 0 are free. 2 nodes are closed.",
        ),
        (
            "INSUFFICIENT_CAPACITY",
            {
                "short": {"gpu": 4},
                "requested": SIZE,
                "free": {**FREE, "gpu": 0},
                "closed_nodes": 2,
                "away_nodes": 2,
            },
            "Needs 4 more GPUs: asks for 4, 0 are free. 2 nodes do not answer.",
        ),
        (
            "EXCEEDS_CAPACITY",
            {"resource": "gpu", "requested": 16, "total": 8, "on_a_node": True},
            "Asks for 16 GPUs, more than the 8 that the largest node has.",
        ),
        (
            "EXCEEDS_CAPACITY",
            {"node_selector": {"gpu": "h100", "zone": "b"}},
            "No node of the cluster carries the labels gpu=h100, zone=b.",
        ),
        (
            "EXCEEDS_CAPACITY",
            {"replicas": 9, "room_for": 8},
            "Even empty, the nodes have room for 8 of its 9 replicas.",
        ),
    ],
)
def test_sentences_with_numbers(code: str, details: dict[str, object], sentence: str) -> None:
    assert render(code, details)["message"] == sentence
