"""What the parent tells the worker of an evaluation: the cell, the images, where predictions go."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from deploybench.contracts import RunOptions
from deploybench.data.dataset import DataSet
from deploybench.data.opening import open_data
from deploybench.data.options import ColumnUse, Uncertain
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.documents import Document
from deploybench.plurals import counted


class DataRequest(Document):
    """Which images: what :func:`deploybench.data.opening.open_data` is asked for."""

    path: str
    split: str | None = None
    class_names: tuple[str, ...] | None = None
    uncertain: Uncertain | None = None
    unlabelled: bool = False
    columns: dict[ColumnUse, str] = Field(default_factory=dict)

    def open(self) -> DataSet:
        """The set; where some images have a label, without those that have none. Raises
        DeployBenchError."""
        data = open_data(
            self.path,
            split=self.split,
            class_names=self.class_names,
            uncertain=self.uncertain,
            unlabelled=self.unlabelled,
            columns=self.columns,
        )
        kept = [example for example in data.examples if example.labels is not None]
        if self.unlabelled or not kept or len(kept) == len(data):
            return data
        lacking = len(data) - len(kept)
        note = f"left out: {lacking} of {counted(len(data), 'image')}, without a label"
        return replace(data.with_examples(kept), notes=(*data.notes, note))


class EvaluationJob(Document):
    """The images of ``data`` that the journal in ``folder`` lacks, on one artifact and runner.

    ``images`` is how many the set has to hold, ``readers`` how many threads read images beside the
    one that infers. ``pin`` are the CPUs that the process is started on; none: any. ``by_accuracy``
    says that parity in a reduced precision does not decide: what the answers are worth does.
    """

    artifact: str
    runner: str
    device: str
    precision: str
    batch: int
    threads: int
    readers: int
    data: DataRequest
    images: int
    preprocessing: PreprocessingOptions | None = None
    folder: str
    pin: tuple[int, ...] = ()
    by_accuracy: bool = False

    @property
    def run_options(self) -> RunOptions:
        return RunOptions(
            device=self.device, threads=self.threads, precision=self.precision, batch=self.batch
        )
