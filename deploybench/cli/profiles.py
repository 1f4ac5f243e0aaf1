"""``deploybench profiles``: the hardware that has a name, and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say

app = typer.Typer(
    help="List the hardware profiles, show one, or write one of this machine.",
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
@guarded
def profiles(
    context: typer.Context, table_format: parse.FormatOption = None, json: parse.JsonOption = False
) -> None:
    """List the profiles and whether this host is one of them."""
    if context.invoked_subcommand is not None:
        return
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.hardware.host import describe_host
    from deploybench.hardware.profile import load_profile, profile_names
    from deploybench.report.printing import print_report
    from deploybench.report.profile_table import profiles_report

    asked = parse.output_format(table_format, json=json)
    known = [load_profile(name) for name in profile_names()]
    print_report(profiles_report(known, describe_host(recorded_distributions())), asked)


@app.command("show")
@guarded
def show(
    name: Annotated[str, typer.Argument(help="A profile's name, a TOML file, or host.")],
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Everything that a profile says; for host, what this machine measures."""
    from deploybench.hardware.profile import HOST, load_profile
    from deploybench.report.printing import print_report
    from deploybench.report.profile_table import host_report, profile_report

    asked = parse.output_format(table_format, json=json)
    if name != HOST:
        print_report(profile_report(load_profile(name)), asked)
        return
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.hardware.host import describe_host
    from deploybench.telemetry.peaks import measured_peaks

    host = describe_host(recorded_distributions())
    print_report(host_report(host, measured_peaks(host, host.usable_cores)), asked)


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
    say(f"{path}: {profile.title}")
    say(f"  deploybench profiles show {path}")
    say(f"  deploybench run --profile {path}")
