"""The tables of the reference say what the code says."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import get_commands

from clusters.models import NodeState, Ordering, Preemption, Prepull, Queueing, Runtime, State
from clusters.models import Placement as PlacementPolicy
from deployments.api.log_parameters import PARAMETERS
from deployments.api.serializers import SubmitSerializer
from deployments.models import Status
from deployments.output.missing import Code as Missing
from deployments.reasons.codes import SENTENCES
from deployments.runtimes.base import Code as ProblemCode
from mlops_platform.tests.docs.documents import PAGES, first_column, name_of, named, section, table
from mlops_platform.tests.equipment.plugin import REPOSITORY
from mlops_platform.tests.equipment.routes import api_routes
from organizations.models import Role
from scheduler.engine.reasons import Code
from scheduler.engine.snapshot import Policy
from scheduler.engine.whatif import Cause
from scheduler.store.spared import COUNTED

REFERENCE = "docs/reference"
APPS = ("mlops_platform", "accounts", "organizations", "clusters", "deployments", "scheduler")


def test_every_reason_is_explained() -> None:
    explained = first_column(f"{REFERENCE}/reasons.md", "code")
    assert len(set(explained)) == len(explained)
    assert set(explained) == SENTENCES.keys()
    assert set(Code) | set(ProblemCode) <= set(explained)


def test_every_cause_for_which_nothing_is_preempted_is_explained() -> None:
    rows = table(f"{REFERENCE}/reasons.md", "cause")
    assert [named(cause) for cause, _, _ in rows] == [[str(cause)] for cause in Cause]
    assert [named(cause)[0] for cause, _, in_reason in rows if in_reason == "yes"] == list(COUNTED)


def test_every_state_of_a_deployment_is_explained() -> None:
    assert first_column(f"{REFERENCE}/states.md", "status") == Status.values


@pytest.mark.parametrize(
    ("title", "states"), [("Of a cluster", State.values), ("Of a node", NodeState.values)]
)
def test_every_state_of_clusters_and_nodes_is_explained(title: str, states: list[str]) -> None:
    text = section(f"{REFERENCE}/states.md", title)
    heading, *explained = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert heading == "state"
    assert explained == states


def test_every_role_is_explained() -> None:
    assert set(first_column(f"{REFERENCE}/roles.md", "role in the organization")) == set(
        Role.values
    )


def test_every_field_of_a_submit_is_explained() -> None:
    given = first_column(f"{REFERENCE}/submit.md", "field")
    assert sorted(given) == sorted(SubmitSerializer().fields)


def test_every_default_of_a_submit_is_the_one_that_is_told() -> None:
    known = SubmitSerializer().fields
    for cells in table(f"{REFERENCE}/submit.md", "field"):
        for name in named(cells[0]):
            assert known[name].required == (cells[1] == "required") or name == "quote", name
            if shown := named(cells[1]):
                default = known[name].default
                assert (json.dumps(default) if default is False else str(default)) == shown[0], name


def test_every_policy_is_explained_with_its_values_and_its_default() -> None:
    rows = table(f"{REFERENCE}/policy.md", "`policy`")
    explained: dict[str, str] = {}
    for setting, values, _ in rows:
        name = named(setting)[0] if setting else next(reversed(explained))
        explained[name] = f"{explained.get(name, '')} {values}"
    defaults = Policy()
    beside_plans = {"fail_impossible_after_s": "null", "prepull": ""}
    assert [name for name in explained if name not in beside_plans] == [
        each.name for each in fields(Policy)
    ]
    assert beside_plans.keys() <= explained.keys()
    choices = {
        "queueing": Queueing,
        "ordering": Ordering,
        "preemption": Preemption,
        "placement": PlacementPolicy,
        "preemption_within_quota": Preemption,
        "prepull": Prepull,
    }
    for name, values in explained.items():
        if name in choices:
            assert named(values) == choices[name].values, name
        elif name in beside_plans:
            assert values.strip() == beside_plans[name], name
        else:
            assert int(values) == getattr(defaults, name), name


def test_every_runtime_is_explained() -> None:
    assert first_column("docs/explanation/runtimes.md", "`runtime` of a cluster") == Runtime.values


def test_every_parameter_of_the_output_is_explained() -> None:
    given = first_column("docs/how-to/read-output.md", "parameter")
    assert sorted(given) == sorted(each.name for each in PARAMETERS)


def test_every_code_of_output_that_is_not_there_is_explained() -> None:
    assert first_column("docs/how-to/read-output.md", "`X-Logs-Missing`") == list(Missing)


def test_every_metric_is_explained() -> None:
    sources = [
        (REPOSITORY / name).read_text()
        for name in ("scheduler/metrics.py", "deployments/pull_counts.py")
    ]
    measured = set(re.findall(r'"(mlops_(?:scheduler|image)_\w+)"', "".join(sources)))
    given = {
        name.removesuffix("_total") for name in first_column(f"{REFERENCE}/metrics.md", "metric")
    }
    assert given == {name.removesuffix("_total") for name in measured}


def test_every_command_of_make_is_explained() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)) - {"help"}
    given = section(f"{REFERENCE}/commands.md", "make")
    assert targets == set(re.findall(r"^\| `make ([a-z]+)", given, re.MULTILINE))


def test_every_command_of_manage_is_explained() -> None:
    ours = {name for name, app in get_commands().items() if app in APPS}
    given = section(f"{REFERENCE}/commands.md", "manage.py")
    assert ours == set(re.findall(r"^\| `(\w+)`", given, re.MULTILINE))


def test_every_process_is_explained() -> None:
    lines = (REPOSITORY / "Procfile").read_text().splitlines()
    processes = [row[0] for row in table(f"{REFERENCE}/commands.md", "process")]
    assert {line.split(":")[0] for line in lines} == set(processes) - {"PostgreSQL", "Redis"}


# --- Calls -----------------------------------------------------------------------------------

CALL = re.compile(r"`((?:[A-Z]+, )*[A-Z]+) (/api|…)(/[^`? ]*)[^`]*`")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_call_that_a_page_names_is_one_that_the_platform_answers(page: Path) -> None:
    """`POST …/nodes` is short for the path that ends so."""
    routes = {(each.method, _without_names(each.path)) for each in api_routes()}
    for methods, start, written in CALL.findall(page.read_text()):
        path = _without_names(written)
        for method in methods.split(", "):
            if start == "/api":
                assert (method, f"/api{path}") in routes, f"{method} {path}"
            else:
                assert any(method == m and p.endswith(path) for m, p in routes), f"{method} …{path}"


def _without_names(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


# --- Configuration ---------------------------------------------------------------------------


def test_every_variable_is_explained_with_its_default() -> None:
    read = variables()
    given = {
        row[0].strip("`"): row[1] for row in table(f"{REFERENCE}/configuration.md", "variable")
    }
    assert sorted(given) == sorted(read)
    for name, default in read.items():
        if default is not None:
            assert given[name].strip("`") == default, name


# What the caller of a process sets, not the person who configures the platform.
NOT_SETTINGS = {"PATH", "DJANGO_SETTINGS_MODULE"}
# `env` is what functions call the environment that they are given.
GETTERS = ("os.environ.get", "os.environ.setdefault", "os.getenv", "env.get")


def variables() -> dict[str, str | None]:
    """Every environment variable that the code reads, and its default where that is a literal."""
    found: dict[str, str | None] = {}
    for path in programs():
        for name, default in reads(ast.parse(path.read_text())):
            found[name] = found.get(name) or default
    for file, pattern in (("Procfile", r"\$\{?([A-Z_]+)"), ("compose.yaml", r"\$\{([A-Z_]+)")):
        for name in re.findall(pattern, (REPOSITORY / file).read_text()):
            found.setdefault(name, None)
    return {name: default for name, default in found.items() if name not in NOT_SETTINGS}


def programs() -> Iterator[Path]:
    """The platform's own Python files: neither tests nor measurements nor what was made."""
    for path in [
        REPOSITORY / "manage.py",
        *(p for app in APPS for p in (REPOSITORY / app).rglob("*.py")),
    ]:
        if "tests" not in path.relative_to(REPOSITORY).parts:
            yield path


def reads(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """(name, default) of each read, also in a function that is given the name."""
    for key, default in accesses(tree, *GETTERS):
        if isinstance(key, ast.Constant):
            yield str(key.value), literal(default)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        parameters = {argument.arg for argument in function.args.args}
        if parameters & {ast.unparse(key) for key, _ in accesses(function, *GETTERS)}:
            for key, default in accesses(tree, function.name):
                yield str(ast.literal_eval(key)), literal(default) or ""


def accesses(tree: ast.AST, *functions: str) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """The key and the default of each call of these functions, and of each `os.environ[…]`.

    The default is the second argument, or what stands behind an `or`.
    """
    behind_or = {
        id(node.values[0]): node.values[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in functions:
            yield node.args[0], node.args[1] if len(node.args) > 1 else behind_or.get(id(node))
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            yield node.slice, None


def literal(node: ast.expr | None) -> str | None:
    return str(node.value) if isinstance(node, ast.Constant) else None
