"""Job files: YAML that lies in git, and the body of a submit that it means.

    image: registry.example.com/lab/train:1.2
    command: [python, train.py]
    resources: {gpu: 2, cpu: 500m, ram: 16Gi}
    env: {EPOCHS: "10"}
    secrets: {WANDB_API_KEY: wandb}
    volumes: ["datasets:/data:ro"]
    time_limit: 4h
    retries: 3
    sweep: {matrix: {lr: [0.1, 0.01]}, max_parallel: 2}

Every field of a submit may stand under its own name too.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

from mlops.errors import JobFileError

FIELDS: Final = frozenset({
    "cluster_id", "image", "required_cpu", "required_ram", "required_gpu", "exclusive", "priority",
    "name", "labels", "command", "args", "env", "secrets", "shm_mib", "ephemeral_mib", "user",
    "workdir", "ulimits", "volumes", "pull_policy", "replicas", "node_selector", "kind",
    "max_runtime_s", "simulated_runtime_s", "grace_s", "stop_signal", "pre_stop",
    "checkpoint_file", "max_retries", "retry_on", "fail_on", "retry_ram_factor",
    "retry_ram_limit", "on_preempt", "readiness", "depends_on",
})  # fmt: skip
"""The fields of a submit, as the API's document has them."""
OWN: Final = frozenset({"resources", "cluster", "time_limit", "retries", "sweep"})
RESOURCES: Final = {"cpu": "required_cpu", "ram": "required_ram", "gpu": "required_gpu"}
RETRIES: Final = {
    "max": "max_retries",
    "retry_on": "retry_on",
    "fail_on": "fail_on",
    "ram_factor": "retry_ram_factor",
    "ram_limit": "retry_ram_limit",
}
SWEEP: Final = frozenset({"matrix", "parameters", "max_parallel", "name"})
DEFAULTS: Final = {"required_cpu": 1, "required_ram": "1Gi", "required_gpu": 0}
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Job(NamedTuple):
    """The body of a submit, and with a sweep that of its sweep, without the template."""

    body: dict[str, Any]
    sweep: dict[str, Any] | None = None


def read(path: Path) -> Job:
    """The job of a file. Raises JobFileError, which names the file and the field."""
    import yaml  # takes time that other submits do not need

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise JobFileError(f"{path}: {error.strerror}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise JobFileError(f"{path}{line}: this is no YAML.") from error
    try:
        return of_mapping(content)
    except JobFileError as error:
        raise JobFileError(f"{path}: {error}") from error


def of_mapping(content: Any) -> Job:
    """The job that a mapping means."""
    given = _mapping(content, "A job file")
    _known(given, FIELDS | OWN, "field")
    body = {name: value for name, value in given.items() if name in FIELDS}
    if "cluster" in given:
        body["cluster_id"] = given["cluster"]
    body |= _renamed(given.get("resources"), RESOURCES, "resources")
    if "retries" in given:
        body |= _retries(given["retries"])
    if "time_limit" in given:
        body["max_runtime_s"] = _seconds(given["time_limit"])
    if isinstance(body.get("command"), str):
        body["command"] = ["sh", "-c", body["command"]]
    if "env" in body:
        env = _mapping(body["env"], "env")
        body["env"] = {name: _text(value, f"env.{name}") for name, value in env.items()}
    if isinstance(body.get("secrets"), dict):
        secrets = body["secrets"].items()
        body["secrets"] = [{"name": name, "env": variable} for variable, name in secrets]
    if "volumes" in body:
        body["volumes"] = [_mount(each) for each in _list(body["volumes"], "volumes")]
    if "image" not in body:
        raise JobFileError("image is missing.")
    return Job({**DEFAULTS, **body}, _sweep(given.get("sweep")))


def mount(text: str) -> dict[str, Any]:
    """`datasets:/data:ro` as a mount of a submit."""
    name, _, rest = text.partition(":")
    path, _, mode = rest.partition(":")
    if not name or not path or mode not in {"", "ro", "rw"}:
        raise JobFileError(f"volumes: {text!r} is not NAME:PATH or NAME:PATH:ro.")
    return {"name": name, "path": path, **({"read_only": mode == "ro"} if mode else {})}


def _mount(each: Any) -> Any:
    return mount(each) if isinstance(each, str) else each


def _retries(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"max_retries": value}
    return _renamed(value, RETRIES, "retries")


def _sweep(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    sweep = _mapping(value, "sweep")
    _known(sweep, SWEEP, "field of sweep")
    return sweep


def _renamed(value: Any, names: dict[str, str], field: str) -> dict[str, Any]:
    if value is None:
        return {}
    given = _mapping(value, field)
    _known(given, frozenset(names), f"field of {field}")
    return {names[name]: each for name, each in given.items()}


def _known(given: dict[str, Any], names: frozenset[str], what: str) -> None:
    for name in given:
        if name not in names:
            near = get_close_matches(str(name), names, 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise JobFileError(f"{name!r} is no {what}.{meant}")


def _mapping(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JobFileError(f"{field} has to be a mapping, such as `name: value`.")
    return value


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise JobFileError(f"{field} has to be a list.")
    return value


def _text(value: Any, field: str) -> str:
    if isinstance(value, bool) or value is None:
        raise JobFileError(
            f'{field}: write {str(value).lower()!r} in quotes, or "1", for a variable is text.'
        )
    if not isinstance(value, (str, int, float)):
        raise JobFileError(f"{field} has to be a text.")
    return str(value)


def _seconds(value: Any) -> int:
    text = str(value)
    number, unit = (text, "s") if text.isdigit() else (text[:-1], text[-1:])
    if not number.isdigit() or unit not in UNITS:
        raise JobFileError(f"time_limit: {value!r} is not a number with s, m, h or d, such as 4h.")
    return int(number) * UNITS[unit]
