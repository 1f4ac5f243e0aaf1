"""Files that an ONNX graph names: each is one of the artifact's own, or the artifact is refused."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from deploybench.artifacts.artifact import MANIFEST, Manifest, file_entry, open_artifact
from deploybench.artifacts.external_data import check_external_data, external_locations
from deploybench.errors import DeployBenchError
from tests.artifacts.workspaces import KEPT, ONNX


def tensor_in(location: str, name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def graph_with(**places: TensorProto) -> onnx.ModelProto:
    """A graph with tensors in each of the places where one can stand."""
    inner = helper.make_graph([], "inner", [], [], initializer=[places.get("subgraph") or plain()])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=places.get("constant") or plain()),
        helper.make_node("If", ["c"], ["i"], then_branch=inner, else_branch=inner),
    ]
    sparse = onnx.SparseTensorProto(values=places.get("sparse") or plain(), dims=[1])
    graph = helper.make_graph(
        nodes, "g", [], [], initializer=[plain(), places.get("initializer") or plain()]
    )
    graph.sparse_initializer.append(sparse)
    model = helper.make_model(graph)
    function = model.functions.add(name="f", domain="d")
    function.node.append(
        helper.make_node("Constant", [], ["x"], value=places.get("function") or plain())
    )
    model.training_info.add().initialization.initializer.append(places.get("training") or plain())
    return model


def plain() -> TensorProto:
    return helper.make_tensor("p", TensorProto.FLOAT, [2], [1.0, 2.0])


@pytest.mark.parametrize(
    "place", ["initializer", "constant", "subgraph", "sparse", "function", "training"]
)
def test_every_tensor_that_lies_elsewhere_is_found(place: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_with(**{place: tensor_in("../../etc/passwd")}).SerializeToString())
    assert set(external_locations(path)) == {"../../etc/passwd"}
    path.write_bytes(graph_with().SerializeToString())
    assert not list(external_locations(path))


@pytest.mark.attack(
    kind="Archives",
    attack="an ONNX graph whose weights lie in ../../secret, or behind a link",
    before="read by the runtime, in the first versions",
    now="refused: 'which is none of the artifact's'",
)
@pytest.mark.parametrize(
    ("location", "allowed"),
    [
        ("weights.bin", True),
        ("./weights.bin", True),
        pytest.param(
            "../../../etc/passwd",
            False,
            marks=pytest.mark.trust(
                item=16,
                case="an ONNX graph whose weights lie in ../../../etc/passwd, or an absolute path",
                before="check_files passed; ONNX Runtime 1.31 itself refused it",
                now="refused by every runner, with the name of the file",
            ),
        ),
        ("/etc/passwd", False),
        pytest.param(
            "unlisted.bin",
            False,
            marks=pytest.mark.trust(
                item=16,
                case="an ONNX graph whose weights lie in a file beside it that is not listed",
                before="check_files passed, predict answered with the weights of that file",
                now="refused by every runner, with the name of the file",
            ),
        ),
        ("manifest.json", False),
        ("*/_ORT_MEM_ADDR_/*", False),
        ("", False),
    ],
)
def test_artifact_may_name_only_its_own_files(location: str, allowed: bool, tmp_path: Path) -> None:
    folder = shutil.copytree(KEPT / "artifacts" / ONNX, tmp_path / "artifact")
    model = graph_with(initializer=tensor_in(location))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "weights.bin").write_bytes(b"\0" * 4)
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    names = {"weights.bin", *(file.path for file in manifest.files)}
    files = tuple(file_entry(folder / name, folder) for name in sorted(names))
    (folder / MANIFEST).write_text(manifest.replaced(files=files).sealed().model_dump_json())

    artifact = open_artifact(folder)
    if allowed:
        artifact.check_files()
        return
    with pytest.raises(DeployBenchError, match="keeps weights in the file"):
        artifact.check_files()


def test_graph_in_a_folder_names_files_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_with(initializer=tensor_in("w.bin")).SerializeToString())
    check_external_data(path, "deep/model.onnx", {"deep/model.onnx", "deep/w.bin"})
    with pytest.raises(DeployBenchError):
        check_external_data(path, "deep/model.onnx", {"deep/model.onnx", "w.bin"})


@given(cut=st.integers(0, 400), flipped=st.integers(0, 400), bits=st.integers(0, 255))
def test_graph_that_is_damaged_is_read_or_refused_and_never_a_crash(
    cut: int, flipped: int, bits: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(graph_with(initializer=tensor_in("w.bin")).SerializeToString())
    content[flipped % len(content)] ^= bits
    path = tmp_path_factory.mktemp("damaged") / "model.onnx"
    path.write_bytes(bytes(content[: len(content) - cut]))
    with contextlib.suppress(DeployBenchError):
        check_external_data(path, "model.onnx", {"model.onnx", "w.bin"})
