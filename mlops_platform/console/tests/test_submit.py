"""The page that submits: its quote, its refusals, and what it submits."""

import html
import re

import pytest
from django.test import Client

from clusters.models import Node, NodeState
from deployments.env import unsealed
from deployments.models import Deployment, Status
from mlops_platform.api.throttling.throttles import QuoteThrottle
from mlops_platform.console.tests.pages import waiting
from mlops_platform.tests.equipment.world import World, fingerprint

PATH, QUOTE = "/console/submit/", "/console/submit/quote/"
FIELDS = {
    "name": "lr-1",
    "image": "train:1",
    "command": "python train.py --name 'a b'",
    "required_cpu": "500m",
    "required_ram": "1Gi",
    "required_gpu": "0",
    "priority": "LOW",
    "labels": "team=vision",
    "env": "SEED=42\r\nTEXT=a=b",
    "more": "max_retries: 3\n",
    "key": "one form",
}


def browser(world: World, person: str) -> Client:
    client = Client(headers={"accept": "text/html"})
    user = world.users[person]
    if user is not None:
        client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def form(world: World, **fields: str) -> dict[str, str]:
    return {"cluster_id": world.ids["cluster_id"], **FIELDS, **fields}


def text_of(answer) -> str:
    return html.unescape(answer.content.decode())


@pytest.fixture(autouse=True)
def _open(world: World) -> None:
    Node.objects.update(state=NodeState.READY)


def submitted(world: World) -> Deployment:
    return Deployment.objects.get(cluster_id=world.ids["cluster_id"], name="lr-1")


def test_a_developer_submits_what_the_form_says_once(world: World) -> None:
    client = browser(world, "developer")
    answers = [client.post(PATH, form(world)) for _ in range(2)]
    row = submitted(world)
    assert {each["Location"] for each in answers} == {f"/console/deployments/{row.pk}/"}
    assert row.command == ["python", "train.py", "--name", "a b"]
    assert (row.cpu_milli, row.ram_mib, row.gpu, row.max_retries) == (500, 1024, 0, 3)
    assert row.labels == {"team": "vision"}
    assert unsealed(row.env) == {"SEED": "42", "TEXT": "a=b"}
    assert row.owner == world.users["developer"]


@pytest.mark.parametrize(
    ("person", "status"), [("viewer", 403), ("stranger", 404), ("anonymous", 302)]
)
@pytest.mark.parametrize("path", [PATH, QUOTE])
def test_others_submit_and_quote_nothing(world: World, path: str, person: str, status: int) -> None:
    client, before = browser(world, person), fingerprint()
    assert client.post(path, form(world)).status_code == status
    assert fingerprint() == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"image": ""}, "image: "),
        ({"required_gpu": "two"}, "required_gpu: "),
        ({"command": "a 'b"}, "command: A quotation mark is missing."),
        ({"env": "SEED"}, "env: Write NAME=value: 'SEED' has no =."),
        ({"labels": "vision"}, "labels: Write NAME=value"),
        ({"more": "&a [*a]"}, "more: It has a YAML alias"),
        ({"more": "[1]"}, "more: Write fields of a submit"),
        ({"more": "wrong: 1"}, "wrong: "),
        ({"more": "x" * 300_000}, "more: It may have 256 KiB at most."),
    ],
)
def test_a_field_at_fault_is_named_at_once_and_what_was_written_stays(
    world: World, fields: dict[str, str], said: str
) -> None:
    client, before = browser(world, "developer"), fingerprint()
    given = form(world, **fields)
    assert said in text_of(client.post(QUOTE, given))
    page = text_of(client.post(PATH, given))
    assert said in page
    assert 'value="lr-1"' in page
    assert fingerprint() == before


def test_a_quote_is_kept_or_refused_as_a_whole(world: World) -> None:
    client = browser(world, "developer")
    seen = text_of(client.post(QUOTE, form(world)))
    found = re.search(r'name="token" value="([^"]+)"', seen)
    assert found is not None, seen
    assert "It starts now." in seen
    before = fingerprint()
    stale = client.post(PATH, form(world, token=found[1], required_cpu="600m"))
    assert "The quote was given for another body." in text_of(stale)
    assert fingerprint() == before
    client.post(PATH, form(world, token=found[1]))
    assert submitted(world).status == Status.RUNNING


def test_what_would_wait_says_why(world: World) -> None:
    seen = text_of(browser(world, "developer").post(QUOTE, form(world, required_gpu="1000")))
    assert "It waits." in seen
    assert "1000" in seen
    assert 'name="token"' not in seen


def test_the_button_quote_answers_with_the_page_and_writes_nothing(world: World) -> None:
    client, before = browser(world, "developer"), fingerprint()
    page = text_of(client.post(PATH, form(world, only_quote="1")))
    assert "It starts now." in page
    assert "python train.py --name 'a b'" in page
    assert fingerprint() == before


def test_a_form_like_an_earlier_deployment_has_its_fields_but_no_values_of_variables(
    world: World,
) -> None:
    row = waiting(world)
    page = text_of(browser(world, "developer").get(PATH, {"like": str(row.pk)}))
    assert f'value="{row.image}"' in page
    assert f'value="{row.gpu}"' in page
    for name, value in unsealed(row.env).items():
        assert name in page
        assert f"={value}" not in page
    assert browser(world, "stranger").get(PATH, {"like": str(row.pk)}).status_code == 404


def test_more_quotes_than_may_be_asked_for_say_so_beside_the_form(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browser(world, "developer")
    monkeypatch.setattr(QuoteThrottle, "allow_request", lambda *_: False)
    monkeypatch.setattr(QuoteThrottle, "wait", lambda *_: 7.0)
    before = fingerprint()
    for path, form_ in ((QUOTE, form(world)), (PATH, form(world, only_quote="1"))):
        answer = client.post(path, form_)
        assert answer.status_code == 200
        assert "ask again in 7 s." in text_of(answer)
    assert fingerprint() == before
