"""``deploybench doctor``: what this host can do, what is missing, and the exact line that installs
it."""

from __future__ import annotations

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def doctor(workspace: parse.WorkspaceOption = None, json: parse.JsonOption = False) -> None:
    """Describe the host, the plug-ins and the workspace; say what is missing and how to install
    it."""
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.errors import DeployBenchError
    from deploybench.hardware.host import describe_host
    from deploybench.report.console import output_console
    from deploybench.report.gpu_table import gpu_rows, print_gpu_table
    from deploybench.report.plugin_table import plugin_rows, print_plugin_table
    from deploybench.report.profile_text import host_lines
    from deploybench.report.tables import print_json

    host = describe_host(recorded_distributions())
    rows = plugin_rows()
    on_gpu = gpu_rows(host)
    place = open_workspace(workspace)
    try:
        place.check_writable()
        trouble = None
    except DeployBenchError as error:
        trouble = str(error)
    if json:
        found = {"host": host.model_dump(mode="json"), "plugins": rows, "gpu": on_gpu}
        print_json({**found, "workspace": trouble or str(place.root)})
        return
    console = output_console()
    for line in host_lines(host, None)[:-1]:
        console.print(line, markup=False)
    console.print(f"  workspace      {trouble or place.root}\n", markup=False)
    print_plugin_table(rows, console)
    remedies = sorted({str(row["remedy"] or row["problem"]) for row in rows if not row["usable"]})
    broken = [row for row in rows if not row["usable"]]
    if broken:
        console.print(f"\n{len(broken)} of {len(rows)} plug-ins do not work here. To change that:")
    else:
        console.print("\nEverything that is registered works here.")
    for remedy in remedies:
        console.print(f"  {remedy}", markup=False, soft_wrap=True)
    print_gpu_table(on_gpu, host, console)
