"""The loop: epochs of steps, an evaluation after each, the best weights kept, a state to resume by.

Devices, precision, the backward pass and several processes are Lightning Fabric's, optimizers,
schedules and the moving average timm's, the losses torch's and timm's. What is written here is the
order in which they are called.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.training.curve import EpochLine
from deploybench.training.draws import LEGACY_SEEDS, seed_of
from deploybench.training.events import Evaluating, StepMade, TrainingEvent
from deploybench.training.images import Batch, EvaluationImages, TrainingImages
from deploybench.training.losses import TrainingLoss
from deploybench.training.recipe import Recipe
from deploybench.training.scores import Scores, scores_of
from deploybench.training.state import Standing

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from deploybench.data.dataset import DataSet

WARMUP_FROM = 1e-6
"""The learning rate of a warm-up's first step."""
SPEED_SHARE = 0.1
"""What the latest step weighs in the images a second that are told."""


@dataclass
class Parts:
    """What is trained: the module as it is (``plain``) and as Fabric hands it out, and what steps
    it. ``average`` is timm's moving average of the weights, where there is one."""

    plain: nn.Module
    module: Any
    optimizer: Any
    schedule: Any
    average: Any
    loss: TrainingLoss

    @property
    def judged(self) -> nn.Module:
        """The module that is evaluated and comes out."""
        if self.average is None:
            return self.plain
        judged: nn.Module = self.average.module
        return judged


def parts_of(
    fabric: Fabric, module: nn.Module, recipe: Recipe, loss: TrainingLoss, steps_an_epoch: int
) -> Parts:
    """The module on its device, with its optimizer, schedule and moving average.

    Raises DeployBenchError for an optimizer that timm does not have or that takes other options.
    """
    from timm import optim, scheduler, utils

    module = fabric.to_device(module.float().train())
    options: dict[str, Any] = dict(recipe.optimizer_options)
    try:
        optimizer = optim.create_optimizer_v2(  # type: ignore[attr-defined]
            module,
            opt=recipe.optimizer,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
            **options,
        )
    except (ValueError, TypeError, AssertionError) as error:
        raise DeployBenchError(
            f"timm makes no optimizer '{recipe.optimizer}' with "
            f"{recipe.optimizer_options or 'no options'}: {error}",
            expected="a name of timm's: adamw, sgd, rmsproptf, adam, lamb, …",
        ) from None
    milestones = [round(share * recipe.epochs) for share in recipe.decay_milestones]
    phases: dict[str, Any] = {
        "num_epochs": recipe.epochs,
        "decay_epochs": recipe.decay_epochs,
        "decay_milestones": milestones,
        "warmup_epochs": recipe.warmup_epochs,  # parts of an epoch as well
    }
    schedule, _ = scheduler.create_scheduler_v2(  # type: ignore[attr-defined]
        optimizer,
        sched=recipe.schedule,
        decay_rate=recipe.decay_rate,
        min_lr=min(recipe.min_learning_rate, recipe.learning_rate),
        warmup_lr=min(WARMUP_FROM, recipe.learning_rate),
        step_on_epochs=False,
        updates_per_epoch=steps_an_epoch,
        **phases,
    )
    average = None
    if recipe.ema is not None:
        # Its decay grows with the steps: in a short training it would hold the first weights.
        average = utils.ModelEmaV3(  # type: ignore[attr-defined]
            module, decay=recipe.ema, use_warmup=True
        )
    wrapped, stepped = fabric.setup(module, optimizer)
    return Parts(module, wrapped, stepped, schedule, average, loss)


class Loop:
    """Trains ``parts`` on ``images`` from where ``standing`` is.

    ``between`` is called between two steps and two batches of an evaluation, when all weights are
    of one step: it may save, and it may end the training by an exception. Every process of several
    calls it equally often.
    """

    def __init__(
        self,
        fabric: Fabric,
        parts: Parts,
        recipe: Recipe,
        images: TrainingImages,
        seed: int,
        standing: Standing,
        tell: Callable[[TrainingEvent], None],
        between: Callable[[], None],
    ) -> None:
        self.standing = standing
        self._fabric = fabric
        self._parts = parts
        self._recipe = recipe
        self._images = images
        self._seed = seed
        self._tell = tell
        self._between = between
        self._noted: set[str] = set()
        self._speed: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided about images that were read so far."""
        return tuple(sorted(self._noted))

    def train_epoch(self) -> None:
        """The steps of the epoch under way that are left. Raises DeployBenchError for a loss that
        is not finite."""
        standing = self.standing
        self._parts.module.train()
        batches = self._images.batches(standing.epoch, standing.in_epoch)
        began = time.perf_counter()
        for batch in batches:
            # A step ends with the rate of the next one.
            standing.learning_rate = self._parts.optimizer.param_groups[0]["lr"]
            loss = self._step(batch)
            now = time.perf_counter()
            count = len(batch.pixels) * self._fabric.world_size
            standing.step += 1
            standing.in_epoch += 1
            standing.loss_sum += loss * count
            standing.seen += count
            standing.seconds += now - began
            standing.epoch_seconds += now - began
            self._noted.update(batch.notes)
            self._tell(
                StepMade(standing.epoch + 1, standing.step, loss, self._pace(count, now - began))
            )
            began = now
            self._between()

    def line(self, scores: Scores, best: bool) -> EpochLine:
        """The line of the epoch whose steps are all made; the next one is under way then."""
        standing = self.standing
        line = EpochLine(
            epoch=standing.epoch + 1,
            step=standing.step,
            learning_rate=standing.learning_rate,
            train_loss=standing.loss_sum / max(standing.seen, 1),
            eval_loss=scores.loss,
            top1=scores.top1,
            top5=scores.top5,
            balanced_accuracy=scores.balanced_accuracy,
            area=scores.area,
            exact_match=scores.exact_match,
            seconds=standing.epoch_seconds,
            best=best,
        )
        standing.epoch += 1
        standing.in_epoch = 0
        standing.loss_sum = 0.0
        standing.seen = 0
        standing.epoch_seconds = 0.0
        return line

    def evaluated(self, data: DataSet, images: EvaluationImages) -> Scores:
        """The figures of the judged module on all images of ``data``.

        In fp32, whatever the training's precision: so the artifact computes that is exported.
        """
        began = time.perf_counter()
        logits = self._gathered(self._logits(images, len(data)))
        scores = scores_of(logits, data)
        taken = time.perf_counter() - began
        self.standing.seconds += taken
        self.standing.epoch_seconds += taken
        return scores

    def _step(self, batch: Batch) -> float:
        """One step of the optimizer; the mean loss of the batch, over all devices."""
        fabric, parts, recipe, standing = self._fabric, self._parts, self._recipe, self.standing
        _seed_step(self._seed, standing.step, fabric.global_rank)
        pixels, targets = fabric.to_device(batch.pixels), fabric.to_device(batch.targets)
        known = batch.known
        if known is not None:
            known = fabric.to_device(known)
        learning_rate = parts.optimizer.param_groups[0]["lr"]
        try:
            logits = parts.module(pixels)
        except ValueError as error:
            raise _too_few(error, len(pixels)) from None
        loss = parts.loss(logits.float(), targets, known)
        mean = mean_over_processes(fabric, loss.detach())
        if not math.isfinite(mean):
            raise _not_finite(mean, standing, learning_rate, recipe)
        parts.optimizer.zero_grad()
        fabric.backward(loss)
        if recipe.clip_gradient is not None:
            fabric.clip_gradients(
                parts.module,
                parts.optimizer,
                max_norm=recipe.clip_gradient,
                error_if_nonfinite=False,
            )
        parts.optimizer.step()
        parts.schedule.step_update(standing.step + 1)
        if parts.average is not None:
            parts.average.update(parts.plain, step=standing.step + 1)
        return mean

    def _logits(self, images: EvaluationImages, count: int) -> torch.Tensor:
        """The logits of this process's part of the images, float32 on the CPU."""
        module = self._parts.judged
        module.eval()
        if self._fabric.world_size > 1:
            # Each process has averages of its own in the norms; those of the first come out.
            for averages in module.buffers():
                torch.distributed.broadcast(averages, src=0)
        answers = []
        done = 0
        with torch.no_grad():
            for batch in images.batches():
                answers.append(module(self._fabric.to_device(batch.pixels)).float().cpu())
                done += len(batch.pixels) * self._fabric.world_size
                self._noted.update(batch.notes)
                self._tell(Evaluating(self.standing.epoch + 1, min(done, count), count))
                if self._fabric.world_size == 1:  # several have different numbers of batches
                    self._between()
        return torch.cat(answers)

    def _gathered(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits of all processes in the order of the images, of which each had every so
        manyth."""
        world = self._fabric.world_size
        if world == 1:
            return logits
        parts: list[Any] = [None] * world
        torch.distributed.all_gather_object(parts, logits)
        whole = torch.empty(sum(map(len, parts)), logits.shape[1])
        for rank, part in enumerate(parts):
            whole[rank::world] = part
        return whole

    def _pace(self, images: int, seconds: float) -> float:
        """Images a second: mostly those of the steps before, as a single one says little."""
        pace = images / max(seconds, 1e-9)
        if self._speed is None:
            self._speed = pace
        self._speed += SPEED_SHARE * (pace - self._speed)
        return self._speed


def mean_over_processes(fabric: Fabric, value: torch.Tensor) -> float:
    """The mean of a number over all processes."""
    reduced: Any = fabric.all_reduce(value, reduce_op="mean")
    return float(reduced)


def _seed_step(seed: int, step: int, rank: int) -> None:
    """What the model draws in a step (dropout, dropped paths) belongs to the step: a resumed
    training draws it again without having kept the generators."""
    drawn = seed_of(seed, step, rank, "step")
    torch.manual_seed(drawn)
    np.random.seed(drawn % LEGACY_SEEDS)
    random.seed(drawn)


def _too_few(error: ValueError, images: int) -> DeployBenchError:
    """What torch's norms raise for a batch that has nothing to average over, in words."""
    if "more than 1 value per channel" not in str(error):
        raise error
    return DeployBenchError(
        f"{counted(images, 'image')} a step on each device: a batch norm of this model has nothing "
        "to average over",
        expected="two images at least",
        action="a larger --batch",
    )


def _not_finite(
    loss: float, standing: Standing, learning_rate: float, recipe: Recipe
) -> DeployBenchError:
    tries: Iterable[str] = [f"--learning-rate {recipe.learning_rate / 10:g}"]
    if recipe.warmup_epochs < 1:
        tries = [*tries, "--warmup-epochs 3"]
    if recipe.clip_gradient is None:
        tries = [*tries, "--clip-gradient 1"]
    if recipe.precision != "fp32":
        tries = [*tries, "--precision fp32"]
    return DeployBenchError(
        f"the loss is {loss} at step {standing.step + 1} (epoch {standing.epoch + 1}), with a "
        f"learning rate of {learning_rate:.3g}",
        expected="a finite loss",
        action=f"begin anew with --force and {' or '.join(tries)}",
    )
