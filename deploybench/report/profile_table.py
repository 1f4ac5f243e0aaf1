"""The profiles as a table, one of them explained to a person, and this host described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploybench.children.environment import in_words, said_of
from deploybench.hardware.gpus import Gpu
from deploybench.hardware.host import Host
from deploybench.hardware.precisions import PRECISIONS
from deploybench.hardware.profile import HOST, MismatchError, Profile, check_match, figures
from deploybench.plurals import counted
from deploybench.report.figures import good_or_bad, yes_or_no
from deploybench.report.table import Column, Prose, Report, Style, Table, table_of, texts

if TYPE_CHECKING:
    from deploybench.hardware.roof import MeasuredPeaks

UNITS = {
    "tflops": ("peak", "TFLOP/s"),
    "memory_gb_per_s": ("memory bandwidth", "GB/s"),
    "memory_gb": ("memory", "GB"),
    "cache_mb": ("on-chip cache", "MB"),
    "tdp_w": ("thermal design power", "W"),
}
"""The words and the unit of each peak."""
UNCONFIRMED = "unconfirmed: "
NO_PEAK = "its peak is not known: no bound, and no share of it"
MEASURED = "measured"


@dataclass(frozen=True)
class ProfileRow:
    """A profile, or the host itself: its peaks as they are written, and whether it is this
    machine."""

    name: str
    device: str
    tflops: str
    gb_per_s: str
    memory_gb: str
    here: bool
    hardware: str


PROFILE_COLUMNS = (
    Column[ProfileRow]("name", "name", lambda row: row.name),
    Column[ProfileRow]("device", "device", lambda row: row.device),
    Column[ProfileRow]("tflops_fp32", "TFLOP/s", lambda row: row.tflops, number=True),
    Column[ProfileRow]("memory_gb_per_s", "GB/s", lambda row: row.gb_per_s, number=True),
    Column[ProfileRow]("memory_gb", "GB", lambda row: row.memory_gb, number=True),
    Column[ProfileRow](
        "matches_host",
        "here",
        lambda row: yes_or_no(row.here),
        lambda row: row.here,
        style=lambda row: good_or_bad(row.here),
    ),
    Column[ProfileRow]("hardware", "hardware", lambda row: row.hardware, folds=True, priority=2),
)


def profiles_report(profiles: Sequence[Profile], host: Host) -> Report:
    """Every profile with whether it matches this host, then the host as its own profile."""
    rows = [_row(profile, _is_here(profile, host)) for profile in profiles]
    rows.append(_host_row(host))
    data = []
    for profile in profiles:
        data.append({**profile.model_dump(mode="json"), "matches_host": _is_here(profile, host)})
    return Report((table_of(PROFILE_COLUMNS, rows),), data)


def profile_report(profile: Profile) -> Report:
    """What it is, how it is recognised, its figures with sources, what runs on it."""
    peaks: list[tuple[str, ...]] = []
    stack: list[tuple[str, ...]] = []
    for name, value in figures(profile).items():
        source = _source(profile, name)
        if _base(name) in UNITS:
            peaks.append((*_peak(name, value), source))
        elif name.startswith(("stack.", "onnx.")):
            stack.append((name.removeprefix("stack."), str(value), source))
    title = Prose((f"{profile.name}: {profile.title}",), Style.STRONG)
    notes = []
    if profile.notes:
        notes.append(Prose(tuple(profile.notes)))
    sections = [
        _lines("Is it this machine?", _recognition(profile), ("by", "as"), headed=False),
        _lines("Its peaks, one device", peaks, ("figure", "value", "where it is from")),
        _lines(
            "Precisions",
            [_precision(profile, name) for name in PRECISIONS],
            ("precision", "runs", "why not"),
            headed=False,
        ),
        _lines("What to install for it", stack, ("what", "version", "why this one")),
    ]
    runners = _lines("Runners", _runners(profile), ("runner", "why not"), headed=False)
    shown = [section for section in sections if section.lines]
    return Report((title, *notes, *shown, runners), profile.model_dump(mode="json"))


def host_report(host: Host, peaks: MeasuredPeaks | None) -> Report:
    """The host as found, with its measured peaks."""
    data = {"host": host.model_dump(mode="json"), "peaks": None}
    if peaks is not None:
        data["peaks"] = peaks.model_dump(mode="json")
    return Report((host_section(host, extra=_peak_lines(peaks)),), data)


def host_section(host: Host, extra: Sequence[tuple[str, str]]) -> Table:
    """The host as found, a line a fact, ``extra`` ones at the end."""
    machine = "bare metal"
    if host.virtual_machine:
        machine = "virtual machine"
    cores = (
        f"{host.usable_cores} usable, {host.physical_cores} physical, {host.logical_cores} logical"
    )
    limits = _core_limits(host)
    if limits:
        cores += f": {limits}"
    memory = f"{host.memory_bytes / 2**30:.1f} GiB"
    if host.cache_bytes:
        memory += f", caches {host.cache_bytes / 2**20:.1f} MiB"
    facts = [
        ("cores", cores),
        ("instructions", ", ".join(host.isa)),
        ("memory", memory),
        ("system", f"{host.os}, kernel {host.kernel}, Python {host.python}"),
        *_gpu_facts(host),
        *_environment_facts(host),
        *extra,
    ]
    title = f"host: {host.cpu_model} ({host.cpu_vendor}), {machine}"
    return _lines(title, facts, ("fact", "value"), headed=False)


def _core_limits(host: Host) -> str:
    """What leaves fewer cores than the machine has, in words; nothing where nothing does."""
    limits = []
    cpus, cores = host.affinity_cpus, host.affinity_cores
    if cpus is not None and cpus < host.logical_cores:
        limits.append(f"the affinity mask has {cpus} of {counted(host.logical_cores, 'CPU')}")
    if cpus is not None and cores is not None and cores < cpus:
        limits.append(f"{cpus} CPUs are hardware threads of {counted(cores, 'core')}")
    if host.cpu_quota is not None:
        quota = f"the quota of {host.cpu_quota_source} is {counted(host.cpu_quota, 'CPU')}"
        if host.cpu_quota < 1:
            quota += ", so that one thread has to wait"
        elif host.cpu_quota != int(host.cpu_quota) and host.usable_cores <= host.cpu_quota:
            quota += ", of which whole ones count"
        limits.append(quota)
    return "; ".join(limits)


def _environment_facts(host: Host) -> list[tuple[str, str]]:
    """The user's variables that change numbers, and those that are cleared for the workers."""
    facts = []
    said = said_of(host.environment_kept or {})
    if said:
        facts.append(("environment", f"{in_words(said)}: reaches the workers"))
    if host.environment_cleared:
        words = f"{in_words(host.environment_cleared)}: cleared for the workers"
        facts.append(("" if said else "environment", words))
    return facts


def _gpu_facts(host: Host) -> list[tuple[str, str]]:
    """A line a GPU, of which the first has the heading; why there is none, where there is none."""
    if not host.gpus:
        return [("GPUs", host.gpu_note or "none")]
    facts = []
    heading = "GPUs"
    for number, gpu in enumerate(host.gpus):
        facts.append((heading, _gpu_line(number, gpu)))
        heading = ""
    return facts


def _is_here(profile: Profile, host: Host) -> bool:
    try:
        check_match(profile, host)
    except MismatchError:
        return False
    return True


def _row(profile: Profile, matches: bool) -> ProfileRow:
    peaks = profile.peaks
    return ProfileRow(
        name=profile.name,
        device=profile.device,
        tflops=f"{peaks.tflops.get('fp32', 0):g}",
        gb_per_s=f"{peaks.memory_gb_per_s:g}",
        memory_gb=f"{peaks.memory_gb:g}",
        here=matches,
        hardware=profile.title,
    )


def _host_row(host: Host) -> ProfileRow:
    device = "cpu"
    if host.gpus:
        device = "cpu, cuda"
    return ProfileRow(
        name=HOST,
        device=device,
        tflops=MEASURED,
        gb_per_s=MEASURED,
        memory_gb=f"{host.memory_bytes / 1e9:.0f}",
        here=True,
        hardware=host.cpu_model,
    )


def _lines(
    title: str,
    rows: Sequence[tuple[str, ...]],
    names: tuple[str, ...],
    *,
    headed: bool = True,
) -> Table:
    """Aligned texts under a title; the last column is running text."""

    def style(row: Any) -> Style:
        if row[-1].startswith(UNCONFIRMED):
            return Style.DOUBTFUL
        return Style.PLAIN

    titles = names
    if not headed:
        titles = ("",) * len(names)
    columns = texts(*zip(names, titles, strict=True))
    last = columns[-1]
    running = Column(last.key, last.title, last.show, folds=True, style=style)
    return table_of((*columns[:-1], running), rows, title=title)


def _peak_lines(peaks: MeasuredPeaks | None) -> list[tuple[str, str]]:
    if peaks is None:
        return [("peaks", "could not be measured")]
    gflops = ", ".join(f"{name} {value:g} GFLOP/s" for name, value in peaks.gflops.items())
    memory = f"copy {peaks.copy_gb_per_s:g} GB/s"
    if peaks.read_gb_per_s:
        memory += f", read {peaks.read_gb_per_s:g} GB/s"
    memory += f" ({counted(peaks.threads, 'thread')})"
    lines = [("measured peaks", f"{gflops}, {memory}"), ("method", peaks.method)]
    if peaks.disturbed:
        lines.append(("disturbed", f"{peaks.disturbed}: the peaks are too low"))
    return lines


def _runners(profile: Profile) -> list[tuple[str, ...]]:
    """Those that do not run on it, with the reasons; or the older form's list."""
    lacking = [
        (name, f"does not run: {reason}") for name, reason in profile.lacking_runners.items()
    ]
    if profile.runners is not None:
        return [(", ".join(profile.runners), ""), *lacking]
    others = "all"
    if lacking:
        others = "all others"
    return [*lacking, (others, f"that run on {profile.device}")]


def _recognition(profile: Profile) -> list[tuple[str, ...]]:
    """By what a machine is told to be this one."""
    lines: list[tuple[str, ...]] = []
    for name, value in profile.match.model_dump(exclude_none=True).items():
        lines.append((name.replace("_", " "), str(value)))
    if profile.driver is not None:
        lines.append(
            ("driver", f"{profile.driver.least} or newer; {_source(profile, 'driver.least')}")
        )
        if profile.driver.last_branch is not None:
            branch = f"R{profile.driver.last_branch}, newer branches do not have this GPU"
            source = _source(profile, "driver.last_branch")
            lines.append(("last driver branch", f"{branch}; {source}"))
    return lines


def _peak(name: str, value: float | str) -> tuple[str, str]:
    words, unit = UNITS[_base(name)]
    return (f"{name.partition('.')[2]} {words}".strip(), f"{value:g} {unit}")


def _base(name: str) -> str:
    return name.partition(".")[0]


def _source(profile: Profile, name: str) -> str:
    source = profile.sources.get(name, "")
    if name in profile.unconfirmed:
        return UNCONFIRMED + source
    return source


def _precision(profile: Profile, name: str) -> tuple[str, ...]:
    """The name, whether it runs on the hardware, and why not, or what is not known of it."""
    if name in profile.precisions and name in profile.peaks.tflops:
        return (name, yes_or_no(True), "")
    if name in profile.precisions:
        return (name, yes_or_no(True), NO_PEAK)
    return (name, yes_or_no(False), profile.lacking.get(name, ""))


def _gpu_line(number: int, gpu: Gpu) -> str:
    memory = f"{gpu.memory_bytes / 2**30:.1f} GiB"
    line = (
        f"cuda:{number} {gpu.name}, {memory}, capability {gpu.compute_capability}, driver "
        f"{gpu.driver}"
    )
    if gpu.provenance == "simulated":
        line += " (simulated: a double stands in for the driver)"
    return line
