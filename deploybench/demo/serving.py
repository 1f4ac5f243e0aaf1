"""The page is served until the user ends it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import gradio

LOOK_AGAIN_S = 0.5


def serve(
    page: gradio.Blocks,
    host: str,
    port: int,
    *,
    share: bool,
    browser: bool,
    most_bytes: int,
    say: Callable[[str], None],
) -> None:
    """Serve the page until Ctrl-C; ``say`` is told its address.

    Raises DeployBenchError where the address cannot be had.
    """
    if port == 0:
        port = free_port(host)
    else:
        check_free(host, port)
    page.queue(default_concurrency_limit=1)
    page.launch(
        server_name=host,
        server_port=port,
        share=share,
        inbrowser=browser,
        prevent_thread_lock=True,
        quiet=True,
        max_file_size=most_bytes,
        footer_links=[],
        ssr_mode=False,
    )
    say(f"http://{host}:{port}  (Ctrl-C ends it)")
    if page.share_url:
        say(f"{page.share_url}  (public)")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(LOOK_AGAIN_S)
    finally:
        page.close(verbose=False)


def free_port(host: str) -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_free(host: str, port: int) -> None:
    """Raise DeployBenchError where the port is taken, or the address is none of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise DeployBenchError(
                f"{host}:{port} cannot be listened at: {error.strerror or error}",
                expected="an address of this machine, and a port that nobody uses",
                action="--port 0 takes a free one",
            ) from None
