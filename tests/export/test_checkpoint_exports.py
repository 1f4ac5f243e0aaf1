"""What an export says of the checkpoint that it was made from, and what its key is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from deploybench.artifacts.tidy import StoredArtifact
from deploybench.artifacts.weights import Weights
from deploybench.artifacts.workspace import Workspace
from deploybench.export.identity import contents_of
from deploybench.export.order import ExportOrder, requests_of
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.models.checkpoint import read_checkpoint
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions
from deploybench.report.export_table import export_data, export_report
from deploybench.report.run_notes import notes_of
from deploybench.report.table import Prose, Report
from deploybench.report.workspace_table import workspace_report
from deploybench.rows.row import row_data
from deploybench.rows.rows import rows_of
from tests.records import launch, record

MODEL = "timm:test_resnet"
CLASSES = 3
OPTIONS = BuildOptions(num_classes=CLASSES)
Tensors = dict[str, torch.Tensor]


def state(seed: int) -> Tensors:
    torch.manual_seed(seed)
    return dict(timm.create_model("test_resnet", num_classes=CLASSES).state_dict())


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that lacks the last stage and the classifier."""
    kept = {key: value for key, value in state(1).items() if not key.startswith(("layer4", "fc"))}
    path = tmp_path_factory.mktemp("half") / "half.pth"
    torch.save(kept, path)
    return path


@pytest.fixture(scope="module")
def exported(half: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    workspace = Workspace(tmp_path_factory.mktemp("partial"))
    workspace.prepare()
    model = ModelRequest(
        name=MODEL,
        checkpoint=str(half),
        allow_partial=True,
        num_classes=CLASSES,
        image_size=(64, 64),
    )
    return export_one(ExportRequest(model=model, backend="pytorch"), workspace, ExportOptions())


@pytest.mark.trust(
    item=3,
    case="--allow-partial with the last stage and the classifier missing: the output",
    before="verified, with no word of it",
    now="loaded, missing and ignored tensors are counted, and the random share of the parameters",
)
def test_a_partial_load_is_counted_in_the_output(exported: ExportResult) -> None:
    assert exported.ok, exported.error
    prose = [
        line
        for section in export_report([exported]).sections
        if isinstance(section, Prose)
        for line in section.lines
    ]
    [line] = [line for line in prose if "tensors loaded" in line]
    assert "missing" in line
    assert "parameters are random" in line
    data = export_data(exported)["weights_loading"]
    assert isinstance(data, dict)
    assert data["missing"] > 0
    assert data["random_parameters"] > 0


@pytest.mark.trust(
    item=3,
    case="--allow-partial with the last stage and the classifier missing: the state",
    before="verified",
    now="verified, N% of the weights random, in the export's table and in the workspace's",
)
def test_a_partial_load_is_never_called_verified_without_its_random_share(
    exported: ExportResult, half: Path
) -> None:
    assert exported.artifact is not None
    weights = exported.artifact.manifest.weights
    words = f"verified, {weights.random_share:.0%} of the weights random"
    assert state_in(export_report([exported])) == words
    assert state_in(export_report([replace(exported, reused=True)])) == f"{words}, already there"
    stored = StoredArtifact(
        name="half", artifact=exported.artifact, size_bytes=1, superseded=False, damage=None
    )
    assert state_in(workspace_report([stored], [], [])) == words


@pytest.mark.parametrize(
    ("random_parameters", "words"),
    [
        (1, "less than 1% of the weights random"),
        (720, "72% of the weights random"),
        (999, "more than 99% of the weights random"),
        (1000, "100% of the weights random"),
        (0, ""),
    ],
)
def test_the_random_share_is_neither_nothing_nor_all_where_it_is_between(
    random_parameters: int, words: str
) -> None:
    weights = Weights(
        kind="checkpoint",
        source="half.pth",
        sha256="0",
        random_parameters=random_parameters,
        parameters=1000,
    )
    assert weights.random_words == words


def state_in(report: Report) -> str:
    """What the only line of the first table says in its column ``state``."""
    table = report.tables[0]
    [line] = table.lines
    [index] = [index for index, column in enumerate(table.columns) if column.key == "state"]
    return line.cells[index].text


@pytest.mark.trust(
    item=3,
    case="--allow-partial with the last stage and the classifier missing: the manifest",
    before="weights: checkpoint",
    now="loaded, missing, ignored, random_parameters of parameters",
)
def test_a_partial_load_is_counted_in_the_manifest(exported: ExportResult, half: Path) -> None:
    assert exported.artifact is not None
    weights = exported.artifact.manifest.weights
    own, given = state(1), torch.load(half)
    learnt = dict(timm.create_model("test_resnet", num_classes=CLASSES).named_parameters())
    missing = own.keys() - given.keys()
    assert (weights.loaded, weights.missing) == (len(given), len(missing))
    assert weights.random_parameters == sum(learnt[key].numel() for key in missing & learnt.keys())
    assert weights.parameters == sum(parameter.numel() for parameter in learnt.values())
    assert weights.label.endswith("% random")


@pytest.mark.trust(
    item=3,
    case="--allow-partial with the last stage and the classifier missing: a row of a run",
    before="checkpoint half.pth",
    now="checkpoint half.pth, N% random; a note; weights_random_share in JSON, CSV",
)
def test_a_partial_load_is_said_on_every_row(exported: ExportResult) -> None:
    assert exported.artifact is not None
    weights = exported.artifact.manifest.weights
    made = record([launch([1.0] * 50)], weights=weights.label)
    [row] = rows_of([made.replaced(weights_random_share=weights.random_share)])
    assert "% random" in row.weights
    assert row_data(row)["weights_random_share"] == pytest.approx(weights.random_share)
    assert any("random" in note.cause for note in notes_of(row))


def test_what_is_missing_is_random_with_spread_and_what_is_there_is_kept(half: Path) -> None:
    options = BuildOptions(num_classes=CLASSES, image_size=(64, 64))
    built, weights = load_model(MODEL, options, half, allow_partial=True)
    again, _ = load_model(MODEL, options, half, allow_partial=True)
    held = built.module.state_dict()
    for key, value in torch.load(half).items():
        assert torch.equal(held[key], value), key
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert float(built.module(images).std()) > 0.1
    assert torch.equal(built.module(images), again.module(images))
    assert weights.random_parameters


def request(path: Path, key: str | None = None) -> ModelRequest:
    return ModelRequest(name=MODEL, num_classes=CLASSES, checkpoint=str(path), checkpoint_key=key)


@pytest.mark.trust(
    item=4,
    case="two checkpoints with one average and different raw weights",
    before="the raw weights were exported",
    now="one artifact: the key counts what is taken",
)
def test_the_key_counts_what_is_taken(tmp_path: Path) -> None:
    torch.save(state(1), tmp_path / "plain.pth")
    torch.save({"model": state(2), "ema": state(1)}, tmp_path / "first.pth")
    torch.save({"model": state(3), "ema": state(1)}, tmp_path / "second.pth")

    plain, first, second = (
        contents_of(request(tmp_path / name)) for name in ("plain.pth", "first.pth", "second.pth")
    )
    raw = contents_of(request(tmp_path / "first.pth", "model"))

    assert plain[0] == first[0] == second[0]
    assert raw[0] != first[0]
    # What an older version exported from these bytes may be the other state.
    assert first == [first[0]]


def test_a_key_is_part_of_the_command_and_only_where_it_is_given() -> None:
    asked = ExportRequest(model=request(Path("/c.pth"), "ema"), backend="onnx")
    unasked = ExportRequest(model=request(Path("/c.pth")), backend="onnx")
    assert "--checkpoint-key ema" in asked.command()
    assert "checkpoint_key" not in unasked.model_dump(mode="json")["model"]
    assert asked.key({}, {}, {}) == unasked.key({}, {}, {})


def test_a_key_without_a_checkpoint_is_refused() -> None:
    with pytest.raises(Exception, match="without a checkpoint"):
        requests_of(ExportOrder(models=[MODEL], backends=["onnx"], checkpoint_key="ema"))


def test_the_state_that_was_taken_is_in_the_label(tmp_path: Path) -> None:
    torch.save({"model": state(2), "ema": state(1)}, tmp_path / "c.pth")
    assert read_checkpoint(tmp_path / "c.pth").tensors
    _, weights = load_model(MODEL, OPTIONS, tmp_path / "c.pth", allow_partial=False)
    assert weights.label == "checkpoint c.pth (ema)"
    assert weights.summary == "92 tensors loaded from ema, left: model (92 tensors)"
