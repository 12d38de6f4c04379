"""The labels of nodes that come nearest to those of a selector that no node carries."""

from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from scheduler.engine.placement.node_sizes import SIZE
from scheduler.engine.placement.windows import WINDOW
from scheduler.engine.snapshot import OTHER_THAN, VOLUME, Labels, Node

MOST = 3  # of each label of the selector
ALIKE = 0.6  # of get_close_matches: at least so much of two names is the same


def labels_in(selector: Labels) -> Labels:
    """Those that a user has asked for: volumes, and the node to avoid, are labels of the
    platform's."""
    own = (VOLUME, OTHER_THAN, SIZE, WINDOW)
    return tuple(each for each in selector if not each[0].startswith(own))


def nearest_labels(nodes: Iterable[Node], selector: Labels) -> list[dict[str, Any]]:
    """`{"label", "value", "nodes"}` with the number of nodes that carry it, at most MOST for each
    label of the selector: that label itself where nodes carry it, else other values of its name,
    those that look alike first, else labels whose names look alike."""
    carried = Counter(label for node in nodes for label in labels_in(node.labels))
    names: dict[str, set[str]] = {}
    for name, value in carried:
        names.setdefault(name, set()).add(value)
    found = []
    for name, value in labels_in(selector):
        if (name, value) in carried:
            near = [(name, value)]
        else:
            near = [
                (alike, one)
                for alike in _alike(name, names)
                for one in _by_likeness(value, names[alike], carried, alike)
            ][:MOST]
        found += [
            {"label": label, "value": one, "nodes": carried[label, one]} for label, one in near
        ]
    return found


def _alike(name: str, names: Iterable[str]) -> list[str]:
    ordered = sorted(names)
    if name in ordered:
        return [name]
    folded = {each.casefold(): each for each in ordered}
    return [folded[each] for each in get_close_matches(name.casefold(), folded, MOST, ALIKE)]


def _by_likeness(
    value: str, values: Iterable[str], carried: Counter[tuple[str, str]], name: str
) -> list[str]:
    """Those that look alike first, then those that most nodes carry."""
    ordered = sorted(values, key=lambda each: (-carried[name, each], each))
    folded = {each.casefold(): each for each in reversed(ordered)}
    alike = [folded[each] for each in get_close_matches(value.casefold(), folded, MOST, ALIKE)]
    return alike + [each for each in ordered if each not in alike]
