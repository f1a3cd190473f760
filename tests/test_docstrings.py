"""What docstrings say: every argument of the public API, and that a function raises."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stable_audio_open

ROOT = Path(stable_audio_open.__file__).parent
REFERENCE = re.compile(r"arguments(?: and errors)? are those of `([\w.]+)`")


def public_functions() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Every function and method that a user may call, with what describes its arguments."""
    for name in stable_audio_open.__all__:
        thing = getattr(stable_audio_open, name)
        if inspect.isclass(thing):
            yield name, thing.__init__, inspect.getdoc(thing) or ""
            for method, value in inspect.getmembers(thing):
                home = getattr(value, "__module__", None) or ""
                if method[0] != "_" and callable(value) and home.startswith("stable_audio_open"):
                    yield f"{name}.{method}", value, inspect.getdoc(value) or ""
        elif callable(thing):
            yield name, thing, inspect.getdoc(thing) or ""


PUBLIC = {name: (function, doc) for name, function, doc in public_functions()}


def described(doc: str) -> set[str]:
    """Return the arguments that a docstring describes, by itself or through another's."""
    found = set(re.findall(r"^    (\w+): \S", section(doc, "Args"), re.MULTILINE))
    other = REFERENCE.search(doc.replace("\n", " "))
    return found if other is None else found | described(PUBLIC[other[1]][1])


def section(doc: str, name: str) -> str:
    """Return a section of a docstring; empty when it has none."""
    found = re.search(rf"^{name}:\n((?:    .*\n?|\n)*)", doc, re.MULTILINE)
    return found[1] if found else ""


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_of_the_public_api_is_described(name: str) -> None:
    function, doc = PUBLIC[name]
    arguments = set(inspect.signature(function).parameters) - {"self", "cls", "model"}
    assert arguments - described(doc) == set()


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every public function of a module and method of its public classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and child.name[0] != "_":
            yield from functions(child)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name[0] != "_":
            yield child


def raises(node: ast.AST) -> bool:
    """Say whether a function raises an error by itself, not in a function within."""
    within = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
    return any(
        (isinstance(child, ast.Raise) and child.exc is not None) or raises(child)
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, within)
    )


# The docstrings of commands are what `--help` prints.
@pytest.mark.parametrize(
    "path",
    [path for path in sorted(ROOT.rglob("*.py")) if "cli" not in path.parts],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_function_that_raises_says_so(path: Path) -> None:
    silent = [
        function.name
        for function in functions(ast.parse(path.read_text("utf-8")))
        if raises(function) and not section(ast.get_docstring(function) or "", "Raises")
    ]
    assert silent == []
