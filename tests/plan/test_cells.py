"""What is planned, what is skipped with its cause, and which artifacts are the newest of their
kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.weights import Weights
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import Runner, RunOptions, Session
from deploybench.contracts.registry import Entry, runners
from deploybench.errors import DeployBenchError
from deploybench.hardware.profile import load_profile
from deploybench.plan.cells import Planned, Selection, Sizes, newest_of_each, plan_cells
from deploybench.plan.selection import select_runners
from deploybench.results.cell import CellOptions
from deploybench.runs.missing import missing_exports

Artifacts = Callable[[str], Artifact]


def selection(
    *names: str, batches: tuple[int, ...] = (1,), precisions: tuple[str, ...] = ()
) -> Selection:
    return Selection(
        [runners()[name] for name in names or runners()], batches, precisions, threads=2
    )


def changed(artifact: Artifact, **changes: object) -> Artifact:
    return Artifact(artifact.path, artifact.manifest.model_copy(update=changes))


def test_plan_is_every_artifact_on_every_runner_of_its_format(tiny_workspace: Workspace) -> None:
    on_cpu = [entry.name for entry in select_runners([])]
    planned = plan_cells(tiny_workspace.artifacts(), selection(*on_cpu, batches=(1, 8)), None)
    assert len(planned) == 2 * len(on_cpu)
    assert all(cell.skip is None for cell in planned)


def test_fixed_batch_is_skipped_with_the_export_that_would_do(tiny_artifact: Artifacts) -> None:
    (cell,) = plan_cells(
        [changed(tiny_artifact("onnx"), batch=1)], selection("onnxruntime", batches=(8,)), None
    )
    assert cell.skip == "the artifact has the fixed batch size 1"
    assert cell.remedy.endswith("--batch 8")


def test_precision_that_the_artifact_does_not_have_is_skipped(tiny_artifact: Artifacts) -> None:
    (cell,) = plan_cells(
        [tiny_artifact("torchscript")], selection("torchscript", precisions=("bf16",)), None
    )
    assert cell.skip is not None
    assert "not bf16" in cell.skip


def test_gpu_profile_skips_runners_that_run_on_the_cpu_only(tiny_artifact: Artifacts) -> None:
    (cell,) = plan_cells(
        [tiny_artifact("openvino")], selection("openvino"), load_profile("rtx3090")
    )
    assert cell.skip == "openvino runs on cpu, not on cuda"
    assert cell.cell.device == "cuda"


class TwoDevices(Runner):
    """Knows its devices, and on a GPU other precisions."""

    name = "two"
    formats = frozenset({"onnx"})
    devices = frozenset({"cpu", "cuda"})

    def check_device(self, device: str) -> str | None:
        if device == "cuda:2":
            raise ImportError("no libcuda")
        return (
            "this one is broken: repair it" if device == "cuda:1" else super().check_device(device)
        )

    def precisions_on(self, device: str, artifact_precision: str) -> frozenset[str]:
        return frozenset({"fp32"} if device == "cpu" else {"tf32", "fp32"})

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        raise NotImplementedError


def planned_on(devices: Sequence[str], artifact: Artifact, **changes: Any) -> list[Planned]:
    entries = [Entry("two", "other", TwoDevices()), runners()["openvino"]]
    return plan_cells([artifact], Selection(entries, [1], [], 2, devices=devices, **changes), None)


def test_cells_are_planned_on_each_device_that_the_runner_has(tiny_artifact: Artifacts) -> None:
    found = planned_on(["cpu", "cuda"], tiny_artifact("onnx"))
    assert [(one.cell.runner, one.cell.device, one.skip) for one in found] == [
        ("two", "cpu", None),
        ("two", "cuda", None),
    ]
    found = planned_on(["cpu", "cuda"], tiny_artifact("openvino"))
    assert [(one.cell.device, one.skip) for one in found] == [("cpu", None)], (
        "its GPU is not worth a row"
    )
    assert (
        planned_on(["cuda"], tiny_artifact("openvino"))[0].skip
        == "openvino runs on cpu, not on cuda"
    )


def test_runner_s_own_reason_against_a_device_is_the_row_s(tiny_artifact: Artifacts) -> None:
    works, broken, raising = planned_on(["cuda", "cuda:1", "cuda:2"], tiny_artifact("onnx"))
    assert works.skip is None
    assert broken.skip == "this one is broken: repair it"
    assert raising.skip == "two could not be asked about cuda:2: ImportError: no libcuda"


def test_precisions_are_those_of_the_device(tiny_artifact: Artifacts) -> None:
    entry = Entry("two", "other", TwoDevices())
    asked = Selection([entry], [1], ["tf32"], 2, devices=["cpu", "cuda"])
    on_cpu, on_gpu = plan_cells([tiny_artifact("onnx")], asked, None)
    assert on_cpu.skip == "two runs a fp32 artifact in fp32, not tf32"
    assert on_gpu.skip is None


def test_several_streams_on_a_gpu_are_skipped(tiny_artifact: Artifacts) -> None:
    one, two = planned_on(["cuda"], tiny_artifact("onnx"), streams=[1, 2])
    assert one.skip is None
    assert two.skip is not None
    assert "streams on a GPU" in two.skip


def test_runners_of_a_run_that_names_none_are_those_with_its_devices() -> None:
    names = {entry.name for entry in select_runners([], ["cuda"])}
    assert {"pytorch", "onnxruntime", "onnxruntime-tensorrt"} <= names
    assert not {"openvino", "aotinductor"} & names
    assert "onnxruntime-tensorrt" not in {entry.name for entry in select_runners([])}
    assert [entry.name for entry in select_runners(["openvino"], ["cuda"])] == ["openvino"]


def test_models_are_exported_only_to_formats_that_run_on_the_devices(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.prepare()
    everything = select_runners([])

    def formats(*devices: str) -> set[str]:
        asked = Selection(everything, [1], [], 2, devices=devices)
        return {request.backend for request in missing_exports(["vit"], workspace, asked, Sizes())}

    assert formats("cuda") == {"pytorch", "torchscript", "torch-export", "onnx"}
    assert formats("cpu", "cuda") == formats() >= {"openvino"}


def test_missing_exports_are_in_a_precision_that_the_runner_runs_as_asked(tmp_path: Path) -> None:
    def exports(runner: str, *precisions: str, device: str = "cpu") -> list[tuple[str, str]]:
        asked = Selection([runners()[runner]], [1], precisions, 2, devices=[device])
        found = missing_exports(["vit"], Workspace(tmp_path), asked, Sizes())
        return [(request.backend, request.precision) for request in found]

    assert exports("pytorch", "fp32", "bf16") == [
        ("pytorch", "fp32")
    ]  # which is cast when it is loaded
    assert exports("torchscript", "fp32", "bf16") == [
        ("torchscript", "bf16"),
        ("torchscript", "fp32"),
    ]
    assert exports("openvino", "int8-weights") == [("openvino", "int8-weights")]
    assert exports("onnxruntime", "fp16", device="cuda") == [("onnx", "fp16")]
    assert exports("onnxruntime", "int8", device="cuda") == [("onnx", "fp32")]  # which its row says


def test_artifact_that_cannot_run_is_no_cell_where_another_of_its_backend_runs_it(
    tiny_artifact: Artifacts,
) -> None:
    full = tiny_artifact("torchscript")
    half, fixed = changed(full, precision="bf16"), changed(full, batch=1)
    planned = plan_cells(
        [full, half, fixed],
        selection("torchscript", precisions=("fp32", "bf16"), batches=(2,)),
        None,
    )
    assert [(cell.cell.precision, cell.cell.form, cell.skip) for cell in planned] == [
        ("fp32", "fp32-dynamic", None),
        ("bf16", "bf16-dynamic", None),
    ]
    alone = plan_cells([fixed], selection("torchscript", batches=(2,)), None)
    assert [cell.skip for cell in alone] == ["the artifact has the fixed batch size 1"]


def test_profile_without_the_precision_skips_it(tiny_artifact: Artifacts) -> None:
    (cell,) = plan_cells(
        [tiny_artifact("pytorch")], selection("pytorch", precisions=("fp16",)), load_profile("xeon")
    )
    assert cell.skip is not None
    assert cell.skip.startswith("xeon has no fp16 arithmetic: it begins with Sapphire Rapids")


def test_weights_of_8_bits_run_where_there_is_fp32_and_as_nothing_else(
    tiny_artifact: Artifacts,
) -> None:
    in_float = tiny_artifact("openvino")
    small = changed(in_float, precision="int8-weights")
    xeon = load_profile("xeon")
    (own,) = plan_cells([small], selection("openvino"), xeon)
    assert (own.skip, own.cell.precision) == (None, "int8-weights")
    assert own.cell.title().endswith("openvino int8-weights batch 1")

    asked = selection("openvino", precisions=("fp32", "int8-weights"))
    ran = [cell for cell in plan_cells([in_float, small], asked, xeon) if cell.skip is None]
    assert [cell.cell.form.partition("-dynamic")[0] for cell in ran] == ["fp32", "int8-weights"]
    assert len({cell.cell.work for cell in ran}) == 2
    without_fp32 = xeon.model_copy(update={"precisions": ("int8",)})
    (skipped,) = plan_cells([small], selection("openvino"), without_fp32)
    assert skipped.skip is not None
    assert "no fp32 arithmetic" in skipped.skip


def test_runner_that_a_profile_lacks_is_skipped_with_the_reason(tiny_artifact: Artifacts) -> None:
    (cell,) = plan_cells(
        [tiny_artifact("torch-export")], selection("torch-export"), load_profile("gtx1080ti")
    )
    assert cell.skip is not None
    assert cell.skip.startswith("torch-export does not run on gtx1080ti: it needs torch 2.2")


def test_runner_that_no_profile_knows_is_planned_under_a_built_in_one(
    tiny_artifact: Artifacts,
) -> None:
    xeon = load_profile("xeon")
    for distribution in ("deploybench", "someone-elses"):
        entry = Entry[Runner]("two", distribution, TwoDevices())
        (cell,) = plan_cells([tiny_artifact("onnx")], Selection([entry], [1], [], 2), xeon)
        assert cell.skip is None


def test_list_of_runners_in_an_older_profile_speaks_of_the_built_in_ones_only(
    tiny_artifact: Artifacts,
) -> None:
    older = load_profile("xeon").model_copy(update={"runners": ("pytorch", "openvino")})
    foreign = Entry[Runner]("two", "someone-elses", TwoDevices())
    chosen = [runners()["onnxruntime"], foreign]
    refused, planned = plan_cells([tiny_artifact("onnx")], Selection(chosen, [1], [], 2), older)
    assert refused.skip == "onnxruntime is not among the runners of xeon: pytorch, openvino"
    assert planned.skip is None


def test_unusable_runner_is_skipped_with_its_cause(tiny_artifact: Artifacts) -> None:
    entry = runners()["onnxruntime"]
    broken = Entry(
        entry.name, "deploybench", entry.plugin, "needs onnxruntime", "pip install onnxruntime"
    )
    (cell,) = plan_cells([tiny_artifact("onnx")], Selection([broken], [1], [], 2), None)
    assert cell.skip is not None
    assert "needs onnxruntime" in cell.skip
    assert cell.remedy == "pip install onnxruntime"


def test_newest_artifact_of_a_kind_wins_and_other_weights_are_another_kind(
    tiny_artifact: Artifacts,
) -> None:
    artifact = tiny_artifact("onnx")
    older = changed(artifact, created="2000-01-01T00:00:00")
    request = artifact.manifest.request
    weights = Weights(kind="checkpoint", source="/c.pt", sha256="c")
    trained = changed(
        artifact,
        weights=weights,
        request={**request, "model": {**request["model"], "checkpoint": "/c.pt"}},  # type: ignore[dict-item]
    )
    assert newest_of_each([artifact, older, trained]) == [artifact, trained]


def test_request_from_before_an_option_existed_is_the_one_that_leaves_it_out(
    tiny_artifact: Artifacts,
) -> None:
    artifact = tiny_artifact("onnx")
    request = {key: value for key, value in artifact.manifest.request.items() if key != "target"}
    before = changed(artifact, created="2000-01-01T00:00:00", request=request)
    aimed = changed(artifact, request={**request, "target": "sm86"})
    assert newest_of_each([before, artifact, aimed]) == [artifact, aimed]


def test_cell_that_the_user_leaves_out_stays_as_a_skipped_row(tiny_artifact: Artifacts) -> None:
    asked = Selection(
        [runners()["pytorch"], runners()["inductor"]], [1], [], 2, skip=["*vit/inductor"]
    )
    eager, compiled = plan_cells([tiny_artifact("pytorch")], asked, None)
    assert eager.skip is None
    assert compiled.skip == "left out by --skip '*vit/inductor'"


def test_plan_crosses_batches_streams_and_timings(tiny_artifact: Artifacts) -> None:
    asked = Selection(
        [runners()["onnxruntime"]],
        [1, 8],
        [],
        2,
        streams=[1, 2],
        timings=["host-to-host", "end-to-end"],
    )
    planned = plan_cells([tiny_artifact("onnx")], asked, None)
    found = {(cell.cell.batch, cell.cell.streams, cell.cell.timing) for cell in planned}
    assert found == set(product([1, 8], [1, 2], ["host-to-host", "end-to-end"]))
    assert len(planned) == 8
    assert all(cell.skip is None for cell in planned)


def test_more_streams_than_threads_are_skipped(tiny_artifact: Artifacts) -> None:
    asked = Selection([runners()["onnxruntime"]], [1], [], 2, streams=[2, 3])
    fits, more = plan_cells([tiny_artifact("onnx")], asked, None)
    assert fits.skip is None
    assert more.skip == "3 streams do not fit into 2 threads"


def test_engine_only_is_skipped_where_the_runner_binds_no_inputs(tiny_artifact: Artifacts) -> None:
    runner = runners()["onnxruntime"].require()
    unbound = type("Unbound", (type(runner),), {"engine_only": False})()
    entry = Entry("onnxruntime", "deploybench", unbound, None, None)
    asked = Selection([entry], [1], [], 2, timings=["engine-only", "host-to-host"])
    engine, host = plan_cells([tiny_artifact("onnx")], asked, None)
    assert engine.skip == "onnxruntime cannot run on bound inputs"
    assert engine.remedy == "leave out --engine-only"
    assert host.skip is None


def test_sizes_choose_artifacts_by_what_they_are_not_by_how_they_were_asked_for(
    tiny_artifact: Artifacts,
) -> None:
    artifact = tiny_artifact("onnx")
    assert artifact.manifest.request["model"]["image_size"] is None  # type: ignore[index, call-overload]
    assert Sizes().include(artifact)
    assert Sizes(images=((160, 160), (96, 96)), patches=(16,)).include(artifact)
    assert not Sizes(images=((96, 96),)).include(artifact)
    assert not Sizes(patches=(8,)).include(artifact)
    assert list(Sizes(((96, 96), (160, 160)), (16, 8)).combinations()) == list(
        product([(96, 96), (160, 160)], [16, 8])
    )
    assert list(Sizes().combinations()) == [(None, None)]


class Accelerator(Runner):
    """Runs ONNX files, on batches of 4 and less."""

    name: ClassVar[str] = "accelerator"
    formats: ClassVar[frozenset[str]] = frozenset({"onnx"})
    cell_options: ClassVar[frozenset[str]] = frozenset({"cuda_graph"})

    def misfit(self, artifact: Artifact, device: str, batch: int) -> DeployBenchError | None:
        return (
            DeployBenchError(f"{device} has no room", action="build a smaller one")
            if batch > 4
            else None
        )

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        raise NotImplementedError


ACCELERATOR: Entry[Runner] = Entry("accelerator", "elsewhere", Accelerator())


def test_artifact_that_does_not_fit_the_host_is_skipped_with_its_cause_and_remedy(
    tiny_artifact: Artifacts,
) -> None:
    fits, does_not = plan_cells(
        [tiny_artifact("onnx")], Selection([ACCELERATOR], [4, 8], [], threads=2), None
    )
    assert fits.skip is None
    assert (does_not.skip, does_not.remedy) == ("cpu has no room", "build a smaller one")


def test_cuda_graph_is_asked_of_the_runners_that_launch_them_and_of_no_other(
    tiny_artifact: Artifacts,
) -> None:
    entries = [runners()["onnxruntime"], ACCELERATOR]
    for asked in (False, True):
        options = CellOptions(cuda_graph=asked)
        cells = plan_cells(
            [tiny_artifact("onnx")], Selection(entries, [1], [], threads=2, options=options), None
        )
        assert [cell.cell.cuda_graph for cell in cells] == [False, asked]


def test_allocator_is_asked_of_every_runner_whatever_it_obeys(tiny_artifact: Artifacts) -> None:
    options = CellOptions(allocator="jemalloc", graph_level="none")
    selection = Selection([ACCELERATOR], [1], [], threads=2, options=options)
    (planned,) = plan_cells([tiny_artifact("onnx")], selection, None)
    assert planned.cell.allocator == "jemalloc"
    assert planned.cell.graph_level == "all"
