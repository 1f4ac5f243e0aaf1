"""The artifacts that can be chosen, and a process for each that was: loaded once, at rest between
two images."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.naming import newest_of_each, short_names
from deploybench.artifacts.signature import check_consent
from deploybench.artifacts.workspace import Workspace
from deploybench.children.resident import CAN_REST, Resident, ResidentLostError
from deploybench.contracts.registry import runners, unfit_for
from deploybench.demo.questions import Look, Looked, Ready, Seen, SideJob, SourceJob
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU
from deploybench.plurals import counted
from deploybench.results.cell import HOST_TO_HOST
from deploybench.results.store import latest_run, readable_records, timed

WORKER = "deploybench.demo.worker"
SOURCE_WORKER = "deploybench.demo.look_worker"
LOADING_LIMIT_S = 600.0
"""Loading may compile."""
LOOKING_LIMIT_S = 60.0
MOST_LOADED = 4
"""So many artifacts are held in memory; of more the one that was not used for longest goes."""


@dataclass(frozen=True)
class Choice:
    """One artifact on one runner, by the name that the page shows.

    ``measured`` is its time in the workspace's latest run, in words; empty where it has none.
    """

    name: str
    artifact: Artifact
    runner: str
    precision: str
    measured: str = ""


def choices_in(workspace: Workspace) -> list[Choice]:
    """Every verified artifact of the workspace with every runner of its format that works here.

    Raises DeployBenchError where there is none.
    """
    artifacts = newest_of_each(workspace.artifacts())
    names = short_names(artifacts)
    times = _times_in(workspace)
    choices = []
    for name, artifact in zip(names, artifacts, strict=True):
        manifest = artifact.manifest
        if manifest.parity is not None and not manifest.verified:
            continue
        for entry in runners().values():
            plugin = entry.plugin
            if plugin is None or manifest.backend not in plugin.formats:
                continue
            if unfit_for(plugin, CPU) or plugin.misfit(artifact, CPU, manifest.batch or 1):
                continue
            precision = plugin.default_precision(manifest.precision)
            title = f"{name} · {plugin.name} · {precision}"
            measured = times.get((manifest.key, plugin.name, precision), "")
            choices.append(Choice(title, artifact, plugin.name, precision, measured))
    if not choices:
        raise DeployBenchError(
            f"{workspace.root} holds no verified artifact that runs on this CPU",
            expected="one at least",
            action="deploybench export --model vit; deploybench list shows what is there",
        )
    return choices


def _times_in(workspace: Workspace) -> dict[tuple[str | None, str, str], str]:
    """Of the latest run: the time of one image from array to array on the CPU, by artifact, runner
    and precision."""
    run = latest_run(workspace.records_folder)
    if run is None:
        return {}
    times = {}
    for record in timed(readable_records(run)[0]):
        cell = record.cell
        usual = (cell.batch, cell.streams, cell.timing, cell.device) == (1, 1, HOST_TO_HOST, CPU)
        if record.summary is None or not usual or cell.chosen_options:
            continue
        state = record.summary.states[0]
        times[cell.artifact_key, cell.runner, cell.precision] = (
            f"measured: {state.p50_ms:.3g} ms with {counted(cell.threads, 'thread')} "
            f"on {record.host.hostname}, {state.judgement.verdict.value} (run {run.name})"
        )
    return times


def named(choices: Sequence[Choice], text: str) -> str:
    """The first choice whose name has the text in it. Raises DeployBenchError where none has."""
    for choice in choices:
        if text in choice.name:
            return choice.name
    raise DeployBenchError(
        f"no artifact that can be shown is called {text}",
        expected=f"a part of one of: {'; '.join(choice.name for choice in choices)}",
    )


class Sides:
    """The processes of the sides that were looked through; a context manager. It may be asked from
    several threads: one image is looked at after the other, so that no side slows another down."""

    def __init__(self, choices: Sequence[Choice], threads: int, trust: bool = False) -> None:
        if not CAN_REST:
            raise DeployBenchError(
                "this system cannot stop a process for a while",
                expected="Linux or macOS",
                action="deploybench predict prints the same without a page",
            )
        self._choices = {choice.name: choice for choice in choices}
        self._threads = threads
        self._trust = trust
        self._loaded: OrderedDict[str, Resident] = OrderedDict()
        self._lock = threading.Lock()

    def __enter__(self) -> Sides:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for resident in self._loaded.values():
                resident.close()
            self._loaded.clear()

    @property
    def names(self) -> list[str]:
        """What can be chosen."""
        return list(self._choices)

    def measured(self, name: str) -> str:
        """The time of that choice in the workspace's latest run, in words; empty without one."""
        choice = self._choices.get(name)
        return "" if choice is None else choice.measured

    def look(self, name: str, image: Path, top: int) -> Seen:
        """What the artifact of that name sees in the image; an error is said in the answer.

        A process that dies of an image is started anew for the next one.
        """
        choice = self._choices.get(name)
        if choice is None:
            return Seen(error=f"there is no {name}")
        question = Look(image=str(image), top=top)
        try:
            answer = self._ask(name, question, lambda: self._resident(choice))
        except DeployBenchError as error:
            return Seen(error=str(error))
        return Seen.model_validate_json(answer)

    def look_inside(self, name: str, image: Path) -> Looked:
        """What the PyTorch source of that artifact looks at in the image; why it cannot be told is
        said in the answer. Artifacts of one model with the same weights have one source."""
        choice = self._choices.get(name)
        if choice is None:
            return Looked(error=f"there is no {name}")
        question = Look(image=str(image), top=1)
        try:
            answer = self._ask(source_key(choice.artifact), question, lambda: self._source(choice))
        except DeployBenchError as error:
            return Looked(error=str(error))
        return Looked.model_validate_json(answer)

    def same_source(self, one: str, other: str) -> bool:
        """Whether both choices were made from the same model, with the same weights and images."""
        first, second = self._choices.get(one), self._choices.get(other)
        if first is None or second is None:
            return False
        return source_key(first.artifact) == source_key(second.artifact)

    def _ask(self, key: str, question: Look, process: Callable[[], Resident]) -> str:
        """The answer of the process of that key; one that failed is started anew for the next
        image. Raises DeployBenchError."""
        with self._lock:
            try:
                return process().ask(question.model_dump_json(), LOOKING_LIMIT_S)
            except ResidentLostError as lost:
                self._end(key)
                raise DeployBenchError(f"its process ended: {lost}") from None
            except DeployBenchError:
                self._end(key)
                raise

    def _resident(self, choice: Choice) -> Resident:
        if choice.name not in self._loaded and (
            self._trust or runners()[choice.runner].require().runs_code
        ):
            command = "deploybench demo --trust"
            check_consent([choice.artifact], trust=self._trust, command=command)
        job = SideJob(
            artifact=str(choice.artifact.path),
            runner=choice.runner,
            precision=choice.precision,
            threads=self._threads,
        )
        return self._process(choice.name, WORKER, job)

    def _source(self, choice: Choice) -> Resident:
        job = SourceJob(
            artifact=str(choice.artifact.path), threads=self._threads, trust=self._trust
        )
        return self._process(source_key(choice.artifact), SOURCE_WORKER, job)

    def _process(self, key: str, worker: str, job: SideJob | SourceJob) -> Resident:
        """The process of that key; started where it is not there, in place of the one that was not
        asked for longest."""
        running = self._loaded.get(key)
        if running is not None:
            self._loaded.move_to_end(key)
            return running
        while len(self._loaded) >= MOST_LOADED:
            _, oldest = self._loaded.popitem(last=False)
            oldest.close()
        threads = str(self._threads)
        resident = Resident(worker, {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads})
        self._loaded[key] = resident
        ready = Ready.model_validate_json(resident.ask(job.model_dump_json(), LOADING_LIMIT_S))
        if ready.refused is not None:
            raise DeployBenchError(ready.refused)
        return resident

    def _end(self, key: str) -> None:
        resident = self._loaded.pop(key, None)
        if resident is not None:
            resident.close()


def source_key(artifact: Artifact) -> str:
    """What artifacts of one source have in common: the model as it was asked for, its weights, and
    how images are prepared for it."""
    manifest = artifact.manifest
    parts = [manifest.request.get("model"), manifest.weights.sha256]
    parts.append(manifest.preprocessing.model_dump(mode="json"))
    return "source " + json.dumps(parts, sort_keys=True, default=str)
