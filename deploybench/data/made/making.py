"""Makes a set of images in a folder: whole, or not at all."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploybench.children.family import goes_with_us
from deploybench.data.dataset import DataSet
from deploybench.data.forms.synthetic_mark import MARK, MadeClass, MadeSet
from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.files import STAGING_PREFIX, write_whole

README = "README.md"
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class MakeRequest:
    """What is to be made, and where. None stands for what the set itself has.

    ``images``, ``image_size`` and ``seed`` are for sets that are drawn, ``archive`` for one that is
    unpacked.
    """

    name: str
    out: Path
    images: int | None = None
    image_size: int | None = None
    seed: int | None = None
    archive: Path | None = None

    def refuse(self, *fields: str) -> None:
        """Raise DeployBenchError where something is given that the set has no use for."""
        for field in fields:
            if getattr(self, field) is not None:
                raise DeployBenchError(
                    f"{self.name} takes no --{field.replace('_', '-')}",
                    action="leave it out",
                )


@dataclass(frozen=True)
class MadeWords:
    """What is said of a set in the files beside its images."""

    synthetic: str | None
    source: str
    readme: str
    seed: int | None = None


Maker = Callable[[MakeRequest, Path, Progress], MadeWords]


def make_data(request: MakeRequest, progress: Progress = lambda what, done, total: None) -> DataSet:
    """Make a set and open it. ``progress`` is told the step, how far it is, and of how many.

    Raises DeployBenchError for a name that is not known, for a folder that has something in it, and
    where what the set is made from is not there.
    """
    makers = _makers()
    if request.name not in makers:
        raise unknown_name("set of images", request.name, makers)
    if importlib.util.find_spec("PIL") is None:
        raise DeployBenchError(
            "writing images needs Pillow", action='pip install "deploybench[data]"'
        )
    with _written_whole(request.out) as folder:
        words = makers[request.name](request, folder, progress)
        # A README that holds no image, and a mark that says the same for programs.
        write_whole(folder / README, words.readme)
        made = _mark(request.name, words, open_data(folder))
        write_whole(folder / MARK, made.model_dump_json(indent=1) + "\n")
    return open_data(request.out)


def _makers() -> Mapping[str, Maker]:
    from deploybench.data.made.brain_set import make_brain_mri
    from deploybench.data.made.digits import make_digits
    from deploybench.data.made.mnist_archive import make_mnist

    return {"brain-mri-synthetic": make_brain_mri, "digits": make_digits, "mnist": make_mnist}


def _mark(name: str, words: MadeWords, data: DataSet) -> MadeSet:
    counts = data.counts()
    return MadeSet(
        name=name,
        synthetic=words.synthetic,
        source=words.source,
        seed=words.seed,
        made_by="deploybench data make",
        classes=tuple(
            MadeClass(name=label, images=counts[index], synthetic=words.synthetic is not None)
            for index, label in enumerate(data.class_names)
        ),
    )


@contextlib.contextmanager
def _written_whole(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` at the end; a failure leaves nothing."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DeployBenchError(
            f"{out} is there already",
            expected="a folder that is not there, or an empty one",
            action="remove it, or choose another --out",
        )
    staging = out.absolute().with_name(f"{STAGING_PREFIX}{secrets.token_hex(4)}-{out.name}")
    try:
        staging.mkdir(parents=True)
        goes_with_us(staging)
        yield staging
        if out.is_dir():
            out.rmdir()
        staging.rename(out)
    except OSError as error:
        raise DeployBenchError(
            f"{out} could not be written: {error.strerror or error}",
            action="free some space or choose another --out",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_counts(data: DataSet, expected: Mapping[str | None, int]) -> None:
    """Raise DeployBenchError where the splits have other numbers of images than they should."""
    found = Counter(example.split for example in data.examples)
    if found != Counter(expected):
        raise DeployBenchError(f"the set has {dict(found)} images", expected=f"{dict(expected)}")
