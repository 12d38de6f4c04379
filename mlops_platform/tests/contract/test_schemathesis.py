"""Requests that the OpenAPI document allows, and such that it does not, as each kind of user.

schemathesis makes them of the document: of its examples, at the edges of each schema, and at
random. The document must declare each answer with its status, content type, headers and body, and
no answer may be a 5xx. What one request changes is undone before the next.

All of them take two minutes at most on two cores. `make fuzz` takes as long as SECONDS says, with
another seed each time.
"""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from schemathesis import checks
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)

from mlops_platform import documents
from mlops_platform.tests.equipment.examples import part_of
from mlops_platform.tests.equipment.routes import Route, api_routes
from mlops_platform.tests.equipment.world import World, undone

PEOPLE = ("anonymous", "viewer", "developer", "admin")
ALL_MODES = list(HypothesisTestMode)
ROUTES = [pytest.param(route, id=str(route)) for route in api_routes()]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
NOWHERE = "0199d1c9-0000-7000-8000-000000000000"
CI_SECONDS = 90.0  # of each process; the rest of the two minutes is for what is between requests
GIVEN_SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
RANDOM_REQUESTS = 5000 if GIVEN_SECONDS else 10  # of each call by each person, where time allows
SEED = random.randrange(2**32) if GIVEN_SECONDS else 20260301


class Budget:
    """The seconds that a process may spend. A call gets a share; the seldom slow one a few."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.share = max(4.0, 2 * seconds / (len(ROUTES) * len(PEOPLE)))

    def spend(self) -> Callable[[], bool]:
        """Whether there is time for another request, for one call from now on."""
        until = time.monotonic() + min(self.share, self.left)
        return lambda: time.monotonic() < until


BUDGET = Budget(GIVEN_SECONDS or CI_SECONDS)


@pytest.fixture
def time_is_left() -> Iterator[Callable[[], bool]]:
    started = time.monotonic()
    yield BUDGET.spend()
    BUDGET.left = max(0.1, BUDGET.left - (time.monotonic() - started))


@pytest.fixture
def unthrottled(anyone, monkeypatch) -> None:
    """No throttle: else most answers were 429."""
    for scope in anyone.rates():
        monkeypatch.setitem(anyone.rates(), scope, None)


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Requests leave the connection open, with the transaction that has the world in it."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


def schema_of(world: World) -> Any:
    return _schema(json.dumps(dict(world.ids)))


@cache
def _schema(ids: str) -> Any:
    """The document with ids of what there is, or is not: with random ones all answers were 404."""
    document, known = json.loads(json.dumps(documents.openapi())), json.loads(ids)
    for each in document["components"]["parameters"].values():
        if each["name"] in known:
            each["schema"] = {"enum": [known[each["name"]], NOWHERE]}
    for schema in document["components"]["schemas"].values():
        if schema.get("additionalProperties") is not False:
            continue  # an answer
        for name, shown in schema["properties"].items():
            if name in known and shown.get("type") == "string":
                shown["enum"] = [known[name], NOWHERE]
    config = SchemathesisConfig.from_dict(
        {
            "generation": {"max-examples": RANDOM_REQUESTS},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
        }
    )
    loaded = schemathesis.openapi.from_dict(document, config=config)
    loaded.app = get_wsgi_application()
    return loaded


def headers_of(world: World, person: str) -> dict[str, str]:
    sent: dict[str, str] = vars(world.client(person))["_credentials"]
    token = sent.get("HTTP_AUTHORIZATION")
    return {"Authorization": token} if token else {}


def modes_of(route: Route, person: str) -> list[HypothesisTestMode]:
    """Which requests are made: at the edges of each schema only as an admin, who gets furthest, and
    as one of the others, who differs from call to call; by `make fuzz` as each."""
    if GIVEN_SECONDS or person == "admin" or person in part_of(PEOPLE[:-1], str(route), 3):
        return ALL_MODES
    return [mode for mode in ALL_MODES if mode != HypothesisTestMode.COVERAGE]


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.usefixtures("unthrottled", "one_connection")
def test_each_answer_is_declared(
    world: World, time_is_left: Callable[[], bool], route: Route, person: str
) -> None:
    headers, schema = headers_of(world, person), schema_of(world)

    def answers_as_declared(case: Any) -> None:
        if time_is_left():
            with transaction.atomic():
                case.call_and_validate(headers=headers)
                transaction.set_rollback(True)

    config = HypothesisTestConfig(
        project=schema.config,
        modes=modes_of(route, person),
        settings=schema.config.get_hypothesis_settings(),
        seed=SEED,
    )
    operation = schema[route.path][route.method]
    with undone():
        create_test(operation=operation, test_func=answers_as_declared, config=config)()


def test_the_checks_are_those_that_are_named():
    assert all(hasattr(checks, name) for name in CHECKS)
