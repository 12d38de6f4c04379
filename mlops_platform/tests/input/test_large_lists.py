"""A page of a list has a limit in bytes, whatever its rows have been made of."""

import re
from typing import Any

import pytest

from mlops_platform.api.answers import pagination
from mlops_platform.tests.equipment.routes import every_route

LISTS = [pytest.param(route, id=str(route)) for route in every_route() if route.pages]


def pages(client: Any, path: str, **query: Any) -> list[Any]:
    """The answers of all pages."""
    answers = [client.get(path, query)]
    while following := re.fullmatch(r'<(.+)>; rel="next"', answers[-1].get("Link", "")):
        answers.append(client.get(following[1]))
        assert len(answers) < 500
    return answers


def rows_of(answers: list[Any]) -> list[Any]:
    return [row for answer in answers for row in answer.json()]


@pytest.mark.parametrize("route", LISTS)
def test_a_page_that_is_full_ends_early_and_no_row_is_lost(world, monkeypatch, route):
    client, path = world.client("admin"), route.path.format(**world.ids)
    [whole] = pages(client, path)
    monkeypatch.setattr(pagination, "MOST_BYTES", -1)
    each_alone = pages(client, path)
    assert rows_of(each_alone) == whole.json()
    assert [len(answer.json()) for answer in each_alone] == [1] * len(whole.json())


@pytest.mark.parametrize("limit", [1, 2, 100, 101, 102, 1000])
def test_a_page_has_as_many_rows_as_were_asked_for(world, monkeypatch, limit):
    monkeypatch.setattr(pagination, "FIRST_READ", 2)
    client = world.client("admin")
    whole = client.get("/api/orgs/all").json()
    answers = pages(client, "/api/orgs/all", limit=limit)
    assert rows_of(answers) == whole
    assert len(answers[0].json()) == min(limit, len(whole))
