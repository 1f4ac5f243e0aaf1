"""ONNX Runtime on the CPU and, by its CUDA provider, on a GPU.

It optimises the graph while it loads, in one step: nothing is left to compile.

On a GPU a call from host to host is ``session.run``, which copies in and out; a call on bound
inputs uses an IO binding whose tensors lie on the device. No session falls back to another
provider: where the one that was asked for is not the first of the session, loading is refused. ONNX
Runtime itself places single nodes on the CPU, shape arithmetic above all; the facts say which.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import (
    Arrays,
    Bound,
    ForeignFile,
    ForeignWork,
    ProfiledSession,
    Runner,
    RunOptions,
    Serving,
    Session,
    SessionFacts,
)
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU, CUDA, TF32_VARIABLE, Device, gpu_index, kind_of
from deploybench.hardware.host import describe_host
from deploybench.hardware.precisions import gpu_precisions
from deploybench.versions import comparable

from .onnxruntime_int8 import OptimisedGraph
from .onnxruntime_options import obey, obeyed

CPU_PROVIDER, CUDA_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"
FP16_MACHINES = frozenset({"aarch64", "arm64"})
"""MLAS has half-precision kernels on 64-bit Arm only; elsewhere the session casts to float32 and
back."""
FIRST_WITH_TF32_OPTION = "1.18"
SEARCHES = {"searched": "EXHAUSTIVE", "heuristic": "HEURISTIC"}
"""The provider's words for how cuDNN's algorithms are chosen; the first is its default."""
REMEDY = "pip uninstall onnxruntime; pip install onnxruntime-gpu"
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
Providers = Sequence[tuple[str, Mapping[str, str]]]


class OnnxRuntimeRunner(Runner):
    name: ClassVar[str] = "onnxruntime"
    formats: ClassVar[frozenset[str]] = frozenset({"onnx"})
    requires: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    install: ClassVar[str] = "deploybench[onnx]"
    distributions: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu")
    devices: ClassVar[frozenset[str]] = frozenset({CPU, CUDA})
    engine_only: ClassVar[bool] = True
    cell_options: ClassVar[frozenset[str]] = frozenset(
        {"arena", "convolutions", "graph_level", "spinning"}
    )
    adopts: ClassVar[Mapping[str, str]] = {".onnx": "onnx"}
    gpu_provider: ClassVar[str] = CUDA_PROVIDER
    runs_code: ClassVar[bool] = False
    profiles_layers: ClassVar[bool] = True

    def options_on(self, device: str) -> frozenset[str]:
        if kind_of(device) == CPU:
            return self.cell_options - {"convolutions"}
        return self.cell_options

    def check_device(self, device: str) -> str | None:
        unfit = super().check_device(device)
        if unfit is not None or kind_of(device) == CPU:
            return unfit
        return missing_provider(self.gpu_provider)

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        return frozenset({_cpu_precision(artifact_precision)})

    def precisions_on(self, device: str, artifact_precision: str) -> frozenset[str]:
        if kind_of(device) == CPU:
            return self.precisions(artifact_precision)
        return self.gpu_precisions_of(artifact_precision) & gpu_precisions(device, describe_host())

    def gpu_precisions_of(self, artifact_precision: str) -> frozenset[str]:
        """What the GPU provider can compute such an artifact in, on a GPU that has every format."""
        if artifact_precision == "fp32":
            return frozenset({"fp32", "tf32"})
        if artifact_precision == "int8":
            return frozenset()  # its quantisation is for CPUs: a GPU would compute in float
        return frozenset({artifact_precision})

    def look_into(self, file: Path) -> ForeignFile:
        from .onnx_files import look_into

        return look_into(file)

    def work_in(self, file: Path, shapes: Mapping[str, tuple[int, ...]]) -> ForeignWork | None:
        from .onnx_work import work_in

        return work_in(file, shapes)

    def load(self, artifact: Artifact, options: RunOptions) -> OnnxRuntimeSession:
        settings = session_settings(artifact, options)
        with OptimisedGraph(artifact, options) as graph:
            graph.asked_of(settings)
            session = open_session(str(artifact.entry), settings, self.providers(artifact, options))
            kernels = graph.kernels()
        return OnnxRuntimeSession(artifact, session, options, kernels)

    def load_profiled(self, artifact: Artifact, options: RunOptions) -> ProfiledSession:
        from .onnxruntime_layers import load_profiled

        return load_profiled(artifact, options, self.providers(artifact, options))

    def serving(self, artifact: Artifact, options: RunOptions) -> Serving:
        from .onnxruntime_serving import serving

        dimensions = _free_dimensions(artifact, options.batch)
        settings = session_settings(artifact, options)
        return serving(settings, dimensions, self.distributions[:1])

    def providers(self, artifact: Artifact, options: RunOptions) -> Providers:
        """The providers of a session with their options; the one that is asked for comes first."""
        if kind_of(options.device) == CPU:
            return ((CPU_PROVIDER, {}),)
        return self.gpu_providers(artifact, options)

    def gpu_providers(self, artifact: Artifact, options: RunOptions) -> Providers:
        """The providers of a session on a GPU with their options.

        The one that is asked for comes first.
        """
        return ((CUDA_PROVIDER, cuda_options(options)),)


class OnnxRuntimeSession(Session):
    """One inference session with one intra-op pool."""

    from_cache: bool | None = None
    """Told by a provider that keeps on disk what it compiled."""

    def __init__(
        self, artifact: Artifact, session: Any, options: RunOptions, kernels: Sequence[str] = ()
    ) -> None:
        super().__init__(artifact.batch_shape(options.batch), artifact.input_dtypes())
        self._session = session
        self._kernels = kernels
        self._outputs = [output.name for output in session.get_outputs()]
        # The main one comes first, as in the manifest; of an adopted file some may be left out.
        order = [output.name for output in artifact.manifest.outputs]
        chosen = artifact.manifest.adopted is not None and order
        if set(order) == set(self._outputs) or (chosen and set(order) < set(self._outputs)):
            self._outputs = order
        self._artifact_precision = artifact.manifest.precision
        self._provider: str = session.get_providers()[0]
        self._options: Mapping[str, str] = session.get_provider_options()[self._provider]
        self._device: str = CPU
        if self._provider != CPU_PROVIDER:
            self._device = f"{CUDA}:{self._options.get('device_id', '0')}"

    def _infer(self, inputs: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))

    def _bind(self, inputs: Arrays) -> Bound:
        """The first run allocates the outputs, of whatever shape; every later one writes there
        again."""
        session, binding = self._session, self._session.io_binding()
        device = Device.parse(self._device)
        for name, array in inputs.items():
            if device.is_gpu:
                binding.bind_ortvalue_input(name, _on_gpu(array, device.index))
            else:
                binding.bind_cpu_input(name, array)
        for name in self._outputs:
            binding.bind_output(name, device.kind, device.index)

        def run() -> None:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        def outputs() -> Arrays:
            return dict(zip(self._outputs, binding.copy_outputs_to_cpu(), strict=True))

        if device.is_gpu:
            return Bound(run, outputs)
        return Bound(lambda: session.run_with_iobinding(binding), outputs)

    def facts(self) -> SessionFacts:
        return SessionFacts(
            precision=self._precision(),
            threads=self._session.get_session_options().intra_op_num_threads,
            provider=self._provider,
            device=self._device,
            notes=self._notes(),
            options=obeyed(self._session.get_session_options()),
            from_cache=self.from_cache,
        )

    def _precision(self) -> str:
        """What the session computes in, by the options that it reads back."""
        if self._provider == CPU_PROVIDER:
            if self._artifact_precision == "int8" and not self._kernels:
                return "fp32"
            return _cpu_precision(self._artifact_precision)
        if self._options.get("trt_fp16_enable") in ("1", "True"):
            return "fp16"
        if self._artifact_precision != "fp32":
            return self._artifact_precision
        allowed_here = self._options.get("use_tf32", "1") == "1"
        forbidden_everywhere = os.environ.get(TF32_VARIABLE) == "0"
        if allowed_here and not forbidden_everywhere:
            return "tf32"
        return "fp32"

    def _notes(self) -> tuple[str, ...]:
        if self._provider == CPU_PROVIDER:
            if _computes_in_fp32(self._artifact_precision):
                return ("fp16 weights, computed in fp32: no fp16 kernels on this CPU",)
            if self._kernels:
                return (f"8-bit kernels: {', '.join(self._kernels)}; the rest runs in fp32",)
            return ()
        placed = placement(self._session)
        if placed is not None and not placed.get(self._provider):
            raise DeployBenchError(
                f"{self._provider} took no node of the graph, {', '.join(placed)} did",
                expected=f"a graph that {self._provider} runs",
                action="the messages of ONNX Runtime name the cause: ORT_LOGGING_LEVEL=2",
            )
        notes = placement_notes(placed, self._provider)
        search = self._options.get("cudnn_conv_algo_search")
        if search is not None:
            notes = (*notes, f"convolution algorithms: {search.lower()} search of cuDNN's")
        return notes


def session_settings(artifact: Artifact, options: RunOptions) -> Any:
    """The options of a session as a cell asks for them."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    obey(settings, options)
    for name, size in _free_dimensions(artifact, options.batch).items():
        settings.add_free_dimension_override_by_name(name, size)
    if kind_of(options.device) != CPU:
        settings.add_session_config_entry(RECORD_PLACEMENT, "1")
    return settings


def _free_dimensions(artifact: Artifact, batch: int) -> dict[str, int]:
    """The sizes of the dimensions that the graph leaves free, by the graph's names of them."""
    sizes: dict[str, int] = {}
    batch_dimension = "batch"
    adopted = artifact.manifest.adopted
    if adopted is not None:
        sizes.update(adopted.free_dimensions)
        batch_dimension = adopted.batch_dimension
    if artifact.manifest.batch is None and batch_dimension:
        sizes[batch_dimension] = batch
    return sizes


def open_session(entry: str, settings: Any, providers: Providers) -> Any:
    """The session.

    Raises DeployBenchError where it would run on another provider than the first of ``providers``.
    """
    import onnxruntime

    wanted = providers[0][0]
    missing = missing_provider(wanted)
    if missing is not None:
        raise DeployBenchError(missing, expected=f"{wanted} among the providers of this build")
    # Since 1.21 it finds CUDA's libraries where pip put them.
    if wanted != CPU_PROVIDER and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    named = [(name, dict(options)) for name, options in providers]
    session = onnxruntime.InferenceSession(entry, settings, providers=named, enable_fallback=0)
    session.disable_fallback()
    started = session.get_providers()
    if started[0] != wanted:  # a library of the provider did not load: the session is on the CPU
        raise DeployBenchError(
            f"ONNX Runtime could not start {wanted} and would run {', '.join(started)}",
            expected=f"the CUDA and cuDNN libraries that onnxruntime-gpu {onnxruntime.__version__} "
            f"was built for",
            action='pip install "onnxruntime-gpu[cuda,cudnn]"',
        )
    return session


def missing_provider(name: str) -> str | None:
    """Why this ONNX Runtime has no such provider, or None."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if name in available:
        return None
    return (
        f"ONNX Runtime {onnxruntime.__version__} has no {name}, it has {', '.join(available)}: "
        f"{REMEDY}"
    )


def cuda_options(options: RunOptions) -> dict[str, str]:
    """The CUDA provider's options: which GPU, how cuDNN's algorithms are chosen, and whether fp32
    may be computed as tf32."""
    import onnxruntime

    search = SEARCHES[options.convolutions]
    chosen = {"device_id": str(gpu_index(options.device)), "cudnn_conv_algo_search": search}
    tf32 = options.precision == "tf32"
    if comparable(onnxruntime.__version__) >= comparable(FIRST_WITH_TF32_OPTION):
        return {**chosen, "use_tf32": str(int(tf32))}
    forbid_tf32_unless(tf32)
    return chosen


def forbid_tf32_unless(wanted: bool) -> None:
    """Switch tf32 off for NVIDIA's libraries in this process, before they load."""
    if not wanted:
        os.environ[TF32_VARIABLE] = "0"


def placement(session: Any) -> dict[str, Counter[str]] | None:
    """How many nodes of each operator every provider got.

    None where this version does not tell (before 1.24).
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    placed: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        counts = placed.setdefault(part.ep_name, Counter())
        counts.update(node.op_type for node in part.get_nodes())
    return placed


def placement_notes(placed: Mapping[str, Counter[str]] | None, wanted: str) -> tuple[str, ...]:
    """What does not run on the provider that was asked for."""
    if placed is None:
        return ("this ONNX Runtime does not tell which nodes it placed on the CPU",)
    total = sum(counts.total() for counts in placed.values())
    notes = []
    for provider, counts in placed.items():
        if provider == wanted:
            continue
        operators = ", ".join(f"{operator} x {count}" for operator, count in counts.most_common())
        notes.append(f"{counts.total()} of {total} nodes run on {provider}: {operators}")
    return tuple(notes)


def _on_gpu(array: Any, index: int) -> Any:
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(array, CUDA, index)


def _cpu_precision(artifact_precision: str) -> str:
    """What the CPU of this machine computes such an artifact in."""
    if _computes_in_fp32(artifact_precision):
        return "fp32"
    return artifact_precision


def _computes_in_fp32(artifact_precision: str) -> bool:
    """Whether half-precision weights are cast up on this machine, and computed with in fp32."""
    return artifact_precision == "fp16" and platform.machine().lower() not in FP16_MACHINES
