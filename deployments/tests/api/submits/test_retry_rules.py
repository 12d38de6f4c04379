"""What a submit says of its retries: by which causes, and with how much memory."""

from typing import Any

import pytest

from deployments.models import Deployment
from deployments.tests.workloads import body

pytestmark = pytest.mark.django_db

PATH = "/api/deployments"
NONE: dict[str, Any] = {
    "retry_on": None,
    "fail_on": None,
    "retry_ram_factor": None,
    "retry_ram_limit": None,
}
ALL: dict[str, Any] = {
    "retry_on": ["100-120", "75", "OUT_OF_MEMORY"],
    "fail_on": ["COMMAND_FAILED"],
    "retry_ram_factor": 1.5,
    "retry_ram_limit": 65536,
}


def shown(answer: Any) -> dict[str, Any]:
    return {name: answer.json()[name] for name in NONE}


def test_all_of_them_are_kept_and_shown(api, dev, cluster):
    answer = api(dev).post(PATH, body(cluster, max_retries=2, **ALL))
    assert answer.status_code == 201, answer.json()
    assert shown(answer) == ALL
    assert shown(api(dev).get(f"{PATH}/{answer.json()['id']}")) == ALL
    [listed] = api(dev).get(PATH).json()
    assert not listed.keys() & NONE.keys()


@pytest.mark.parametrize("given", [{}, NONE])
def test_without_them_every_failure_counts_as_before(api, dev, cluster, given):
    answer = api(dev).post(PATH, body(cluster, **given))
    assert shown(answer) == NONE
    assert Deployment.objects.get().retry == {}


def test_leaving_them_out_and_giving_their_defaults_is_the_same_submit(api, dev, cluster):
    first = api(dev).post(PATH, body(cluster), HTTP_IDEMPOTENCY_KEY="k")
    again = api(dev).post(PATH, body(cluster, **NONE), HTTP_IDEMPOTENCY_KEY="k")
    assert again.json()["id"] == first.json()["id"]
    other = api(dev).post(PATH, body(cluster, fail_on=[2]), HTTP_IDEMPOTENCY_KEY="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([7], ["7"]),
        (["7"], ["7"]),
        (["007"], ["7"]),
        (["1-7"], ["1-7"]),
        (["7-7"], ["7"]),
        (["out_of_memory"], ["OUT_OF_MEMORY"]),
        (["OUT_OF_MEMORY", 255, 0], ["0", "255", "OUT_OF_MEMORY"]),
    ],
)
def test_causes_have_one_spelling(api, dev, cluster, given, kept):
    answer = api(dev).post(PATH, body(cluster, max_retries=1, retry_on=given))
    assert answer.json()["retry_on"] == kept


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"retry_on": []}, "retry_on"),
        ({"retry_on": "75"}, "retry_on"),
        ({"retry_on": [256]}, "retry_on"),
        ({"retry_on": [-1]}, "retry_on"),
        ({"retry_on": [True]}, "retry_on"),
        ({"retry_on": [1.0]}, "retry_on"),
        ({"retry_on": ["7-3"]}, "retry_on"),
        ({"retry_on": ["1-256"]}, "retry_on"),
        ({"retry_on": ["NODE_LOST"]}, "retry_on"),
        ({"retry_on": [""]}, "retry_on"),
        ({"retry_on": [["75"]]}, "retry_on"),
        ({"retry_on": [{}]}, "retry_on"),
        ({"retry_on": ["75", 75]}, "retry_on"),
        ({"retry_on": [str(each) for each in range(65)]}, "retry_on"),
        ({"retry_on": ["\u0667"]}, "retry_on"),
        ({"fail_on": [256]}, "fail_on"),
        ({"retry_on": ["75"], "max_retries": 0}, "retry_on"),
        ({"retry_ram_factor": 2}, "retry_ram_limit"),
        ({"retry_ram_limit": 65536}, "retry_ram_factor"),
        ({"retry_ram_factor": 1, "retry_ram_limit": 65536}, "retry_ram_factor"),
        ({"retry_ram_factor": 11, "retry_ram_limit": 65536}, "retry_ram_factor"),
        ({"retry_ram_factor": "2", "retry_ram_limit": 65536}, "retry_ram_factor"),
        ({"retry_ram_factor": 1.0001, "retry_ram_limit": 65536}, "retry_ram_factor"),
        ({"retry_ram_factor": 2, "retry_ram_limit": 1024}, "retry_ram_limit"),
        (
            {"retry_ram_factor": 2, "retry_ram_limit": 65536, "max_retries": 0},
            "retry_ram_factor",
        ),
    ],
)
def test_what_makes_no_rule_is_refused_by_its_name(api, dev, cluster, given, field):
    request = body(cluster, **{"required_ram": 1024, "max_retries": 1, **given})
    answer = api(dev).post(PATH, request)
    assert answer.status_code == 400, answer.json()
    assert list(answer.json()["fields"]) == [field]
    assert not Deployment.objects.exists()


def test_a_service_needs_no_max_retries_for_them(api, dev, cluster):
    given = {"kind": "service", "retry_on": [75], "retry_ram_factor": 2, "retry_ram_limit": 65536}
    assert api(dev).post(PATH, body(cluster, **given)).status_code == 201


def test_what_becomes_of_an_evicted_one_is_kept_and_shown(api, dev, cluster):
    assert api(dev).post(PATH, body(cluster)).json()["on_preempt"] == "requeue"
    answer = api(dev).post(PATH, body(cluster, on_preempt="fail"))
    assert answer.json()["on_preempt"] == "fail"
    assert api(dev).get(f"{PATH}/{answer.json()['id']}").json()["on_preempt"] == "fail"
    refused = api(dev).post(PATH, body(cluster, on_preempt="stop"))
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["on_preempt"])


def test_to_wait_again_is_the_same_submit_as_saying_nothing(api, dev, cluster):
    first = api(dev).post(PATH, body(cluster), HTTP_IDEMPOTENCY_KEY="k")
    same = body(cluster, on_preempt="requeue")
    assert api(dev).post(PATH, same, HTTP_IDEMPOTENCY_KEY="k").json()["id"] == first.json()["id"]
    other = body(cluster, on_preempt="fail")
    assert api(dev).post(PATH, other, HTTP_IDEMPOTENCY_KEY="k").status_code == 409
