"""Unpickles and runs nothing that the file names.

A pickle is a program: it names functions and calls them. Here the standard library's unpickler is
given nothing to call but what puts data together: containers. Whatever else a file names (an
``argparse.Namespace``, a path, an array, a configuration, a whole module) becomes an
:class:`Inert`, which holds what the file says of it and does nothing. So no code is imported or
run.

A file that names what acts on the machine (``os.system``) is refused all the same: it is no data,
whatever else it holds.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from deploybench.errors import DeployBenchError

CONTAINERS: Mapping[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "dict"): dict,
    ("builtins", "list"): list,
    ("builtins", "tuple"): tuple,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
}
ACTING_MODULES = frozenset(
    [
        "asyncio",
        "code",
        "codeop",
        "ctypes",
        "commands",
        "ftplib",
        "http",
        "importlib",
        "marshal",
        "multiprocessing",
        "nt",
        "os",
        "pdb",
        "pip",
        "platform",
        "popen2",
        "posix",
        "pty",
        "pydoc",
        "requests",
        "runpy",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "subprocess",
        "sys",
        "tarfile",
        "tempfile",
        "timeit",
        "trace",
        "urllib",
        "venv",
        "webbrowser",
        "zipfile",
    ]
)
ACTING_BUILTINS = frozenset(
    ["eval", "exec", "compile", "open", "__import__", "input", "breakpoint"]
)

STORES = frozenset(["PUT", "BINPUT", "LONG_BINPUT"])
"""The opcodes that note an object down under a number of their own choice."""


class Inert:
    """An object that the file names; it holds what the file says of it, and does nothing."""

    kind: ClassVar[str] = ""
    arguments: tuple[object, ...]
    state: object
    items: list[object]

    def __new__(cls, *arguments: object, **options: object) -> Inert:
        inert = super().__new__(cls)
        inert.__dict__.update(arguments=(*arguments, *options.values()), state=None, items=[])
        return inert

    def __setstate__(self, state: object) -> None:
        self.__dict__["state"] = state

    def __call__(self, *arguments: object) -> Inert:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        self.items.append((key, value))

    def append(self, item: object) -> None:
        self.items.append(item)

    add = append

    def extend(self, items: list[object]) -> None:
        self.items.extend(items)


class InertUnpickler(pickle.Unpickler):
    """The standard library's, with nothing to call but what puts data together.

    ``kinds`` are the classes and functions that the file names and that were neither imported nor
    called. ``expected`` and ``action`` are what a refusal says.
    """

    def __init__(self, stream: BinaryIO, path: Path, *, expected: str, action: str) -> None:
        super().__init__(stream, encoding="latin1")
        self.stream = stream
        self.path = path
        self.expected = expected
        self.action = action
        self.kinds: dict[str, type[Inert]] = {}

    def load(self) -> Any:
        """The next object of the stream, which can be sought in.

        Raises pickle.UnpicklingError where it notes down an object under a number beyond its own
        length: the unpickler makes room for so many, which of nine bytes may be tens of gigabytes.
        """
        begin = self.stream.tell()
        largest = 0
        for opcode, argument, _ in pickletools.genops(self.stream):
            if opcode.name in STORES and argument is not None:
                largest = max(largest, argument)
        length = self.stream.tell() - begin
        self.stream.seek(begin)
        if largest > length:
            raise pickle.UnpicklingError(f"object {largest} is noted down in {length} bytes")
        return super().load()

    def data_for(self, module: str, name: str) -> object | None:
        """What stands for a name beyond the containers; None leaves it inert."""
        return None

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the file: a container, or something that does nothing."""
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        self._refuse_what_acts(module, name)
        if (module, name) in CONTAINERS:
            return CONTAINERS[module, name]
        if module == "collections" and name in ("defaultdict", "Counter"):
            return self._mapping
        found = self.data_for(module, name)
        if found is not None:
            return found
        kind = f"{module}.{name}"
        if kind not in self.kinds:
            self.kinds[kind] = type(name.rpartition(".")[2], (Inert,), {"kind": kind})
        return self.kinds[kind]

    def persistent_load(self, pid: Any) -> object:
        """Refuses a reference to something outside of the pickle."""
        raise pickle.UnpicklingError("a reference to what is not in the file")

    def _mapping(self, *arguments: object) -> dict[object, object]:
        """A Counter with its counts; a defaultdict, whose items follow."""
        if arguments and isinstance(arguments[0], dict):
            return dict(arguments[0])
        return {}

    def _refuse_what_acts(self, module: str, name: str) -> None:
        """Raise DeployBenchError for a function that does something to the machine."""
        acts = module.partition(".")[0] in ACTING_MODULES and module not in ("os.path", "signal")
        acts = acts or (module == "builtins" and name.partition(".")[0] in ACTING_BUILTINS)
        if acts:
            raise DeployBenchError(
                f"{self.path} names {module}.{name}, which acts on the machine and is no data: "
                "nothing in it was executed",
                expected=self.expected,
                action=self.action,
            )
