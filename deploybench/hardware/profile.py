"""Profiles: named pieces of hardware.

Each built-in one is a TOML file in ``profiles/``; ``host`` is this machine.

Peaks are per device: FLOP/s by precision (a multiply-add is 2 FLOP), bytes/s of memory, bytes of
memory. Each figure has its source under ``[sources]``, by the name that :func:`figures` gives it;
``unconfirmed`` names those that nobody has looked up. A profile is one file: ``deploybench profiles
new`` writes one of the machine at hand.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from deploybench.documents import Document, first_error
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.hardware.devices import CPU, CUDA
from deploybench.hardware.gpus import Gpu
from deploybench.hardware.host import Host
from deploybench.hardware.patterns import check_pattern, found_in
from deploybench.hardware.precisions import PRECISIONS
from deploybench.untrusted import read_text
from deploybench.versions import comparable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOST = "host"
MOST_PROFILE_BYTES = 256 << 10
MOST_DOTS = 100
"""In a line. A key of thousands of parts (``a.a.a = 1``) takes the reader of TOML minutes and
gigabytes."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Match(Document):
    """How to recognise the hardware: regular expressions, matched anywhere, without regard to case.

    ``compute_capability`` is compared as it stands: "8.6".
    """

    cpu_vendor: str | None = None
    cpu_model: str | None = None
    gpu_name: str | None = None
    compute_capability: str | None = None


class Driver(Document):
    """NVIDIA's drivers for the hardware.

    ``least`` is the oldest version that the stack runs on, ``last_branch`` the last one that still
    has the GPU, if newer ones do not.
    """

    least: str = Field(pattern=r"^\d+(\.\d+)*$")
    last_branch: int | None = Field(default=None, ge=1, le=100_000)


class Peaks(Document):
    """What the hardware can do at most, by data sheet or by measurement.

    ``tflops`` by precision: 1e12 FLOP/s; ``memory_gb_per_s``: 1e9 bytes/s; ``memory_gb``: 1e9
    bytes; ``cache_mb``: 1e6 bytes that stay on the chip from one call to the next; ``tdp_w``: watts
    of thermal design power.
    """

    tflops: dict[str, Positive]
    memory_gb_per_s: Positive
    memory_gb: Positive
    cache_mb: float = Field(0.0, ge=0, allow_inf_nan=False)
    tdp_w: Positive | None = None


class OnnxTarget(Document):
    """What ONNX files the target's runtimes read."""

    opset: int = Field(ge=1, le=1000)
    ir_version: int = Field(ge=1, le=1000)


class Profile(Document):
    """A named piece of hardware.

    ``precisions`` are what runs on it; ``lacking`` says of the others why they do not.
    ``lacking_runners`` says of runners why they do not run on it, as far as that is not told by the
    device. ``runners`` is the older form: all of the built-in ones that run on it.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str = Field(max_length=200)
    device: Literal["cpu", "cuda"]
    match: Match
    peaks: Peaks
    precisions: tuple[str, ...]
    lacking: dict[str, str] = Field(default_factory=dict)
    lacking_runners: dict[str, str] = Field(default_factory=dict)
    runners: tuple[str, ...] | None = None
    driver: Driver | None = None
    onnx: OnnxTarget | None = None
    stack: dict[str, str] = Field(default_factory=dict)
    sources: dict[str, str] = Field(default_factory=dict)
    unconfirmed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def export_options(self) -> dict[str, int]:
        """The options of exporters, by name, for files that this hardware's runtimes read."""
        if self.onnx is None:
            return {}
        return self.onnx.model_dump()

    def why_no(self, precision: str) -> str:
        """Why the hardware does not run that precision."""
        statement = f"{self.name} has no {precision} arithmetic"
        reason = self.lacking.get(precision)
        if reason:
            statement += f": {reason}"
        return statement

    def why_no_runner(self, name: str, *, built_in: bool) -> str | None:
        """Why the runner of that name does not run on the hardware, or None.

        A list of ``runners`` speaks of the ``built_in`` ones only.
        """
        reason = self.lacking_runners.get(name)
        if reason is not None:
            return f"{name} does not run on {self.name}: {reason}"
        if self.runners is not None and built_in and name not in self.runners:
            return f"{name} is not among the runners of {self.name}: {', '.join(self.runners)}"
        return None


class MismatchError(DeployBenchError):
    """This host is not the hardware that a profile names."""


def figures(profile: Profile) -> dict[str, float | str]:
    """Each figure that may have a source, by its name.

    Such as ``tflops.fp32``, ``memory_gb``, ``driver.least``, ``stack.torch``.
    """
    values: dict[str, float | str] = _prefixed("tflops", profile.peaks.tflops)
    values |= profile.peaks.model_dump(exclude={"tflops"}, exclude_none=True)
    if profile.driver is not None:
        values |= _prefixed("driver", profile.driver.model_dump(exclude_none=True))
    if profile.onnx is not None:
        values |= _prefixed("onnx", profile.onnx.model_dump(exclude_none=True))
    return values | _prefixed("stack", profile.stack)


def _prefixed(table: str, values: Mapping[str, float | str]) -> dict[str, float | str]:
    return {f"{table}.{name}": value for name, value in values.items()}


def profile_names() -> list[str]:
    """The built-in profiles; ``host`` is generated and not among them."""
    names = [file.name for file in files("deploybench.profiles").iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_profile(name: str) -> Profile:
    """A built-in profile by name, or one from a TOML file by path.

    Raises DeployBenchError for neither.
    """
    taken = [*profile_names(), HOST]
    if name in profile_names():
        file_name = f"{name}.toml"
        text = (files("deploybench.profiles") / file_name).read_text("utf-8")
        return parse_profile(text, file_name)
    if not name.endswith(".toml"):
        raise unknown_name("profile", name, taken, action="deploybench profiles lists them")
    profile = parse_profile(_text_of(name), name)
    if profile.name in taken:
        raise DeployBenchError(
            f"{name} calls itself {profile.name}", expected="a name that is not a built-in one's"
        )
    return profile


def _text_of(path: str) -> str:
    """The text of a profile's file. Raises DeployBenchError where it does not read."""
    try:
        return read_text(Path(path), MOST_PROFILE_BYTES)
    except OSError as error:
        cause = error.strerror
    except UnicodeDecodeError:
        cause = "it is not UTF-8"
    raise DeployBenchError(
        f"the profile {path} does not read: {cause}",
        action="deploybench profiles new writes one of this machine",
    )


def profile_of(gpu: Gpu) -> Profile | None:
    """The built-in profile of a GPU, or None."""
    for name in profile_names():
        profile = load_profile(name)
        if profile.device == CUDA and gpu_fits(profile, gpu):
            return profile
    return None


def parse_profile(text: str, origin: str) -> Profile:
    """Read and validate a profile. Raises DeployBenchError with the first field that is wrong."""
    try:
        profile = Profile.model_validate(_tables_in(text))
        _check_names(profile, origin)
        for pattern in profile.match.model_dump(exclude_none=True).values():
            check_pattern(pattern)
    except ValidationError as error:
        raise DeployBenchError(
            f"{origin} is not a valid profile: {first_error(error)}",
            expected="a profile as profiles/*.toml",
        ) from None
    except ValueError as error:
        raise DeployBenchError(
            f"{origin} is not a valid profile: {error}", expected="a profile as profiles/*.toml"
        ) from None
    return profile


def _tables_in(text: str) -> dict[str, object]:
    """What the TOML says. Raises ValueError for what is none, or no reader should be given."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MOST_DOTS:
            raise ValueError(f"line {number} has {line.count('.')} dots")
    try:
        tables: dict[str, object] = tomllib.loads(text)
    except RecursionError:
        raise ValueError("its values lie too deep within each other") from None
    return tables


def _check_names(profile: Profile, origin: str) -> None:
    """Refuse a profile that any machine would match, or with a name of nothing.

    The names are those of precisions and of figures.
    """
    if profile.device == CPU:
        pattern = profile.match.cpu_vendor or profile.match.cpu_model
        field = "cpu_vendor or cpu_model"
    else:
        pattern = profile.match.gpu_name
        field = "gpu_name"
    if not pattern:
        raise DeployBenchError(f"{origin} matches any machine", expected=f"{field} under [match]")
    for name in (*profile.precisions, *profile.lacking, *profile.peaks.tflops):
        if name not in PRECISIONS:
            raise unknown_name("precision", name, PRECISIONS, action=f"correct {origin}")
    for name in profile.lacking:
        if name in profile.precisions:
            raise DeployBenchError(
                f"{origin} has {name} and lacks it", expected=f"{name} in one of the two"
            )
    stated = figures(profile)
    for name in (*profile.sources, *profile.unconfirmed):
        if name not in stated:
            raise unknown_name("figure", name, stated, action=f"correct {origin}")


def check_match(profile: Profile, host: Host) -> None:
    """Raise MismatchError unless the host is the hardware that the profile names."""
    if profile.device == CUDA:
        _check_gpu(profile, host)
        return
    vendor_fits = _fits(profile.match.cpu_vendor, host.cpu_vendor)
    model_fits = _fits(profile.match.cpu_model, host.cpu_model)
    if not vendor_fits or not model_fits:
        raise _mismatch(profile, f"CPU {host.cpu_model} ({host.cpu_vendor})")


def gpu_fits(profile: Profile, gpu: Gpu) -> bool:
    """Whether the GPU is the hardware that the profile names."""
    if not _fits(profile.match.gpu_name, gpu.name):
        return False
    return profile.match.compute_capability in (None, gpu.compute_capability)


def _check_gpu(profile: Profile, host: Host) -> None:
    fitting = [gpu for gpu in host.gpus if gpu_fits(profile, gpu)]
    if not fitting:
        named = [
            f"GPU {gpu.name} (compute capability {gpu.compute_capability})" for gpu in host.gpus
        ]
        raise _mismatch(profile, ", ".join(named) or f"no CUDA device: {host.gpu_note}")
    driver = fitting[0].driver
    needed = profile.driver
    if needed is None or comparable(driver) >= comparable(needed.least):
        return
    expected = f"{needed.least} or newer, for the stack of {profile.name}"
    action = "install the newest driver"
    if needed.last_branch is not None:
        expected += f", the last that has this GPU: R{needed.last_branch}"
        action += f" of branch R{needed.last_branch}"
    raise MismatchError(
        f"this host has the NVIDIA driver {driver}", expected=expected, action=action
    )


def _mismatch(profile: Profile, present: str) -> MismatchError:
    action = (
        f"measure this machine with --profile {HOST}; for {profile.name} numbers, copy the "
        "workspace to a machine that has it and type the same command there"
    )
    if profile.driver is not None and profile.driver.last_branch is not None:
        branch = profile.driver.last_branch
        action += f"; if the card is in this machine: drivers after branch R{branch} do not show it"
    return MismatchError(
        f"this host has {present}",
        expected=f"{profile.title}: {_described(profile.match)}",
        action=action,
    )


def _fits(pattern: str | None, text: str) -> bool:
    return pattern is None or found_in(pattern, text)


def _described(rule: Match) -> str:
    patterns = rule.model_dump(exclude_none=True).items()
    return ", ".join(f"{field.replace('_', ' ')} {pattern}" for field, pattern in patterns)
