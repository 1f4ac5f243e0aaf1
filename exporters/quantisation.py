"""What the exporters that quantise share: which layers stay in float, and the range of products.

CPUs without VNNI add pairs of 8-bit products in 16 bits, which saturate. There weights keep to 7
bits: half the range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from deploybench.artifacts.calibration import AUTO, NONE, CalibrationImages
from deploybench.contracts import ExportOption, ExportSpec
from deploybench.errors import DeployBenchError
from deploybench.hardware.host import describe_host

INT8 = "int8"
WAY = "3"
"""Another one where the same request gives another file: corrected biases, and layers in float
where it takes them."""
RANGE_OPTION = ExportOption(
    "int8_range",
    str,
    "reduced: weights of 7 bits, for CPUs without VNNI, where 8-bit products saturate; "
    "without it this host's CPU decides",
    allowed=("full", "reduced"),
)
EXACT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
SATURATING = "avx2"
NEAR = 6


def range_of_weights(spec: ExportSpec) -> tuple[bool, str]:
    """Whether the weights keep to half the range, and that in words."""
    asked = spec.option(RANGE_OPTION.name)
    if asked is not None:
        return asked == "reduced", f"{asked}, as asked"
    isa = set(describe_host().isa)
    if SATURATING in isa and isa.isdisjoint(EXACT_PRODUCTS):
        return True, "reduced: this host has no VNNI, 8-bit products would saturate"
    return False, "full: for CPUs with VNNI, as this host; products may saturate without it"


def identity_of_way(spec: ExportSpec) -> dict[str, str]:
    """What decides of an int8 artifact beside what was said: the way that it is made in."""
    return {"int8_way": WAY} if spec.precision == INT8 else {}


def identity_of_range(spec: ExportSpec) -> dict[str, str]:
    """For CPUs: the way, and the range, which is the host's where nobody said it."""
    identity = identity_of_way(spec)
    if identity and spec.option(RANGE_OPTION.name) is None:
        reduced, _ = range_of_weights(spec)
        identity[RANGE_OPTION.name] = "reduced" if reduced else "full"
    return identity


def images_of(spec: ExportSpec) -> CalibrationImages:
    """The images to calibrate on; raises DeployBenchError where there are none."""
    if spec.calibration is None:
        raise DeployBenchError(
            "int8 without images to calibrate on",
            expected="--calibration DIR",
            action="--calibration synthetic says that noise will do",
        )
    return spec.calibration


def kept_layers(
    patterns: Sequence[str], names: Mapping[str, Sequence[str]], layers: Sequence[str] = ()
) -> dict[str, str]:
    """The nodes that a pattern matches, by one of their names; with the first of them.

    ``layers`` are whole names that are kept, too, where they are among ``names``.

    A pattern (``*`` and ``?`` as in a shell) matches a whole name, or whole parts of a path with
    dots: ``layer1`` matches ``layer1.0.conv1`` and not ``layer10.conv``. ``names`` are those of
    each node that would be quantised; the first is what people call it.

    Raises DeployBenchError for one that matches nothing, with names near it.
    """
    kept = {node: known[0] for node, known in names.items() if not set(layers).isdisjoint(known)}
    for pattern in layers_said(patterns):
        matched = [
            node for node, known in names.items() if any(_matches(name, pattern) for name in known)
        ]
        if not matched:
            everything = list(dict.fromkeys(name for known in names.values() for name in known))
            near = get_close_matches(pattern, everything, NEAR, 0.3) or everything[:NEAR]
            raise DeployBenchError(
                f"--keep-fp32 {pattern} matches no layer that would be quantised",
                expected=f"a name or a pattern of names, as {', '.join(near)}",
            )
        kept |= {node: names[node][0] for node in matched}
    return kept


def layers_said(patterns: Sequence[str]) -> list[str]:
    """Of ``--keep-fp32`` what says layers; the others say whether some are looked for."""
    return [
        pattern for pattern in patterns if pattern != NONE and pattern.partition(":")[0] != AUTO
    ]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(f".{name}.", f"*.{pattern}.*")
