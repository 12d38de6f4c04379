"""Random bodies: the answer is sound or a 4xx, never a 500."""

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.examples import examples
from mlops_platform.tests.equipment.routes import routes_with_a_body
from mlops_platform.tests.equipment.world import fingerprint
from mlops_platform.tests.input.bad_values import to_json
from mlops_platform.tests.input.matrix import ROW_OF
from mlops_platform.tests.input.test_bad_input import send, sound_body

EDGES = [0, -1, 2**31, 2**63, -(2**63), 1e308, "", " ", "\u202e", "\U0001f4a5", "0" * 400, "me"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(EDGES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def changed(draw: st.DrawFn, sound: Any) -> Any:
    """The sound body with some of its values replaced, at any depth, or left out."""
    if isinstance(sound, dict):
        kept = {
            name: draw(changed(value)) for name, value in sound.items() if draw(st.integers(0, 9))
        }
        return kept | draw(st.dictionaries(st.text(), anything, max_size=1))
    if isinstance(sound, list) and draw(st.booleans()):
        return [draw(changed(value)) for value in sound]
    return draw(anything) if draw(st.booleans()) else sound


@pytest.mark.parametrize("route", [pytest.param(r, id=str(r)) for r in routes_with_a_body()])
def test_no_body_breaks_it(world, anyone, monkeypatch, route):
    for scope in anyone.rates():
        monkeypatch.setitem(anyone.rates(), scope, None)
    sound, before = sound_body(world, route), fingerprint()

    @settings(
        max_examples=examples(40),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(body=changed(sound) | anything)
    def answers(body: Any) -> None:
        with transaction.atomic():
            answer = send(world, route, to_json(body))
            if answer.status_code < 300:
                assert answer.status_code == ROW_OF[str(route)].answers[-1]
            else:
                assert answer.status_code in {400, 401, 404, 409}, (body, answer.content[:300])
                error_body(answer)
            transaction.set_rollback(True)

    answers()
    assert fingerprint() == before
