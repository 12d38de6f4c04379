"""The code of the last released version, out of git."""

import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from mlops_platform.tests.equipment.plugin import REPOSITORY

HEADING = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)


def last_version() -> str:
    """The newest version of the changelog; its commit has the tag v0.0.0."""
    return HEADING.findall((REPOSITORY / "CHANGELOG.md").read_text())[0]


def unpack(folder: Path) -> None:
    """Write the version's files into the folder. A shallow clone fetches the tag first."""
    tag = f"v{last_version()}"
    if _git("rev-parse", "--verify", "--quiet", f"{tag}^{{commit}}").returncode:
        _git("fetch", "--depth=1", "origin", f"refs/tags/{tag}:refs/tags/{tag}")
    archive = _git("archive", "--format=tar", tag)
    if archive.returncode:
        pytest.fail(
            f"This test upgrades from {tag}, which git cannot give here. Fetch the tag with "
            f"`git fetch origin tag {tag}`.\n{archive.stderr.decode(errors='replace')}"
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["git", *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
