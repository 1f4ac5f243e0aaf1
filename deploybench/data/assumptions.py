"""What was assumed about a model's images because nobody said it, in words."""

from __future__ import annotations

from deploybench.artifacts.artifact import Manifest
from deploybench.artifacts.preprocessing import Preprocessing, PreprocessingPart
from deploybench.data.image_size import size_text
from deploybench.data.preprocessing_options import PARTS, number_list
from deploybench.errors import DeployBenchError

FLAGS: dict[PreprocessingPart, tuple[str, ...]] = {
    "image_size": ("--image-size",),
    "crop": ("--crop", "--resize-mode"),
    "interpolation": ("--interpolation",),
    "mean": ("--mean",),
    "std": ("--std",),
}
"""What sets each part on the command line."""
UNDESCRIBED = (
    "the preprocessing may be assumed: the artifact is of an earlier version, which did not say "
    "whether anybody gave it"
)


def assumption_of(spec: Preprocessing) -> str | None:
    """What of the preprocessing was assumed, in a sentence; None where nothing was."""
    said: dict[PreprocessingPart, str] = {
        "image_size": f"{size_text((spec.height, spec.width))} pixels",
        "crop": f"{spec.crop_mode} crop {spec.crop_fraction:.4g}",
        "interpolation": spec.interpolation,
        "mean": f"mean {number_list(spec.mean)}",
        "std": f"std {number_list(spec.std)}",
    }
    parts = [said[part] for part in PARTS if part in spec.assumed]
    if not parts:
        return None
    if "mean" in spec.assumed and spec.color == "rgb" and spec.channels == 3:
        parts.append("RGB")
    return f"preprocessing assumed, nobody gave it: {', '.join(parts)}"


def advice_on(spec: Preprocessing) -> str:
    """What to type for what was assumed."""
    flags = [flag for part in PARTS if part in spec.assumed for flag in FLAGS[part]]
    return f"set it with {' '.join(flags)}, or a pretrained_cfg of the module"


def assumptions_in(manifest: Manifest) -> tuple[str, ...]:
    """What was taken for granted when the artifact was exported, in sentences."""
    described = "assumed" in manifest.preprocessing.model_fields_set
    if not described and manifest.weights.kind in ("checkpoint", "factory"):
        return (UNDESCRIBED, *manifest.assumed)
    return manifest.assumed


def check_prepared(manifest: Manifest, spec: Preprocessing) -> None:
    """Refuse to look at images with an adopted artifact of which nobody said what it is fed.

    What an export assumes is what the architecture is usually trained with; of a foreign file
    nothing of the kind is known, and a wrong normalisation answers wrong in silence. ``spec`` is
    the preprocessing with what was said last.
    """
    unsaid = [part for part in ("mean", "std") if part in spec.assumed]
    if manifest.adopted is None or not unsaid:
        return
    raise DeployBenchError(
        f"nobody said how images are normalised for {manifest.model.name}, which was adopted: "
        "a file does not tell it",
        expected="the mean and the deviation that it was trained with, of pixels in [0, 1]",
        action=f"deploybench adopt {manifest.adopted.file} --mean 0.485,0.456,0.406 --std "
        "0.229,0.224,0.225, or --value-range 0,255 where it normalises by itself, or "
        "--preprocessing FILE.json",
    )
