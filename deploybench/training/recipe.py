"""How a model is trained: one recipe for every architecture, and the named ones of the literature.

The same recipe for all is what makes a comparison of architectures fair. The names are those of
timm: ``optimizer`` of ``create_optimizer_v2``, ``schedule`` of ``create_scheduler_v2``. Where the
numbers of the named recipes come from stands in ``source`` of each, and in docs/training.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from deploybench.documents import Document, first_error, read_document
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.training.augmentation import Augmentation
from deploybench.training.balance import Balance
from deploybench.untrusted import read_bytes

DEFAULT = "default"
Schedule = Literal["cosine", "step", "multistep", "constant"]
TrainingPrecision = Literal["fp32", "bf16", "fp16"]
Loss = Literal["cross-entropy", "binary-cross-entropy"]
IMAGE_FIELDS = frozenset(Augmentation.model_fields)


class Recipe(Document):
    """Everything that decides a training but the model, the data and the seed.

    ``learning_rate`` is that of the whole batch, at the end of the warm-up. ``changed`` names the
    fields in which it differs from the recipe that it has its name from.
    """

    name: str
    source: str = ""
    changed: tuple[str, ...] = ()
    optimizer: str = Field(default="adamw", description="timm's name: adamw, sgd, rmsproptf, adam")
    learning_rate: float = Field(default=5e-4, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(
        default=0.05, ge=0, description="not of biases and norms, as timm has it"
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of optimizers that have one")
    optimizer_options: dict[str, float] = Field(
        default_factory=dict, description="further arguments by timm's names: eps, alpha"
    )
    schedule: Schedule = Field(default="cosine", description="of the learning rate, by step")
    epochs: int = Field(default=30, ge=1, description="in all, the warm-up included")
    warmup_epochs: float = Field(default=3, ge=0, description="from nearly 0, along a line")
    min_learning_rate: float = Field(default=1e-6, ge=0, description="at the end of a cosine")
    decay_epochs: float = Field(default=2.4, gt=0, description="between two steps of 'step'")
    decay_milestones: tuple[float, ...] = Field(
        default=(0.5, 0.75), description="where 'multistep' steps down, in shares of the epochs"
    )
    decay_rate: float = Field(default=0.1, gt=0, le=1, description="of 'step' and 'multistep'")
    batch: int = Field(default=64, ge=1, description="images of a step, on all devices together")
    loss: Loss = Field(
        default="cross-entropy",
        description="of one class an image; several have binary cross-entropy in any case",
    )
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    balance: Balance = "sampler"
    clip_gradient: float | None = Field(
        default=1.0, gt=0, description="the largest norm of the gradient; None: any"
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay of a moving average of the weights, which then come out",
    )
    augmentation: Augmentation = Augmentation()
    precision: TrainingPrecision = Field(
        default="fp32", description="of the passes; weights and evaluation are fp32"
    )
    patience: int | None = Field(
        default=None, ge=1, description="epochs without a better score until it stops; None: all"
    )

    @model_validator(mode="after")
    def _possible(self) -> Recipe:
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise ValueError(
                f"a warm-up of {self.warmup_epochs:g} of {self.epochs} epochs: it has to end before"
            )
        return self

    @property
    def words(self) -> str:
        """``default, with epochs 3 and batch 8``."""
        if not self.changed:
            return self.name
        said = [f"{field} {self._shown(field)}" for field in self.changed]
        listed = said[0]
        if len(said) > 1:
            listed = f"{', '.join(said[:-1])} and {said[-1]}"
        return f"{self.name}, with {listed}"

    def _shown(self, field: str) -> str:
        holder: Document = self
        if field in IMAGE_FIELDS:
            holder = self.augmentation
        value = getattr(holder, field)
        if isinstance(value, float):
            return f"{value:g}"
        if value is None:
            return "off"
        return str(value)

    def with_changes(self, changes: Mapping[str, object]) -> Recipe:
        """The recipe with other values of fields of its own or of its augmentation, by name.

        A warm-up that nobody named is shortened where the epochs are too few for it. Raises
        DeployBenchError for values that do not go.
        """
        own = {name: value for name, value in changes.items() if name not in IMAGE_FIELDS}
        of_images = {name: value for name, value in changes.items() if name in IMAGE_FIELDS}
        epochs = own.get("epochs")
        if isinstance(epochs, int) and "warmup_epochs" not in own:
            own["warmup_epochs"] = min(self.warmup_epochs, epochs / 10)
        changed = [name for name, value in own.items() if value != getattr(self, name, None)]
        changed += [
            name
            for name, value in of_images.items()
            if value != getattr(self.augmentation, name, None)
        ]
        if not changed:
            return self
        try:
            if of_images:
                own["augmentation"] = self.augmentation.replaced(**of_images)
            names = tuple(dict.fromkeys((*self.changed, *changed)))
            return self.replaced(**{**own, "changed": names})
        except ValidationError as error:
            raise DeployBenchError(
                f"the recipe {self.name} does not go with {_listed(changes)}: {first_error(error)}"
            ) from None


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name=DEFAULT,
            source="one for all: AdamW and a cosine with warm-up, as DeiT (Touvron et al. 2021, "
            "table 9: 5e-4 for a batch of 512, weight decay 0.05, label smoothing 0.1, warm-up), "
            "without what needs hundreds of epochs (RandAugment, mixup, cutmix, erasing)",
        ),
        Recipe(
            name="cifar-sgd",
            source="WideResNet (Zagoruyko, Komodakis 2016: SGD 0.1, Nesterov 0.9, weight decay "
            "5e-4, flips, crops after a padding of 4) with the cosine of seed 000, which trained "
            "150 epochs of CIFAR-100 in batches of 256 after a warm-up of 5",
            optimizer="sgd",
            learning_rate=0.1,
            weight_decay=5e-4,
            momentum=0.9,
            epochs=150,
            warmup_epochs=5,
            min_learning_rate=0.0,
            batch=256,
            label_smoothing=0.0,
            balance="none",
            clip_gradient=None,
            augmentation=Augmentation(scale=(1.0, 1.0), horizontal_flip=0.5, pad=4),
        ),
        Recipe(
            name="cifar-densenet",
            source="DenseNet-BC (Huang et al. 2017: SGD 0.1, Nesterov 0.9, weight decay 1e-4, "
            "batches of 64, a tenth of the rate from half of the epochs on, and again from three "
            "quarters) for the 100 epochs of seed 000",
            optimizer="sgd",
            learning_rate=0.1,
            weight_decay=1e-4,
            momentum=0.9,
            schedule="multistep",
            decay_milestones=(0.5, 0.75),
            decay_rate=0.1,
            epochs=100,
            warmup_epochs=0,
            batch=64,
            label_smoothing=0.0,
            balance="none",
            clip_gradient=None,
            augmentation=Augmentation(scale=(1.0, 1.0), horizontal_flip=0.5, pad=4),
        ),
        Recipe(
            name="efficientnet-rmsprop",
            source="EfficientNet (Tan, Le 2019: RMSProp with decay 0.9, momentum 0.9 and epsilon "
            "0.001, weight decay 1e-5, the rate by 0.97 every 2.4 epochs, warm-up 5, label "
            "smoothing 0.1) as seed 000 trained 70 epochs of CIFAR-10: rate 2.5e-3, no average",
            optimizer="rmsproptf",
            learning_rate=2.5e-3,
            weight_decay=1e-5,
            momentum=0.9,
            optimizer_options={"alpha": 0.9, "eps": 1e-3},
            schedule="step",
            decay_epochs=2.4,
            decay_rate=0.97,
            epochs=70,
            warmup_epochs=5,
            batch=256,
            label_smoothing=0.1,
            balance="none",
            clip_gradient=None,
            augmentation=Augmentation(scale=(1.0, 1.0), horizontal_flip=0.5, pad=4),
        ),
        Recipe(
            name="chexpert",
            source="CheXpert (Irvin et al. 2019: Adam 1e-4, batches of 16, 3 epochs, several "
            "labels an image) as seed 000 has it: a constant rate, images not cropped at random, "
            "brightness and contrast by up to a quarter",
            optimizer="adam",
            learning_rate=1e-4,
            weight_decay=0.0,
            schedule="constant",
            epochs=3,
            warmup_epochs=0,
            batch=16,
            loss="binary-cross-entropy",
            label_smoothing=0.0,
            balance="none",
            clip_gradient=None,
            augmentation=Augmentation(scale=(1.0, 1.0), horizontal_flip=0.0, color_jitter=0.25),
        ),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of that name, or in the JSON file of that name.

    Raises DeployBenchError for a name that nothing answers to, and a file that does not read.
    """
    if name in RECIPES:
        return RECIPES[name]
    if not name.endswith(".json"):
        raise unknown_name(
            "recipe", name, RECIPES, action="deploybench train --list-recipes; or name a .json file"
        )
    path = Path(name)
    try:
        content = read_bytes(path)
    except OSError as error:
        raise DeployBenchError(
            f"the recipe {path} cannot be read: {error.strerror}", action="check the path"
        ) from None
    return read_document(
        Recipe,
        content,
        origin=str(path),
        what="a recipe",
        expected="the fields that deploybench train --list-recipes --json shows",
        action="begin with one of those, and change it",
    )


def _listed(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes.items())
