"""Serializer fields that take the types of the API's contract, and nothing that looks like them."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

from rest_framework import serializers

from mlops_platform.api.errors import MOST_FAULTS
from mlops_platform.api.names import INVISIBLE, WIDE_SPACE

MILLI = 1000
LONGEST_CHOICE = 100
LONGEST_NAME = 100  # of a cluster and an organization
LONGEST_QUANTITY = 32
_NUMBER = r"([0-9]+[.]?[0-9]*|[.][0-9]+)"
_FACTORS = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)} | {
    letter: 1000**power for power, letter in enumerate("kMGTPE", start=1)
}


class WholeNumber(serializers.IntegerField):
    """A JSON integer: no strings, no booleans, no 3.0."""

    most: int | None = None

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            return self.of_text(data)
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        if self.most is not None and not 0 <= data <= self.most:
            self.fail("out_of_range", most=self.most)
        return data

    def of_text(self, text: str) -> Any:
        self.fail("invalid")


class Mebibytes(WholeNumber):
    """An amount of memory or storage: a JSON integer of MiB, or a text with a unit, "16Gi"."""

    PATTERN = rf"^{_NUMBER}([KMGTPE]i|[kMGTPE])$"
    default_error_messages = {
        "no_quantity": 'Write a text with a unit, such as "16Gi" or "512Mi", or a number of MiB.',
        "no_unit": 'A text needs a unit: write "{text}Gi", "{text}Mi", or a number of MiB.',
        "not_whole": "Not a whole number of MiB: {mib:.3f}.",
    }

    def of_text(self, text: str) -> int:
        match = re.fullmatch(self.PATTERN, text) if len(text) <= LONGEST_QUANTITY else None
        if match is None:
            digits = text.isascii() and text.isdigit() and len(text) <= LONGEST_QUANTITY
            self.fail("no_unit" if digits else "no_quantity", text=text)
        mib = Fraction(match[1]) * _FACTORS[match[2]] / _FACTORS["Mi"]
        if mib.denominator != 1:
            self.fail("not_whole", mib=float(mib))
        return int(mib)


class WholeNumberOr(WholeNumber):
    """A JSON integer from 0 to `most`, or one word. DRF's own limits would compare the word."""

    word: str
    most: int
    default_error_messages = {"out_of_range": "From 0 to {most}."}

    def of_text(self, text: str) -> str:
        if text != self.word:
            self.fail("invalid")
        return text


class ShownNumberOr(serializers.ReadOnlyField):
    """The same in an answer."""

    word: str


def units(milli: int) -> int | float:
    """Thousandths as whole units for people: 4000 is 4, 2500 is 2.5."""
    return milli // MILLI if milli % MILLI == 0 else milli / MILLI


cores = units  # of millicores


class Thousandths(serializers.Field):
    """A JSON number with at most three decimals, which becomes an integer of thousandths."""

    default_error_messages = {
        "invalid": "A valid number is required.",
        "too_precise": "At most three decimal places.",
        "too_small": "Must be {limit} or more.",
        "too_large": "Must be {limit} or less.",
    }

    def __init__(self, *, min_milli: int, max_milli: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_milli, self.max_milli = min_milli, max_milli

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            return self.of_text(data)
        if isinstance(data, bool) or not isinstance(data, int | float | Decimal):
            self.fail("invalid")
        value = Decimal(str(data))
        if not value.is_finite():
            self.fail("invalid")
        if value < Decimal(self.min_milli) / MILLI:
            self.fail("too_small", limit=units(self.min_milli))
        if value > Decimal(self.max_milli) / MILLI:
            self.fail("too_large", limit=units(self.max_milli))
        milli = int(value * MILLI)
        if Decimal(milli) / MILLI != value:  # the product may have been rounded, this is exact
            self.fail("too_precise")
        return milli

    def of_text(self, text: str) -> int:
        self.fail("invalid")


class ShownThousandths(serializers.Field):
    """Integer thousandths in an answer: a JSON number of whole ones."""

    to_representation = staticmethod(units)  # type: ignore[assignment]  # the stubs want a method


class ShownCores(ShownThousandths):
    """CPU in an answer: a JSON number of cores, made of integer millicores."""


class Cores(Thousandths, ShownCores):
    """CPU in a body: a JSON number of cores or a text, "500m" or "1.5", which become millicores."""

    PATTERN = rf"^{_NUMBER}(m?)$"
    default_error_messages = {
        "too_precise": "At most three decimal places (one thousandth of a core).",
        "no_quantity": 'Write a number of cores, or a text such as "500m" or "1.5".',
    }

    def of_text(self, text: str) -> int:
        match = re.fullmatch(self.PATTERN, text) if len(text) <= LONGEST_QUANTITY else None
        if match is None:
            self.fail("no_quantity")
        milli = Fraction(match[1]) * (1 if match[2] else MILLI)
        if milli < self.min_milli:
            self.fail("too_small", limit=units(self.min_milli))
        if milli > self.max_milli:
            self.fail("too_large", limit=units(self.max_milli))
        if milli.denominator != 1:
            self.fail("too_precise")
        return int(milli)


class ShownSeconds(serializers.Field):
    """A duration in an answer: a JSON number of seconds, with the milliseconds as decimals."""

    def to_representation(self, value: int | float) -> int | float:
        return value


class Seconds(Thousandths, ShownSeconds):
    """A duration in a body: seconds, which stay seconds; 5.0 becomes 5."""

    default_error_messages = {"too_precise": "At most three decimal places (milliseconds)."}

    def to_internal_value(self, data: Any) -> int | float:
        return units(super().to_internal_value(data))


class Flag(serializers.BooleanField):
    """A JSON boolean: no strings, no numbers."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Text(serializers.CharField):
    """A JSON string; numbers and booleans are not quietly made into one.

    It is measured before anything else is done with it: some validators take long for a long text.
    """

    longest_as_sent: int | None = None
    """The limit before the text is brought into a normal form, where that may make it shorter."""
    is_name = False

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is not None and data is not serializers.empty:
            if not isinstance(data, str):
                self.fail("invalid")
            most = self.longest_as_sent or self.max_length
            shortest = data.strip() if self.trim_whitespace else data
            if most is not None and len(shortest) > most:
                self.fail("max_length", max_length=self.max_length)
            if self.is_name and not shortest.replace(WIDE_SPACE, " ").isprintable():
                self.fail("invisible")
        return super().run_validation(data)


class Label(Text):
    """A name that people give a thing; for what others could take for another one, see names.py."""

    default_error_messages = {"invisible": INVISIBLE}
    is_name = True


class Email(Text, serializers.EmailField):
    """An e-mail address."""


class BoundedList(serializers.ListField):
    """A list that is refused unread where it is too long, and read no further once very many of its
    elements were faulty."""

    default_error_messages = {"too_long": "At most {most} {elements}."}

    def __init__(
        self, child: serializers.Field, *, most: int, elements: str = "elements", **kwargs: Any
    ) -> None:
        self.most, self.elements = most, elements
        super().__init__(child=child, max_length=most, **kwargs)

    def run_child_validation(self, data: list[Any]) -> list[Any]:
        if len(data) > self.most:
            self.fail("too_long", most=self.most, elements=self.elements)
        read, faults = [], dict[Any, Any]()
        for number, each in enumerate(data):
            try:
                read.append(self.child.run_validation(each))
            except serializers.ValidationError as error:
                faults[number] = error.detail
                if len(faults) > MOST_FAULTS:
                    break
        if faults:
            raise serializers.ValidationError(faults)
        return read


class Choice(serializers.ChoiceField):
    """One of the given words, which a refusal names; with `upper` in any letter case."""

    default_error_messages = {"invalid_choice": '"{input}" is none of {words}.'}

    def __init__(self, choices: Any, *, upper: bool = False, **kwargs: Any) -> None:
        self.upper = upper
        super().__init__(choices, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=_brief(data))
        if len(data) > LONGEST_CHOICE:
            self.fail("invalid_choice", input=data[:LONGEST_CHOICE])
        # Letters of other alphabets, such as the dotless i, have ours for capitals.
        return super().to_internal_value(data.upper() if self.upper and data.isascii() else data)

    def fail(self, key: str, **given: Any) -> NoReturn:
        super().fail(key, words=", ".join(map(str, self.choices)), **given)


def _brief(data: Any) -> str:
    """What a sentence says of a value: a list of a mebibyte takes long to write."""
    if isinstance(data, list | dict):
        return "a list" if isinstance(data, list) else "an object"
    return str(data)[:LONGEST_CHOICE]


class Reference(serializers.Field):
    """The id of another row, in any spelling: an id that cannot exist gets the 404 of one that does
    not exist.

    Takes a JSON string or integer (older clients counted) and gives the text. The query that looks
    the row up answers 404 where the user may not see it.
    """

    LONGEST = 64
    default_error_messages = {"invalid": "An id is required."}

    def to_internal_value(self, data: Any) -> str:
        if (
            isinstance(data, bool)
            or not isinstance(data, str | int)
            or len(str(data)) > self.LONGEST
        ):
            self.fail("invalid")
        return str(data)

    def to_representation(self, value: Any) -> str:
        return str(value)


class IdOrName(Reference):
    """The id of a row, or its name where the text looks like no id (names.py)."""

    LONGEST = LONGEST_NAME
    default_error_messages = {"invalid": "An id or a name is required."}


class Deadline(serializers.Field):
    """A moment in ISO format with its offset, or a JSON integer of seconds from now: a datetime or
    a timedelta."""

    PATTERN = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d(:?\d\d)?)$"
    MOST_S = 365 * 24 * 3600
    default_error_messages = {
        "invalid": 'Write a moment with its offset, such as "2026-03-01T18:00:00Z", or seconds.',
        "out_of_range": "Between 1 second and a year.",
    }

    def to_internal_value(self, data: Any) -> datetime | timedelta:
        if isinstance(data, int) and not isinstance(data, bool):
            if not 1 <= data <= self.MOST_S:
                self.fail("out_of_range")
            return timedelta(seconds=data)
        if not isinstance(data, str) or len(data) > 40 or not re.fullmatch(self.PATTERN, data):
            self.fail("invalid")
        try:
            return datetime.fromisoformat(data.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail("invalid")

    def to_representation(self, value: Any) -> Any:
        return value
