"""What a killed evaluation leaves behind, and what the next one makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploybench.errors import DeployBenchError
from deploybench.evaluate.journal import FAILED, OUTPUTS, Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "evaluation", numbers=3)
    made.prepare({"data": "abc"})
    return made


def rows(*images: int) -> np.ndarray:
    return np.array([[image, image + 0.5, -image] for image in images], np.float32)


def test_rows_come_back_as_they_were_written(journal: Journal) -> None:
    with journal.writer() as writer:
        writer.add([4, 0], rows(4, 0))
        writer.add_failed(2, "it is no image")
    found = journal.read()
    assert found.images.tolist() == [4, 0]
    assert found.outputs.tolist() == rows(4, 0).tolist()
    assert found.failed == {2: "it is no image"}
    assert found.count == journal.done() == 3


def test_empty_journal_reads_as_nothing(journal: Journal) -> None:
    found = journal.read()
    assert (len(found.images), found.outputs.shape, found.failed) == (0, (0, 3), {})


def test_row_that_a_kill_cut_short_is_dropped_and_written_over(journal: Journal) -> None:
    with journal.writer() as writer:
        writer.add([0, 1], rows(0, 1))
        writer.add_failed(5, "broken")
    path = journal.folder / OUTPUTS
    path.write_bytes(path.read_bytes()[:-3])
    with (journal.folder / FAILED).open("a") as stream:
        stream.write('{"image": 7, "rea')
    found = journal.read()
    assert found.images.tolist() == [0]
    assert found.failed == {5: "broken"}
    with journal.writer() as writer:
        writer.add([1], rows(1))
        writer.add_failed(7, "broken, too")
    found = journal.read()
    assert found.images.tolist() == [0, 1]
    assert found.outputs.tolist() == rows(0, 1).tolist()
    assert found.failed == {5: "broken", 7: "broken, too"}


def test_zeros_at_the_end_of_the_file_are_no_image(journal: Journal) -> None:
    """Some file systems leave them where the power went."""
    with journal.writer() as writer:
        writer.add([0], rows(0))
    with (journal.folder / OUTPUTS).open("ab") as stream:
        stream.write(bytes(2 * journal.row.itemsize))
    assert journal.read().images.tolist() == [0]
    with journal.writer() as writer:
        writer.add([3], rows(3))
    assert journal.read().images.tolist() == [0, 3]


def test_image_that_stands_twice_is_refused(journal: Journal) -> None:
    with journal.writer() as writer:
        writer.add([0, 0], rows(0, 0))
    with pytest.raises(DeployBenchError, match="holds an image twice"):
        journal.read()


def test_fresh_evaluation_forgets_what_is_there(journal: Journal) -> None:
    with journal.writer() as writer:
        writer.add([0], rows(0))
        writer.add_failed(1, "broken")
    journal.prepare({"data": "abc"}, fresh=True)
    assert journal.read().count == 0


def test_outputs_come_into_memory_only_where_they_are_looked_at(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "evaluation", numbers=1000)
    journal.prepare({})
    count = 3000  # 12 MB
    with journal.writer() as writer:
        writer.add(range(count), np.ones((count, 1000), np.float32))
    found = journal.read()
    assert found.images.tolist() == list(range(count))
    assert mapped_kib(journal.folder / OUTPUTS) < 1024
    assert found.outputs.sum() == count * 1000
    assert mapped_kib(journal.folder / OUTPUTS) > 10_000


def mapped_kib(path: Path) -> int:
    """How much of a mapped file is in this process's memory."""
    resident = 0
    of_file = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            of_file = line.endswith(str(path))
        elif of_file and line.startswith("Rss:"):
            resident += int(line.split()[1])
    return resident
