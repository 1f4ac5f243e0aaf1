"""What every PyTorch session keeps to on any device: the thread budget, the facts, and how calls
are timed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import process_time, thread_time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions, Session
from deploybench.runners.torch_device import Cpu, Place
from deploybench.runners.torch_session import TorchRunner, TorchSession, torch_cuda_version
from tests.runners.artifacts import unwritten
from tests.runners.torch_cuda_double import CudaOnTheCpu

OPTIONS = RunOptions(device="cpu", threads=1, precision="fp32", batch=1)
ON_CUDA = RunOptions(device="cuda", threads=1, precision="fp32", batch=1)


def cores_used_in_a_prepared_thread(session: Session) -> float:
    """The CPU time of the process by that of the thread that calls, while a new thread runs the
    session."""

    def work() -> float:
        session.prepare_thread()
        thread, process = thread_time(), process_time()
        session.infer({"input": np.zeros((1, 3, 160, 160), np.float32)})
        return (process_time() - process) / (thread_time() - thread)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_new_thread_keeps_the_budget_when_it_is_prepared() -> None:
    import torch

    matrix = torch.zeros(1500, 1500)
    torch.set_num_threads(1)

    def module(_: torch.Tensor) -> torch.Tensor:
        return matrix @ matrix

    session = TorchSession(unwritten(), module, Cpu(), OPTIONS, "matrix product", "fp32")
    assert cores_used_in_a_prepared_thread(session) < 1.2


def images(seed: int) -> dict[str, npt.NDArray[np.float32]]:
    return {
        "input": np.random.default_rng(seed).standard_normal((1, 3, 160, 160)).astype(np.float32)
    }


def first_row_sums(tensor: Any) -> Any:
    """One number an image row and channel: every input value decides one of them."""
    return tensor.double().sum(dim=3).flatten(1).float()


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_session_computes_the_same_from_host_to_host_and_bound_on_every_device(
    kind: str, precision: str
) -> None:
    place: Place = Cpu() if kind == "cpu" else CudaOnTheCpu(RunOptions(kind, 1, precision, 1))
    session = TorchSession(unwritten(), first_row_sums, place, OPTIONS, "sums", "fp32")
    first, second = images(1), images(2)
    bound = session.bind(first)
    for inputs in (first, second, first):
        expected = inputs["input"].astype(np.float64).sum(axis=3).reshape(1, -1)
        assert np.allclose(session.infer(inputs)["logits"], expected, atol=1e-4)
    bound.run()
    kept = bound.outputs()["logits"]
    session.infer(second)
    assert np.allclose(
        kept, first["input"].astype(np.float64).sum(axis=3).reshape(1, -1), atol=1e-4
    )


def test_gpu_time_is_between_events_around_the_call_and_the_run_waits_for_the_last() -> None:
    place = CudaOnTheCpu(ON_CUDA)

    def module(tensor: Any) -> Any:
        place.log.append("call")
        return tensor

    session = TorchSession(unwritten(), module, place, ON_CUDA, "nothing", "fp32")
    bound = session.bind(images(1))
    place.log.clear()
    bound.run()
    assert place.log == ["record 0", "call", "record 1", "wait 1"]
    assert bound.device_ms is not None
    assert bound.device_ms() == 1.0, "from the first event to the second"


def test_output_is_waited_for_before_the_host_reads_it() -> None:
    place = CudaOnTheCpu(ON_CUDA)
    session = TorchSession(unwritten(), first_row_sums, place, ON_CUDA, "sums", "fp32")
    session.infer(images(1))
    assert place.log == ["stream waited for"]


def test_cpu_has_no_gpu_time() -> None:
    session = TorchSession(unwritten(), first_row_sums, Cpu(), OPTIONS, "sums", "fp32")
    assert session.bind(images(1)).device_ms is None


def test_facts_of_a_gpu_session_are_read_back_from_the_device() -> None:
    place = CudaOnTheCpu(ON_CUDA)
    session = TorchSession(unwritten(), first_row_sums, place, ON_CUDA, "eager", "fp32")
    facts = session.facts()
    assert (facts.device, facts.precision, facts.device_bytes) == ("cuda:0", "fp32", 7)
    assert facts.provider.startswith("eager on Double, ")


class Runner(TorchRunner):
    name = "one"
    formats = frozenset({"pytorch"})

    def load(self, artifact: Artifact, options: RunOptions) -> TorchSession:
        raise NotImplementedError


def test_gpu_offers_tf32_on_an_fp32_artifact_and_the_cpu_does_not() -> None:
    assert Runner().precisions_on("cpu", "fp32") == {"fp32"}
    assert Runner().precisions_on("cuda", "fp32") == {"fp32", "tf32"}
    assert Runner().precisions_on("cuda", "fp16") == {"fp16"}


def test_build_of_torch_is_known_without_importing_it() -> None:
    import torch

    assert torch_cuda_version() == torch.version.cuda


def test_cpu_build_of_torch_has_no_gpu_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deploybench.runners.torch_session.torch_cuda_version", lambda: None)
    assert "pip install torch" in (Runner().check_device("cuda") or "")
    assert Runner().check_device("cpu") is None
    monkeypatch.setattr("deploybench.runners.torch_session.torch_cuda_version", lambda: "13.2")
    assert Runner().check_device("cuda:1") is None
