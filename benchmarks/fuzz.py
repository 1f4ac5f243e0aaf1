"""Gives every parser inputs that were never meant, and says which of them did not refuse in words.

Each input is a whole file of the kind, changed in a few places: bytes replaced, taken out, repeated
or put in, numbers and words of JSON and TOML exchanged for extreme ones. A parser may take it or
refuse it as a DeployBenchError. It must not raise anything else, take over a second of CPU time, or
write a file outside its folder.

    python -m benchmarks.fuzz [--inputs 1000000] [--parser record]

``make test`` gives 10,000; the nightly form is 1,000,000.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from deploybench.archive.importing import AUTO, import_file, imported_below, write_imported
from deploybench.archive.peers.source import Said
from deploybench.artifacts.artifact import MANIFEST, open_artifact
from deploybench.artifacts.pack import read_pack
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.artifacts.workspace import Workspace
from deploybench.data.image_files import open_picture
from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from deploybench.hardware.profile import load_profile
from deploybench.results.store import read_records

MOST_CPU_S = 1.0
MOST_WALL_S = 60.0
"""What waits uses no CPU time; a busy machine may keep an input waiting for seconds."""
FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures" / "first-schema"
PEERS = FIXTURES.parent / "peers"
"""Files of other tools: real ones, and such as their sources write."""
EXTREMES = (
    *("0", "-1", "1e999", "-1e308", "NaN", "Infinity", "1" + "0" * 400, "9" * 5000, "1e-400"),
    *("null", "true", '""', "[]", "{}", "[[[[]]]]", '"\\u0000"', '"\\ud800"', "'", '"', "\\"),
    *("../../outside", "/tmp/outside", "=1+1", "\x1b[2J", "\u202e", "\x00", "a." * 300, "[" * 300),
)
SIGNS = "0123456789"


class HangError(Exception):
    """An input took too long."""


@dataclass(frozen=True)
class Parser:
    """What reads a file of one kind: the file's name, examples of it, and the share of inputs."""

    name: str
    seeds: Callable[[], list[bytes]]
    feed: Callable[[Path], object]
    share: float


def _profiles() -> list[bytes]:
    folder = Path(__file__).parents[1] / "profiles"
    found = [path.read_bytes() for path in sorted(folder.glob("*.toml"))]
    return [text.replace(b'name = "', b'name = "my-', 1) for text in found]


def _records() -> list[bytes]:
    return [path.read_bytes() for path in sorted((FIXTURES / "records").rglob("*.json"))]


def _manifests() -> list[bytes]:
    return [path.read_bytes() for path in sorted(FIXTURES.rglob(MANIFEST))]


def _packs() -> list[bytes]:
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"model/artifact/{MANIFEST}", _manifests()[0])
        archive.writestr("model/artifact/labels.json", b"[]")
    return [packed.getvalue()]


def _tables() -> list[bytes]:
    return [
        b"path,label,split,patient\na.png,cat,train,1\nb.png,dog,val,2\nc.png,cat,test,3\n",
        b"image;0;1\na.png;1;0\nb.png;0;1\n",
        b'path,label\n"a.png","cat|dog"\n"b.png",dog\n',
    ]


def _images() -> list[bytes]:
    from PIL import Image

    made = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        stream = io.BytesIO()
        Image.linear_gradient("L").resize((16, 16)).convert("RGB").save(stream, kind)
        made.append(stream.getvalue())
    return made


def _feed_pack(path: Path) -> object:
    workspace = Workspace(path.parent / "workspace")
    workspace.artifacts_folder.mkdir(parents=True, exist_ok=True)
    return read_pack(path, workspace)


def _feed_table(path: Path) -> object:
    for name in "abc":
        (path.parent / f"{name}.png").touch()
    return open_data(path)


def _peers(tool: str) -> Callable[[], list[bytes]]:
    """The files of that tool; its name is how they begin."""
    return lambda: [path.read_bytes() for path in sorted(PEERS.glob(f"{tool}*"))]


def _feed_peer(format_name: str) -> Callable[[Path], object]:
    """Reads the file as what it is known by, and as what the user says that it is."""

    def feed(path: Path) -> object:
        for name in (AUTO, format_name):
            with contextlib.suppress(DeployBenchError):
                write_imported(import_file(path, name, Said()), path.parent / "imported")
        return imported_below(path.parent / "imported")

    return feed


SPEC = Preprocessing(
    channels=3,
    height=8,
    width=8,
    crop_fraction=1.0,
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
PARSERS = {
    "profile": Parser("mine.toml", _profiles, lambda path: load_profile(str(path)), 0.15),
    "manifest": Parser(MANIFEST, _manifests, lambda path: open_artifact(path.parent), 0.15),
    "record": Parser("record.json", _records, read_records, 0.15),
    "pack": Parser("x.dbpack", _packs, _feed_pack, 0.1),
    "table": Parser("manifest.csv", _tables, _feed_table, 0.15),
    "image": Parser("image.png", _images, lambda path: open_picture(path, SPEC), 0.15),
    "optimum-benchmark": Parser(
        "benchmark.json", _peers("optimum-benchmark"), _feed_peer("optimum-benchmark"), 0.03
    ),
    "benchmark-app": Parser(
        "benchmark_report.csv", _peers("benchmark_app"), _feed_peer("benchmark-app"), 0.04
    ),
    "trtexec": Parser("times.json", _peers("trtexec"), _feed_peer("trtexec"), 0.03),
    "mlperf": Parser("mlperf_log_detail.txt", _peers("mlperf"), _feed_peer("mlperf"), 0.05),
}


@st.composite
def changed(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with up to four changes."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(["bytes", "cut", "repeat", "end", "number", "word"]))
        stop = start + draw(st.integers(0, 40))
        if kind == "bytes":
            content = content[:start] + draw(st.binary(max_size=8)) + content[stop:]
        elif kind == "cut":
            content = content[:start] + content[stop:]
        elif kind == "repeat":
            content = content[:stop] + content[start:stop] * 3 + content[stop:]
        elif kind == "end":
            content = content[:start]
        else:
            extreme = draw(st.sampled_from(EXTREMES)).encode("utf-8", "surrogatepass")
            start, stop = _value_at(content, start, numeric=kind == "number")
            content = content[:start] + extreme + content[stop:]
    return content


def _value_at(content: bytes, start: int, *, numeric: bool) -> tuple[int, int]:
    """Where the next number, or the next word, begins and ends."""
    while start < len(content) and _is_part(content[start], numeric) is False:
        start += 1
    stop = start
    while stop < len(content) and _is_part(content[stop], numeric):
        stop += 1
    return start, stop


def _is_part(byte: int, numeric: bool) -> bool:
    if numeric:
        return chr(byte) in SIGNS
    return chr(byte).isalnum()


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Raise HangError in the body after a second of CPU time, or a minute of any."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise HangError(f"over {MOST_CPU_S:g} s of CPU time")

    before = [(number, signal.signal(number, ended)) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
    signal.setitimer(signal.ITIMER_REAL, MOST_WALL_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)


def fuzz(name: str, inputs: int) -> None:
    """Give that parser so many inputs. Raises what the smallest that it does not bear raises."""
    parser = PARSERS[name]
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept) / "inside" / "deeper"
        folder.mkdir(parents=True)

        @settings(
            max_examples=inputs,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(changed(parser.seeds()))
        def bears(content: bytes) -> None:
            path = folder / parser.name
            path.write_bytes(content)
            with time_limit(), contextlib.suppress(DeployBenchError):
                parser.feed(path)
            outside = [*Path(kept).iterdir(), *(Path(kept) / "inside").iterdir()]
            assert len(outside) == 2, f"files outside of its folder: {outside}"

        bears()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--parser", choices=sorted(PARSERS))
    options = parser.parse_args()
    failed = []
    for name, fed in PARSERS.items():
        if options.parser not in (None, name):
            continue
        inputs = options.inputs if options.parser else max(int(options.inputs * fed.share), 1)
        started = time.monotonic()
        try:
            fuzz(name, inputs)
        except Exception as error:  # whatever an input made the parser raise, or several of them
            inside = getattr(error, "exceptions", (error,))
            failed += [f"{name}: {each!r}; {getattr(each, '__notes__', '')}" for each in inside]
        print(f"{name}: {inputs} inputs, {time.monotonic() - started:.0f} s", flush=True)
    for problem in failed:
        print(f"FAILED {problem}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
