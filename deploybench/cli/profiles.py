"""``deploybench profiles``: the hardware that has a name, and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

app = typer.Typer(
    help="List the hardware profiles, show one, or write one of this machine.",
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
@guarded
def profiles(context: typer.Context, json: parse.JsonOption = False) -> None:
    """List the profiles and whether this host is one of them."""
    if context.invoked_subcommand is not None:
        return
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.hardware.host import describe_host
    from deploybench.hardware.profile import (
        HOST,
        MismatchError,
        check_match,
        load_profile,
        profile_names,
    )
    from deploybench.report.console import output_console
    from deploybench.report.tables import Cellular, print_json, print_table, state

    host = describe_host(recorded_distributions())
    rows = []
    for name in profile_names():
        profile = load_profile(name)
        try:
            check_match(profile, host)
            matches = True
        except MismatchError:
            matches = False
        rows.append((profile, matches))
    if json:
        print_json(
            [
                {**profile.model_dump(mode="json"), "matches_host": matches}
                for profile, matches in rows
            ]
        )
        return
    texts: list[list[Cellular]] = [
        [
            profile.name,
            profile.device,
            f"{profile.peaks.tflops.get('fp32', 0):g}",
            f"{profile.peaks.memory_gb_per_s:g}",
            f"{profile.peaks.memory_gb:g}",
            state(matches),
            profile.title,
        ]
        for profile, matches in rows
    ]
    texts.append(
        [
            HOST,
            "cpu, cuda" if host.gpus else "cpu",
            "measured",
            "measured",
            f"{host.memory_bytes / 1e9:.0f}",
            state(True),
            host.cpu_model,
        ]
    )
    columns = ["name", "device", "TFLOP/s", "GB/s", "GB", "here", "hardware"]
    print_table(columns, texts, output_console())


@app.command("show")
@guarded
def show(
    name: Annotated[str, typer.Argument(help="A profile's name, a TOML file, or host.")],
    json: parse.JsonOption = False,
) -> None:
    """Everything that a profile says; for host, what this machine measures."""
    from deploybench.hardware.profile import HOST, load_profile
    from deploybench.report.console import output_console
    from deploybench.report.profile_text import host_lines, print_profile
    from deploybench.report.tables import print_json

    if name != HOST:
        profile = load_profile(name)
        if json:
            print_json(profile.model_dump(mode="json"))
        else:
            print_profile(profile, output_console())
        return
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.hardware.host import describe_host
    from deploybench.telemetry.peaks import measured_peaks

    host = describe_host(recorded_distributions())
    peaks = measured_peaks(host, host.usable_cores)
    if json:
        print_json(
            {
                "host": host.model_dump(mode="json"),
                "peaks": peaks.model_dump(mode="json") if peaks else None,
            }
        )
        return
    console = output_console()
    for line in host_lines(host, peaks):
        console.print(line, markup=False)


@app.command("new")
@guarded
def new(
    name: Annotated[
        str | None, typer.Argument(help="Its name in every record. [default: after the hardware]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write. [default: ./NAME.toml]"),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="cpu, cuda, cuda:N. [default: the GPU if there is one]"),
    ] = None,
) -> None:
    """Write a profile of this machine, filled in: how to recognise it, its peaks, what runs on
    it."""
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.documents import now
    from deploybench.errors import DeployBenchError
    from deploybench.files import writing_whole
    from deploybench.hardware.host import describe_host
    from deploybench.hardware.profile_of_host import check_name, new_profile
    from deploybench.hardware.profile_toml import profile_toml
    from deploybench.report.console import output_console
    from deploybench.telemetry.peaks import measured_peaks

    def free(path: Path) -> Path:
        if path.suffix != ".toml":
            raise DeployBenchError(f"--output {path}", expected="a file name that ends in .toml")
        if path.exists():
            raise DeployBenchError(
                f"{path} is there already", action="choose another --output, or move it away"
            )
        return path

    if name is not None:
        check_name(name)
    path = output or (Path(f"{name}.toml") if name else None)
    if path is not None:
        free(path)
    host = describe_host(recorded_distributions())
    if device is None:
        device = "cuda" if host.gpus else "cpu"
    profile = new_profile(name, device, host, measure=measured_peaks)
    path = path or free(Path(f"{profile.name}.toml"))
    text = profile_toml(profile, (f"{profile.title}, as found on {host.hostname}, {now()}.",))
    with writing_whole(path, "--output") as partial:
        partial.write_text(text, "utf-8")
    console = output_console()
    console.print(f"{path}: {profile.title}", markup=False, soft_wrap=True)
    console.print(f"  deploybench profiles show {path}", markup=False, soft_wrap=True)
    console.print(f"  deploybench run --profile {path}", markup=False, soft_wrap=True)
