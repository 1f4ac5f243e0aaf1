"""``deploybench demo``: a page on this machine that shows what artifacts see in an image."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import limits, parse
from deploybench.cli.guard import guarded, say, say_aside

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@guarded
def demo(
    artifact: Annotated[
        str | None,
        typer.Argument(help="What is chosen at the start: a part of its name (vit/onnx)."),
    ] = None,
    beside: Annotated[
        str | None, typer.Option("--beside", help="What stands beside it at the start.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="The address to listen at; others than this machine's own let other machines in.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 7860,
    share: Annotated[
        bool,
        typer.Option(
            "--share",
            help="Ask Gradio's server for a public link: anybody who has it can use the page.",
        ),
    ] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    max_size: Annotated[str, typer.Option("--max-size", help="Of an image file.")] = "20MB",
    threads: parse.ThreadsOption = None,
    trust: parse.TrustOption = False,
    workspace: parse.WorkspaceOption = None,
) -> None:
    """A page on this machine: drop an image, and see what artifacts make of it, side by side."""
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.demo.page import build_page
    from deploybench.demo.serving import serve
    from deploybench.demo.sides import Sides, choices_in, named
    from deploybench.hardware.host import usable_cores

    most_bytes = int(limits.byte_count(max_size, "--max-size"))
    choices = choices_in(open_workspace(workspace))
    first = None if artifact is None else named(choices, artifact)
    second = None if beside is None else named(choices, beside)
    with Sides(choices, threads or usable_cores(), trust) as sides:
        page = build_page(sides, first, second)
        if host not in LOOPBACK:
            say_aside(f"--host {host}: whoever reaches this address can use the page")
        serve(page, host, port, share=share, browser=browser, most_bytes=most_bytes, say=say)
