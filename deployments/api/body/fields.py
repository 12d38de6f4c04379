"""The fields of a submit that have a grammar or bounds of their own: image, environment, …"""

import re
from typing import Any

from rest_framework import serializers

from clusters.models import MAX_GPU
from deployments.services.drafting.whole_nodes import ALL
from mlops_platform.api.fields import BoundedList, Reference, ShownNumberOr, Text, WholeNumberOr
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.paths import AbsolutePath, lies_in

LONGEST_IMAGE = 512
MOST_ARGUMENTS, LONGEST_ARGUMENT = 1000, 128 * 1024 - 1  # the longest that Linux takes
LARGEST_PROBE = 16 * 1024  # bytes of its command
LARGEST_PRE_STOP = 4 * 1024  # bytes
UNSEEN = ("/dev", "/proc", "/sys", "/run/secrets", "/var/run/secrets")  # kept in memory
MOST_VARIABLES, LONGEST_VALUE = 256, 32 * 1024
MOST_DEPENDENCIES = 100
LARGEST_ID = 2**31 - 1  # of users and groups, in Kubernetes

# The grammar of github.com/distribution/reference: [domain[:port]/]path[:tag][@digest].
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
IMAGE = re.compile(rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")
_CONTAINER_USER = re.compile(r"[0-9]{1,10}(?::[0-9]{1,10})?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
# What the platform tells a container: a value of a user's would be replaced, or be believed.
OF_THE_PLATFORM = re.compile(r"MLOPS_.*|NVIDIA_VISIBLE_DEVICES")


class Image(Text):
    """A container image reference, such as `registry.example.com:5000/team/train:1.2`."""

    default_error_messages = {
        "malformed": "Not a container image reference.",
        "other_form": "Not a container image reference. Write {reference}.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST_IMAGE, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        image = super().to_internal_value(data)
        if len(image) <= LONGEST_IMAGE and not IMAGE.fullmatch(image):
            reference = _SCHEME.sub("", image).replace(
                "#", "/", 1
            )  # of enroot: nvcr.io#nvidia/nemo
            if IMAGE.fullmatch(reference):
                self.fail("other_form", reference=reference)
            self.fail("malformed")
        return image


class Gpus(WholeNumberOr):
    """GPUs of each replica: a number, or all of its node."""

    word, most = ALL, MAX_GPU
    default_error_messages = {"invalid": f'A whole number, or "{ALL}".'}


class ShownGpus(ShownNumberOr):
    """The same in an answer."""

    word = ALL


class Arguments(BoundedList):
    """A list of strings, each passed on exactly as it is. drafts.py measures them all together."""

    def __init__(self, **kwargs: Any) -> None:
        child = Text(allow_blank=True, trim_whitespace=False, max_length=LONGEST_ARGUMENT)
        super().__init__(child, most=MOST_ARGUMENTS, **kwargs)


class PreStop(Arguments):
    """A command for a container that is about to be stopped."""

    default_error_messages = {
        "no_program": "Its first element is a program.",
        "too_large": "At most {most} bytes together; a longer one belongs into a file.",
    }

    def to_internal_value(self, data: Any) -> list[str]:
        words: list[str] = super().to_internal_value(data)
        if words and not words[0]:
            self.fail("no_program")
        if sum(len(each.encode()) + 1 for each in words) > LARGEST_PRE_STOP:
            self.fail("too_large", most=LARGEST_PRE_STOP)
        return words


class CheckpointFile(AbsolutePath):
    """The path of a file that a container writes, where the engine can see it."""

    default_error_messages = {"unseen": "No engine sees a file below {folder}: choose another."}

    def to_internal_value(self, data: Any) -> str:
        path = super().to_internal_value(data)
        for folder in UNSEEN:
            if lies_in(path, folder):
                self.fail("unseen", folder=folder)
        return path


class Environment(serializers.DictField):
    """Strings by variable name."""

    default_error_messages = {
        "too_many": f"At most {MOST_VARIABLES} variables.",
        "bad_name": "A name has letters, digits and _, and does not start with a digit: {name}.",
        "reserved": "The platform sets {name} itself, and all that begins with MLOPS_.",
    }

    def __init__(self, **kwargs: Any) -> None:
        child = Text(allow_blank=True, trim_whitespace=False, max_length=LONGEST_VALUE)
        super().__init__(child=child, **kwargs)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if isinstance(data, dict):
            if len(data) > MOST_VARIABLES:
                self.fail("too_many")
            for name in data:
                if not VARIABLE.fullmatch(name):
                    self.fail("bad_name", name=repr(name[:50]))
                if OF_THE_PLATFORM.fullmatch(name):
                    self.fail("reserved", name=name[:50])
        return super().to_internal_value(data)


class EnvironmentChanges(Environment):
    """Some variables of an environment whose others stay; null removes one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.child.allow_null = True


class ContainerUser(Text):
    """The numbers of a user and, behind a colon, of a group: `1000` or `1000:1000`."""

    default_error_messages = {
        "malformed": "Numbers such as 1000 or 1000:100, each at most {most}; no names."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=21, allow_blank=True, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        numbers = _CONTAINER_USER.fullmatch(text)
        if text and (not numbers or any(int(each) > LARGEST_ID for each in text.split(":"))):
            self.fail("malformed", most=LARGEST_ID)
        return text


class WorkingDirectory(Text):
    """An absolute path inside the container."""

    default_error_messages = {"malformed": "An absolute path such as /work, without .. in it."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=1024, allow_blank=True, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        path = super().to_internal_value(data)
        absolute = path.startswith("/") and path.isprintable()
        if path and (not absolute or ".." in path.split("/")):
            self.fail("malformed")
        return path


class Ulimits(serializers.DictField):
    """Limits of processes by name: a number, or "unlimited"."""

    LARGEST = {"memlock": 2**62, "nofile": 2**20, "stack": 2**40}
    BOUNDLESS = ("memlock", "stack")
    default_error_messages = {
        "unknown": "Only memlock, nofile and stack.",
        "malformed": "{name}: a whole number from 1 to {most}{or_unlimited}.",
    }

    def to_internal_value(self, data: Any) -> dict[str, int | str]:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        if data.keys() - self.LARGEST.keys():
            self.fail("unknown")
        return {name: self._limit(name, data[name]) for name in sorted(data)}

    def _limit(self, name: str, given: Any) -> int | str:
        most = self.LARGEST[name]
        if name in self.BOUNDLESS and given == "unlimited":
            return "unlimited"
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= most:
            or_unlimited = ', or "unlimited"' if name in self.BOUNDLESS else ""
            self.fail("malformed", name=name, most=most, or_unlimited=or_unlimited)
        return given


class Dependencies(BoundedList):
    """Ids in one spelling, each once; their order has no meaning, so they come out sorted."""

    default_error_messages = {"twice": "Each deployment at most once."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Reference(), most=MOST_DEPENDENCIES, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        texts = super().to_internal_value(data)
        ids = sorted(str(parse_uuid(text) or text) for text in texts)
        if len(set(ids)) < len(ids):
            self.fail("twice")
        return ids


class Items(BoundedList):
    """Objects, each read by a serializer."""

    def __init__(self, child: serializers.Serializer, *, most: int, **kwargs: Any) -> None:
        super().__init__(child, most=most, elements="items", allow_empty=False, **kwargs)
