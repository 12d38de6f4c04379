"""Names: the form in which they are compared, what they may not contain, and what is answered where
one names several things.

Every place that compares names of users folds them here, and so no spelling is one name for the
login and another one for its throttle. Lower case in PostgreSQL and in Python differ, for instance
for the Turkish dotted I.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from uuid import UUID

from rest_framework.serializers import ValidationError

from mlops_platform.api.errors import Conflict
from mlops_platform.api.ids import parse_uuid

INVISIBLE = "Must not contain control, format or other invisible characters."
WIDE_SPACE = "\u3000"  # between the words of ideographs
MIXED = "A word must not mix letters of several scripts, which look alike."
LIKE_AN_ID = "Must not look like an id."
LONGEST_LOOKED_UP = 255

# What one word of Chinese, Japanese and Korean text is written with.
TOGETHER = (
    {"LATIN", "CJK", "HIRAGANA", "KATAKANA"},
    {"LATIN", "CJK", "BOPOMOFO"},
    {"LATIN", "CJK", "HANGUL"},
)
_WORDS = re.compile(r"[\s\W_]+")


def folded(name: str) -> str:
    """Two names are the same if these are: compatibility forms and letter case do not count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_name(name: str) -> None:
    """Refuse a name that may look like another one, or like an id, which goes before names where
    either may be given. For the validators of a field."""
    if parse_uuid(name):
        raise ValidationError(LIKE_AN_ID)
    if not name.replace(WIDE_SPACE, " ").isprintable():
        raise ValidationError(INVISIBLE)
    for word in _WORDS.split(unicodedata.normalize("NFKC", name)):
        scripts = set(_scripts(word))
        if len(scripts) > 1 and not any(scripts <= each for each in TOGETHER):
            raise ValidationError(MIXED)


def is_lookable(name: str) -> bool:
    """Whether anything could have that name; what PostgreSQL cannot compare is none."""
    return len(name) <= LONGEST_LOOKED_UP and name.isprintable()


def ambiguous(kind: str, name: str, found: Iterable[tuple[str, UUID]]) -> Conflict:
    """409 for a name of several things: each with the name of its organization, and its id."""
    each = ", ".join(f"{id_} of {organization}" for organization, id_ in found)
    return Conflict(f"Several {kind} are named {name!r}: {each}. Give an id.", "ambiguous_name")


def _scripts(word: str) -> Iterator[str]:
    """Of each letter: the first word of its name in Unicode, which is its script."""
    for letter in word:
        if unicodedata.category(letter) in {"Ll", "Lu", "Lt", "Lo"}:
            yield unicodedata.name(letter, "CJK").split()[0]
