"""``timm:NAME``: everything that timm has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.models.described_images import KEYS, USUAL_SIZE, described_preprocessing
from deploybench.models.source import BuildOptions, BuiltModel, ModelSource
from deploybench.versions import installed_versions

if TYPE_CHECKING:
    import torch

IMAGENET_CLASSES = 1000
TIMM_REMEDY = 'pip install "deploybench[torch]"'


class TimmSource(ModelSource):
    """Every architecture of timm, by timm's own name, with or without a weight tag."""

    def names(self) -> list[str]:
        return []

    def identity(self, name: str) -> dict[str, str]:
        return timm_identity()

    def check(self, name: str) -> None:
        timm = _timm()
        if not timm.is_model(name):
            raise unknown_name(
                "timm model",
                name,
                timm.list_models(),
                action="deploybench models --timm 'PATTERN*' lists timm's names",
            )

    def build(self, name: str, options: BuildOptions) -> BuiltModel:
        self.check(name)
        return build_timm(name, options, {})


def timm_identity() -> dict[str, str]:
    return installed_versions(("timm",))


def list_timm(pattern: str = "*") -> list[str]:
    """timm's model names that match a shell pattern."""
    return list(_timm().list_models(pattern))


def build_timm(name: str, options: BuildOptions, arguments: Mapping[str, Any]) -> BuiltModel:
    """Build a timm architecture. Raises DeployBenchError when timm cannot build what is asked."""
    timm = _timm()
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    given: dict[str, Any] = dict(arguments)
    if options.num_classes is not None:
        given["num_classes"] = options.num_classes
    if options.in_channels is not None:
        given["in_chans"] = options.in_channels
    if options.patch_size is not None:
        given["patch_size"] = options.patch_size
    native = USUAL_SIZE
    if config is not None:
        native = tuple(config.input_size[1:])
    # The others take any size as they are; timm refuses ``img_size`` for many of them.
    fixed_size = bool(getattr(config, "fixed_input_size", False))
    if options.image_size is not None and options.image_size != native and fixed_size:
        given["img_size"] = options.image_size
    try:
        module = timm.create_model(name, pretrained=options.pretrained, **given)
    except Exception as error:  # timm passes on what its models, the hub and the network raise
        raise build_refusal(name, options, given, error) from error
    recorded: dict[str, int | float | str | bool] = {}
    for key, value in given.items():
        if not isinstance(value, int):
            value = str(value)
        recorded[key] = value
    labels = None
    if getattr(module, "num_classes", 0) == IMAGENET_CLASSES:
        labels = imagenet_labels()
    return BuiltModel(
        module=module,
        preprocessing=preprocessing_of(module, options.image_size),
        num_classes=int(getattr(module, "num_classes", IMAGENET_CLASSES)),
        head=head_of(module),
        labels=labels,
        patch_size=patch_size_of(module),
        tokens=tokens_of(module, options.image_size or native),
        arguments=recorded,
        usual_preprocessing=True,
    )


def patch_size_of(module: torch.nn.Module) -> int | None:
    """The patches' length in pixels of a transformer whose attention sees all tokens.

    None for others (Swin, CNNs).
    """
    embedding = getattr(module, "patch_embed", None)
    blocks = getattr(module, "blocks", ())
    patch = getattr(embedding, "patch_size", None)
    if patch is None or not len(blocks):
        return None
    if any(getattr(block, "window_size", 0) for block in blocks):  # attention within windows
        return None
    if hasattr(embedding, "backbone"):  # the patches are of a CNN's features, not of pixels
        return None
    if not isinstance(patch, tuple):
        return int(patch)
    height, width = patch
    if height != width:
        return None
    return int(height)


def tokens_of(module: torch.nn.Module, image_size: tuple[int, int]) -> int | None:
    """How many tokens such a transformer's attention sees, class token included."""
    patch = patch_size_of(module)
    if patch is None:
        return None
    height, width = image_size
    patches = (height // patch) * (width // patch)
    return patches + int(getattr(module, "num_prefix_tokens", 0))


def preprocessing_of(module: torch.nn.Module, image_size: tuple[int, int] | None) -> Preprocessing:
    """What timm's own evaluation transform does for this module.

    At ``image_size`` (height, width), or at the size that timm's configuration names. What the
    module's configuration does not say is marked as assumed.
    """
    return described_preprocessing(
        _config_of(module), getattr(module, "in_chans", None), image_size
    )


def own_preprocessing_of(
    module: torch.nn.Module, image_size: tuple[int, int] | None
) -> Preprocessing:
    """As :func:`preprocessing_of`, for a module that a user's own factory built.

    A configuration that timm put there is of timm's weights, and these may be the user's: only what
    was changed in it counts as said.
    """
    spec = preprocessing_of(module, image_size)
    config = _config_of(module)
    unchanged = _timms_own(config)
    assumed = set(spec.assumed)
    for part, key in KEYS.items():
        if key in unchanged and not (part == "image_size" and image_size is not None):
            assumed.add(part)
    return spec.replaced(assumed=tuple(part for part in KEYS if part in assumed))


def _timms_own(config: Mapping[str, Any]) -> set[str]:
    """The keys of a configuration that are as timm has them for the architecture that it names."""
    architecture = config.get("architecture")
    if not architecture:
        return set()
    name = str(architecture)
    if config.get("tag"):
        name += f".{config['tag']}"
    try:
        registered = _timm().get_pretrained_cfg(name, allow_unregistered=True)
    except (DeployBenchError, RuntimeError):
        return set()
    if registered is None:
        return set()
    content = registered.to_dict()
    return {key for key in KEYS.values() if config.get(key) == content.get(key)}


def head_of(module: torch.nn.Module) -> str | None:
    """The module path of the classifier: timm's own word for it."""
    head = _config_of(module).get("classifier")
    if not head:
        return None
    if isinstance(head, (tuple, list)):  # models with a second head for distillation
        head = head[0]
    if not head:
        return None
    return str(head)


def _config_of(module: torch.nn.Module) -> Mapping[str, Any]:
    """timm's configuration of the module; empty for one that has none."""
    config: Any = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    if config is not None and hasattr(config, "to_dict"):  # timm's own class of configurations
        config = config.to_dict()
    if not isinstance(config, Mapping):
        return {}
    return config


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names of ImageNet-1k in output order, as timm ships them."""
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    return tuple(info.index_to_description(index) for index in range(IMAGENET_CLASSES))


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise DeployBenchError(f"timm does not import: {error}", action=TIMM_REMEDY) from error
    return timm


def build_refusal(
    name: str, options: BuildOptions, given: Mapping[str, Any], error: Exception
) -> DeployBenchError:
    """Why timm could not build the model, with what to do about it."""
    cause = type(error).__name__
    if str(error):
        cause = str(error).splitlines()[0]
    if options.pretrained:
        return DeployBenchError(
            f"timm could not load pretrained weights for '{name}': {cause}",
            expected="a network connection to the model hub, or the weights in its local cache",
            action="on a machine without network, pass --checkpoint FILE, or leave --pretrained "
            "out for random weights",
        )
    return DeployBenchError(
        f"could not build '{name}' with {dict(given)}: {type(error).__name__}: {cause}",
        expected="arguments that this architecture takes",
        action="leave out --image-size, --patch-size, --in-channels or --num-classes, or choose "
        "another size",
    )
