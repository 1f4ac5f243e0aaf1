"""Profiles: named pieces of hardware. Each built-in one is a TOML file in ``profiles/``; ``host`` is this machine.

Peaks are per device: FLOP/s by precision (a multiply-add is 2 FLOP), bytes/s of memory, bytes of memory.
"""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from deploybench.artifact import Document
from deploybench.contracts import PRECISIONS
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.host import Gpu, Host

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOST = "host"


class Match(Document):
    """How to recognise the hardware: regular expressions, matched anywhere, without regard to case.

    ``compute_capability`` is compared as it stands: "8.6".
    """

    cpu_vendor: str | None = None
    cpu_model: str | None = None
    gpu_name: str | None = None
    compute_capability: str | None = None


class Peaks(Document):
    """``tflops`` by precision: 1e12 FLOP/s; ``memory_gb_per_s``: 1e9 bytes/s; ``memory_gb``: 1e9 bytes."""

    tflops: dict[str, Annotated[float, Field(gt=0)]]
    memory_gb_per_s: float = Field(gt=0)
    memory_gb: float = Field(gt=0)


class OnnxTarget(Document):
    """What ONNX files the target's runtimes read."""

    opset: int
    ir_version: int


class Profile(Document):
    """A named piece of hardware."""

    name: str
    title: str
    device: Literal["cpu", "cuda"]
    match: Match
    peaks: Peaks
    precisions: tuple[str, ...]
    runners: tuple[str, ...]
    onnx: OnnxTarget | None = None
    stack: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def gpu_gflops(self) -> dict[str, float]:
        """The GPU's peaks by precision in GFLOP/s; empty for a CPU, whose peaks are measured."""
        return {name: 1e3 * peak for name, peak in self.peaks.tflops.items()} if self.device == "cuda" else {}


class MismatchError(DeployBenchError):
    """This host is not the hardware that a profile names."""


def profile_names() -> list[str]:
    """The built-in profiles; ``host`` is generated and not among them."""
    folder = files("deploybench.profiles")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_profile(name: str) -> Profile:
    """A built-in profile by name, or one from a TOML file by path."""
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return parse_profile(path.read_text(), str(path))
    known = profile_names()
    if name not in known:
        raise unknown_name("profile", name, [*known, HOST], action="deploybench profiles lists them")
    return parse_profile((files("deploybench.profiles") / f"{name}.toml").read_text(), f"{name}.toml")


def parse_profile(text: str, origin: str) -> Profile:
    """Read and validate a profile. Raises DeployBenchError with the first field that is wrong."""
    try:
        profile = Profile.model_validate(tomllib.loads(text))
        _check_names(profile, origin)
        for pattern in profile.match.model_dump(exclude_none=True).values():
            re.compile(pattern)
    except (tomllib.TOMLDecodeError, re.error) as error:
        raise DeployBenchError(
            f"{origin} is not a valid profile: {error}", expected="a profile as profiles/*.toml"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DeployBenchError(
            f"{origin} is not a valid profile: {field}: {first['msg']}", expected="a profile as profiles/*.toml"
        ) from None
    return profile


def _check_names(profile: Profile, origin: str) -> None:
    """Refuse a profile that any machine would match, or that has a precision nobody knows."""
    rule = profile.match
    needed = (rule.cpu_vendor or rule.cpu_model) if profile.device == "cpu" else rule.gpu_name
    if needed is None:
        field = "cpu_vendor or cpu_model" if profile.device == "cpu" else "gpu_name"
        raise DeployBenchError(f"{origin} matches any machine", expected=f"{field} under [match]")
    for name in (*profile.precisions, *profile.peaks.tflops):
        if name not in PRECISIONS:
            raise unknown_name("precision", name, PRECISIONS, action=f"correct {origin}")


def check_match(profile: Profile, host: Host) -> None:
    """Raise MismatchError, with what was found and what was expected, unless the host is what the profile names."""
    rule = profile.match
    if profile.device == "cpu":
        found = f"CPU {host.cpu_model} ({host.cpu_vendor})"
        fits = _fits(rule.cpu_vendor, host.cpu_vendor) and _fits(rule.cpu_model, host.cpu_model)
    else:
        found = ", ".join(f"GPU {gpu.name} (compute capability {gpu.compute_capability})" for gpu in host.gpus)
        found = found or f"no CUDA device: {host.gpu_note}"
        fits = any(gpu_fits(profile, gpu) for gpu in host.gpus)
    if fits:
        return
    raise MismatchError(
        f"this host has {found}",
        expected=f"{profile.title}: {_described(rule)}",
        action=f"measure this machine with --profile {HOST}; for {profile.name} numbers, copy the workspace to a "
        f"machine that has it and type the same command there",
    )


def gpu_fits(profile: Profile, gpu: Gpu) -> bool:
    """Whether the GPU is the hardware that the profile names."""
    rule = profile.match
    return _fits(rule.gpu_name, gpu.name) and rule.compute_capability in (None, gpu.compute_capability)


def _fits(pattern: str | None, text: str) -> bool:
    return pattern is None or re.search(pattern, text, re.IGNORECASE) is not None


def _described(rule: Match) -> str:
    words = {key.replace("_", " "): value for key, value in rule.model_dump(exclude_none=True).items()}
    return ", ".join(f"{key} {value}" for key, value in words.items())
