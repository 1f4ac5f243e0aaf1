"""The time of a runtime's layers by module of the PyTorch model, beside the module's work.

A runtime computes several modules in one layer (a convolution with its batch norm and activation).
Its time is given to the module that does the multiply-adds, and the others are named beside it; it
is never divided among them. What names no module stays apart, as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from deploybench.artifacts.module_work import ModuleWork
from deploybench.hardware.precisions import BYTES, arithmetic
from deploybench.results.layers import LayerFigures, LayerProfile

WHOLE_MODEL = "(the model's own code)"
"""Stands for the outermost module, whose name is empty."""
CONVOLUTION = "conv"
"""In the kinds of layers into which a batch norm is folded."""
MUCH = 0.1
"""A share of the call that is worth a word where layers and call differ by more."""
TELLING_EXCESS = 0.01
"""A share of the time beyond the share of the MACs below which no layer is named."""
MOST_NAMED = 3


@dataclass
class ModuleTime:
    """What one module of the model takes, or all those below one.

    ``macs`` and ``moved_bytes`` are of one call; None where the model could not be counted.
    ``computes`` are the modules whose work is in the time, by their whole names.
    """

    module: str
    ms: float = 0.0
    time_share: float = 0.0
    macs: int | None = None
    macs_share: float | None = None
    moved_bytes: int | None = None
    kinds: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    precisions: list[str] = field(default_factory=list)
    computes: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """The share of the time over the share of the MACs; None where there are no MACs."""
        if not self.macs_share:
            return None
        return self.time_share / self.macs_share

    @property
    def excess(self) -> float | None:
        """By how much the share of the time is above that of the MACs."""
        if self.macs_share is None:
            return None
        return self.time_share - self.macs_share


@dataclass(frozen=True)
class TimesByModule:
    """Every module that takes time, the longest first, and the layers of no module.

    ``sum_ms`` are all medians of layers together. ``lost_macs`` are the share of the MACs of
    modules that no layer names.
    """

    modules: tuple[ModuleTime, ...]
    unmapped: tuple[LayerFigures, ...]
    sum_ms: float
    lost_macs: float | None

    @cached_property
    def by_name(self) -> Mapping[str, ModuleTime]:
        return {row.module: row for row in self.modules}

    @property
    def unmapped_ms(self) -> float:
        return sum(layer.ms for layer in self.unmapped)

    def holder_of(self, module: str) -> str | None:
        """The row in which the work of a module is done; None where none says so."""
        for row in self.modules:
            if module in row.computes or row.module == module:
                return row.module
        return None


def by_module(
    profile: LayerProfile,
    work: Sequence[ModuleWork],
    *,
    batch: int,
    precision: str,
    depth: int | None = None,
) -> TimesByModule:
    """The layers of a profile by the modules that they compute, down to ``depth`` names.

    ``work`` is that of the model's modules, for one image; none where it could not be counted.
    """
    known = {module.name: module for module in work}
    rows: dict[str, ModuleTime] = {}
    unmapped = []
    holders: dict[str, str] = {}
    for layer in profile.layers:
        modules = _computed(layer, known)
        if not modules:
            unmapped.append(layer)
            continue
        name = shortened(modules[0], depth)
        row = rows.setdefault(name, ModuleTime(name))
        row.ms += layer.ms
        row.layers.append(layer.name)
        _add(row.kinds, _kind(modules[0], layer, known))
        _add(row.ran, ran(layer))
        _add(row.precisions, layer.precision)
        for module in modules:
            _add(row.computes, module)
        holders.setdefault(modules[0], name)
    # A module whose work is a layer of its own elsewhere does not count where it is only named.
    for name, row in rows.items():
        for module in row.computes:
            holders.setdefault(module, name)

    sum_ms = sum(layer.ms for layer in profile.layers)
    for row in rows.values():
        row.time_share = row.ms / sum_ms if sum_ms else 0.0
    value_bytes = BYTES.get(arithmetic(precision), BYTES["fp32"])
    weight_bytes = BYTES.get(precision, BYTES["fp32"])
    lost = _lay_work_beside(rows, known, holders, batch, value_bytes, weight_bytes)
    longest_first = sorted(rows.values(), key=lambda row: -row.ms)
    return TimesByModule(tuple(longest_first), tuple(unmapped), sum_ms, lost)


def _computed(layer: LayerFigures, known: Mapping[str, ModuleWork]) -> list[str]:
    """The modules that a layer computes, the one that its time is given to first."""
    modules = list(layer.modules)
    # A convolution whose batch norm was folded into it may bear the norm's name alone.
    if CONVOLUTION in layer.kind.lower() and not _with_macs(modules, known):
        for module in layer.modules:
            folded_into = known[module].follows if module in known else None
            if folded_into is not None:
                modules.insert(0, folded_into)
    first = _with_macs(modules, known)[:1]
    return list(dict.fromkeys([*first, *modules]))


def _with_macs(modules: Sequence[str], known: Mapping[str, ModuleWork]) -> list[str]:
    return [module for module in modules if module in known and known[module].macs]


def _lay_work_beside(
    rows: Mapping[str, ModuleTime],
    known: Mapping[str, ModuleWork],
    holders: Mapping[str, str],
    batch: int,
    value_bytes: int,
    weight_bytes: int,
) -> float | None:
    """Fill in the work of every row; the share of the MACs that no row holds."""
    total = sum(module.macs for module in known.values())
    if not total:
        return None
    for row in rows.values():
        row.macs, row.moved_bytes = 0, 0
    held = 0
    for module in known.values():
        holder = holders.get(module.name)
        if holder is None:
            continue
        row = rows[holder]
        held += module.macs
        row.macs = (row.macs or 0) + module.macs * batch
        moved = module.values * batch * value_bytes + module.parameters * weight_bytes
        row.moved_bytes = (row.moved_bytes or 0) + moved
    for row in rows.values():
        row.macs_share = (row.macs or 0) / (total * batch)
    return 1 - held / total


def shortened(module: str, depth: int | None) -> str:
    """The first ``depth`` names of a module's path; the model itself has a name of ours."""
    if not module:
        return WHOLE_MODEL
    return ".".join(module.split(".")[:depth])


def ran(layer: LayerFigures) -> str:
    """What ran, as the runtime names it: its kernel (``jit_avx2_FP32``), or else its operator."""
    return layer.kernel or layer.kind


def _kind(module: str, layer: LayerFigures, known: Mapping[str, ModuleWork]) -> str:
    return known[module].kind if module in known else layer.kind


def _add(values: list[str], value: str) -> None:
    if value and value not in values:
        values.append(value)


@dataclass(frozen=True)
class KindTime:
    """All modules of one kind together: ``Conv2d 3x3 depthwise``."""

    kind: str
    modules: int
    ms: float
    time_share: float
    macs_share: float | None


def by_kind(times: TimesByModule) -> list[KindTime]:
    """The modules of a table that goes down to each, by what they are; the longest first."""
    found: dict[str, list[ModuleTime]] = {}
    for row in times.modules:
        found.setdefault(row.kinds[0] if row.kinds else "", []).append(row)
    kinds = []
    for kind, rows in found.items():
        shares = [row.macs_share for row in rows if row.macs_share is not None]
        kinds.append(
            KindTime(
                kind=kind,
                modules=len(rows),
                ms=sum(row.ms for row in rows),
                time_share=sum(row.time_share for row in rows),
                macs_share=sum(shares) if shares else None,
            )
        )
    return sorted(kinds, key=lambda kind: -kind.ms)


def misplaced_share(times: TimesByModule) -> float | None:
    """The share of the time that lies elsewhere than the MACs do; None where those are unknown."""
    if times.lost_macs is None or not times.sum_ms:
        return None
    excesses = [row.excess for row in times.modules if row.excess is not None]
    return sum(excess for excess in excesses if excess > 0) + times.unmapped_ms / times.sum_ms


def where_macs_lie(times: TimesByModule) -> list[ModuleTime]:
    """The modules whose share of the time is most above their share of the MACs."""
    telling = [row for row in times.modules if (row.excess or 0.0) > TELLING_EXCESS]
    return sorted(telling, key=lambda row: -(row.excess or 0.0))[:MOST_NAMED]


@dataclass(frozen=True)
class ModulePair:
    """One module on both sides; None where no row of that side is called so."""

    module: str
    one: ModuleTime | None
    other: ModuleTime | None

    @property
    def difference_ms(self) -> float:
        """How much longer the other takes."""
        return (self.other.ms if self.other else 0.0) - (self.one.ms if self.one else 0.0)


def side_by_side(one: TimesByModule, other: TimesByModule) -> list[ModulePair]:
    """The modules of both, joined by name; the largest difference first."""
    names = dict.fromkeys([*one.by_name, *other.by_name])
    pairs = [ModulePair(name, one.by_name.get(name), other.by_name.get(name)) for name in names]
    return sorted(pairs, key=lambda pair: -abs(pair.difference_ms))


def reconciled(profile: LayerProfile) -> list[str]:
    """The sum of the layers beside the call without the profiler, in sentences."""
    gap_ms, plain_ms = profile.gap_ms, profile.plain_ms
    share = gap_ms / plain_ms
    lines = [
        f"layers {profile.layers_ms:.3f} ms, un-profiled call {plain_ms:.3f} ms, between them "
        f"{gap_ms:.3f} ms ({share:.1%}); window by window {min(profile.gaps_ms):.3f} to "
        f"{max(profile.gaps_ms):.3f} ms"
    ]
    cost_ms = profile.profiled_ms - plain_ms
    cost = cost_ms / plain_ms
    lines.append(
        f"with the profiler a call takes {profile.profiled_ms:.3f} ms ({cost:+.1%}): "
        f"its own cost is {cost_ms:.3f} ms"
    )
    together_ms = sum(layer.ms for layer in profile.layers)
    if abs(together_ms - profile.layers_ms) > MUCH * profile.layers_ms:
        lines.append(
            f"the medians of the layers sum to {together_ms:.3f} ms, the layers of the median "
            f"call to {profile.layers_ms:.3f} ms: other work hit now one layer, now another; look "
            f"again when the machine is left alone"
        )
    if share > MUCH:
        lines.append(
            "much of the call is spent outside every layer: in the framework between them, and "
            "in copies in and out"
        )
    if share < -MUCH and cost > MUCH:
        lines.append("the profiler slows the layers that it times: read their shares, not their ms")
    elif share < -MUCH:
        lines.append(
            "the layers sum to more than the call, and the profiler does not explain it: layers "
            "that run side by side, or a machine that changed between the windows"
        )
    return lines
