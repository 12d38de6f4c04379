"""What is said of a probe that has not passed, by what an engine shows of it."""

from typing import Any

import pytest

from deployments.runtimes.docker.probes import answer

SECRET = "hunter2-quite-unlikely"


def container(code: int, output: str, *, by: str = "CMD", mounts: str = "/data") -> dict[str, Any]:
    log = [{"ExitCode": 9, "Output": "an older one"}, {"ExitCode": code, "Output": output}]
    return {
        "State": {"Health": {"Log": log}},
        "Config": {
            "Healthcheck": {"Test": [by, "check"]},
            "Env": ["MODE=on", f"TOKEN={SECRET}", "KEY=-----BEGIN\nabcdefgh\n", "EMPTY="],
        },
        "Mounts": [{"Destination": mounts}],
    }


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (container(0, "fine"), ""),
        ({"State": {}, "Config": {}}, ""),
        ({"State": {"Health": {"Log": []}}, "Config": {}}, ""),
        (container(3, ""), "exit code 3"),
        (container(3, "one\ntwo is on\n\n"), "exit code 3: two is on"),
        (
            container(1, "curl: (7) Connection refused\n", by="CMD-SHELL"),
            "curl: (7) Connection refused",
        ),
        (container(1, "nc: refused\nHTTP status 503\n", by="CMD-SHELL"), "HTTP status 503"),
        (container(1, "", by="CMD-SHELL"), "exit code 1"),
        (
            container(-1, f"Health check exceeded timeout (2s): {SECRET}"),
            "Health check exceeded timeout (2s)",
        ),
        (
            container(-1, "OCI runtime exec failed: no such file"),
            "OCI runtime exec failed: no such file",
        ),
        (container(1, f"bad token {SECRET}, sorry"), "exit code 1: bad token ***, sorry"),
        (container(1, "abcdefgh\n"), "exit code 1: ***"),
        (container(1, "a secret of a file", mounts="/run/secrets"), "exit code 1"),
        (container(1, "x" * 5000), "exit code 1"),
        (container(1, "a\x00b\x1b[31m"), "exit code 1: a b [31m"),
    ],
)
def test_the_answer_of_a_probe_is_its_code_and_last_line_without_secrets(shown, said):
    assert answer(shown) == said


def test_a_long_line_is_shortened():
    assert len(answer(container(1, "y" * 1000))) < 250
