"""The table of an export: a row an artifact, with its parity, or the cause of the failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploybench.data.assumptions import UNDESCRIBED, advice_on, assumption_of, assumptions_in
from deploybench.files import from_here
from deploybench.report.figures import MIB
from deploybench.report.meaning_text import meaning_data, meaning_lines
from deploybench.report.table import NOTHING, Column, Note, Prose, Report, Style, Table, table_of
from deploybench.results.cell import MIXED

if TYPE_CHECKING:
    from deploybench.artifacts.artifact import Manifest
    from deploybench.artifacts.parity import ParityReport
    from deploybench.artifacts.weights import Weights
    from deploybench.export.request import ExportResult


def export_report(results: Sequence[ExportResult]) -> Report:
    """The rows with what failed, then where the artifacts are."""
    columns = (
        Column["ExportResult"]("model", "model", lambda result: result.request.model.name),
        Column["ExportResult"]("backend", "backend", lambda result: result.request.backend),
        Column["ExportResult"]("precision", "prec", _precision),
        Column["ExportResult"]("state", "state", _state, folds=True, style=_state_style),
        Column["ExportResult"]("image_size", "px", _pixels),
        Column["ExportResult"]("batch", "batch", lambda result: str(_batch(result)), priority=2),
        Column["ExportResult"]("size_mib", "MB", _size, number=True, priority=2),
        Column["ExportResult"]("parity", "parity error", _parity, priority=3),
        Column["ExportResult"](
            "seconds", "s", lambda result: f"{result.seconds:.1f}", number=True, priority=3
        ),
    )
    several_sizes = len({_pixels(result) for result in results}) > 1
    shown = sorted(results, key=lambda result: (result.request.model.name, result.request.backend))
    table = table_of(
        [column for column in columns if several_sizes or column.key != "image_size"],
        shown,
        name=lambda result: f"{result.request.model.name} {result.request.backend}",
        notes=_notes,
        data=export_data,
    )
    sections: list[Table | Prose] = [table]
    paths = [str(result.artifact.path) for result in shown if result.artifact is not None]
    if paths:
        sections.append(Prose(tuple(paths), Style.FAINT, verbatim=True))
    assumed = _assumed(shown)
    if assumed:
        sections.append(Prose(tuple(assumed), Style.DOUBTFUL))
    drawn = dict.fromkeys(_drawn_weights(result) for result in shown)
    drawn.pop(None, None)
    if drawn:
        sections.append(Prose(tuple(text for text in drawn if text)))
    meanings = meaning_lines(shown)
    if meanings:
        sections.append(Prose(tuple(meanings)))
    # Exports of one model have the same remarks: each is made once.
    remarks = dict.fromkeys(_weights_line(result) for result in shown)
    remarks |= dict.fromkeys(_own_images_line(result) for result in shown)
    remarks |= dict.fromkeys(_calibration_line(result) for result in shown)
    remarks |= dict.fromkeys(result.remark for result in shown if result.remark)
    remarks.pop("", None)
    if remarks:
        sections.append(Prose(tuple(remarks)))
    return Report(tuple(sections), [export_data(result) for result in results])


def _drawn_weights(result: ExportResult) -> str | None:
    """What is said of a factory that draws its weights."""
    manifest = _manifest(result)
    if manifest is None or manifest.built is None or not manifest.built.random:
        return None
    if manifest.weights.kind != "factory":
        return None
    return (
        f"{manifest.model.name} draws its weights, other ones from another seed: they are exported "
        "as they come from seed 0"
    )


def export_data(result: ExportResult) -> dict[str, object]:
    """One export, as ``--json`` prints it."""
    manifest = _manifest(result)
    error = None
    if result.error is not None:
        error = str(result.error)
    return {
        "model": result.request.model.name,
        "backend": result.request.backend,
        "precision": result.request.precision,
        "kept_fp32": _kept(result),
        "batch": _batch(result),
        "artifact": _path(result),
        **_manifest_data(manifest),
        "parity_accepted": result.accepted or None,
        **meaning_data(manifest),
        "reused": result.reused,
        "remark": result.remark,
        "seconds": round(result.seconds, 1),
        "error": error,
    }


def _kept(result: ExportResult) -> list[str]:
    """The layers that stay in float in an int8 artifact."""
    manifest = _manifest(result)
    return [] if manifest is None else list(manifest.kept_fp32)


def _precision(result: ExportResult) -> str:
    """With layers in float it is int8-mixed."""
    if _kept(result):
        return f"{result.request.precision}-{MIXED}"
    return result.request.precision


def _weights_line(result: ExportResult) -> str:
    """What became of the checkpoint's tensors; empty without a checkpoint."""
    manifest = _manifest(result)
    if manifest is None or not manifest.weights.summary:
        return ""
    source = from_here(manifest.weights.source)
    return f"{manifest.model.name}, {source}: {manifest.weights.summary}"


def _own_images_line(result: ExportResult) -> str:
    """Which images of the user's the artifact was verified on; empty for none."""
    manifest = _manifest(result)
    if manifest is None or manifest.own_images is None:
        return ""
    return f"{manifest.model.name}: {manifest.own_images.summary}"


def _calibration_line(result: ExportResult) -> str:
    """What an int8 artifact was calibrated on, and which layers stay in float; empty for others."""
    manifest = _manifest(result)
    if manifest is None or manifest.calibration is None:
        return ""
    line = f"{manifest.model.name} {manifest.backend}: {manifest.calibration.words}"
    if "int8_range" in manifest.facts:
        line += f"; range {manifest.facts['int8_range']}"
    if manifest.kept_fp32:
        line += f"; in float: {', '.join(manifest.kept_fp32)}"
    return line


def _manifest_data(manifest: Manifest | None) -> dict[str, object]:
    """What the manifest says of the weights, the size and the parity of an artifact."""
    if manifest is None:
        return {
            "weights": None,
            "weights_loading": None,
            "size_bytes": None,
            "facts": None,
            "assumed": None,
            "verified": False,
            "adopted": None,
            "parity_max_error": None,
            "parity_budget": None,
            "parity_note": None,
            "parity_weak": None,
            "own_images": None,
        }
    max_error, budget, weak = None, None, None
    own_images = None
    if manifest.own_images is not None:
        own_images = manifest.own_images.model_dump(mode="json")
    if manifest.parity is not None:
        weak = manifest.parity.weak
        max_error, budget = manifest.parity.max_error, manifest.parity.budget_error
    return {
        "weights": manifest.weights.label,
        "weights_loading": _loading_data(manifest.weights),
        "size_bytes": manifest.size_bytes,
        "facts": manifest.facts,
        "assumed": list(assumptions_in(manifest)),
        "verified": manifest.verified,
        "adopted": None if manifest.adopted is None else manifest.adopted.agreement,
        "parity_max_error": max_error,
        "parity_budget": budget,
        "parity_note": manifest.parity_note,
        "parity_weak": weak,
        "own_images": own_images,
    }


def _assumed(results: Sequence[ExportResult]) -> list[str]:
    """A line for each thing that was assumed, with what to type instead; its models, if not all."""
    models: dict[str, list[str]] = {}
    for result in results:
        manifest = _manifest(result)
        if manifest is None:
            continue
        for sentence in assumptions_in(manifest):
            line = sentence
            if sentence == assumption_of(manifest.preprocessing):
                line += f"; {_advice_on_images(manifest)}"
            if sentence == UNDESCRIBED:
                line += "; --force exports it again"
            models.setdefault(line, []).append(result.request.model.name)
    everybody = {result.request.model.name for result in results}
    lines = []
    for line, names in models.items():
        whose = dict.fromkeys(names)
        if len(whose) < len(everybody):
            lines.append(f"{', '.join(whose)}: {line}")
        else:
            lines.append(line)
    return lines


def _advice_on_images(manifest: Manifest) -> str:
    advice = advice_on(manifest.preprocessing)
    if manifest.adopted is None:
        return advice
    return advice.replace("or a pretrained_cfg of the module", "or --preprocessing FILE.json")


def _loading_data(weights: Weights) -> dict[str, object] | None:
    """The counts of a checkpoint that was loaded; None without one."""
    if weights.loaded is None:
        return None
    loading = weights.model_dump(mode="json", exclude={"kind", "source", "sha256"})
    return {**loading, "summary": weights.summary}


def _manifest(result: ExportResult) -> Manifest | None:
    if result.artifact is None:
        return None
    return result.artifact.manifest


def _path(result: ExportResult) -> str | None:
    if result.artifact is None:
        return None
    return str(result.artifact.path)


def _batch(result: ExportResult) -> int | str:
    return result.request.batch or "dynamic"


def _pixels(result: ExportResult) -> str:
    """The sizes that were asked for; empty where the model's own were."""
    from deploybench.data.image_size import short_text

    model = result.request.model
    if model.image_size is not None:
        return short_text(model.image_size, model.patch_size)
    if model.patch_size:
        return f"/{model.patch_size}"
    return ""


def _size(result: ExportResult) -> str:
    manifest = _manifest(result)
    if manifest is None:
        return NOTHING
    return f"{manifest.size_bytes / MIB:.1f}"


def _parity(result: ExportResult) -> str:
    manifest = _manifest(result)
    if manifest is None:
        return NOTHING
    parity = manifest.parity
    if parity is None:
        return "not checked"
    if result.accepted:
        return "by accuracy"
    if parity.max_error is None:
        return "NaN, Inf or shape"
    return f"{parity.max_error:.0e} (≤ {parity.budget_error:.0e})"


def _state(result: ExportResult) -> str:
    if result.artifact is None:
        return "FAILED"
    if not result.ok:
        return "INVALID"
    manifest = result.artifact.manifest
    state = manifest.verified_words
    if result.accepted:
        state = "accepted"
    if not state:
        return _unverified(manifest)
    if result.reused:
        state += ", already there"
    return state


def _unverified(manifest: Manifest) -> str:
    """The state of what no runner here could check."""
    if manifest.weights.random_words:
        return f"not run here, {manifest.weights.random_words}"
    return "not run here"


def _state_style(result: ExportResult) -> Style:
    if result.artifact is None or not result.ok:
        return Style.BAD
    manifest = result.artifact.manifest
    if manifest.parity is None or manifest.parity.weak or manifest.weights.random_words:
        return Style.DOUBTFUL
    return Style.GOOD


def _notes(result: ExportResult) -> list[Note]:
    """Why an artifact is missing, is not used, or was not checked."""
    if result.error is not None:
        reason = result.error.found
        if result.error.expected:
            reason += f"; expected: {result.error.expected}"
        return [Note(reason, advice=result.error.action or "")]
    manifest = _manifest(result)
    if manifest is None:
        return []
    if manifest.parity is not None and manifest.parity.passed and manifest.parity.weak:
        return [
            Note(
                f"parity is weak on this model: {manifest.parity.weak}",
                advice=_advice_on_weakness(manifest),
            )
        ]
    if manifest.verified:
        return []
    if result.accepted:
        return [Note(f"accepted by accuracy: {result.accepted}")]
    if result.ok:
        return [Note(manifest.parity_note or "")]
    return [_note_on_failure(manifest, result.parity)]


def _note_on_failure(manifest: Manifest, parity: ParityReport | None) -> Note:
    """Of an artifact that failed parity: what it takes for it to be timed, if anything does."""
    reason = f"parity: {manifest.parity_note}; the artifact is kept and will not be timed"
    if parity is None or (parity.why_never_accepted and parity.accuracy is None):
        return Note(reason)
    if parity.accuracy is not None:
        reason += f"; not accepted by accuracy: {parity.accuracy.words}"
        return Note(reason, advice=parity.accuracy.action)
    advice = "let its accuracy decide: --accept-by accuracy of evaluate and run"
    if manifest.calibration is not None:
        advice = (
            "calibrate on more images, as different as those that it will see; keep the layers "
            f"that lose most in float: --keep-fp32 auto; or {advice}"
        )
    return Note(reason, advice=advice)


def _advice_on_weakness(manifest: Manifest) -> str:
    if manifest.adopted is not None:
        return "say how its images are prepared: --mean and --std, or --value-range"
    if manifest.own_images is None:
        return "export trained weights, or add --reference-images with images of your own"
    return (
        "the images that were given do not help: give --reference-images others, or export trained "
        "weights"
    )
