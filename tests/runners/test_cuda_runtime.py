"""The module over libcudart, on a double with a virtual clock: times, copies, graphs, and every way
to have no GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploybench.errors import DeployBenchError, DeviceError
from deploybench.runners import cudart
from deploybench.runners.cuda_runtime import Cuda, open_cuda
from tests.runners.cudart_double import Double, build_double

MS = 1_000_000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return ctypes.CDLL(str(build_double(tmp_path_factory.mktemp("double"))))


@pytest.fixture
def double(library: ctypes.CDLL) -> Double:
    made = Double(library)
    made.launches_cost(0)
    return made


@pytest.fixture
def cuda(double: Double) -> Cuda:
    return Cuda(double.library)


@pytest.fixture
def only_double(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose one libcudart is the double."""
    monkeypatch.setattr(cudart, "libraries", lambda: iter([library]))
    open_cuda.cache_clear()
    yield
    open_cuda.cache_clear()


def test_time_between_events_is_that_of_the_kernel_between_them(double: Double, cuda: Cuda) -> None:
    with cuda.stream() as stream, cuda.event() as start, cuda.event() as end:
        start.record(stream)
        double.kernel(stream.handle, 0, 0, 0, 3 * MS)
        end.record(stream)
        before = double.now()
        end.synchronize()
        assert double.now() - before == 3 * MS
        assert start.ms_until(end) == pytest.approx(3.0)


def test_what_goes_to_the_device_comes_back_and_takes_its_time_on_the_bus(
    double: Double, cuda: Cuda
) -> None:
    with (
        cuda.stream() as stream,
        cuda.host_array((6, 1000)) as source,
        cuda.host_array((6, 1000)) as target,
    ):
        source.array[:] = np.arange(6000).reshape(6, 1000)
        with cuda.allocate(source.array.nbytes) as memory:
            before = double.now()
            stream.upload(memory, source)
            stream.download(target, memory)
            stream.synchronize()
            assert double.now() - before == 24000 // 12 + 24000 // 6
        assert np.array_equal(target.array, source.array)


def test_graph_runs_what_was_captured_at_each_launch_and_not_before(
    double: Double, cuda: Cuda
) -> None:
    with cuda.stream() as stream, cuda.allocate(4000) as memory, cuda.host_array((1000,)) as host:

        def work() -> None:
            stream.upload(memory, host)
            double.kernel(stream.handle, 0, 0, 0, MS)

        before = double.now()
        with stream.capture(work) as graph:
            stream.synchronize()
            assert double.now() == before
            graph.launch(stream)
            graph.launch(stream)
            stream.synchronize()
        assert double.now() - before == 2 * (MS + 4000 // 12)


def test_capture_that_fails_says_so_and_leaves_the_stream_as_it_was(
    double: Double, cuda: Cuda
) -> None:
    def refused() -> None:
        raise ValueError("no")

    live = double.live()
    with cuda.stream() as stream:
        with pytest.raises(DeviceError, match="cudaErrorStreamCaptureInvalidated"):
            stream.capture(lambda: double.synchronize(stream.handle))
        with pytest.raises(ValueError, match="no"):
            stream.capture(refused)
        stream.synchronize()
    assert double.live() == live


def test_everything_is_given_back_once_and_is_of_no_use_afterwards(
    double: Double, cuda: Cuda
) -> None:
    live = double.live()
    made = [cuda.stream(), cuda.event(), cuda.allocate(100), cuda.host_array((5,))]
    assert double.live() == live + len(made)
    for resource in made:
        resource.close()
        resource.close()
        with pytest.raises(RuntimeError, match="was closed"):
            _ = resource.handle
    assert double.live() == live


@pytest.mark.parametrize(
    ("card", "name", "sm"),
    [
        ("k80", "Tesla K80", 37),
        ("gtx1080ti", "NVIDIA GeForce GTX 1080 Ti", 61),
        ("rtx3090", "NVIDIA GeForce RTX 3090", 86),
    ],
)
def test_device_is_known_by_name_and_compute_capability(
    card: str, name: str, sm: int, cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_DEVICE", card)
    found = cuda.device(0)
    assert (found.name, found.sm) == (name, sm)


def test_out_of_memory_says_what_was_asked_for_and_what_is_free(
    cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_MEMORY_MIB", "100")
    with cuda.allocate(60 << 20), pytest.raises(DeviceError) as refusal:
        cuda.allocate(41 << 20)
    assert "cudaErrorMemoryAllocation: out of memory" in refusal.value.found
    assert "asked for 41.0 MiB, 40.0 of 100.0 MiB are free" in refusal.value.found
    assert "smaller batch" in str(refusal.value.action)


def test_another_device_than_there_is_is_refused_with_those_that_are(cuda: Cuda) -> None:
    with pytest.raises(
        DeviceError, match=r"cudaErrorInvalidDevice.*expected: cuda; do: nvidia-smi"
    ):
        cuda.use(3)


@pytest.mark.usefixtures("only_double")
@pytest.mark.parametrize(
    ("mode", "visible", "words"),
    [
        ("no-driver", None, "^no NVIDIA driver; do: run on a machine with an NVIDIA GPU"),
        (
            "old-driver",
            None,
            r"supports CUDA 11\.4, libcudart is of CUDA 13\.2; expected: a driver for CUDA 13\.2",
        ),
        (
            "no-device",
            None,
            "cudaErrorNoDevice: no CUDA-capable device is detected; do: run on a machine",
        ),
        ("no-device", "", "CUDA_VISIBLE_DEVICES is ''; do: unset CUDA_VISIBLE_DEVICES"),
    ],
)
def test_why_there_is_no_cuda_is_told_with_what_to_do(
    mode: str, visible: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_MODE", mode)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(DeployBenchError, match=words):
        open_cuda()
    monkeypatch.delenv("DOUBLE_MODE")
    assert open_cuda().device_count() == 1


def test_missing_library_is_told_by_the_names_that_were_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cudart, "SONAMES", ("libcudart.so.0",))
    open_cuda.cache_clear()
    with pytest.raises(
        DeployBenchError, match=r"missing: no libcudart\.so\.0; do: pip install nvidia-cuda-runtime"
    ):
        open_cuda()


def test_library_is_found_in_nvidias_wheels(
    library: ctypes.CDLL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "nvidia" / "cu99" / "lib"
    folder.mkdir(parents=True)
    build_double(folder, "libcudart.so.99")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cudart, "SONAMES", ("libcudart.so.99",))
    open_cuda.cache_clear()
    assert open_cuda().simulated
    open_cuda.cache_clear()


def test_library_without_the_doubles_symbol_measures(cuda: Cuda) -> None:
    assert cuda.simulated
    assert set(cudart.SONAMES) == {"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"}
    real = [Cuda(library) for library in cudart.libraries()]
    assert not any(found.simulated for found in real)


def test_function_that_an_old_library_lacks_is_named() -> None:
    class Old:
        """CUDA 11.0, without cudaGraphInstantiateWithFlags."""

        def __getattr__(self, name: str) -> object:
            if name == "cudaRuntimeGetVersion":
                return self.version
            if name.startswith("cudaGetError"):
                return type(name, (), {})()
            raise AttributeError(name)

        @staticmethod
        def version(target: object) -> int:
            ctypes.cast(target, ctypes.POINTER(ctypes.c_int))[0] = 11000  # type: ignore[arg-type]
            return 0

    with pytest.raises(DeviceError, match=r"CUDA 11\.0 has no cudaGraphLaunch; do: update CUDA"):
        Cuda(Old()).call("cudaGraphLaunch", 1, 2)  # type: ignore[arg-type]
