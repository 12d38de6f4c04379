"""Profiles, as contexts of kubectl: where the platform is, the login, and the cluster in use.

They lie in one JSON file of mode 0600, `~/.config/mlops/profiles.json` unless MLOPS_CONFIG names
another. It is replaced as a whole, and changed only under a lock beside it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from mlops import errors

LOCK_TIMEOUT_S: Final = 60.0
DEFAULT_PROFILE: Final = "default"


@dataclass
class Profile:
    """One login on one platform; `organization` and `cluster` are those in use, by name."""

    name: str
    url: str
    username: str = ""
    access_token: str = ""
    refresh_token: str = ""
    api_key: str = ""
    organization: str = ""
    cluster: str = ""


@dataclass
class Profiles:
    """What the file has: profiles by name, and which one is in use."""

    current: str = ""
    by_name: dict[str, Profile] = field(default_factory=dict)

    def get(self, name: str) -> Profile | None:
        return self.by_name.get(name)


class ProfileFile:
    """The file, read and written."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def read(self) -> Profiles:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return Profiles()
        try:
            content: dict[str, Any] = json.loads(text)
            known = Profile.__dataclass_fields__
            by_name = {
                name: Profile(**{key: value[key] for key in value if key in known})
                for name, value in content["profiles"].items()
            }
            return Profiles(str(content.get("current", "")), by_name)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{self.path} cannot be read: mend it, or delete it and type `mlops login`."
            raise errors.MlopsError(message) from error

    @contextmanager
    def locked(self) -> Iterator[Profiles]:
        """The profiles as they are now, which no other process changes meanwhile."""
        from filelock import FileLock, Timeout  # takes time that few commands need

        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with FileLock(f"{self.path}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
                yield self.read()
        except Timeout as error:
            message = f"Another process keeps {self.path}.lock locked."
            raise errors.MlopsError(message) from error

    def write(self, profiles: Profiles) -> None:
        """Replace the file. Call it inside `locked()`."""
        content = {
            "current": profiles.current,
            "profiles": {name: asdict(profile) for name, profile in profiles.by_name.items()},
        }
        beside = self.path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)


def default_path() -> Path:
    named = os.environ.get("MLOPS_CONFIG")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "mlops" / "profiles.json"
