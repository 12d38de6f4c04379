"""Pins container images by digest: `images.py check`, `images.py pin` and `images.py outdated`.

A tag may name another image tomorrow; a digest names one for ever. `check` lists the images without
a digest and needs no network. `pin` asks each image's registry, by Docker or skopeo, for the digest
of its tag and writes it behind the tag. `outdated` fails where a registry names another digest than
is written. Where no registry answers, `pin` fails and changes nothing, and `outdated` says so.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FILES = ("Dockerfile", "compose.yaml", ".github/workflows/*.yml")
# After `FROM`, `image:` or `container:`, or an item of a list; not what compose.yaml builds.
USE = re.compile(
    r"^(?P<before>FROM |\s+(?:image: |container: |- ))"
    r"(?P<tag>[\w./-]+:[\w.-]+)(?:@(?P<digest>sha256:\w+))?$",
    re.MULTILINE,
)
DIGEST = re.compile(r"\bsha256:[0-9a-f]{64}\b")
TIMEOUT_S = 60
QUESTIONS = (
    ("docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", "{}"),
    ("skopeo", "inspect", "--format", "{{.Digest}}", "docker://{}"),
)


class Image(NamedTuple):
    file: Path
    tag: str  # with its name: postgres:18
    digest: str | None


class Unreachable(Exception):  # noqa: N818 - a state of the network, not a mistake
    """No registry answers, or no program here can ask one."""


def images(root: Path) -> Iterator[Image]:
    """Each use of an image that is not built here."""
    for pattern in FILES:
        for file in sorted(root.glob(pattern)):
            for found in USE.finditer(file.read_text()):
                yield Image(file, found["tag"], found["digest"])


def digest_of(tag: str) -> str:
    """The digest that the tag has in its registry now. Raises Unreachable."""
    for program, *words in QUESTIONS:
        if shutil.which(program) is None:
            continue
        command = [
            program,
            *(word.replace("{}", tag) if word.endswith("{}") else word for word in words),
        ]
        try:
            said = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            continue
        if said.returncode == 0 and (found := DIGEST.search(said.stdout)):
            return found[0]
    raise Unreachable(tag)


def check(root: Path) -> int:
    """Prints each image without a digest; 0 all the same, for only a registry knows digests."""
    for image in images(root):
        if image.digest is None:
            print(f"{image.file.relative_to(root)}: {image.tag} has no digest: `make digests`")
    return 0


def pin(root: Path) -> int:
    """Writes each tag's present digest behind it; the exit code."""
    used = list(images(root))
    try:
        digests = {tag: digest_of(tag) for tag in sorted({image.tag for image in used})}
    except Unreachable as error:
        print(f"No registry tells the digest of {error}: nothing was changed.")
        return 1
    for file in {image.file for image in used}:
        text = file.read_text()
        file.write_text(
            USE.sub(lambda use: f"{use['before']}{use['tag']}@{digests[use['tag']]}", text)
        )
    for tag, digest in digests.items():
        print(f"{tag:32} {digest}")
    return 0


def outdated(root: Path) -> int:
    """Prints each image of whose tag the registry has another digest; the exit code."""
    behind = set()
    try:
        present = {tag: digest_of(tag) for tag in sorted({image.tag for image in images(root)})}
    except Unreachable:
        print("No registry answers: whether the images are current is not known.")
        return 0
    behind = {image.tag for image in images(root) if image.digest != present[image.tag]}
    for tag in sorted(behind):
        print(f"{tag:32} {present[tag]}")
    if behind:
        print("`make digests` writes these.")
    return bool(behind)


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    sys.exit({"check": check, "pin": pin, "outdated": outdated}[sys.argv[1]](root))
