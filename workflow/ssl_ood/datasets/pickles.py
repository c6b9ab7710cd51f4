"""CIFAR's pickles, read without Python's unpickler: they build plain values and nothing else.

A pickle is a program. Python's unpickler lets a forged one call functions, take memory for a memo
of 2**31 places, hash tuples nested too deeply, and hand NumPy a type that it crashes on. This
one knows the few operations that dictionaries, lists, text, numbers and arrays need, and turns
bytes into an array only where type, shape and length agree.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

TYPE = re.compile(r"b1|[iu][1248]|f[248]")
VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE",
    "BINBYTES", "BINBYTES8", "SHORT_BINBYTES",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
GET = {"GET", "BINGET", "LONG_BINGET"}


class Unreadable(Exception):
    """The pickle is damaged, or builds something that no batch of CIFAR holds."""


@dataclass
class Type:
    """A NumPy type while it is built: kind and bytes, then the order of the bytes."""

    code: str
    order: str = "<"


@dataclass
class Array:
    """An array while it is built."""

    values: np.ndarray | None = None


class _Mark:
    """Where on the stack the parts of a list, tuple or dictionary begin."""


def load(content: bytes) -> Any:
    """The value of a pickle; text of Python 2 comes as Latin-1. Raises Unreadable."""
    machine = _Machine()
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                return _plain(machine.stack.pop())
            machine.run(operation.name, argument)
    except Unreadable:
        raise
    except Exception as error:  # whatever a damaged stream of operations trips over
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    raise Unreadable("it has no end")


def _plain(value: Any) -> Any:
    """The value of a pickle, and where it is a dictionary its arrays as such."""
    if isinstance(value, dict):
        return {k: v.values if isinstance(v, Array) else v for k, v in value.items()}
    return value.values if isinstance(value, Array) else value


class _Machine:
    """The stack and the memo that the operations of a pickle work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        """One operation."""
        if name in VALUES:
            self.stack.append(argument)
        elif name in PUT:
            self.memo[argument] = self.stack[-1]
        elif name in GET:
            self.stack.append(self.memo[argument])
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in SHORT_TUPLES:
            self.stack.append(tuple(self._take(SHORT_TUPLES[name])))
        else:
            operation = getattr(self, f"_{name.lower()}", None)
            if operation is None:
                raise Unreadable(f"it wants to do {name}")
            operation(argument)

    def _take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise Unreadable("its stack is empty")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _since_mark(self) -> list[Any]:
        taken = []
        while not isinstance(value := self.stack.pop(), _Mark):
            taken.append(value)
        return taken[::-1]

    def _proto(self, _: int) -> None: ...

    def _frame(self, _: int) -> None: ...

    def _mark(self, _: None) -> None:
        self.stack.append(_Mark())

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _tuple(self, _: None) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _list(self, _: None) -> None:
        self.stack.append(self._since_mark())

    def _dict(self, _: None) -> None:
        parts = self._since_mark()
        self.stack.append({})
        self._set(parts)

    def _append(self, _: None) -> None:
        self._extend(self._take(1))

    def _appends(self, _: None) -> None:
        self._extend(self._since_mark())

    def _setitem(self, _: None) -> None:
        self._set(self._take(2))

    def _setitems(self, _: None) -> None:
        self._set(self._since_mark())

    def _extend(self, parts: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise Unreadable(f"it appends to a {type(target).__name__}")
        target.extend(parts)

    def _set(self, parts: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(parts) % 2:
            raise Unreadable(f"it sets parts of a {type(target).__name__}")
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            if not isinstance(key, str | int):  # the hash of a nested tuple may take for ever
                raise Unreadable(f"it has a {type(key).__name__} for a key")
            target[key] = value

    def _global(self, name: str) -> None:
        module, _, function = name.partition(" ")
        self._push_named(module, function)

    def _stack_global(self, _: None) -> None:
        self._push_named(*self._take(2))

    def _push_named(self, module: Any, name: Any) -> None:
        # numpy.core.multiarray of 2009 has moved since.
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Unreadable("it names a function by no text")
        known = NUMPY if module.split(".")[0] == "numpy" else CODECS if module == "_codecs" else {}
        if name not in known:
            raise Unreadable(f"it wants to call {module}.{name}")
        self.stack.append(known[name])

    def _reduce(self, _: None) -> None:
        function, arguments = self._take(2)
        if function not in (_reconstruct, _scalar, _type, _encode):
            raise Unreadable("it calls what is not a function")
        self.stack.append(function(*arguments))

    def _build(self, _: None) -> None:
        target, state = self._take(2)
        if isinstance(target, Type):
            _, order, *parts = state[:5]
            if order not in ("<", "|", ">") or any(part is not None for part in parts):
                raise Unreadable("it builds a type with parts")
            target.order = order
        elif isinstance(target, Array):
            _, shape, kind, columns_first, content = state
            target.values = _array(kind, shape, columns_first, content)
        else:
            raise Unreadable(f"it fills a {type(target).__name__}")
        self.stack.append(target)


# ---- what NumPy's names stand for


def _type(code: Any, *_: Any) -> Type:
    if not isinstance(code, str) or not TYPE.fullmatch(code):
        raise Unreadable(f"it wants an array of type {str(code)[:40]!r}")
    return Type(code)


def _reconstruct(*_: Any) -> Array:
    return Array()


def _encode(text: str, encoding: str) -> bytes:
    """Bytes in pickles that Python 3 wrote for 2."""
    if encoding not in ("latin1", "latin-1"):
        raise Unreadable(f"it wants to encode by {str(encoding)[:40]!r}")
    return text.encode("latin-1")


def _scalar(kind: Any, content: Any) -> int | float | bool:
    return _array(kind, (), False, content).item()


def _array(kind: Any, shape: Any, columns_first: Any, content: Any) -> np.ndarray:
    if isinstance(content, str):
        content = content.encode("latin-1")
    if not isinstance(kind, Type) or not isinstance(content, bytes):
        raise Unreadable("it builds an array of something other than bytes")
    if type(shape) is not tuple or len(shape) > 32 or any(type(n) is not int for n in shape):
        raise Unreadable("it builds an array without a shape")
    dtype = np.dtype(kind.order + kind.code)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise Unreadable(f"it has {len(content):,} bytes for an array of {dtype} {shape}")
    values = np.frombuffer(content, dtype)
    return values.reshape(shape, order="F" if columns_first else "C")


NUMPY = {"_reconstruct": _reconstruct, "ndarray": Array, "dtype": _type, "scalar": _scalar}
CODECS = {"encode": _encode}
