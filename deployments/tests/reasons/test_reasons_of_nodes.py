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
            "EXCEEDS_CAPACITY",  # of an earlier version
            {"node_selector": {"gpu": "h100", "zone": "b"}},
            "No node of the cluster carries the labels gpu=h100, zone=b.",
        ),
        (
            "NO_MATCHING_NODE",
            {"node_selector": {"gpu": "h100"}, "nearest": []},
            "No node of the cluster carries the labels gpu=h100.",
        ),
        (
            "NO_MATCHING_NODE",
            {
                "node_selector": {"gpu": "a100"},
                "nearest": [
                    {"label": "gpu", "value": "A100", "nodes": 3},
                    {"label": "gpu", "value": "h100", "nodes": 1},
                ],
            },
            "No node of the cluster carries the labels gpu=a100."
            " Nodes have gpu=A100 (3), gpu=h100 (1).",
        ),
        (
            "NO_MATCHING_NODE",
            {
                "node_selector": {"gpu": "h100", "zone": "b"},
                "nearest": [
                    {"label": "gpu", "value": "h100", "nodes": 3},
                    {"label": "zone", "value": "b", "nodes": 2},
                ],
            },
            "No node of the cluster carries the labels gpu=h100, zone=b."
            " Nodes have gpu=h100 (3), zone=b (2), but none has all.",
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
