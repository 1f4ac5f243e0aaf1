"""The command line of serve.py."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from answers import answers_of
from check import check
from http_server import make_server
from preprocess import ImageError, read_image

HERE = Path(__file__).resolve().parent


def main(open_model: Callable[[], Any], arguments: list[str] | None = None) -> None:
    """Do what is asked for; exit with 1 where an image does not read or --check fails."""
    parser = argparse.ArgumentParser(prog="serve.py")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files")
    parser.add_argument("--top", type=int, default=5, help="how many classes to print")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="are the answers those measured?")
    parser.add_argument("--http", metavar="HOST:PORT", help="POST an image, get JSON")
    asked = parser.parse_args(arguments)
    if not asked.images and not asked.check and not asked.http:
        parser.error("name an image, or say --check or --http HOST:PORT")
    if asked.http and not asked.http.rpartition(":")[2].isdigit():
        parser.error(f"--http {asked.http}: expected HOST:PORT, such as 127.0.0.1:8000")

    if asked.top < 1:
        parser.error(f"--top {asked.top}: expected at least 1")

    bundle = read_json("bundle.json")
    spec = read_json("preprocessing.json")
    if asked.http:
        serve(lambda: answering(open_model(), bundle, spec, asked.top), asked.http)
    model = open_model()
    if asked.check:
        sys.exit(0 if check(model, bundle, spec, HERE) else 1)
    sys.exit(print_answers(answering(model, bundle, spec, asked.top), asked.images, asked.json))


def serve(open_answering: Callable[[], Callable[..., Any]], address: str) -> None:
    """Answer requests until the process is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # docker stop
    try:
        server = make_server(open_answering, address)
    except (OSError, OverflowError) as error:
        sys.exit(f"--http {address}: {error}")
    host, port = server.server_address[:2]
    print(f"http://{host!s}:{port}: POST an image, get JSON", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


def answering(
    model: Any, bundle: dict[str, Any], spec: dict[str, Any], top: int
) -> Callable[..., dict[str, Any]]:
    """What answers the bytes of an image."""
    labels = read_json("classes.json") if (HERE / "classes.json").is_file() else None
    main_output = bundle["outputs"][0]["name"]

    def answer(content: bytes, name: str = "the image") -> dict[str, Any]:
        pixels, notes = read_image(content, spec, name)
        # A batch is filled with copies of the image: the first answer is as good as any.
        outputs = model.infer(np.stack([pixels] * bundle["batch"]))
        answers = answers_of(np.array(outputs[main_output])[:1], bundle["task"], labels, top)
        return {"answers": answers, "notes": notes}

    return answer


def print_answers(answer: Callable[..., dict[str, Any]], images: list[str], as_json: bool) -> int:
    """Print what is seen in each image; 1 where one of them does not read."""
    code = 0
    found = []
    for image in images:
        try:
            found.append({"image": image, **answer(content_of(image), image)})
        except (OSError, ImageError) as error:
            print(f"error: {shown(str(error))}", file=sys.stderr)
            code = 1
    if as_json:
        print(json.dumps(found, indent=1))
        return code
    for one in found:
        print(shown(one["image"]))
        for rank, line in enumerate(one["answers"], 1):
            number = line.get("probability", line.get("share", line.get("value")))
            figure = "" if number is None else f"{number:.6f}"
            print(f"{rank:3}  {figure:>10}  {shown(line['name'])}")
        for note in one["notes"]:
            print(f"     note: {shown(note)}")
    return code


def content_of(image: str) -> bytes:
    """The bytes of a file; a device or a pipe would be waited for."""
    if not Path(image).is_file():
        raise ImageError(f"there is no file {image}")
    return Path(image).read_bytes()


def read_json(name: str) -> Any:
    return json.loads((HERE / name).read_text("utf-8"))


def shown(text: str) -> str:
    """A name in characters that are seen and do nothing in a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
