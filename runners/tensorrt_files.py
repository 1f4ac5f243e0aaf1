"""What a foreign TensorRT engine tells of itself. It is native code for one kind of GPU and one
version: it is opened only with the user's word, and only where such a GPU is."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from deploybench.contracts import ForeignFile, ForeignTensor
from deploybench.errors import DeployBenchError

from .cuda_runtime import open_cuda
from .tensorrt_engine import logger_of

FIRST_DEVICE = 0


def look_into(file: Path, module: str, title: str) -> ForeignFile:
    """Raises DeployBenchError for what this TensorRT or this GPU does not load."""
    cuda = open_cuda()
    cuda.use(FIRST_DEVICE)
    device = cuda.device(FIRST_DEVICE)
    trt = import_module(module)
    log = logger_of(trt)
    engine = trt.Runtime(log).deserialize_cuda_engine(file.read_bytes())
    if engine is None:
        raise DeployBenchError(
            f"{title} {trt.__version__} did not load {file}: {log.last_error()}",
            expected="an engine that this version built for this kind of GPU",
            action="build it again here, or adopt the ONNX file that it was built from",
        )
    if not hasattr(engine, "num_io_tensors"):
        raise DeployBenchError(
            f"{title} {trt.__version__} does not tell an engine's inputs by name",
            expected=f"{title} 8.5 or later",
            action="adopt the ONNX file that it was built from",
        )
    inputs, outputs = [], []
    facts: dict[str, str | int] = {
        "tensorrt": str(trt.__version__),
        "sm": device.sm,
        "gpu": device.name,
    }
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape = tuple(int(size) if size >= 0 else "" for size in engine.get_tensor_shape(name))
        dtype = str(engine.get_tensor_dtype(name)).rpartition(".")[2].lower()
        dtype = {"float": "float32", "half": "float16"}.get(dtype, dtype)
        if dtype != "float32":
            raise DeployBenchError(
                f"'{name}' of the engine is {dtype}",
                expected="inputs and outputs in float32, whatever is computed within",
                action="build the engine with its inputs and outputs left as they are in ONNX",
            )
        tensor = ForeignTensor(name, dtype, shape)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            inputs.append(tensor)
            if shape and shape[0] == "":
                least, _, most = engine.get_tensor_profile_shape(name, 0)
                facts["batch_min"], facts["batch_max"] = int(least[0]), int(most[0])
        else:
            outputs.append(tensor)
    return ForeignFile(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        files=(file.name,),
        precision=None,
        facts=facts,
    )
