"""``deploybench doctor``: what this host can do, what is missing, and the exact line that installs
it."""

from __future__ import annotations

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def doctor(
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Describe the host, the plug-ins and the workspace; say what is missing and how to install
    it."""
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.errors import DeployBenchError
    from deploybench.hardware.host import describe_host
    from deploybench.report.doctor_report import doctor_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    opened = open_workspace(workspace)
    try:
        opened.check_writable()
        state = str(opened.root)
    except DeployBenchError as error:
        state = str(error)
    print_report(doctor_report(describe_host(recorded_distributions()), state), asked)
