"""``deploybench profiles``: the hardware that has a name, and this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

app = typer.Typer(help="List the hardware profiles, or show one.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
@guarded
def profiles(context: typer.Context, json: parse.JsonOption = False) -> None:
    """List the profiles and whether this host is one of them."""
    if context.invoked_subcommand is not None:
        return
    from deploybench.host import describe_host
    from deploybench.profile import HOST, MismatchError, check_match, load_profile, profile_names
    from deploybench.report.console import output_console
    from deploybench.report.tables import Cellular, print_json, print_table, state

    host = describe_host()
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
        print_json([{**profile.model_dump(mode="json"), "matches_host": matches} for profile, matches in rows])
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
    from deploybench.profile import HOST, load_profile
    from deploybench.report.console import output_console
    from deploybench.report.profile_text import host_lines, profile_lines
    from deploybench.report.tables import print_json

    if name == HOST:
        from deploybench.host import describe_host
        from deploybench.peaks import measured_peaks

        host = describe_host()
        peaks = measured_peaks(host, host.usable_cores)
        if json:
            print_json(
                {"host": host.model_dump(mode="json"), "peaks": peaks.model_dump(mode="json") if peaks else None}
            )
            return
        lines = host_lines(host, peaks)
    else:
        profile = load_profile(name)
        if json:
            print_json(profile.model_dump(mode="json"))
            return
        lines = profile_lines(profile)
    console = output_console()
    for line in lines:
        console.print(line, markup=False)
