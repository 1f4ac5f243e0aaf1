"""Gives every parser inputs that were never meant, and says which of them did not refuse in words.

Each input is a whole file of the kind, changed in a few places: bytes replaced, taken out, repeated
or put in, numbers and words of JSON and TOML exchanged for extreme ones. A parser may take it or
refuse it as a DeployBenchError. It must not raise anything else, take over a second of CPU time, or
write a file outside its folder.

    python -m benchmarks.fuzz [--inputs 1000000] [--parser record] [--minutes 60] [--seed 1]

``make test`` gives 10,000; the nightly form, ``make fuzz``, is 1,000,000. They are given in parts
of 10,000, each with the next seed, in turns for every parser: whatever ends it early, all of them
had their share. A failure names the seed of its part.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings
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
from deploybench.models.checkpoint import read_checkpoint
from deploybench.results.store import read_records
from deploybench.training.recipe import recipe
from deploybench.tuning.journal import FILE, JournalFile, TuneEvaluation, TuneJournal, TuneRound

MOST_CPU_S = 1.0
MOST_WALL_S = 60.0
"""What waits uses no CPU time; a busy machine may keep an input waiting for seconds."""
PART = 10_000
"""Inputs of one search: its memory of what it tried grows with each."""
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


def _checkpoints() -> list[bytes]:
    """A zip archive, a file from before there were these, and safetensors."""
    import torch
    from safetensors.torch import save

    weights = {"body.weight": torch.ones(4, 3), "head.bias": torch.zeros(2, dtype=torch.float16)}
    made = [save(weights)]
    for zipped in (True, False):
        stream = io.BytesIO()
        content = {"state_dict": weights, "epoch": 3, "args": {"lr": 0.1}}
        torch.save(content, stream, _use_new_zipfile_serialization=zipped)
        made.append(stream.getvalue())
    return made


def _recipes() -> list[bytes]:
    return [
        b'{"epochs": 3, "batch": 8, "learning_rate": 0.002, "mixup": 0.2, "ema": 0.9}',
        b'{"optimizer": "sgd", "schedule": "cosine", "warmup_epochs": 1, "weight_decay": 1e-4}',
    ]


def _journals() -> list[bytes]:
    one = TuneRound(number=1, run="20260101-000000-0000", names=("a", "b"), seconds_each=2.0)
    seen = TuneEvaluation(step=1, run="20260101-000001-0000", names=("a",), spent_s=1.5)
    journal = TuneJournal(
        key="0" * 64, created="2026-01-01T00:00:00Z", asked={}, rounds=(one,), evaluations=(seen,)
    )
    return [journal.model_dump_json(indent=1).encode()]


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
    "record": Parser("record.json", _records, read_records, 0.1),
    "pack": Parser("x.dbpack", _packs, _feed_pack, 0.1),
    "table": Parser("manifest.csv", _tables, _feed_table, 0.1),
    "image": Parser("image.png", _images, lambda path: open_picture(path, SPEC), 0.05),
    "checkpoint": Parser("weights.pth", _checkpoints, read_checkpoint, 0.1),
    "recipe": Parser("recipe.json", _recipes, lambda path: recipe(str(path)), 0.05),
    "journal": Parser(FILE, _journals, lambda path: JournalFile(path.parent, {}), 0.05),
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


def fuzz(name: str, inputs: int, first: int | None = None) -> None:
    """Give that parser so many inputs. Raises what the smallest that it does not bear raises.

    ``first`` is the seed of the search; None: another one each time.
    """
    parser = PARSERS[name]
    if first is None:
        first = secrets.randbelow(1 << 32)
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept) / "inside" / "deeper"
        folder.mkdir(parents=True)

        @seed(first)
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


def parts(inputs: int, only: str | None) -> Iterator[tuple[str, int]]:
    """Parsers and numbers of inputs, in turns, until each had its share of all."""
    left = {only: inputs} if only else {}
    if not only:
        left = {name: max(int(inputs * fed.share), 1) for name, fed in PARSERS.items()}
    while any(left.values()):
        for name in [name for name, rest in left.items() if rest]:
            part = min(left[name], PART)
            left[name] -= part
            yield name, part


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--parser", choices=sorted(PARSERS))
    parser.add_argument("--minutes", type=float, help="begin no other part after so many")
    parser.add_argument("--seed", type=int, help="of the first part [default: another each time]")
    options = parser.parse_args()
    number = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    given_to: Counter[str] = Counter()
    failed: list[str] = []
    began = time.monotonic()
    for name, inputs in parts(options.inputs, options.parser):
        spent_s = time.monotonic() - began
        if options.minutes is not None and spent_s > 60 * options.minutes:
            break
        try:
            fuzz(name, inputs, number)
        except Exception as error:  # whatever an input made the parser raise, or several of them
            inside = getattr(error, "exceptions", (error,))
            words = [f"{each!r}; {getattr(each, '__notes__', '')}" for each in inside]
            failed += [f"{name}, --seed {number}: {word}" for word in words]
            print(f"FAILED {failed[-1]}", flush=True)
        given_to[name] += inputs
        number += 1
        print(f"{time.monotonic() - began:6.0f} s {given_to.total()} inputs", flush=True)
    for name, inputs in given_to.items():
        print(f"{name}: {inputs} inputs")
    for problem in failed:
        print(f"FAILED {problem}")
    print(f"{given_to.total()} inputs, {len(failed)} failures")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
