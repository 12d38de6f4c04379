"""Looks at the pins of the requirements: `pins.py check` and `pins.py outdated`.

`check` compares each lock (requirements*.txt) with the short list (requirements*.in) that it was
compiled from. It needs no network, so it is part of `make lint`. `outdated` compiles the lists anew
and lists the newer releases that their bounds allow. It exits with 1 if there is one, and with 0 if
no package index answers.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NAMES = ["requirements", "requirements-simulate", "requirements-dev", "requirements-docs"]
COMMENT = re.compile(r"(^|\s)#.*")


def listed(path: Path) -> dict[str, Requirement]:
    """The requirements of a short list and of those that it includes, by name."""
    requirements: dict[str, Requirement] = {}
    for line in path.read_text().splitlines():
        text = COMMENT.sub("", line).strip()
        if text.startswith("-r "):
            requirements |= listed(path.with_name(text.removeprefix("-r ")))
        elif text and not text.startswith("-c "):
            requirement = Requirement(text)
            requirements[canonicalize_name(requirement.name)] = requirement
    return requirements


def pinned(path: Path) -> Iterator[tuple[Requirement, str]]:
    """Each pin of a lock, with the hashes and comments below it."""
    for block in re.split(r"^(?=\w)", path.read_text(), flags=re.MULTILINE)[1:]:
        first, _, rest = block.partition("\n")
        yield Requirement(first.removesuffix("\\").strip()), rest


def versions(path: Path) -> dict[str, str]:
    """The version of each pin of a lock, by name."""
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin, _ in pinned(path)
    }


def faults_of(lock: Path) -> Iterator[str]:
    """What is wrong with a lock, one sentence for each fault."""
    wanted = listed(lock.with_suffix(".in"))
    for pin, below in pinned(lock):
        name = canonicalize_name(pin.name)
        version = str(pin.specifier).removeprefix("==")
        if "--hash=sha256:" not in below:
            yield f"{name} has no hash"
        if requirement := wanted.pop(name, None):
            if not requirement.specifier.contains(version, prereleases=True):
                yield f"{name} is {version}, but the list asks for {requirement.specifier}"
            if requirement.marker and not pin.marker:
                yield f"{name} lacks the list's marker"
        elif re.search(r"-r requirements[\w-]*\.in", below):
            yield f"{name} is no longer listed"
    for missing in wanted:
        yield f"{missing} is listed, but not locked"


def check(folder: Path) -> int:
    """Prints each fault of the locks; the exit code."""
    faults = []
    seen: dict[str, str] = {}
    for lock in (folder / f"{name}.txt" for name in NAMES):
        faults += [f"{lock.name}: {fault}" for fault in faults_of(lock)]
        for package, version in versions(lock).items():
            if seen.setdefault(package, version) != version:
                faults.append(f"{lock.name}: {package} is {version}, elsewhere {seen[package]}")
    for fault in faults:
        print(fault)
    if faults:
        print("`make lock` mends this.")
    return bool(faults)


def outdated(folder: Path) -> int:
    """Prints each listed package with a newer release within its bounds; the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in [*folder.glob("requirements*"), folder / "pyproject.toml"]:
            shutil.copy(path, scratch)
        tool = folder / ".venv/bin/uv"
        for name in NAMES:
            compiled = subprocess.run(
                [tool, "pip", "compile", "--quiet", "--upgrade", "-o", f"{name}.txt", f"{name}.in"],
                cwd=scratch,
                check=False,
                capture_output=True,
                text=True,
            )
            if "Failed to fetch" in compiled.stderr:
                print("No package index answers: whether the pins are current is not known.")
                return 0
            if compiled.returncode:
                print(compiled.stderr, file=sys.stderr)
                return compiled.returncode
        behind = set()
        for name in NAMES:
            new = versions(Path(scratch, f"{name}.txt"))
            old = versions(folder / f"{name}.txt")
            behind |= {
                (package, old[package], new[package])
                for package in listed(folder / f"{name}.in")
                if package in old and old[package] != new[package]
            }
    for package, old_version, new_version in sorted(behind):
        print(f"{package:32} {old_version:16} {new_version}")
    if behind:
        print("`make lock ARGS=--upgrade` takes all of them; CONTRIBUTING.md says how to take one.")
    return bool(behind)


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    sys.exit({"check": check, "outdated": outdated}[sys.argv[1]](root))
