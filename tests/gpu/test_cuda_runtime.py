"""The module over libcudart on a real GPU, and TensorRT's engines with and without a CUDA graph;
else skipped."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.results.cell import ENGINE_ONLY
from deploybench.runners.cuda_runtime import Cuda, open_cuda
from tests.conftest import TINY
from tests.gpu.unsupported import compiler_says_no, engines_unsupported

pytestmark = pytest.mark.gpu
BUFFER_BYTES = 64 << 20


@pytest.fixture
def cuda() -> Cuda:
    try:
        found = open_cuda()
    except DeployBenchError as error:
        pytest.skip(str(error))
    found.use(0)
    return found


def test_copies_come_back_and_the_gpus_clock_sees_the_time_that_they_take(cuda: Cuda) -> None:
    assert not cuda.simulated
    shape = (BUFFER_BYTES // 4,)
    with (
        cuda.stream() as stream,
        cuda.host_array(shape) as source,
        cuda.host_array(shape) as target,
    ):
        source.array[:] = np.arange(shape[0])
        with cuda.allocate(BUFFER_BYTES) as memory, cuda.event() as start, cuda.event() as end:
            start.record(stream)
            stream.upload(memory, source)
            stream.download(target, memory)
            end.record(stream)
            end.synchronize()
            assert start.ms_until(end) > 0.1, "no bus moves 128 MiB faster"
        assert np.array_equal(source.array, target.array)


def test_graph_replays_its_copies_and_nothing_ran_while_it_was_captured(cuda: Cuda) -> None:
    with cuda.stream() as stream, cuda.host_array((4,)) as source, cuda.host_array((4,)) as target:
        source.array[:], target.array[:] = 1, 0
        with cuda.allocate(16) as memory:

            def work() -> None:
                stream.upload(memory, source)
                stream.download(target, memory)

            with stream.capture(work) as graph:
                assert not target.array.any()
                source.array[:] = 7
                graph.launch(stream)
                stream.synchronize()
        assert (target.array == 7).all()


def test_memory_is_given_back_and_more_than_there_is_is_refused_with_what_is_free(
    cuda: Cuda,
) -> None:
    before, total = cuda.memory()
    with cuda.allocate(BUFFER_BYTES):
        assert cuda.memory()[0] <= before - BUFFER_BYTES
    assert cuda.memory()[0] >= before - (2 << 20)
    with pytest.raises(
        DeployBenchError, match="cudaErrorMemoryAllocation: out of memory: asked for"
    ):
        cuda.allocate(2 * total)


@pytest.mark.parametrize("graph", [False, True], ids=["launches", "graph"])
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_engine_computes_the_reference_and_its_gpu_time_is_within_its_wall_time(
    name: str, graph: bool, cuda: Cuda, tmp_path_factory: pytest.TempPathFactory
) -> None:
    unsupported = engines_unsupported(name, "fp32")
    if unsupported is not None:
        pytest.skip(unsupported)
    place = Workspace(tmp_path_factory.mktemp("engines"))
    place.prepare()
    # TensorRT-RTX says beforehand which engines a graph can hold; the classic one holds all.
    options = {"cuda_graph": True} if graph and name == "tensorrt-rtx" else {}
    request = ExportRequest(model=ModelRequest(name=TINY), backend=name, options=options)
    result = export_one(request, place, ExportOptions())
    unsupported = compiler_says_no(str(result.error))
    if result.artifact is None and unsupported is not None:
        pytest.skip(unsupported)
    assert result.artifact is not None, result.error
    assert result.artifact.manifest.verified, result.artifact.manifest.parity_note
    job = Job(
        artifact=str(result.artifact.path),
        runner=name,
        device="cuda",
        precision="fp32",
        batch=1,
        threads=1,
        timing=ENGINE_ONLY,
        cuda_graph=graph,
        duration_s=0.3,
        min_samples=50,
        probes=False,
    )
    launch = run_job(job)
    assert (launch.error, launch.refused) == (None, None)
    assert launch.facts is not None
    assert launch.facts.provenance == "measured"
    assert launch.parity is not None
    assert launch.parity.passed
    assert len(launch.device_ns) == len(launch.samples_ns)
    assert 0 < median(launch.device_ns) <= median(launch.samples_ns)
