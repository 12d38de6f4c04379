"""One test about many cases: it goes through all of them and fails with every one that deviates."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

Case = Callable[[object], AbstractContextManager[None]]


@contextmanager
def every_case() -> Iterator[Case]:
    """Collects the failed assertions of the blocks `with case(NAME):` and fails at the end.

        with every_case() as case:
            for person in PEOPLE:
                with case(person):
                    assert ...

    Any other exception ends the test on the spot, like everywhere.
    """
    deviations: list[str] = []

    @contextmanager
    def case(name: object) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            deviations.append(f"{name}: {error}")

    yield case
    if deviations:
        pytest.fail(f"{len(deviations)} deviate.\n" + "\n".join(deviations), pytrace=False)
