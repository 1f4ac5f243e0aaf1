"""A runner that is slower than ONNX Runtime by a known share: after each call it spins for 3 % of
the call's time.

``installed`` makes it a plug-in for the processes started inside it: a distribution of its own in a
temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Arrays, RunOptions, Session
from deploybench.contracts.registry import runners
from deploybench.runners.onnxruntime import OnnxRuntimeRunner, OnnxRuntimeSession

SLOWDOWN = float(os.environ.get("DEPLOYBENCH_SLOWDOWN", "0.03"))


class SlowedSession(OnnxRuntimeSession):
    def _infer(self, inputs: Arrays) -> Arrays:
        start = perf_counter_ns()
        outputs = super()._infer(inputs)
        end = perf_counter_ns()
        until = end + round(SLOWDOWN * (end - start))
        while perf_counter_ns() < until:
            pass
        return outputs


class SlowedRunner(OnnxRuntimeRunner):
    name: ClassVar[str] = "slowed-onnxruntime"

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        session = super().load(artifact, options)
        session.__class__ = SlowedSession
        return session


@contextmanager
def installed(slowdown: float) -> Iterator[str]:
    """The name of the runner, which this process and its children find as a plug-in that is slower
    by ``slowdown``."""
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / "slowed-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slowed\nVersion: 1\n")
        name = SlowedRunner.name
        (info / "entry_points.txt").write_text(
            f"[deploybench.runners]\n{name} = {__name__}:SlowedRunner\n"
        )
        before = dict(os.environ)
        paths = [
            folder,
            str(Path(__file__).parent.parent),
            *os.environ.get("PYTHONPATH", "").split(os.pathsep),
        ]
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        os.environ["DEPLOYBENCH_SLOWDOWN"] = str(slowdown)
        sys.path.append(folder)
        runners.cache_clear()
        try:
            yield name
        finally:
            sys.path.remove(folder)
            runners.cache_clear()
            os.environ.clear()
            os.environ.update(before)
