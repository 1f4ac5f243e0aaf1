"""Which format a foreign file is of, and that it is one: told before anything in it is opened."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, runners
from deploybench.errors import DeployBenchError
from deploybench.files import from_here
from deploybench.models.checkpoint_files import HTML_STARTS, STARTS

LONGEST_HEAD = 4096
ZIP = b"PK\x03\x04"
XML_START = b"<?xml"
IR_SIGN = b"<net "
CHECKPOINTS = (".safetensors", ".ckpt", ".bin", ".pkl")
"""Suffixes of weights without a graph."""


def format_of(file: Path) -> tuple[Entry[Runner], str]:
    """The runner that looks into the file, and the file's format.

    Raises DeployBenchError for a file that is not there, is of no format that can be adopted, or is
    something else than its suffix says.
    """
    _check_there(file)
    _check_start(file)
    suffix = file.suffix.lower()
    entries = [
        entry
        for entry in runners().values()
        if entry.plugin is not None and suffix in entry.plugin.adopts
    ]
    if not entries:
        raise _unknown(file)
    # One that works here, and the one that is named like the format, first.
    entries.sort(key=lambda entry: (not entry.usable, _format(entry, suffix) != entry.name))
    entry = entries[0]
    kind = _format(entry, suffix)
    _check_content(file, kind)
    return entry, kind


def _format(entry: Entry[Runner], suffix: str) -> str:
    assert entry.plugin is not None  # those without were left out
    return entry.plugin.adopts[suffix]


def suffixes() -> dict[str, str]:
    """Every suffix that can be adopted, and the format that it means."""
    known: dict[str, str] = {}
    for entry in runners().values():
        if entry.plugin is not None:
            known.update(entry.plugin.adopts)
    return known


def _check_there(file: Path) -> None:
    shown = from_here(file)
    try:
        if file.is_dir():
            raise DeployBenchError(
                f"{shown} is a folder", expected="one file", action="name the file in it"
            )
        if not file.is_file():
            raise DeployBenchError(f"there is no file {shown}", action="check the path")
        empty = file.stat().st_size == 0
        with file.open("rb"):
            pass
    except OSError as error:
        raise DeployBenchError(
            f"{shown} cannot be read: {error.strerror}",
            action="check the permissions of the file and of the folders that it lies in",
        ) from None
    if empty:
        raise DeployBenchError(f"{shown} is empty (0 bytes)", action="copy or download it again")


def _check_start(file: Path) -> None:
    """Refuse what begins like something else, whatever it is called."""
    shown = from_here(file)
    with file.open("rb") as stream:
        head = stream.read(LONGEST_HEAD)
    for start, described, action in STARTS:
        if head.startswith(start):
            if start.startswith(b"version https://git-lfs"):
                described = "a Git LFS pointer: the file itself was not downloaded"
            raise DeployBenchError(
                f"{shown} is {described}", expected="the exported model itself", action=action
            )
    is_xml = head.lstrip().startswith(XML_START)
    if is_xml and IR_SIGN in head:
        if file.suffix.lower() != ".xml":
            raise DeployBenchError(
                f"{shown} is the graph of an OpenVINO IR, by its content",
                expected="a file that is called what it is: FILE.xml, and FILE.bin beside it",
                action="rename both",
            )
        return
    if head.lstrip()[:32].lower().startswith(HTML_STARTS):
        raise DeployBenchError(
            f"{shown} is a page of text in HTML or XML, no exported model",
            expected="the exported model itself",
            action="download it again: a login page may have come in its place",
        )


def _check_content(file: Path, kind: str) -> None:
    """Refuse an archive where a graph belongs, and the other way round."""
    with file.open("rb") as stream:
        is_zip = stream.read(len(ZIP)) == ZIP
    shown = from_here(file)
    if kind in ("torchscript", "torch-export"):
        if not is_zip:
            raise DeployBenchError(
                f"{shown} is no archive as PyTorch writes it, or only the end of one is left",
                expected="TorchScript of torch.jit.save, or a program of torch.export.save",
                action="get the file again; weights alone go to deploybench export --checkpoint",
            )
        _check_archive(file, kind, shown)
    elif is_zip:
        raise DeployBenchError(
            f"{shown} is a zip archive, as PyTorch writes TorchScript, programs and checkpoints",
            expected=f"a file in the format {kind}, as its suffix says",
            action="call it what it is: FILE.pt for TorchScript, FILE.pt2 for torch.export",
        )


def _check_archive(file: Path, kind: str, shown: str) -> None:
    """What a zip of PyTorch's is, by the names in it: nothing of it is unpickled."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DeployBenchError(
            f"{shown} is damaged or truncated: {error}",
            expected="a whole archive",
            action="copy or download it again, and compare its size with the original's",
        ) from None
    parts = {name.partition("/")[2] for name in names}
    script = "constants.pkl" in parts and any(part.startswith("code/") for part in parts)
    compiled = any("aotinductor" in name for name in names)
    program = any(
        name.endswith(".json") and ("models/" in name or "serialized_exported_program" in name)
        for name in names
    )
    is_kind: Mapping[str, bool] = {"torchscript": script, "torch-export": program and not compiled}
    if is_kind[kind]:
        return
    if compiled:
        described, action = (
            "a package of AOTInductor, compiled for one machine",
            "adopt the program that it was compiled from",
        )
    elif script:
        described, action = "TorchScript, by its content", "call it FILE.ts, and adopt that"
    elif program:
        described, action = (
            "a program of torch.export, by its content",
            "call it FILE.pt2, and adopt that",
        )
    else:
        described, action = (
            "a checkpoint or another pickle of PyTorch's: weights, and no graph to run",
            f"deploybench export --model NAME --checkpoint {shown}",
        )
    raise DeployBenchError(f"{shown} is {described}", expected=_expected(kind), action=action)


def _expected(kind: str) -> str:
    if kind == "torchscript":
        return "TorchScript of torch.jit.save"
    return "a program of torch.export.save"


def _unknown(file: Path) -> DeployBenchError:
    known = suffixes()
    words = ", ".join(f"{suffix} ({kind})" for suffix, kind in sorted(known.items()))
    action = "give the file the suffix of its format"
    suffix = file.suffix.lower()
    if suffix in CHECKPOINTS:
        action = "weights without a graph: deploybench export --model NAME --checkpoint FILE"
    if suffix == ".bin" and file.with_suffix(".xml").is_file():
        action = f"adopt the graph: deploybench adopt {from_here(file.with_suffix('.xml'))}"
    return DeployBenchError(
        f"{from_here(file)}: {suffix or 'a file without a suffix'} is no format that can be "
        "adopted",
        expected=words,
        action=action,
    )
