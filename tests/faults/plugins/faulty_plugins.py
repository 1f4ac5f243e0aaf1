"""A runner and an exporter that do their work, and go wrong where and how they are told to.

``DEPLOYBENCH_FAULT`` says ``PHASE:HOW``. It happens only while the file is there that
``DEPLOYBENCH_FAULT_ARMED`` names, so that a fault can be armed in the middle of a run, and the same
command then runs again without. A fault that is to happen once removes the file first.

Phases: import, load, first-call, parity, call (any from when it is armed), call-30 (that one),
export, exported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from deploybench.exporters.onnx import OnnxExporter
from deploybench.runners.onnxruntime import OnnxRuntimeRunner

FAULT = "DEPLOYBENCH_FAULT"
ARMED = "DEPLOYBENCH_FAULT_ARMED"
ONCE = "DEPLOYBENCH_FAULT_ONCE"
FOREVER_S = 900.0
MUCH_BYTES = 64 << 30
PRINTED_BYTES = 100 << 20
PARITY_CALL = 2
"""The first call is that whose time is told; what follows is the proof."""


def at(phase: str) -> None:
    """Go wrong here, if this is where."""
    where, _, how = os.environ.get(FAULT, "").partition(":")
    if where != phase:
        return
    armed = Path(os.environ[ARMED])
    if not armed.exists():
        return
    if os.environ.get(ONCE):
        try:
            armed.unlink()
        except FileNotFoundError:  # another process was first
            return
    HOW[how]()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _crash() -> None:
    ctypes.string_at(0)


def _wait() -> None:
    """Say that this phase is reached, and stay in it."""
    reached = Path(os.environ[ARMED]).with_name("reached")
    reached.write_text(str(os.getpid()))
    time.sleep(FOREVER_S)


def _raise() -> None:
    raise RuntimeError("the runtime is in a bad mood")


def _fill_memory() -> None:
    bytearray(MUCH_BYTES)


def _fork() -> None:
    """Children in a session of their own, as a daemon's, with nobody to wait for them."""
    program = f"import time; time.sleep({FOREVER_S})"
    for _ in range(3):
        subprocess.Popen([sys.executable, "-S", "-c", program], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        time.sleep(FOREVER_S)
        os._exit(0)


def _print() -> None:
    line = b"converting layer, this may take a while \xff\x1b[31m" * 100 + b"\n"
    for _ in range(PRINTED_BYTES // len(line)):
        os.write(1, line)


def _print_and_raise() -> None:
    _print()
    raise RuntimeError("the converter printed 100 MB and gave up")


HOW = {
    "kill": _kill,
    "crash": _crash,
    "wait": _wait,
    "raise": _raise,
    "memory": _fill_memory,
    "fork": _fork,
    "print": _print,
    "print-and-raise": _print_and_raise,
}


class FaultyRunner(OnnxRuntimeRunner):
    """ONNX Runtime, with faults."""

    name = "faulty"
    formats = frozenset({"onnx", "faulty"})
    requires = ("onnxruntime", "faulty_runtime")

    def load(self, artifact, options):
        at("load")
        session = super().load(artifact, options)
        calls = 0
        infer = session._infer

        def faulty_infer(inputs):
            nonlocal calls
            calls += 1
            if calls == 1:
                at("first-call")
            elif calls == PARITY_CALL:
                at("parity")
            at(f"call-{calls}")
            at("call")
            return infer(inputs)

        session._infer = faulty_infer
        return session


class FaultyExporter(OnnxExporter):
    """The ONNX exporter, with faults before it and after its files are there."""

    name = "faulty"
    by_default = False

    def export(self, model, example, spec, out):
        at("export")
        exported = super().export(model, example, spec, out)
        at("exported")
        return exported
