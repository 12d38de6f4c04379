"""Messages of runtimes, which containers can influence, fit a reason whatever they contain."""

import pytest

from deployments.runtimes.base import Code, Key, LaunchSpec, Phase, Problem, ReplicaStatus, one_line
from deployments.runtimes.docker.replica_status import explained


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\nlines  and\ttabs", "two lines and tabs"),
        ("nothing\x00 of\x1b[31m that", "nothing of [31m that"),
        ("half a \ud83d pair", "half a pair"),
        ("", ""),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_any_text_becomes_one_line_that_the_database_takes(text: str, line: str):
    assert one_line(text) == line
    assert one_line(text).encode().decode() == line  # no lone surrogates


@pytest.mark.parametrize(
    ("last_line", "code"),
    [
        ("[FATAL tini (7)] exec /nope failed: No such file or directory", Code.COMMAND_FAILED),
        ("sh: trian: not found", Code.COMMAND_FAILED),
        ("epoch 3 done", Code.EXITED),
        ("", Code.EXITED),
    ],
)
def test_only_a_command_that_could_not_be_executed_is_called_so(last_line: str, code: Code):
    """Any program may end with 127."""
    problem = Problem(Code.COMMAND_FAILED)
    seen = ReplicaStatus(Key("x", 1, 0), Phase.ENDED, exit_code=127, problem=problem)
    found = explained(seen, lambda: last_line).problem
    assert found is not None
    assert found.code == code


def test_no_environment_overrides_the_replicas_number():
    launch_spec = LaunchSpec("x", 1, [], "x", "x", 1, 1, 0, env={"MLOPS_REPLICA": "7", "A": "1"})
    assert launch_spec.env_of(2) == {"MLOPS_REPLICA": "2", "A": "1"}
