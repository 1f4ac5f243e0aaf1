"""The thread budget of PyTorch, which belongs to the thread that sets it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import process_time, thread_time

import numpy as np

from deploybench.artifact import Artifact
from deploybench.contracts import RunOptions, Session
from deploybench.runners.torch_cpu import TorchCpuSession


def cores_used_in_a_prepared_thread(session: Session) -> float:
    """The CPU time of the process by that of the thread that calls, while a new thread runs the session."""

    def work() -> float:
        session.prepare_thread()
        thread, process = thread_time(), process_time()
        session.infer({"input": np.zeros((1, 3, 160, 160), np.float32)})
        return (process_time() - process) / (thread_time() - thread)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_new_thread_keeps_the_budget_when_it_is_prepared(tiny_artifact: Callable[[str], Artifact]) -> None:
    import torch

    matrix = torch.zeros(1500, 1500)
    options = RunOptions(device="cpu", threads=1, precision="fp32", batch=1)
    torch.set_num_threads(1)

    def module(_: torch.Tensor) -> torch.Tensor:
        return matrix @ matrix

    session = TorchCpuSession(tiny_artifact("pytorch"), module, options, "matrix product", "fp32")
    assert cores_used_in_a_prepared_thread(session) < 1.2
