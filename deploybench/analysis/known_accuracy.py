"""The accuracies that a workspace knows of its artifacts, where they may take the place of parity.

See :mod:`deploybench.analysis.accepted` for when one does.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property

from deploybench.analysis.accepted import Used, evidence_for, processor_of
from deploybench.artifacts.acceptance import Evidence, acceptance_arguments
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.parity import ParityReport
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts.registry import recorded_distributions, runners
from deploybench.hardware.devices import CPU, CUDA
from deploybench.hardware.host import Host, describe_host
from deploybench.results.record import Record
from deploybench.results.store import evaluations_in
from deploybench.versions import installed_versions


@dataclass(frozen=True)
class Acceptance:
    """What may be lost, and where the evaluations lie that say what was; they are read once."""

    workspace: Workspace
    max_drop: float

    @cached_property
    def _evaluations(self) -> list[Record]:
        return evaluations_in(self.workspace.records_folder)

    @cached_property
    def _host(self) -> Host:
        return describe_host(recorded_distributions())

    def evidence(self, artifact: Artifact, runner: str, device: str, precision: str) -> Evidence:
        """What is known of the accuracy of that use of the artifact on this host."""
        plugin = runners()[runner].plugin
        used = Used(
            artifact_key=artifact.manifest.key,
            content_sha256=artifact.manifest.content_sha256,
            runner=runner,
            device=device,
            precision=precision,
            processor=processor_of(device, self._host),
            versions={} if plugin is None else installed_versions(plugin.distributions),
        )
        action = self._command(artifact, runner, device, precision)
        return evidence_for(used, self._evaluations, self.max_drop, action)

    def weighed(self, artifact: Artifact) -> ParityReport | None:
        """The parity in the artifact's manifest, with what is known of the accuracy of its runner
        where that may stand for it; None where nothing verified the artifact."""
        parity = artifact.manifest.parity
        name = artifact.manifest.parity_runner
        if parity is None or parity.passed or name is None:
            return parity
        plugin = runners()[name].plugin
        if plugin is None:
            return parity
        device = CPU if CPU in plugin.devices else CUDA
        precision = plugin.default_precision(artifact.manifest.precision, device)
        return parity.weighed(self.evidence(artifact, name, device, precision))

    def _command(self, artifact: Artifact, runner: str, device: str, precision: str) -> str:
        """What makes the evaluation that lacks."""
        words = ["deploybench", "evaluate", "--data", "FOLDER", "--artifact", str(artifact.path)]
        words += ["--runner", runner, "--precision", precision]
        if device != CPU:
            words += ["--device", device]
        words += acceptance_arguments(self.max_drop)
        words += ["--workspace", str(self.workspace.root)]
        return f"{shlex.join(words)}, with labelled images"
