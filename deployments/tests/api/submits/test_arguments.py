"""`command` and `args` of a submit: up to 128 KiB together, as Linux takes them."""

from typing import Any

import pytest

from deployments.models import Deployment
from deployments.services.drafting.program import MOST_ARGUMENT_BYTES
from deployments.tests.workloads import body
from mlops_platform.tests.equipment.errors import error_body

SCRIPT = "\n".join(f'export TUNING_{n:03}={n:04}; echo "step {n}"' for n in range(105))
MOST = MOST_ARGUMENT_BYTES

TAKEN: dict[str, dict[str, Any]] = {
    "a launcher": {"command": ["/bin/bash", "-c"], "args": [SCRIPT]},
    "a long launcher": {"command": ["/bin/bash", "-c"], "args": [SCRIPT * 12]},
    "the longest argument": {"args": ["x" * (MOST - 1)]},
    "both together": {"command": ["x" * (MOST // 2 - 1)], "args": ["x" * (MOST // 2 - 1)]},
    "many": {"args": ["x" * 130] * 1000},
    "many empty ones": {"command": [""] * 1000, "args": [""] * 1000},
    "in bytes": {"args": ["\u00e4" * (MOST // 2 - 1) + "x"]},
}
REFUSED: dict[str, dict[str, Any]] = {
    "an argument too long": {"args": ["x" * MOST]},
    "a command too long": {"command": ["x" * MOST]},
    "both together": {"command": ["x" * (MOST // 2)], "args": ["x" * (MOST // 2 - 1)]},
    "many": {"args": ["x" * 131] * 1000},
    "too many": {"args": [""] * 1001},
    "in bytes": {"args": ["\u00e4" * (MOST // 2)]},
}


@pytest.mark.parametrize("given", TAKEN.values(), ids=TAKEN)
def test_a_submit_takes_them_exactly_as_they_are(api, dev, cluster, given):
    answer = api(dev).post("/api/deployments", body(cluster, **given))
    assert answer.status_code == 201, answer.content[:300]
    shown = api(dev).get(f"/api/deployments/{answer.json()['id']}").json()
    assert {name: shown[name] for name in given} == given


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_more_is_refused_by_name(api, dev, cluster, given):
    item = body(cluster, **given)
    bodies = {
        "/api/deployments": item,
        "/api/deployments/quote": item,
        "/api/deployments/bulk": {"deployments": [body(cluster), item]},
    }
    for path, sent in bodies.items():
        answer = api(dev).post(path, sent)
        assert answer.status_code == 400
        fields = error_body(answer)["fields"]
        at_fault = fields["deployments"]["1"] if path.endswith("bulk") else fields
        assert set(at_fault) <= {"command", "args"}
    assert not Deployment.objects.exists()


@pytest.mark.parametrize(("size", "status"), [(16 * 1024, 201), (16 * 1024 + 1, 400)])
def test_the_command_of_a_probe_is_shorter(api, dev, cluster, size, status):
    probe = {"kind": "command", "command": ["sh", "x" * (size - 2)]}
    answer = api(dev).post("/api/deployments", body(cluster, readiness=probe))
    assert answer.status_code == status
    if status == 400:
        assert list(error_body(answer)["fields"]["readiness"]) == ["command"]
