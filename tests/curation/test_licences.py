import re
from pathlib import Path

import pytest

from stable_audio_open.curation.catalogue.decisions import (
    add_decisions,
    final_decisions,
    read_decisions,
)
from stable_audio_open.curation.catalogue.parquet import read_catalogue, write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.licences.creative_commons import HOME
from stable_audio_open.curation.licences.policy import (
    licence_decisions,
    licence_refusal,
    normalise,
    refusal,
    require_licences,
)

ZERO = f"{HOME}/publicdomain/zero/1.0/"
BY = f"{HOME}/licenses/by/"
PLUS = f"{HOME}/licenses/sampling+/1.0/"

ACCEPTED = {
    "http://creativecommons.org/publicdomain/zero/1.0/": ("CC0 1.0", ZERO),
    "https://creativecommons.org/publicdomain/zero/1.0": ("CC0 1.0", ZERO),
    "https://www.creativecommons.org/publicdomain/zero/1.0/legalcode": ("CC0 1.0", ZERO),
    "HTTPS://CreativeCommons.org/publicdomain/zero/1.0/deed.pt_BR": ("CC0 1.0", ZERO),
    "creativecommons.org/publicdomain/zero/1.0/legalcode.fr#x": ("CC0 1.0", ZERO),
    "//creativecommons.org//publicdomain/zero/1.0//": ("CC0 1.0", ZERO),
    " <https://creativecommons.org/publicdomain/zero/1.0/?lang=de> ": ("CC0 1.0", ZERO),
    "CC0": ("CC0 1.0", ZERO),
    "cc-0": ("CC0 1.0", ZERO),
    "CC0 1.0 Universal": ("CC0 1.0", ZERO),
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": ("CC0 1.0", ZERO),
    "Creative Commons 0": ("CC0 1.0", ZERO),
    "Creative Commons Zero 1.0": ("CC0 1.0", ZERO),
    "http://creativecommons.org/licenses/by/3.0/": ("CC-BY 3.0", f"{BY}3.0/"),
    "https://creativecommons.org/licenses/by/4.0/": ("CC-BY 4.0", f"{BY}4.0/"),
    "http://creativecommons.org/licenses/by/4.0/legalcode": ("CC-BY 4.0", f"{BY}4.0/"),
    "http://creativecommons.org/licenses/by/4.0/deed.zh-hant": ("CC-BY 4.0", f"{BY}4.0/"),
    "http://creativecommons.org/licenses/by/2.5/": ("CC-BY 2.5", f"{BY}2.5/"),
    "http://creativecommons.org/licenses/by/3.0/us/": ("CC-BY 3.0 US", f"{BY}3.0/us/"),
    "http://creativecommons.org/licenses/by/3.0/us/deed.en": ("CC-BY 3.0 US", f"{BY}3.0/us/"),
    "http://creativecommons.org/licenses/by/2.5/scotland": (
        "CC-BY 2.5 SCOTLAND",
        f"{BY}2.5/scotland/",
    ),
    "Attribution 3.0 International": ("CC-BY 3.0", f"{BY}3.0/"),
    "Attribution 3.0 Unported": ("CC-BY 3.0", f"{BY}3.0/"),
    "Attribution 3.0 United States": ("CC-BY 3.0 US", f"{BY}3.0/us/"),
    "Attribution 4.0 International (CC BY 4.0)": ("CC-BY 4.0", f"{BY}4.0/"),
    "Creative Commons Attribution 4.0 International License": ("CC-BY 4.0", f"{BY}4.0/"),
    "CC BY 4.0": ("CC-BY 4.0", f"{BY}4.0/"),
    "cc-by-4.0": ("CC-BY 4.0", f"{BY}4.0/"),
    "CC-BY": ("CC-BY", None),
    "Attribution": ("CC-BY", None),
    "http://creativecommons.org/licenses/sampling+/1.0/": ("CC Sampling+ 1.0", PLUS),
    "https://creativecommons.org/licenses/sampling%2B/1.0/": ("CC Sampling+ 1.0", PLUS),
    "www.creativecommons.org/licenses/sampling%2b/1.0/legalcode": ("CC Sampling+ 1.0", PLUS),
    "Sampling+": ("CC Sampling+ 1.0", PLUS),
    "Sampling Plus 1.0": ("CC Sampling+ 1.0", PLUS),
    "Creative Commons Sampling Plus 1.0": ("CC Sampling+ 1.0", PLUS),
}
NC, SA, ND = (
    "forbids commercial use (NC)",
    "demands the same licence for what is made of it (SA)",
    "forbids adaptations (ND)",
)
MARK = "Public Domain Mark 1.0 is somebody's remark, not a licence of the author"
REFUSED = {
    "http://creativecommons.org/licenses/by-nc/3.0/": f"CC-BY-NC 3.0 {NC}",
    "https://creativecommons.org/licenses/by-nc/4.0/legalcode.de": f"CC-BY-NC 4.0 {NC}",
    "https://creativecommons.org/licenses/by-sa/4.0/": f"CC-BY-SA 4.0 {SA}",
    "https://creativecommons.org/licenses/by-nd/2.0/fr/": f"CC-BY-ND 2.0 FR {ND}",
    "https://creativecommons.org/licenses/by-nc-sa/3.0/": f"CC-BY-NC-SA 3.0 {NC} and {SA}",
    "https://creativecommons.org/licenses/by-nd-nc/1.0/": f"CC-BY-NC-ND 1.0 {NC} and {ND}",
    "https://creativecommons.org/licenses/nc/1.0/": f"CC-NC 1.0 {NC}",
    "Attribution-NonCommercial-ShareAlike 3.0 International": f"CC-BY-NC-SA 3.0 {NC} and {SA}",
    "Attribution-NonCommercial-NoDerivatives (aka Music Sharing) 3.0 International": (
        f"CC-BY-NC-ND 3.0 {NC} and {ND}"
    ),
    "Attribution-Noncommercial-Share Alike 3.0 United States": (
        f"CC-BY-NC-SA 3.0 US {NC} and {SA}"
    ),
    "Attribution-Noncommercial-No Derivative Works 3.0 United States": (
        f"CC-BY-NC-ND 3.0 US {NC} and {ND}"
    ),
    "Attribution NonCommercial": f"CC-BY-NC {NC}",
    "Creative Commons Attribution-NoDerivs 2.5 Canada": f"CC-BY-ND 2.5 CA {ND}",
    "Attribution-ShareAlike": f"CC-BY-SA {SA}",
    "CC BY-NC-SA 4.0": f"CC-BY-NC-SA 4.0 {NC} and {SA}",
    "http://creativecommons.org/licenses/nc-sampling+/1.0/": f"CC NC-Sampling+ 1.0 {NC}",
    "NonCommercial Sampling Plus 1.0": None,  # named without Creative Commons: unknown
    "CC NonCommercial Sampling Plus 1.0": f"CC NC-Sampling+ 1.0 {NC}",
    "http://creativecommons.org/licenses/sampling/1.0/": (
        "CC Sampling 1.0 forbids copies of the whole"
    ),
    "http://creativecommons.org/publicdomain/mark/1.0/": MARK,
    "Public Domain Mark 1.0": MARK,
    "Public Domain": "public domain is a statement without a licence",
    "http://creativecommons.org/licenses/publicdomain/": (
        "public domain is a statement without a licence"
    ),
    "FMA-Limited: Download Only": None,
    "All rights reserved": None,
    "http://artlibre.org/licence/lal/en": None,
    "https://creativecommons.org/licenses/by/9.9/": None,
    "https://creativecommons.org/licenses/by/4.0/us/": None,
    "https://creativecommons.org/licenses/by/3.0/xx/": None,
    "https://creativecommons.org/licenses/zero/1.0/": None,
    "https://creativecommons.org/publicdomain/by/1.0/": None,
    "https://creativecommons.org.evil.example/licenses/by/4.0/": None,
    "https://example.org/?u=creativecommons.org/licenses/by/4.0/": None,
    "https://creativecommons.org/licenses/by-sa-nd/4.0/": None,
    "https://creativecommons.org/licenses/by-by/4.0/": None,
    "https://creativecommons.org/": None,
    "Attribution (CC BY-NC 4.0)": None,
    "Attribution for private use": None,
    "Attribution 3.0 Narnia": None,
    "0": None,
    "by": None,
    "zero": None,
    "CC": None,
    "CC BY 5.0": None,
    "\U0001f941": None,
}


@pytest.mark.parametrize("text", ACCEPTED)
def test_an_accepted_licence_in_all_spellings(text: str) -> None:
    licence = normalise(text)
    assert (licence.label, licence.url) == ACCEPTED[text]
    assert licence_refusal(text) is None


@pytest.mark.parametrize("text", REFUSED)
def test_a_refused_licence_is_named_with_the_reason(text: str) -> None:
    unknown = f"the licence {text!r} is not known; accepted are CC0, CC-BY, CC Sampling+"
    assert licence_refusal(text) == (REFUSED[text] or unknown)


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_missing_licence(text: str | None) -> None:
    assert normalise(text).name == "missing"
    assert licence_refusal(text) == "no licence is given"


@pytest.mark.parametrize("text", [*ACCEPTED, *REFUSED])
def test_normalising_is_idempotent(text: str) -> None:
    licence = normalise(text)
    assert normalise(licence.label) == licence
    if licence.url:
        assert normalise(licence.url) == licence


def record(number: int, licence: str | None = "CC0", author: str | None = "ann") -> CatalogueRecord:
    return CatalogueRecord(id=f"freesound:{number}", licence=licence, author=author)


def test_an_author_is_needed_too() -> None:
    assert refusal(record(1)) is None
    assert refusal(record(1, author=" ")) == "no author is given who could be named"
    assert refusal(record(1, licence=None, author=None)) == "no licence is given"


def test_refused_recordings_are_dropped_once(tmp_path: Path) -> None:
    records = [record(1), record(2, "CC BY-NC 4.0"), record(3, None), record(4, author=None)]
    write_catalogue(tmp_path, records)
    for added in (3, 0):
        decisions = licence_decisions(
            read_catalogue(tmp_path), read_decisions(tmp_path), by="curate licences"
        )
        assert add_decisions(tmp_path, decisions) == added
    stands = final_decisions(read_decisions(tmp_path))
    assert {name: decision.reason for name, decision in stands.items()} == {
        "freesound:2": "CC-BY-NC 4.0 forbids commercial use (NC)",
        "freesound:3": "no licence is given",
        "freesound:4": "no author is given who could be named",
    }
    assert {(d.verdict, d.stage, d.by) for d in stands.values()} == {
        ("drop", "licence", "curate licences")
    }


def test_a_set_without_licences_is_refused_unless_allowed() -> None:
    good = [record(1), record(2, "Attribution 3.0 International"), record(3, "Sampling+")]
    require_licences(good)
    bad = [*good, *(record(n, None) for n in range(4, 9))]
    message = (
        "5 recordings have no accepted licence or no author (freesound:4: no licence is given; "
        "freesound:5: no licence is given; freesound:6: no licence is given; and 2 more); drop "
        "them with `stable-audio-open curate licences`, or pass --allow-unlicensed"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        require_licences(bad)
    require_licences(bad, allow_unlicensed=True)
