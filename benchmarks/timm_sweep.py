"""Twenty timm architectures of different families that nothing is tuned for: each works or says why
not.

    python -m benchmarks.timm_sweep WORKSPACE [--backends torchscript,onnx,openvino,torch-export]

One line a model and backend: verified with the parity error, or the cause of the failure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deploybench.artifacts.workspace import Workspace
from deploybench.export.pipeline import ExportOptions, export_all
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.hardware.host import usable_cores

FAMILIES = (
    "beit_base_patch16_224",
    "botnet26t_256",
    "coat_lite_tiny",
    "coatnet_nano_rw_224",
    "convnext_atto",
    "deit3_small_patch16_224",
    "densenet121",
    "dm_nfnet_f0",
    "edgenext_xx_small",
    "eva02_tiny_patch14_224",
    "fastvit_t8",
    "ghostnet_100",
    "hardcorenas_a",
    "levit_128s",
    "maxvit_tiny_rw_224",
    "mixer_s32_224",
    "mobilenetv4_conv_small",
    "poolformer_s12",
    "regnety_002",
    "tf_efficientnetv2_b0",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--backends", default="torchscript,onnx,openvino,torch-export")
    parser.add_argument("--models", default=",".join(FAMILIES))
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    workspace.prepare()
    requests = [
        ExportRequest(model=ModelRequest(name=f"timm:{name}"), backend=backend)
        for name in options.models.split(",")
        for backend in options.backends.split(",")
    ]
    good = 0
    for result in export_all(requests, workspace, ExportOptions(jobs=usable_cores())):
        good += result.ok
        print(
            f"{result.request.model.name:34} {result.request.backend:13} {outcome(result)}",
            flush=True,
        )
    print(f"\n{good} of {len(requests)} verified")


def outcome(result: ExportResult) -> str:
    if result.error is not None:
        return f"FAILED  {str(result.error)[:160]}"
    manifest = result.artifact.manifest if result.artifact else None
    parity = manifest.parity if manifest else None
    if parity is None or parity.max_error is None:
        return f"INVALID {manifest.parity_note if manifest else ''}"
    return (
        f"{'ok     ' if parity.passed else 'INVALID'} {parity.max_error:.0e} of the spread  "
        f"{result.seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
