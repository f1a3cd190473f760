"""What reaches a terminal of names, tags and prompts that strangers wrote."""

import logging
import re
from pathlib import Path

import pytest

from stable_audio_open.cli.main import main
from stable_audio_open.cli.printing import LONGEST_QUOTE, one_line, printable

RED = "\x1b[31m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{RED}red", r"\x1b[31mred"),
        ("a\rb\x07\x9bc", r"a\rb\x07\x9bc"),
        ("left\u202eright", r"left\u202eright"),
        ("lone \ud800", r"lone \ud800"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("Größe 音 \U0001f941\u200d", "Größe 音 \U0001f941\u200d"),
    ],
)
def test_control_characters_are_escaped_and_letters_stay(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_long_quoted_value_is_cut_and_the_remedy_is_not() -> None:
    remedy = "the model's remedy " * 12
    for quote in "'\"":
        value = "x" * 5000
        line = one_line(f'"a.json": unknown {quote}{value}{quote}; {remedy}"b"')
        cut = f"{quote}{'x' * LONGEST_QUOTE}…{quote}"
        assert line == f'"a.json": unknown {cut}; {remedy}"b"'


def test_what_stands_between_two_quoted_values_is_not_cut() -> None:
    line = f"'a' is not 'b', {'long words, ' * 20}'c' and \"d\" (it's the model's)"
    assert one_line(line) == line


def test_an_escaped_quote_ends_no_value() -> None:
    assert one_line(repr("'\"" * 300)) == one_line(repr("'\"" * 300)[:101] + "…'")


@pytest.mark.parametrize("arguments", [[], ["--debug"]])
def test_no_error_reaches_the_terminal_raw(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / f"{RED}.json"
    config.write_text('{"\\u001b[2J' + "x" * 10**5 + '": 1}')
    assert main([*arguments, "info", str(config)]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert len(error.splitlines()[-1]) < 1000


def test_no_warning_reaches_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(*_: object, **__: object) -> None:
        logging.getLogger("stable_audio_open.data").warning("left out: %s\nx", f"{RED}.wav")

    monkeypatch.setattr("stable_audio_open.cli.main._commands", lambda: warn)
    assert main(["info"]) == 0
    assert capsys.readouterr().err == "WARNING: left out: \\x1b[31m.wav x\n"


def test_no_name_reaches_standard_output_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("nothing")
    table = tmp_path / "m.jsonl"
    table.write_text('{"file": "a\\u001b[2J.wav", "caption": "x"}\n')
    main(["curate", "ingest", "manifest", str(table), "--output", str(tmp_path / f"{RED}out")])
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert re.search(r"\\x1b\[31mout", shown.out + shown.err)
