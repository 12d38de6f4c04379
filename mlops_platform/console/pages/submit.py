"""Submit: a form whose fields make the body of the API's call, and what would become of it."""

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from accounts.models import User
from clusters.queries import clusters_visible_to
from deployments.api.representation import present_one
from deployments.api.serializers import SubmitSerializer
from deployments.models import Deployment
from deployments.queries.deployments import deployment_for
from deployments.queries.priority_classes import priority_classes
from deployments.services import submit
from deployments.services.drafting.drafts import draft_deployment
from mlops_platform.api import plain_yaml
from mlops_platform.api.errors import Invalid
from mlops_platform.api.plain_yaml import BadYaml
from mlops_platform.api.throttling.concurrency import slot
from mlops_platform.console.errors import words
from mlops_platform.console.pages.deployments import ClusterChoice
from mlops_platform.console.pages.why import victims_in_words
from scheduler.answers import quotes
from scheduler.answers.quotes import STARTS_BY_PREEMPTING, STARTS_NOW, UNKNOWN
from scheduler.answers.shares import shares_of

FIELDS = (
    *("cluster_id", "name", "image", "command", "args", "required_cpu", "required_ram"),
    *("required_gpu", "priority", "replicas", "max_runtime_s", "labels", "env", "more"),
)
"""Of the form. `command` and `args` are lines as in a shell, `labels` are `name=value` with spaces
between, `env` has a variable a line, and `more` is YAML with any other fields of the API's body."""
COPIED = ("cluster_id", "name", "image", "required_gpu", "priority", "replicas", "max_runtime_s")
NUMBERS = ("required_gpu", "replicas", "max_runtime_s")
LONGEST_YAML = 256 * 1024
MOST_VALUES = 10_000
START = {"required_cpu": "1", "required_ram": "1Gi", "required_gpu": "0", "priority": "LOW"}


class Fault(NamedTuple):
    field: str
    said: str


@dataclass(frozen=True)
class Outcome:
    """What would become of the submit: a quote in words, or why there is none."""

    kind: str = ""
    said: str = ""
    details: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    token: str = ""

    @property
    def tone(self) -> str:
        return {STARTS_NOW: "good", STARTS_BY_PREEMPTING: "bad"}.get(self.kind, "waiting")


@dataclass(frozen=True)
class SubmitPage:
    given: Mapping[str, str]
    clusters: list[ClusterChoice]
    priorities: list[str]
    outcome: Outcome
    key: str = field(default_factory=lambda: str(uuid4()))
    """Of this form alone."""
    like: str = ""
    """What the deployment is called whose fields are given here."""
    env_names: str = ""
    """Its variables, whose values are shown nowhere."""


def submit_page(user: User, given: Mapping[str, str], outcome: Outcome, **like: str) -> SubmitPage:
    return SubmitPage(
        given={name: given.get(name, "") for name in FIELDS},
        clusters=[ClusterChoice(str(each.pk), each.name) for each in clusters_visible_to(user)],
        priorities=list(priority_classes()),
        outcome=outcome,
        **like,
    )


def page_like(user: User, deployment_id: str) -> SubmitPage:
    """The form with the fields of an earlier deployment; 404 where the user may not see it."""
    row = deployment_for(user, deployment_id)
    shown = present_one(row, user)
    given = {name: str(shown[name]) for name in COPIED if shown[name] is not None}
    given["required_cpu"] = str(shown["required_cpu"])
    given["required_ram"] = str(shown["required_ram"])
    given |= {name: shlex.join(shown[name]) for name in ("command", "args")}
    given["labels"] = " ".join(f"{name}={value}" for name, value in shown["labels"].items())
    env_names = ", ".join(shown["env_names"])
    return submit_page(user, given, Outcome(), like=shown["name"] or row.image, env_names=env_names)


# --- From the form to the body -------------------------------------------------------------------


def body_of(form: QueryDict) -> dict[str, Any]:
    """The body of the API's call; raises Invalid with the fields of the form that cannot be
    read."""
    given = {name: form.get(name, "").strip() for name in FIELDS}
    faults: dict[str, str] = {}
    body: dict[str, Any] = {
        name: given[name]
        for name in ("cluster_id", "name", "image", "required_cpu", "required_ram", "priority")
        if given[name]
    }
    body |= {name: _number(given[name]) for name in NUMBERS if given[name]}
    for name, read in READERS:
        if given[name]:
            try:
                body[name] = read(given[name])
            except ValueError as error:
                faults[name] = str(error)
    if given["more"]:
        try:
            body |= _more(given["more"])
        except BadYaml as error:
            faults["more"] = str(error)
    if faults:
        raise Invalid(faults)
    return body


def _number(text: str) -> int | str:
    """What is no number is left to the API's field, which says what it takes."""
    return int(text) if text.isdecimal() and len(text) < 20 else text


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        raise ValueError("A quotation mark is missing.") from None


def _labels(text: str) -> dict[str, str]:
    return dict(_pair(each) for each in text.split())


def _variables(text: str) -> dict[str, str]:
    return dict(_pair(line.strip("\r")) for line in text.split("\n") if line.strip())


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"Write NAME=value: {text[:40]!r} has no =.")
    return name.strip(), value


READERS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("command", _words),
    ("args", _words),
    ("labels", _labels),
    ("env", _variables),
)


def _more(text: str) -> dict[str, Any]:
    found = plain_yaml.read(text, most_bytes=LONGEST_YAML, most_values=MOST_VALUES)
    if not isinstance(found, dict):
        raise BadYaml("Write fields of a submit, such as `max_retries: 3`.")
    return {str(name): value for name, value in found.items() if name != "quote"}


# --- What becomes of it --------------------------------------------------------------------------


def outcome_of(user: User, form: QueryDict) -> Outcome:
    """The quote of what the form asks for, in words, or its faults. Writes nothing."""
    try:
        body = _validated(body_of(form))
        draft = draft_deployment(user, body.pop("cluster_id"), body, priority=body.pop("priority"))
    except ValidationError as error:
        return faulty(error)
    with slot(shares_of(draft.deployment.cluster)):
        found = quotes.quote(user, draft.deployment, draft.digest, draft.dependencies)
    return _in_words(found)


def submit_form(user: User, form: QueryDict) -> Deployment:
    """Submits what the form asks for, as it was quoted where it has a token. Raises what the API's
    call does."""
    body = _validated(body_of(form))
    token = form.get("token") or None
    made = submit.create_deployment(
        user,
        body.pop("cluster_id"),
        priority=body.pop("priority"),
        spec=body,
        idempotency_key=_key_of(form),
        quote=token,
    )
    return made.deployment


def _key_of(form: QueryDict) -> str:
    """The same for the same fields of the same form: a button pressed twice submits once."""
    values = [form.get("key", ""), *(form.get(name, "") for name in FIELDS)]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def too_many(wait_s: float | None) -> str:
    return f"Too many quotes were asked for just now: ask again in {max(round(wait_s or 1), 1)} s."


def faulty(error: ValidationError) -> Outcome:
    detail: Any = error.detail
    found = detail if isinstance(detail, dict) else {"": detail}
    return Outcome(faults=[Fault(name, words(said)) for name, said in found.items()])


def _validated(body: dict[str, Any]) -> dict[str, Any]:
    read = dict(SubmitSerializer().run_validation(body))
    read.pop("quote", None)
    return read


def _in_words(found: Mapping[str, Any]) -> Outcome:
    kind, evicts = found["outcome"], found["preempts"]
    said = {
        STARTS_NOW: "It starts now.",
        STARTS_BY_PREEMPTING: f"It starts now, and {victims_in_words(evicts)}.",
        UNKNOWN: "More waits or runs than one answer considers: whether it starts now is open.",
    }.get(kind, "It waits.")
    place = found["queue_position"]
    parts = [
        f"No. {place} in line." if place else "",
        *((found[name] or {}).get("message", "") for name in ("reason", "ahead", "eta")),
        (found["preemption"] or {}).get("message") or "",
    ]
    return Outcome(
        kind=kind,
        said=said,
        details=[each for each in parts if each] if kind != STARTS_NOW else [],
        warnings=[f"{each.field}: {each.message}" for each in found["warnings"]],
        token=found["token"] if kind in (STARTS_NOW, STARTS_BY_PREEMPTING) else "",
    )
