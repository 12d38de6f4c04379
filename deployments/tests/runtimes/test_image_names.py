"""One spelling of references to images."""

import pytest

from deployments.runtimes.image_names import MOST_OF_NODE, canonical, storable

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("docker.io/busybox:1", "docker.io/library/busybox:1"),
        ("index.docker.io/library/busybox:1", "docker.io/library/busybox:1"),
        ("team/train:2", "docker.io/team/train:2"),
        ("localhost/train", "localhost/train:latest"),
        ("localhost:5000/train", "localhost:5000/train:latest"),
        ("registry.example.com:5000/a/b/train:2", "registry.example.com:5000/a/b/train:2"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"nvcr.io/nvidia/pytorch:24@{DIGEST}", f"nvcr.io/nvidia/pytorch@{DIGEST}"),
    ],
)
def test_a_reference_has_one_spelling(given: str, expected: str) -> None:
    assert canonical(given) == expected
    assert canonical(expected) == expected


def test_what_a_node_reports_is_stored_as_far_as_it_can_be() -> None:
    given = ["b:1", "a", "a:latest", "<none>:<none>", "", None, 7, "x\0y", "x" * 5000, "é:1"]
    assert storable(given) == (
        "docker.io/library/a:latest",
        "docker.io/library/b:1",
    )
    assert len(storable(f"image:{number}" for number in range(5 * MOST_OF_NODE))) == MOST_OF_NODE
