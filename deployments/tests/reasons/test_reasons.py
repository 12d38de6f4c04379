"""The sentences of the reasons."""

import pytest

from deployments.reasons.codes import SENTENCES, render

ASKED = {"cpu_milli": 4000, "ram_mib": 8192, "gpu": 4}
FREE = {"cpu_milli": 2500, "ram_mib": 1, "gpu": 1}


@pytest.mark.parametrize(
    ("code", "details", "message"),
    [
        ("NO_CAPACITY_YET", {"nodes": 0}, "The cluster has no nodes yet."),
        (
            "NO_CAPACITY_YET",
            {"nodes": 1},
            "The cluster has no capacity yet: its node has not answered with its size.",
        ),
        (
            "NO_CAPACITY_YET",
            {"nodes": 2},
            "The cluster has no capacity yet: none of its nodes has answered with its size.",
        ),
        (
            "EXCEEDS_CAPACITY",
            {"resource": "gpu", "requested": 16, "total": 8},
            "Asks for 16 GPUs, more than the 8 that the whole cluster has.",
        ),
        (
            "EXCEEDS_CAPACITY",
            {"resource": "cpu_milli", "requested": 8500, "total": 8000},
            "Asks for 8.5 CPU cores, more than the 8 that the whole cluster has.",
        ),
        (
            "INSUFFICIENT_CAPACITY",
            {"short": {"gpu": 3}, "requested": ASKED, "free": FREE},
            "Needs 3 more GPUs: asks for 4, 1 is free.",
        ),
        (
            "INSUFFICIENT_CAPACITY",
            {"short": {"gpu": 1}, "requested": ASKED, "free": {**FREE, "gpu": 3}},
            "Needs 1 more GPU: asks for 4, 3 are free.",
        ),
        (
            "INSUFFICIENT_CAPACITY",
            {
                "short": {"gpu": 3, "cpu_milli": 1500, "ram_mib": 8191},
                "requested": ASKED,
                "free": FREE,
            },
            "Needs 1.5 more CPU cores (asks for 4, 2.5 are free), "
            "8191 more MiB of RAM (asks for 8192, 1 is free) "
            "and 3 more GPUs (asks for 4, 1 is free).",
        ),
        (
            "BLOCKED_BY_HEAD",
            {"head": "0199d1c5"},
            "Waits behind a deployment (0199d1c5…), which is first in the queue and does not fit "
            "yet.",
        ),
        (
            "CLUSTER_PAUSED",
            {"state": "PAUSED"},
            "The cluster is paused: nothing starts until it is resumed.",
        ),
        (
            "CLUSTER_PAUSED",
            {
                "state": "PAUSED",
                "since": "2026-03-01T09:00:00.123+00:00",
                "actor": "grace",
                "cause": "new switch",
            },
            "The cluster is paused since 2026-03-01 09:00:00 UTC by grace (new switch): nothing "
            "starts until it is resumed.",
        ),
        (
            "CLUSTER_PAUSED",
            {"state": "DRAINING"},
            "The cluster is being drained: nothing starts until it is resumed.",
        ),
        (
            "PREEMPTED",
            {"by": "0199d1c5", "priority": "HIGH", "lost_s": 0.4},
            "Made room for a deployment (0199d1c5…) (HIGH), losing 0 s of work.",
        ),
        ("PREEMPTED", {"by": "0199d1c5"}, "Made room for a deployment (0199d1c5…)."),
        (
            "WAITING_FOR_DEPENDENCIES",
            {"count": 1, "deployments": ["0199d1c5"]},
            "Waits for 1 deployment to complete: a deployment (0199d1c5…).",
        ),
        (
            "WAITING_FOR_DEPENDENCIES",
            {"count": 3, "deployment_names": ["a", "b", "c"]},
            "Waits for 3 deployments to complete: a, b, c.",
        ),
        (
            "WAITING_FOR_DEPENDENCIES",
            {"count": 30, "deployment_names": ["a", "b", "c", "d"]},
            "Waits for 30 deployments to complete: a, b, c and 27 more.",
        ),
        (
            "DEPENDENCY_FAILED",
            {"by": "0199d1c5"},
            "Depends on a deployment (0199d1c5…), which did not complete, so it cannot start.",
        ),
    ],
)
def test_a_sentence_has_the_numbers(code, details, message):
    assert render(code, details)["message"] == message


def test_details_have_the_names_of_the_api():
    details = {"short": {"cpu_milli": 1500}, "requested": ASKED, "free": FREE}
    assert render("INSUFFICIENT_CAPACITY", details)["details"] == {
        "short": {"cpu": 1.5},
        "requested": {"cpu": 4, "ram": 8192, "gpu": 4},
        "free": {"cpu": 2.5, "ram": 1, "gpu": 1},
    }
    too_much = {"resource": "cpu_milli", "requested": 8500, "total": 8000}
    assert render("EXCEEDS_CAPACITY", too_much)["details"] == {
        "resource": "cpu",
        "requested": 8.5,
        "total": 8,
    }


@pytest.mark.parametrize("code", [*SENTENCES, "SOMETHING_NEW", ""])
@pytest.mark.parametrize(
    "details",
    [
        {},
        None,
        [],
        {"short": 7, "requested": None, "free": "x"},
        {"short": {"gpu": "x"}, "requested": {}, "free": {}},
        {"short": {}, "requested": {}, "free": {}},
        {"resource": ["gpu"], "requested": "x"},
        {"resource": "gpu"},
        {"by": None, "lost_s": "x"},
    ],
)
def test_render_never_raises(code, details):
    reason = render(code, details)
    assert reason["code"] == code
    assert isinstance(reason["message"], str)
    assert isinstance(reason["details"], dict)


def test_an_unknown_code_still_has_a_sentence():
    assert render("SOMETHING_NEW", {"x": 1}) == {
        "code": "SOMETHING_NEW",
        "message": "Something new.",
        "details": {"x": 1},
    }


def test_a_reason_that_the_last_version_wrote_has_the_present_names() -> None:
    details = {"resource": "gpu", "requested": 2, "quota": 3, "held": 2}
    found = render("QUOTA_EXCEEDED", details)
    assert found["message"] == "Asks for 2 GPUs: its owner has 2 allocated, and the quota is 3."
    assert found["details"] == {"resource": "gpu", "requested": 2, "quota": 3, "allocated": 2}
