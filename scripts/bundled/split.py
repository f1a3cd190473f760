"""A tenth of each family is held out: the same recordings each time, with all that is like them."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

SHARE = 0.1
LEAST = 4
"""Recordings of a family from which on one is held out at least."""
MOST_OF_A_PAGE = 5
"""Recordings from one page, above which the page is that of a collection."""


def held_out(
    families: Mapping[str, str],
    hashes: Mapping[str, str],
    alike: Iterable[Sequence[str]],
    *,
    share: float = SHARE,
) -> set[str]:
    """Return the recordings that are never trained on.

    Recordings that are alike stay together, on the side of the whole group. In each family, groups
    are taken in the order of a hash of their sounds' hashes, until `share` of its recordings are
    held out; a group that would take more than half again as many is passed over.

    Args:
        families: Family of each recording by its identifier.
        hashes: Hash of each recording's samples.
        alike: Groups of recordings that are copies, or nearly.
        share: Part of each family.
    """
    together = _joined(families, alike)
    by_family: dict[str, list[list[str]]] = defaultdict(list)
    for group in together:
        # The family of most of its recordings; of the first by name where there are several.
        names = sorted(families[one] for one in group)
        by_family[max(dict.fromkeys(names), key=names.count)].append(group)
    held: set[str] = set()
    for groups in by_family.values():
        count = sum(map(len, groups))
        wanted = max(round(count * share), 1) if count >= LEAST else 0
        taken = 0
        for group in sorted(groups, key=lambda group: _order(group, hashes)):
            if taken < wanted and taken + len(group) <= math.ceil(1.5 * wanted):
                held.update(group)
                taken += len(group)
    return held


def of_one_page(pages: Mapping[str, str | None]) -> list[list[str]]:
    """Return the recordings that come from one page, where it is not that of a collection.

    Args:
        pages: Address of each recording's page by its identifier.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name, page in pages.items():
        if page:
            found[page].append(name)
    return [names for names in found.values() if 1 < len(names) <= MOST_OF_A_PAGE]


def _joined(families: Mapping[str, str], alike: Iterable[Sequence[str]]) -> list[list[str]]:
    group_of = {name: [name] for name in families}
    for names in alike:
        for name in names[1:]:
            one, other = group_of[names[0]], group_of[name]
            if one is not other:
                one += other
                for moved in other:
                    group_of[moved] = one
    return list({id(group): group for group in group_of.values()}.values())


def _order(group: Sequence[str], hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(" ".join(sorted(hashes[name] for name in group)).encode()).hexdigest()
