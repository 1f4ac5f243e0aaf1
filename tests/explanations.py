"""Documents of ``deploybench explain`` that are made up, for tests of what is made of them."""

from __future__ import annotations

from deploybench.artifacts.module_work import ModuleWork
from deploybench.results.explanation import Explained, Explanation
from deploybench.results.layers import LayerFigures, LayerProfile
from tests.records import host

WORK = {"stem": 4_000_000, "body.conv": 90_000_000, "body.attn": 6_000_000, "head.fc": 1_000_000}
TIMES = {"stem": 1.0, "body.conv": 4.0, "body.attn": 4.5, "head.fc": 0.4, "head.norm": 0.1}


def layer(name: str, ms: float, *modules: str, kind: str = "Conv") -> LayerFigures:
    return LayerFigures(name=name, kind=kind, modules=modules, ms=ms, low_ms=ms, high_ms=ms)


def profile(factor: float = 1.0, prefix: str = "", **changes: object) -> LayerProfile:
    """Five layers; ``body.attn`` takes far more than its MACs say."""
    layers = [layer(f"{prefix}{name}", ms * factor, prefix + name) for name, ms in TIMES.items()]
    layers.append(layer(f"{prefix}reorder", 0.2 * factor))
    sum_ms = sum(one.ms for one in layers)
    found = LayerProfile(
        layers=tuple(layers),
        calls=40,
        windows=5,
        plain_ms=sum_ms + 0.2,
        profiled_ms=sum_ms + 0.3,
        layers_ms=sum_ms,
        gaps_ms=(0.1, 0.3),
    )
    return found.replaced(**changes)


def explained(runner: str = "onnxruntime", factor: float = 1.0, **changes: object) -> Explained:
    made = Explained(
        name=f"net/{runner}",
        model="net",
        artifact_key=f"key of {runner}",
        runner=runner,
        precision="fp32",
        device="cpu",
        threads=2,
        batch=1,
        profile=profile(factor),
        unbounded="the peaks of this device were not measured",
    )
    return made.replaced(**changes)


def explanation(*sides: Explained, prefix: str = "", **changes: object) -> Explanation:
    """Of one side (ONNX Runtime's) unless sides are given; sealed."""
    work = [
        ModuleWork(name=prefix + name, kind="Conv2d 3x3", macs=macs, parameters=10, values=10)
        for name, macs in WORK.items()
    ]
    work.append(ModuleWork(name=f"{prefix}head.norm", kind="LayerNorm", values=10))
    made = Explanation(
        created="2026-01-01T10:00:00.000+00:00",
        host=host(),
        command="deploybench explain net/onnx",
        sides=sides or (explained(),),
        work=tuple(work),
    )
    return made.replaced(**changes).sealed()
