"""Which runners, which devices, which artifacts and which missing exports a run is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.naming import artifacts_named, newest_of_each
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, runner, runners
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.hardware.allocators import check_allocator, check_huge_pages
from deploybench.hardware.devices import CPU, CUDA, Device, kind_of
from deploybench.hardware.host import Host, check_present
from deploybench.hardware.profile import HOST, Profile, gpu_fits
from deploybench.plan.cells import Planned, Selection, Sizes
from deploybench.results.cell import CellOptions


def select_runners(names: Sequence[str], devices: Sequence[str] = (CPU,)) -> list[Entry[Runner]]:
    """The named runners, usable or not; without names every usable one that has one of ``devices``.

    The reference comes first. Raises DeployBenchError where there is none, or none of the named
    ones is usable: with the cause and the remedy of the first.
    """
    if names:
        chosen = [runner(name) for name in names]
        for entry in chosen:
            if entry.plugin is None:
                entry.require()
        if not any(entry.usable for entry in chosen):
            chosen[0].require()
        return chosen
    usable = [
        entry for entry in runners().values() if entry.usable and runs_on(entry.plugin, devices)
    ]
    if not usable:
        raise DeployBenchError(
            f"no runner works on {' or '.join(devices)} of this host",
            action='pip install "deploybench[cpu]"; deploybench doctor says more',
        )
    return sorted(usable, key=lambda entry: not (entry.plugin and entry.plugin.reference))


def select_devices(asked: Sequence[str], profile: Profile | None, host: Host) -> list[str]:
    """The devices of a run: those asked for, else the first that the profile names, else the CPU.

    Raises DeployBenchError for a device that this host does not have, or that is not what the
    profile names.
    """
    if profile is None or profile.device == CPU:
        check_present(asked, host)
        others = [device for device in asked if device != CPU]
        if profile is not None and others:
            raise DeployBenchError(
                f"--device {others[0]} with --profile {profile.name}, which is a CPU",
                expected="--device cpu, or the profile of the GPU",
                action=f"measure the GPU of this machine with --profile {HOST} --device "
                f"{others[0]}",
            )
        return list(asked) or [CPU]
    fitting = [
        str(Device(CUDA, index)) for index, gpu in enumerate(host.gpus) if gpu_fits(profile, gpu)
    ]
    for device in asked:
        if device not in fitting:
            raise DeployBenchError(
                f"--device {device} with --profile {profile.name}",
                expected=f"{profile.title}, here {' or '.join(fitting)}",
                action=f"leave --device out, or measure with --profile {HOST} --device {device}",
            )
    return list(asked) or fitting[:1]


def select_artifacts(
    workspace: Workspace,
    models: Sequence[str],
    paths: Sequence[Path],
    sizes: Sizes,
    *,
    explained: bool,
) -> list[Artifact]:
    """The named artifacts, or the newest of each kind in the workspace, of the named models and
    sizes if any.

    ``paths`` are folders of artifacts, or short names and patterns of the workspace's artifacts.

    Raises DeployBenchError when there is nothing to run, unless other rows have ``explained`` that.
    """
    if paths:
        if sizes != Sizes():
            raise DeployBenchError(
                "--image-size and --patch-size beside --artifact",
                expected="sizes choose among the artifacts of a model",
            )
        return named_artifacts(workspace, paths)
    artifacts = [
        artifact for artifact in newest_of_each(workspace.artifacts()) if sizes.include(artifact)
    ]
    if models:
        artifacts = [item for item in artifacts if item.manifest.model.name in models]
        artifacts.sort(key=lambda artifact: models.index(artifact.manifest.model.name))
    if not artifacts and not explained:
        of_models = ""
        if models:
            of_models = f" of {', '.join(models)}"
        of_that_size = ""
        if sizes != Sizes():
            of_that_size = " in that size"
        raise DeployBenchError(
            f"the workspace {workspace.root} holds no artifact{of_models}{of_that_size} to run",
            action="deploybench export --model NAME, or deploybench run --model NAME, with the "
            "same sizes",
        )
    return _grouped_by_weights(artifacts)


def newest_artifacts(workspace: Workspace) -> list[Artifact]:
    """The newest artifact of each kind in the workspace."""
    return newest_of_each(workspace.artifacts())


def check_options(selection: Selection) -> None:
    """Raise DeployBenchError for an option of cells that none of the runners obeys.

    Such a run would measure nothing that differs from one without the option. The same for an
    allocator that this host lacks, and for huge pages where its kernel gives none.
    """
    check_allocator(selection.options.allocator)
    check_huge_pages(selection.options.huge_pages, selection.options.allocator)
    check_obeyed(selection)


def check_obeyed(selection: Selection) -> None:
    """As :func:`check_options`, for cells of other hosts: what this one lacks is no matter."""
    declared = selection.options.declared()
    names = ", ".join(entry.name for entry in selection.runners)
    for field in selection.options.chosen_options:
        if any(_obeys(entry, field, selection.devices) for entry in selection.runners):
            continue
        option = declared[field]
        obeying = " or ".join(name for name, entry in runners().items() if _obeys(entry, field))
        raise DeployBenchError(
            f"none of {names} obeys {option.flag} ({option.title})",
            expected=f"{option.flag} with {obeying or 'a runner that obeys it'} among the runners",
            action=f"deploybench backends says what they need; or leave out {option.flag}",
        )


def check_baseline(name: str, selection: Selection) -> None:
    """Raise DeployBenchError unless the runner of that name takes part."""
    (baseline,) = select_runners([name])
    measured = [entry.name for entry in selection.runners]
    if baseline.name not in measured:
        raise unknown_name("baseline among the runners of this run", name, measured)


def check_baseline_planned(name: str, planned: Sequence[Planned]) -> None:
    """Raise DeployBenchError where the baseline has no cell because all artifacts were adopted.

    A file has no PyTorch model, and nothing can be exported from it for another runner.
    """
    adopted = [cell for cell in planned if cell.artifact.manifest.adopted is not None]
    if not planned or len(adopted) < len(planned):
        return
    if any(cell.cell.runner == name for cell in planned):
        return
    models = dict.fromkeys(cell.cell.model for cell in adopted)
    raise DeployBenchError(
        f"--baseline {name}, and {', '.join(models)} was adopted from a file: there is no {name} "
        "artifact of it",
        expected=f"one of {', '.join(dict.fromkeys(cell.cell.runner for cell in planned))}",
        action="leave --baseline out, or name one of these",
    )


def _obeys(entry: Entry[Runner], field: str, devices: Sequence[str] = ()) -> bool:
    """Whether the runner obeys the option, on one of the devices where any are named."""
    if entry.plugin is None:
        return False
    if field in CellOptions.of_process():
        return True
    if not devices:
        return field in entry.plugin.cell_options
    return any(field in entry.plugin.options_on(device) for device in devices)


def named_artifacts(workspace: Workspace, names: Sequence[Path]) -> list[Artifact]:
    """The artifacts that the names mean, each once."""
    by_path: dict[Path, Artifact] = {}
    for name in names:
        for artifact in artifacts_named(name, workspace):
            by_path.setdefault(artifact.path.resolve(), artifact)
    return list(by_path.values())


def nothing_to_run(artifacts: Sequence[Artifact], selection: Selection) -> DeployBenchError:
    """The refusal of a selection in which no runner takes any artifact."""
    formats = sorted({artifact.manifest.backend for artifact in artifacts})
    names = ", ".join(entry.name for entry in selection.runners)
    readable: set[str] = set()
    for entry in selection.runners:
        if entry.plugin is not None:
            readable |= set(entry.plugin.formats)
    action = "deploybench run --model NAME exports what is missing"
    if artifacts and all(artifact.manifest.adopted is not None for artifact in artifacts):
        action = (
            "they were adopted from files, from which nothing can be exported: adopt a file in "
            "that format, deploybench adopt FILE"
        )
    return DeployBenchError(
        f"the artifacts are in {', '.join(formats)}, and {names} runs none of that",
        expected=f"artifacts in {', '.join(sorted(readable))}",
        action=action,
    )


def runs_on(runner: Runner | None, devices: Sequence[str]) -> bool:
    """Whether the runner can use one of the devices at least."""
    return runner is not None and any(kind_of(device) in runner.devices for device in devices)


def _grouped_by_weights(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The artifacts of one model with one set of weights together, in the order of appearance."""
    groups: dict[tuple[str, str], list[Artifact]] = {}
    for artifact in artifacts:
        weights = (artifact.manifest.model.name, artifact.manifest.weights.sha256)
        groups.setdefault(weights, []).append(artifact)
    return [artifact for group in groups.values() for artifact in group]


def idle_runners(names: Sequence[str], planned: Sequence[Planned]) -> tuple[str, ...]:
    """The named runners that have no cell: no artifact is in a format of theirs."""
    busy = {cell.cell.runner for cell in planned}
    return tuple(name for name in names if name not in busy)
