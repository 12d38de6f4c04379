"""The tutorial of a training, typed into bash: on the platform as `make run` starts it, with a
Docker engine of the tests' own, whose image has this machine's Python.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest

from deployments.tests.runtimes.docker.engine import give_up
from mlops_platform.tests.docs.documents import DOCS
from mlops_platform.tests.docs.python_image import python_file_system
from mlops_platform.tests.docs.test_walks import Normalizer, steps, walk
from mlops_platform.tests.docs.test_walks import data_dir as data_dir
from mlops_platform.tests.docs.test_walks import platform as platform
from mlops_platform.tests.equipment.docker_engine import NoEngine, engine_in
from mlops_platform.tests.running.test_run import Run

pytestmark = [pytest.mark.docker, pytest.mark.e2e]
IMAGE, SOCKET = "python:3.11-slim", "unix:///var/run/docker.sock"


@pytest.fixture
def engine() -> Iterator[str]:
    """The URL of an engine with a bridge of its own, as an engine has by default, and the image."""
    folder, bridge = Path(tempfile.mkdtemp(prefix="mlops-training-")), f"mlops{os.getpid()}"
    with ExitStack() as until_the_end:
        until_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        for words in (("link", "add", bridge, "type", "bridge"), ("link", "set", bridge, "up")):
            if subprocess.run(["ip", *words], check=False).returncode:
                give_up("No bridge can be made here.")
        until_the_end.callback(subprocess.run, ["ip", "link", "delete", bridge], check=False)
        address = ["ip", "address", "add", "172.29.7.1/24", "dev", bridge]
        subprocess.run(address, check=True)
        try:
            started = until_the_end.enter_context(engine_in(folder, bridge=bridge))
        except NoEngine as why:
            give_up(str(why))
        client = docker.APIClient(base_url=started.url, timeout=60)
        until_the_end.callback(client.close)
        client.import_image_from_data(python_file_system(), *IMAGE.split(":"))
        yield started.url


def test_a_training_on_two_replicas_survives_an_eviction(
    platform: Run, data_dir: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine)  # of the page's own calls of docker
    functions = steps([DOCS / "tutorials/walk-through.md"])[:1]
    walked = [
        step._replace(commands=step.commands.replace(SOCKET, engine))
        for step in [*functions, *steps([DOCS / "tutorials/train.md"])]
    ]
    assert sum(step.output != "" for step in walked) == 7
    printed = walk(walked, platform, data_dir)
    shown_form, printed_form = Normalizer(), Normalizer()
    for step, output in zip(walked, printed, strict=True):
        assert printed_form(output) == shown_form(step.output), f"{step.place} printed:\n{output}"
