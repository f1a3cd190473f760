"""Pickles read without running anything: plain values, and what the reader's caller makes itself.

`pickle` calls whatever a file names. Here the standard library's `pickletools` alone takes the file
apart, and its instructions are followed on a stack of our own.
"""

import io
import pickletools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

LARGEST = 1 << 28
"""Bytes of a file that is read."""

VALUES = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"),
        *("BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
"""Instructions that put their argument on the stack."""
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class PickleError(ValueError):
    """The bytes are no pickle, or one of other things than asked for. The message is one line."""


@runtime_checkable
class Stateful(Protocol):
    """A value that takes its contents after it was made."""

    def take_state(self, state: Any) -> None:
        """Take what the pickle says of it."""


Constructors = Mapping[str, Callable[..., Any]]
"""What makes the values that a pickle names, such as `numpy.dtype`."""


class _Named(str):
    """The name of something that a pickle wants to call or to be."""


def read_pickle(content: bytes | io.BytesIO, constructors: Constructors) -> Any:
    """Return what a pickle holds, of any protocol.

    Nothing that it names is imported. Keys of dictionaries are strings or numbers. What a pickle
    says of a value that lies elsewhere (its persistent id) is that value.

    Args:
        content: The pickle, or a file that is read up to its end.
        constructors: By what the pickle may name; each must bear any arguments.

    Raises:
        PickleError: It is damaged, or names or holds something else.
    """
    if isinstance(content, bytes) and len(content) > LARGEST:
        raise PickleError(f"it has {len(content):,} bytes; at most {LARGEST:,} are read")
    machine = _Machine(constructors)
    try:
        with warnings.catch_warnings(action="ignore"):  # of escape sequences in damaged text
            for instruction, argument, _ in pickletools.genops(content):
                if instruction.name == "STOP":
                    [value] = machine.stack
                    return value
                machine.follow(instruction.name, argument)
    except PickleError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, EOFError) as error:
        reason = " ".join(str(error).split())[:100]
        raise PickleError(f"it is damaged or no pickle ({reason})") from error
    raise PickleError("it is damaged or no pickle (it has no end)")


class _Machine:
    """The stack, and what was set aside."""

    def __init__(self, constructors: Constructors) -> None:
        self.constructors = constructors
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.kept: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in VALUES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name in TUPLES:
            self.stack.append(tuple([self.stack.pop() for _ in range(TUPLES[name])][::-1]))
        else:
            self._follow(name, argument)

    def _follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME" | "BINPERSID":
                pass
            case "MARK":
                self.marks.append(len(stack))
            case "POP":
                stack.pop()
            case "TUPLE":
                stack.append(tuple(self._marked()))
            case "LIST":
                stack.append(self._marked())
            case "DICT":
                stack.append(self._pairs(self._marked()))
            case "APPEND":
                self._extend([stack.pop()])
            case "APPENDS":
                self._extend(self._marked())
            case "SETITEM":
                self._update([stack.pop(-2), stack.pop()])
            case "SETITEMS":
                self._update(self._marked())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.kept[argument] = stack[-1]
            case "MEMOIZE":
                self.kept[len(self.kept)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.kept[argument])
            case "GLOBAL":
                stack.append(self._named(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                stack.append(self._named(f"{stack.pop(-2)}.{stack.pop()}"))
            case "REDUCE":
                arguments, made = stack.pop(), stack.pop()
                if not isinstance(made, _Named) or not isinstance(arguments, tuple):
                    raise PickleError("it calls something that is not a name")
                stack.append(self.constructors[made](*arguments))
            case "BUILD":
                state, value = stack.pop(), stack[-1]
                if not isinstance(value, Stateful):
                    raise PickleError(f"it gives a state to {type(value).__name__}")
                value.take_state(state)
            case _:
                raise PickleError(f"it holds more than plain values (instruction {name})")

    def _named(self, name: str) -> _Named:
        if name not in self.constructors:
            raise PickleError(f"it names {name[:100]!r}, which is not run")
        return _Named(name)

    def _marked(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise PickleError(f"it appends to {type(target).__name__}")
        target += values

    def _update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise PickleError(f"it sets a key of {type(target).__name__}")
        target.update(self._pairs(values))

    def _pairs(self, values: list[Any]) -> dict[Any, Any]:
        keys, items = values[::2], values[1::2]
        for key in keys:
            if not isinstance(key, str | int | float):
                raise PickleError(f"it has a key of type {type(key).__name__}")
        return dict(zip(keys, items, strict=True))
