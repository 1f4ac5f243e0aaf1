"""Whether what was asked for can be reached at all: before anything is exported for it in vain."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Runner
from deploybench.contracts.registry import exporters
from deploybench.errors import DeployBenchError
from deploybench.hardware.precisions import RUN
from deploybench.hardware.profile import Profile
from deploybench.plan.cells import Selection


def check_precisions(
    selection: Selection, present: Sequence[Artifact], profile: Profile | None
) -> None:
    """Raise DeployBenchError when none of the runners computes in any of the precisions asked for.

    A runner may start from an artifact that is ``present``, or from one that this host can export.
    Where one of several precisions is reached the run goes on, and rows say why the others are not.
    """
    if not selection.precisions:
        return
    reached = _reached(selection, present, profile)
    if reached & set(selection.precisions):
        return
    runners = ", ".join(entry.name for entry in selection.runners)
    wanted = " or ".join(selection.precisions)
    offered = " or ".join(precision for precision in RUN if precision in reached)
    expected = None
    if offered:
        expected = f"--precision {offered}"
    raise DeployBenchError(
        f"none of the runners of this run computes in {wanted} here: {runners}",
        expected=expected,
        action="choose another precision or --runner; deploybench backends lists what is there",
    )


def _reached(
    selection: Selection, present: Sequence[Artifact], profile: Profile | None
) -> set[str]:
    """Every precision that some runner computes in on some device of the run."""
    reached: set[str] = set()
    for entry in selection.runners:
        runner = entry.plugin
        if runner is None:
            continue
        sources = _precisions_written(runner)
        for artifact in present:
            if artifact.manifest.backend in runner.formats:
                sources.add(artifact.manifest.precision)
        for device in selection.devices_for(runner, profile):
            for source in sources:
                reached |= set(runner.precisions_on(device, source))
    return reached


def _precisions_written(runner: Runner) -> set[str]:
    """The precisions of the artifacts that this host can export for the runner."""
    written: set[str] = set()
    for backend in runner.formats & exporters().keys():
        entry = exporters()[backend]
        if entry.usable and entry.plugin is not None:
            written |= set(entry.plugin.precisions)
    return written
