import pytest

from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.files.patterns import NamePattern

SUFFIXES = (".wav", ".flac")


def name(pattern: str, *, index: int = 3, prompt: str = "Deep kick, dry!", seed: int = 7) -> str:
    return NamePattern(pattern, suffixes=SUFFIXES).name(index=index, prompt=prompt, seed=seed)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{prompt}_{seed}", "deep-kick-dry_7.wav"),
        ("{index:03d}_{prompt}_{seed}", "003_deep-kick-dry_7.wav"),
        ("{prompt:.4} {seed:08}.FLAC", "deep 00000007.FLAC"),
        ("a.b{{{index}}}.flac", "a.b{3}.flac"),
        ("take", "take.wav"),
    ],
)
def test_names(pattern: str, expected: str) -> None:
    assert name(pattern) == expected


def test_the_prompt_can_lead_nowhere() -> None:
    for prompt in ("../../etc/passwd", "a/b\\c", "\0", "..", "{seed}"):
        found = name("{prompt}", prompt=prompt)
        assert not set(found) & set("/\\\0{}")
        assert not found.startswith(".")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{promt}", r"unknown field {promt}; allowed: {index}, {prompt}, {seed}"),
        ("{prompt.__class__}", r"unknown field {prompt.__class__}; allowed: "),
        ("{prompt[0]}", r"unknown field {prompt\[0\]}; allowed: "),
        ("{}", r"unknown field {}; allowed: "),
        ("{prompt!r}", r"{prompt} cannot be formatted so; allowed is, for example, {prompt:.20}"),
        ("{index:999999999d}", r"{index} cannot be formatted so; allowed is, .*, {index:03d}"),
        ("{index:{seed}}", r"{index} cannot be formatted so"),
        ("a/{prompt}", r"holds '/'; give the name of a file, and its folder as --output"),
        ("..\\{prompt}", r"holds '\\\\'; give the name of a file"),
        ("a\n{prompt}", r"holds '\\n'; give the name of a file"),
        ("a\udcff{prompt}", r"holds '\\udcff'; give the name of a file"),
        ("a\x9b{prompt}", r"holds '\\x9b'; give the name of a file"),
        ("a\0{prompt}", r"holds '\\x00'; give the name of a file"),
        ("{prompt", r"expected '}' before end of string; in braces stand {index}"),
        ("", r"is empty or begins with a dot"),
        ("{prompt:.0}", r"is empty or begins with a dot"),
        ("{prompt:.0}.{seed}", r"is empty or begins with a dot"),
        (".{prompt}", r"is empty or begins with a dot"),
        (".wav", r"is empty or begins with a dot"),
        ("x" * 215 + "{index}", r"makes names of 221 bytes, at most 215 are allowed; give a sh"),
        ("{prompt}" * 30, r"makes names of 240 bytes, at most 215 are allowed"),
    ],
)
def test_patterns_that_name_no_files(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^name '.*': {message}"):
        NamePattern(pattern, suffixes=SUFFIXES)


@pytest.mark.parametrize("letter", ["\U0001f941", "\U0001d54c", "音", "é", "k"])
@pytest.mark.parametrize("pattern", ["{prompt}_{seed}", "{prompt}{prompt}{prompt}"])
def test_a_prompt_of_any_alphabet_names_a_file(letter: str, pattern: str) -> None:
    found = name(pattern, prompt=letter * 60, seed=MAX_SEED)
    assert len(found.encode()) <= 220
    assert found.startswith(letter if letter.isalnum() else "sound")
    assert "{seed}" not in pattern or found.endswith(f"_{MAX_SEED}.wav")


@pytest.mark.parametrize("pattern", ["{prompt}{prompt}_{index}", "{prompt}{prompt}{prompt}{index}"])
def test_what_tells_names_apart_is_never_cut_off(pattern: str) -> None:
    names = {name(pattern, index=index, prompt="\U0001d54c" * 90) for index in range(20)}
    assert len(names) == 20


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("{index}", True), ("{index:03d}_{prompt}.flac", True), ("{index} {seed}", True),
        ("{index}.{seed}", True), ("{prompt}_{index}", False), ("{index}{seed}", False),
        ("{index}0", False), ("{{index}}_{seed}", False), ("take", False), ("1{index}", False),
    ],
)  # fmt: skip
def test_patterns_by_which_two_places_always_differ(pattern: str, first: bool) -> None:
    assert NamePattern(pattern, suffixes=SUFFIXES).begins_with_index == first
