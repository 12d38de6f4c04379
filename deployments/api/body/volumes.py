"""The volumes that a submit mounts: which, where, and whether it may write them."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from clusters.api.volumes.serializers import volume_name
from mlops_platform.api.fields import BoundedList, Flag
from mlops_platform.api.paths import AbsolutePath, InnerPath, lies_in
from mlops_platform.api.serializers import StrictSerializer

MOST_MOUNTS = 16  # lists of deployments read them: few, and short
LONGEST_PATH = 255
# Where the system of a container lies, or what every runtime mounts there.
NEVER: tuple[str, ...] = (
    *("/proc", "/sys", "/dev", "/run/secrets", "/var/run/secrets", "/etc"),
    *("/bin", "/sbin", "/lib", "/lib64", "/usr/bin", "/usr/sbin", "/usr/lib"),
)
TAKEN = "Nothing can be mounted there."


class MountPath(AbsolutePath):
    """A folder of the container, none of its system's, nor one that contains such a folder."""

    default_error_messages = {"system": TAKEN}

    def to_internal_value(self, data: Any) -> str:
        path = super().to_internal_value(data)
        if any(lies_in(path, folder) or lies_in(folder, path) for folder in NEVER):
            self.fail("system")
        return path


class MountSerializer(StrictSerializer):
    name = volume_name(help_text="A volume of the cluster.")
    path = MountPath(max_length=LONGEST_PATH, help_text="Where it is in the container.")
    read_only = Flag(  # type: ignore[assignment]  # a field, as named
        default=False, help_text="A volume may be read-only anyway."
    )
    sub_path = InnerPath(
        max_length=LONGEST_PATH, default="", help_text="A folder of the volume; else all of it."
    )

    class Meta:
        ref_name = "Mount"
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {"name": "datasets", "path": "/data", "read_only": True, "sub_path": ""}
        }


class Mounts(BoundedList):
    """Volumes at different paths, of which none lies in another; sorted by path."""

    default_error_messages = {
        "twice": "Each path at most once: {path}.",
        "nested": "{path} lies in {other}.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(MountSerializer(), most=MOST_MOUNTS, elements="volumes", **kwargs)

    def to_internal_value(self, data: Any) -> list[dict[str, Any]]:
        mounts = [dict(each) for each in super().to_internal_value(data)]
        mounts.sort(key=lambda mount: mount["path"].split("/"))
        for before, after in pairwise(mounts):
            if before["path"] == after["path"]:
                self.fail("twice", path=after["path"])
            if lies_in(after["path"], before["path"]):
                self.fail("nested", path=after["path"], other=before["path"])
        return mounts
