"""Files that are no models, and models that cannot be fed with images: told for what they are."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from deploybench.errors import DeployBenchError
from tests.export.foreign import onnx_model
from tests.export.test_adoption import adopted, in_this_process

__all__ = ["in_this_process"]

pytestmark = pytest.mark.usefixtures("in_this_process")


def test_what_cannot_be_fed_is_refused(tmp_path: Path) -> None:
    two = onnx_model(tmp_path / "two.onnx", extra_input=True)
    with pytest.raises(DeployBenchError, match=r"several inputs, 2: images .*, sizes"):
        adopted(two)

    def with_input(name: str, dtype: int, shape: list[int | str]) -> Path:
        file = tmp_path / name
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
        value = helper.make_tensor_value_info("x", dtype, shape)
        result = helper.make_tensor_value_info("y", dtype, shape)
        graph = helper.make_graph(nodes, "net", [value], [result])
        opset = [helper.make_opsetid("", 17)]
        onnx.save_model(helper.make_model(graph, opset_imports=opset, ir_version=8), str(file))
        return file

    video = with_input("video.onnx", TensorProto.FLOAT, ["N", 3, 8, 16, 16])
    with pytest.raises(DeployBenchError, match="is of rank 5: N x 3 x 8 x 16 x 16"):
        adopted(video)
    text = with_input("text.onnx", TensorProto.STRING, ["N", 1])
    with pytest.raises(DeployBenchError, match="takes string"):
        adopted(text)
    unclear = with_input("unclear.onnx", TensorProto.FLOAT, ["N", 3, 8, 3])
    with pytest.raises(DeployBenchError, match="does not tell where the channels are") as refusal:
        adopted(unclear)
    assert "--layout nchw" in str(refusal.value.action)
    assert adopted(unclear, layout="nhwc").preprocessing.channels == 3


def test_a_library_of_operators_is_refused(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx")
    model = onnx.load(str(file))
    model.graph.node[0].domain = "my.company"
    model.opset_import.append(helper.make_opsetid("my.company", 1))
    onnx.save_model(model, str(file))
    with pytest.raises(DeployBenchError, match=r"my\.company::Conv"):
        adopted(file)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("net.onnx", b"", "is empty"),
        ("net.onnx", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("net.onnx", b"<!DOCTYPE html><html>", "page of text"),
        ("net.onnx", b"PK\x03\x04 and more", "zip archive"),
        ("net.onnx", b"\x08\x08\x12\xff", "does not read as an ONNX graph"),
        ("net.pt", b"no archive at all", "no archive as PyTorch writes it"),
        ("net.pt2", b"PK\x03\x04 and more", "damaged or truncated"),
        ("net.xml", b"<?xml version='1.0'?><svg/>", "page of text"),
        ("net.safetensors", b"\x00\x01", "no format that can be adopted"),
        ("net", b"\x00\x01", "no format that can be adopted"),
    ],
)
def test_what_is_no_model_is_told_for_what_it_is(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DeployBenchError, match=words):
        adopted(tmp_path / name, trust=True)


def test_a_truncated_graph_is_told(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DeployBenchError, match="does not read as an ONNX graph"):
        adopted(file)
