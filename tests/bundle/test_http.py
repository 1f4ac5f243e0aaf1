"""The bundle's HTTP server answers images, and refuses the rest with a sentence."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.conftest import Bundled, answers, serve
from tests.data.pictures import encoded, ramp_8, written

IMAGE = encoded(ramp_8(), "PNG")
Reply = tuple[int, dict[str, Any]]


@pytest.fixture(scope="module")
def port(bundled: Bundled) -> Iterator[int]:
    server = subprocess.Popen(
        [sys.executable, str(bundled("onnx") / "serve.py"), "--http", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
    )
    assert server.stdout is not None
    try:
        address = server.stdout.readline().split()[0]
        yield int(address.rstrip(":").rpartition(":")[2])
    finally:
        server.kill()
        server.wait()


def asked(port: int, method: str, body: bytes = b"", **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, "/", body or None, named)
    reply = connection.getresponse()
    found: dict[str, Any] = json.loads(reply.read())
    connection.close()
    return reply.status, found


def test_answers_are_those_of_the_command_line(bundled: Bundled, port: int, tmp_path: Path) -> None:
    status, found = asked(port, "POST", IMAGE)
    (same,) = answers(bundled("onnx"), written(tmp_path, "image.png", IMAGE))
    assert status == 200
    assert found["answers"] == same["answers"]
    assert found["notes"] == ["grey, for a model of colours"]


@pytest.mark.parametrize(
    "body",
    [b"no image", IMAGE[:60], b"\0" * 128 + b"DICM"],
    ids=["text", "cut off", "DICOM"],
)
def test_what_is_no_image_is_a_bad_request_with_a_sentence(port: int, body: bytes) -> None:
    status, found = asked(port, "POST", body)
    assert status == 400
    assert found["error"].startswith("the image ")
    assert "curl" in found["how"]


def test_too_many_bytes_are_refused_before_they_are_read(port: int) -> None:
    status, found = asked(port, "POST", Content_Length=str(21 << 20))
    assert status == 413
    assert "at most 20971520" in found["error"]


def test_request_without_a_length_is_refused(port: int) -> None:
    assert asked(port, "POST", Content_Length="many")[0] == 411
    assert asked(port, "POST", Content_Length="-1")[0] == 411


def test_address_that_is_taken_is_told_without_a_traceback(bundled: Bundled, port: int) -> None:
    for address in (f"127.0.0.1:{port}", "127.0.0.1:99999"):
        done = serve(bundled("onnx"), "--http", address)
        assert done.returncode == 1
        assert done.stderr.startswith(f"--http {address}: ")
        assert "Traceback" not in done.stderr


def test_says_that_it_is_ready(port: int) -> None:
    status, found = asked(port, "GET")
    assert status == 200
    assert found["ready"] is True


def test_several_at_a_time_all_get_the_answer(port: int) -> None:
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: asked(port, "POST", IMAGE), range(8)))
    assert {status for status, _ in replies} == {200}
    assert all(found == replies[0][1] for _, found in replies)
