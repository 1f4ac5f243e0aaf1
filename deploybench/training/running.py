"""One training under way: its epochs, the best weights on the disk, a state to go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from deploybench.errors import DeployBenchError
from deploybench.files import write_whole, writing_whole
from deploybench.models.trained import CONFIG, WEIGHTS
from deploybench.training.balance import class_weights
from deploybench.training.curve import (
    DRAWING_FILE,
    BoardLog,
    EpochLine,
    cut_curve,
    draw_curve,
    write_line,
)
from deploybench.training.events import (
    EpochEnded,
    Remarked,
    TrainingEvent,
    TrainingInterrupted,
    TrainingPlanned,
)
from deploybench.training.folder import TrainingRecord, write_record
from deploybench.training.images import EvaluationImages, TrainingImages
from deploybench.training.loop import Loop, mean_over_processes, parts_of
from deploybench.training.losses import training_loss
from deploybench.training.prepared import Prepared, config_of, trained_as
from deploybench.training.request import TrainingRequest
from deploybench.training.scores import Scores
from deploybench.training.state import Standing, drop_state, load_state, save_state
from deploybench.training.stopping import StopSignals

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Tell = Callable[[TrainingEvent], None]
DRAW_EVERY_S = 10.0
"""The curve is drawn after each epoch, but not so often that short epochs would wait for it."""


class Run:
    """Carries a training out that was prepared, in the folder that its record lies in.

    Of several processes each has one. The first alone writes: ``record`` is None in the others.
    """

    def __init__(
        self,
        request: TrainingRequest,
        ready: Prepared,
        record: TrainingRecord | None,
        fabric: Fabric,
        workers: int,
        signals: StopSignals,
        tell: Tell,
    ) -> None:
        self._request = request
        self._recipe = request.recipe
        self._folder = request.out
        self._ready = ready
        self._record = record
        self._fabric = fabric
        self._signals = signals
        self._tell = tell
        self._notes = list(ready.notes)
        self._saved_at = time.monotonic()
        self._drawn_at = -math.inf
        sets = ready.sets
        shared = {"batch": self._recipe.batch, "workers": workers}
        place = {"rank": fabric.global_rank, "world": fabric.world_size}
        self._images = TrainingImages(
            sets.training,
            ready.spec,
            self._recipe.augmentation,
            seed=request.seed,
            balance=self._recipe.balance,
            **shared,
            **place,
        )
        self._judging = EvaluationImages(sets.evaluation, ready.spec, **shared, **place)
        weights = None
        if self._recipe.balance == "loss":
            found = class_weights(sets.training)
            weights = fabric.to_device(torch.from_numpy(found.values))
            self._notes += found.notes
        loss = training_loss(self._recipe, sets.training.task, weights)
        self._parts = parts_of(fabric, ready.module, self._recipe, loss, len(self._images))
        standing = self._restored()
        self._lines = list(cut_curve(self._folder, standing.epoch))
        self._loop = Loop(
            fabric,
            self._parts,
            self._recipe,
            self._images,
            request.seed,
            standing,
            tell,
            self._between,
        )
        self.stopped_early = False

    def carried_out(self) -> tuple[EpochLine, ...]:
        """All epochs that are left; the lines of all. Raises KeyboardInterrupt after a signal."""
        recipe, standing = self._recipe, self._loop.standing
        steps = len(self._images) * recipe.epochs
        self._tell(TrainingPlanned(recipe.epochs, steps, standing.step, tuple(self._notes)))
        if self._record is None:
            self._epochs(None)
            return tuple(self._lines)
        with BoardLog(self._folder, standing.epoch) as board:
            if board.note is not None:
                self._tell(Remarked(board.note))
            self._epochs(board)
        self._finish()
        return tuple(self._lines)

    def _epochs(self, board: BoardLog | None) -> None:
        standing = self._loop.standing
        # A state that was kept after the last epoch that was needed: only the end was missing.
        while standing.epoch < self._recipe.epochs and not self._waited_enough():
            self._loop.train_epoch()
            scores = self._loop.evaluated(self._ready.sets.evaluation, self._judging)
            line = self._loop.line(scores, self._is_best(scores))
            self._lines.append(line)
            if board is not None:
                self._keep(line, board)
            self._tell(EpochEnded(line))
            if self._asked_to_stop():
                self._stop()
        self.stopped_early = standing.epoch < self._recipe.epochs

    def _is_best(self, scores: Scores) -> bool:
        """Whether an epoch is better than all before; of equal scores, whether it is surer."""
        best = best_of(self._lines)
        if best is None:
            return True
        if scores.criterion == criterion_of(best):
            return best.eval_loss is None or scores.loss < best.eval_loss
        return scores.criterion > criterion_of(best)

    def _waited_enough(self) -> bool:
        """Whether so many epochs had no better score that the recipe says to stop."""
        patience = self._recipe.patience
        if patience is None or not self._lines:
            return False
        highest = max(map(criterion_of, self._lines))
        first = next(line for line in self._lines if criterion_of(line) == highest)
        return self._lines[-1].epoch - first.epoch >= patience

    def _keep(self, line: EpochLine, board: BoardLog) -> None:
        """After an epoch: the weights if they are the best, the line, the state, in this order.

        A kill between two of them leaves a state from before all of them, and the epoch's end is
        done again, to the same bytes.
        """
        if line.best:
            self._write_weights(line.epoch, finished=False)
        write_line(self._folder, line)
        board.write(line)
        self._save()
        self._update_record(finished=False)
        if time.monotonic() - self._drawn_at >= DRAW_EVERY_S:
            self._draw()

    def _draw(self) -> str | None:
        self._drawn_at = time.monotonic()
        return draw_curve(self._lines, self._folder / DRAWING_FILE)

    def _between(self) -> None:
        """After a step: save now and then, and stop where that was asked for."""
        if self._asked_to_stop():
            self._save()
            self._stop()
        if time.monotonic() - self._saved_at >= self._request.save_every_s:
            self._save()

    def _asked_to_stop(self) -> bool:
        """Whether any of the processes was; all of them find the same."""
        if self._fabric.world_size == 1:
            return self._signals.asked
        asked = torch.tensor(float(self._signals.asked), device=self._fabric.device)
        return mean_over_processes(self._fabric, asked) > 0

    def _stop(self) -> None:
        standing = self._loop.standing
        if self._record is not None:
            self._update_record(finished=False)
        self._tell(TrainingInterrupted(self._folder, standing.epoch, standing.step))
        self._signals.hand_on()

    def _restored(self) -> Standing:
        """Where the training stands that is gone on with, its tensors loaded."""
        found = load_state(self._folder)
        if found is None:
            if self._record is not None and self._record.epochs_made:
                self._tell(Remarked(f"no state to go on from in {self._folder}: it begins again"))
            return Standing()
        standing, tensors = found
        parts = self._parts
        try:
            parts.plain.load_state_dict(tensors["model"])
            parts.optimizer.load_state_dict(tensors["optimizer"])
            if parts.average is not None:
                parts.average.module.load_state_dict(tensors["average"])
        except (RuntimeError, ValueError) as error:
            raise DeployBenchError(
                f"the state in {self._folder} is of another model: {str(error).splitlines()[0]}",
                expected="the code and the libraries that the training was begun with",
                action="go back to those, or begin anew with --force",
            ) from None
        parts.schedule.step_update(standing.step)
        self._fabric.strategy.precision.load_state_dict(tensors["precision"])
        return standing

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        if self._record is None:
            return
        parts = self._parts
        tensors = {
            "model": parts.plain.state_dict(),
            "optimizer": parts.optimizer.state_dict(),
            "precision": self._fabric.strategy.precision.state_dict(),
        }
        if parts.average is not None:
            tensors["average"] = parts.average.module.state_dict()
        save_state(self._folder, self._loop.standing, tensors)

    def _write_weights(self, epoch: int, *, finished: bool) -> None:
        """The judged weights as safetensors, and what they are weights of."""
        from safetensors.torch import save

        state = self._parts.judged.state_dict()
        # Each tensor by itself: safetensors refuses those that share their memory.
        tensors = {
            name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()
        }
        content = save(tensors, metadata={"format": "pt"})
        with writing_whole(self._folder / WEIGHTS, option="--out") as partial:
            partial.write_bytes(content)
        self._write_config(epoch, finished=finished)

    def _write_config(self, epoch: int, *, finished: bool) -> None:
        assert self._record is not None
        trained = trained_as(self._record.plan, epoch=epoch, finished=finished)
        write_whole(self._folder / CONFIG, config_of(trained, self._ready.built))

    def _finish(self) -> None:
        """The training is over: what is only for going on with it goes."""
        best = best_of(self._lines)
        assert best is not None
        self._write_config(best.epoch, finished=True)
        note = self._draw()
        if note is not None:
            self._tell(Remarked(note))
        self._update_record(finished=True)
        drop_state(self._folder)

    def _update_record(self, *, finished: bool) -> None:
        if self._record is None:
            return
        standing, best = self._loop.standing, best_of(self._lines)
        self._record = self._record.replaced(
            finished=finished,
            stopped_early=self.stopped_early,
            best_epoch=None if best is None else best.epoch,
            epochs_made=standing.epoch,
            steps_made=standing.step,
            seconds=round(standing.seconds, 3),
            notes=tuple(dict.fromkeys((*self._notes, *self._loop.notes))),
        )
        write_record(self._folder, self._record)


def best_of(lines: list[EpochLine] | tuple[EpochLine, ...]) -> EpochLine | None:
    """The line of the best epoch: the last that was better than all before."""
    return next((line for line in reversed(lines) if line.best), None)


def criterion_of(line: EpochLine) -> float:
    """What the best epoch has most of: balanced accuracy; of a multi-label set the macro area."""
    if line.balanced_accuracy is not None:
        return line.balanced_accuracy
    return line.area or 0.0
