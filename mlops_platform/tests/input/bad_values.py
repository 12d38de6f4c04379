"""Values that a field must refuse, by the kind of field it is.

A kind that is not known here fails, so that a new one is thought about. `Literal` stands for JSON
text that no Python value turns into.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rest_framework import serializers

from accounts.api.serializers import Timezone
from clusters.api.labels import Labels
from clusters.api.registry_serializers import RegistryHost
from clusters.api.volumes.serializers import Named, NodeNames
from deployments.api.body.fields import (
    Arguments,
    CheckpointFile,
    ContainerUser,
    Dependencies,
    Environment,
    Image,
    Items,
    PreStop,
    Ulimits,
    WorkingDirectory,
)
from deployments.api.body.retries import Causes
from deployments.api.body.secret_references import SecretReferences
from deployments.api.body.volumes import Mounts
from deployments.api.steering.chosen import Filter
from deployments.api.sweeps.bodies import Matrix, ParameterSets, Template
from mlops_platform.api.fields import (
    BoundedList,
    Choice,
    Cores,
    Deadline,
    Flag,
    IdOrName,
    Mebibytes,
    Reference,
    Text,
    Thousandths,
    WholeNumber,
    WholeNumberOr,
    units,
)
from mlops_platform.api.paths import AbsolutePath, InnerPath

HUGE = 10**30


@dataclass(frozen=True)
class Literal:
    text: str


NOT_JSON = [Literal("NaN"), Literal("Infinity"), Literal("-Infinity"), Literal("1e"), Literal("01")]
"""No field sees these: the whole body is refused."""

NOT_TEXT: list[Any] = ["nul\x00byte", Literal(r'"\ud800"'), Literal(r'"\udfff\ud800"')]
"""Nor these."""


def to_json(body: Any) -> str:
    """JSON text, with each Literal as it stands."""
    literals: list[str] = []

    def default(value: Any) -> str:
        assert isinstance(value, Literal)
        literals.append(value.text)
        return f"literal-{len(literals) - 1}-here"

    text = json.dumps(body, default=default)
    for number, literal in enumerate(literals):
        text = text.replace(f'"literal-{number}-here"', literal)
    return text


def bad_bodies(
    serializer: serializers.Serializer, sound: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(what is wrong, the sound body with that one fault, the field at fault)."""
    yield "an unknown field", {**sound, "colour": "red"}, "colour"
    for name, field in serializer.fields.items():
        if field.read_only:
            continue
        if field.required:
            yield f"{name} left out", {k: v for k, v in sound.items() if k != name}, name
        for value in bad_values(field):
            yield f"{name}: {to_json(value)[:40]}", {**sound, name: value}, name
        if isinstance(field, serializers.Serializer):
            for fault, body, _ in bad_bodies(field, sound.get(name, {})):
                yield f"{name}: {fault}", {**sound, name: body}, name
        if isinstance(field, Items):
            assert isinstance(field.child, serializers.Serializer)
            first, *others = sound[name]
            for fault, item, _ in bad_bodies(field.child, first):
                yield f"{name}: {fault}", {**sound, name: [first, item, *others]}, name


def bad_values(field: serializers.Field) -> list[Any]:
    null = [] if field.allow_null else [None]
    return [*null, *_by_kind(field)]


def _by_kind(field: Any) -> list[Any]:
    huge = [HUGE, -HUGE, *map(Literal, ("1e999", "-1e999", "1e-999", "1" * 4000))]
    vast = [Literal("1e99999999999999999999"), Literal("1" * 5000)]
    match field:
        case Mebibytes():
            texts = ["3", "", "16GB", "16 gigabytes", "1Ki", "1500K", "500m", "-1Gi", "0x1Gi", "9E"]
            past: list[Any] = [(field.min_value or 0) - 1, (field.max_value or 0) + 1]
            texts += ["9" * 31 + "E", "1" * 33 + "Gi", "1e999Gi", "nan", "\u0661Gi"]
            return [*texts, True, 3.5, 3.0, [], ["1Gi"], {}, *past, *huge, *vast]
        case WholeNumberOr():
            words = ["3", "", "none", field.word.upper(), f" {field.word}"]
            return [*words, True, 3.5, 3.0, [], [field.word], {}, -1, field.most + 1, *huge, *vast]
        case WholeNumber():
            assert field.min_value is not None, "a number without a range fits no column"
            assert field.max_value is not None
            outside: list[Any] = [field.min_value - 1, field.max_value + 1]
            return ["3", "", True, 3.5, 3.0, [], [3], {}, *outside, *huge, *vast]
        case Cores():
            texts = ["", "half", "1 core", "1000.5m", "-500m", "1Ei", "1.2345", "1e999", "1" * 33]
            past = [units(field.min_milli - 1), field.max_milli // 1000 + 1]
            return [*texts, True, [], ["500m"], {}, *past, *huge, *vast, Literal("0.0001")]
        case Thousandths():
            outside = [units(field.min_milli - 1), field.max_milli // 1000 + 1]
            outside += [Literal("0.0001"), Literal(f"1.{'0' * 40}1")]
            return ["3", "0.5", "", True, [], {}, *outside, *huge, *vast, Literal("1.0000000001")]
        case Deadline():
            moments = ["2100-01-01", "2100-01-01T18:00:00", "2100-13-01T18:00:00Z", "tomorrow"]
            moments += ["2100-01-01T18:00:00+99:00", "0001-01-01T00:00:00+23:59", "3", ""]
            return [*moments, True, 1.5, 0, -1, field.MOST_S + 1, [], {}, *huge, *vast]
        case Choice():
            return [5, True, [], {}, "", "nope", "x" * 10_000, *vast]
        case Timezone():
            return [*_not_text(field), "Mars/Olympus", "../../etc/passwd"]
        case Image():
            return [*_not_text(field), "UPPER", "a b", "a\n", "http://x/y", ":", "x:y:z"]
        case RegistryHost():
            words = [
                "https://docker.io",
                "docker.io/x",
                "docker.io:",
                "a b",
                "-a",
                "a..b",
                "a\u00e4",
            ]
            return [*_not_text(field), *words]
        case ContainerUser():
            people = ["root", "-1", "1.5", "1:", ":1", "1:2:3", "1 2", str(2**31), f"1:{2**31}"]
            return [*_not_text(field), *people]
        case WorkingDirectory():
            return [*_not_text(field), "work", "./work", "/a/../b", "/a\nb", "/" + "a" * 1024]
        case Ulimits():
            faulty = [0, -1, 1.5, True, "1", "unlimited", None, [], {}, 2**63]
            limits = [{"nofile": each} for each in faulty]
            unknown = [{"cpu": 1}, {"": 1}, {"memlock": 1, "core": 1}, {"stack": "endless"}]
            return ["x", 5, True, [], *unknown, *limits, *vast]
        case Named():
            return [*_not_text(field), " a", "-a", "a b", "a\n", "\u00e4", "a/b", "a,b"]
        case CheckpointFile():
            unseen = ["/dev/shm/a", "/proc/1/x", "/sys/a", "/run/secrets/a", "/dev"]
            return [*_not_text(field), "/", "a", "/a/../b", "/a//b", "/a\nb", *unseen]
        case AbsolutePath():
            return [*_not_text(field), "/", "a", "./a", "/a/../b", "/a//b", "/./a", "/a\nb"]
        case InnerPath():
            return [*_not_text(field), "/a", "../a", "a/..", "a//b", ".", "a\nb"]
        case Text():
            return _not_text(field)
        case Flag():
            return ["x", "true", "", 0, 1, 1.0, [], {}, *vast]
        case NodeNames():
            most = [f"n{number}" for number in range(1001)]
            return ["x", 5, True, {}, [True], [None], [""], ["x" * 101], ["x", "x"], most, *vast]
        case Causes():
            causes = [None, True, 1.5, -1, 256, "", "x", "7-3", "1-256", "-1", "1-", "NODE_LOST"]
            lists = [[], *([each] for each in causes), [75, "75"], [str(n) for n in range(65)]]
            return ["75", 75, True, {}, *lists, *vast]
        case Matrix():
            values: list[Any] = [None, {}, [], ["x", []], "x" * 1001, 10**101, *vast]
            matrices: list[Any] = [{"lr": [each]} for each in values]
            matrices += [{name: [1]} for name in ("", "1a", "a b", "MLOPS_X", "x" * 300)]
            matrices += [{"a": [*range(101)], "b": [*range(10)]}, {f"a{n}": [1] for n in range(21)}]
            return ["x", 5, True, [], {}, {"lr": []}, {"lr": 1}, *matrices, *vast]
        case ParameterSets():
            values = [None, {}, [], "x" * 1001, 10**101, *vast]
            sets: list[Any] = [[{"lr": each}] for each in values] + [
                [{name: 1}] for name in ("", "1a", "a b")
            ]
            sets += [[], [{}], [5], [{"lr": 1}, {"seed": 1}], [{"lr": 1}] * 1001]
            return ["x", 5, True, {}, *sets, *vast]
        case Template():
            return ["x", 5, True, [], [{}], *vast]
        case Mounts():
            mount = {"name": "datasets", "path": "/a"}
            mounts: list[Any] = ["x", None, [], {}, {"name": "datasets"}, {"path": "/a"}]
            assert isinstance(field.child, serializers.Serializer)
            for name, inner in field.child.fields.items():
                values = bad_values(inner)
                mounts += [{**mount, name: value} for value in values]
            mounts += [{**mount, "path": path} for path in ("/proc/1", "/dev/shm", "/etc")]
            mounts += [{**mount, "name": "of-no-one"}, {**mount, "mode": "rw"}]
            nested = [mount, {**mount, "path": "/a/b"}]
            of_many = [{**mount, "path": f"/a{number}"} for number in range(17)]
            lists = [[each] for each in mounts]
            return ["x", 5, True, {}, *lists, [mount, mount], nested, of_many, *vast]
        case serializers.EmailField():
            return [5, True, [], {}, "nobody", "a@b", "a@" + "b" * 260 + ".org", *vast]
        case IdOrName():
            return [True, 1.5, [], {}, "x" * 101, Literal("1" * 101), *vast]
        case Reference():
            return [True, 1.5, [], {}, "x" * 65, Literal("1" * 65), *vast]
        case PreStop():
            of_words: list[Any] = [[1], [None], [["x"]], [""], ["x" * 4096], ["x", "y" * 4095]]
            return ["x", 5, True, {}, *of_words, ["x"] * 1001, *vast]
        case Arguments():
            return ["x", 5, True, {}, [1], [None], [["x"]], ["x" * 128 * 1024], ["x"] * 1001, *vast]
        case Items():
            return ["x", 5, True, {}, [], ["x"], [None], [[]], [{}], [{}] * (field.most + 1), *vast]
        case Dependencies():
            nobody, twice = ["x", "7", str(UUID(int=7))], ["x", "x"]
            most = [str(number) for number in range(101)]
            return ["x", 5, True, {}, [True], [None], [[]], ["x" * 65], nobody, twice, most, *vast]
        case SecretReferences():
            given = {"name": "x", "env": "X"}
            odd: list[Any] = ["x", None, [], {"name": "x"}, {"env": "X"}, {**given, "file": "x"}]
            odd += [{**given, "name": "-x"}, {**given, "env": "1X"}, {**given, "value": "x"}]
            odd += [{**given, "scope": "x"}, {"name": "x", "file": "../x"}, given]  # not there
            too_many = [given] * 17
            return ["x", 5, True, {}, *([each] for each in odd), [given, given], too_many, *vast]
        case Environment():
            odd_names: list[Any] = [{"1A": "x"}, {"": "x"}, {"A=B": "x"}, {"Ä": "x"}, {"A\n": "x"}]
            odd_values: list[Any] = [{"A": 1}, {"A": {}}, {"A": "x" * 33_000}]
            odd_values += [] if field.child.allow_null else [{"A": None}]
            many = {f"A{number}": "" for number in range(257)}
            return ["x", 5, True, [], *odd_names, *odd_values, many, *vast]
        case Labels():
            words = ["-a", "a-", "a b", "a\n", "\u00e4", "x" * 64, "a:b"]
            names = [
                {name: "x"} for name in (*words, "", "/a", "a/", "A/b", "a//b", "x" * 64 + "/b")
            ]
            values = [{"a": value} for value in [*words, "/"]]
            values += [{"a": None}, {"a": 1}, {"a": True}, {"a": {}}, {"a": []}]
            many = {f"a{number}": "" for number in range(65)}
            return ["x", 5, True, [], *names, *values, many, *vast]
        case BoundedList(child=Choice()):
            types: list[Any] = ["asleep", "", 5, None, [], {}, True, "x" * 1000]
            return ["x", 5, True, {}, *([each] for each in types), ["FAILED"] * 1000, *vast]
        case BoundedList(child=Reference()):
            elements: list[Any] = [[], [True], [None], [[]], ["x" * 65], ["x"] * (field.most + 1)]
            return ["x", 5, True, {}, *elements, *vast]
        case Filter():
            filters: list[Any] = [{"nonsense": "x"}, {"limit": "1"}, {"status": "x"}]
            patterns: list[Any] = [1, None, {}, [], [[]], ["a", "b"], "*a", [None]]
            filters += [{"name": each} for each in patterns]
            return ["x", 5, True, [], {}, *filters, *vast]
        case serializers.DateTimeField():
            return [5, True, [], {}, "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01", *vast]
        case serializers.Serializer():
            return ["x", 5, True, [], [{}], *vast]
    raise AssertionError(f"Say in bad_values what a {type(field).__name__} must refuse.")


def _not_text(field: Any) -> list[Any]:
    blank = [] if field.allow_blank else [""]
    long = ["x" * (field.max_length + 1), "x" * 100_000]
    return [5, True, 1.5, [], ["x"], {}, *blank, *long, Literal("1" * 5000)]
