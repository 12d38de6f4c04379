"""What is very long or has very many faults: it is measured first, and the answer stays short."""

import unicodedata
from typing import Any
from uuid import uuid4

import pytest

from deployments.tests.workloads import body as body_of
from mlops_platform.api.errors import FAULTY, MOST_FAULTS, VERY_FAULTY
from mlops_platform.api.parsers import MOST_VALUES
from mlops_platform.api.throttling.throttles import LONGEST_NAME
from mlops_platform.tests.equipment.errors import error_body
from organizations.tests.people import PASSWORD


@pytest.mark.parametrize("path", ["login", "register"])
def test_a_long_name_is_measured_before_it_is_brought_into_its_normal_form(
    anyone, db, monkeypatch, path
):
    """To sort a mebibyte of marks takes minutes; the throttle reads the name too."""
    normalize, measured = unicodedata.normalize, list[int]()

    def record(form: Any, text: str) -> str:
        measured.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", record)
    body = {"username": "a" + "\u0301\u0316" * 5000, "password": PASSWORD}
    answer = anyone.post(f"/api/users/{path}", body)
    assert answer.status_code == 400
    assert list(error_body(answer)["fields"]) == ["username"]
    assert max(measured, default=0) <= LONGEST_NAME


def test_a_name_that_becomes_short_enough_is_taken(anyone, db):
    name = "e\u0301" * 150
    answer = anyone.post("/api/users/register", {"username": name, "password": PASSWORD})
    assert answer.status_code == 201
    assert answer.json()["username"] == "\u00e9" * 150


@pytest.mark.parametrize("count", [MOST_FAULTS, MOST_FAULTS + 1])
def test_an_answer_names_the_first_faults_and_says_that_there_are_more(api, ada, count):
    answer = api(ada).post("/api/orgs/create", {f"n{number}": 0 for number in range(count)})
    error = error_body(answer)
    required = {"name": ["This field is required."]} if count == MOST_FAULTS else {}
    unknown = {f"n{number}": ["Unknown field."] for number in range(MOST_FAULTS)}
    assert len(error["fields"]) == MOST_FAULTS
    assert error["fields"].items() <= (required | unknown).items()
    assert error["detail"] == VERY_FAULTY


def test_few_faults_are_all_named(api, ada):
    answer = api(ada).post("/api/orgs/create", {f"n{number}": 0 for number in range(3)})
    error = error_body(answer)
    assert (list(error["fields"]), error["detail"]) == (["name", "n0", "n1", "n2"], FAULTY)


def test_a_bulk_whose_items_are_all_at_fault_names_the_first(api, dev, cluster):
    items = [body_of(cluster, cluster_id=str(uuid4())) for _ in range(50)]
    answer = api(dev).post("/api/deployments/bulk", {"deployments": items})
    assert answer.status_code == 404
    error = error_body(answer)
    assert list(error["fields"]["deployments"]) == [str(number) for number in range(MOST_FAULTS)]
    assert str(MOST_FAULTS) in error["detail"]


def test_a_sentence_does_not_repeat_a_long_text(api, ada, cluster):
    answer = api(ada).patch(f"/api/clusters/{cluster.pk}", {"state": "x" * 100_000})
    assert answer.status_code == 400
    assert len(answer.content) < 1000


def test_commas_in_a_text_are_not_values(api, ada):
    answer = api(ada).post("/api/orgs/create", {"name": "," * (MOST_VALUES + 1)})
    assert list(error_body(answer)["fields"]) == ["name"]


def test_a_body_of_too_many_values_is_refused_unread(api, ada):
    answer = api(ada).post("/api/orgs/create", {"name": [0] * (MOST_VALUES + 1)})
    error = error_body(answer)
    assert (answer.status_code, error["code"]) == (400, "parse_error")
    assert f"{MOST_VALUES:,}" in error["detail"]


@pytest.mark.parametrize("given", ["Always", "", 5, ["always"]])
def test_a_refusal_names_the_words_to_choose_from(api, dev, cluster, given):
    answer = api(dev).post("/api/deployments", body_of(cluster, pull_policy=given))
    assert answer.status_code == 400
    assert "is none of if_missing, always." in answer.json()["fields"]["pull_policy"][0]
