"""``hub:FOLDER``: a folder as model hubs lay it out, on this disk: config.json with the weights.

timm's folders are built by timm. Image classifiers of transformers are built by transformers where
it is installed. Either way the weights are read by the same reader as a checkpoint, and what the
folder says of its images and classes is used: timm's ``pretrained_cfg`` and label names, or
preprocessor_config.json and ``id2label``. Nothing is downloaded, and no code in the folder is run.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploybench import untrusted
from deploybench.artifacts.artifact import sha256_of_file
from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions, BuiltModel, ModelSource
from deploybench.models.trained import trained_model
from deploybench.models.weights_folder import sha256_of_weights, weights_file
from deploybench.versions import installed_versions

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"


class HubSource(ModelSource):
    """Folders of timm and of transformers' image classifiers, by their path."""

    def names(self) -> list[str]:
        return []

    def identity(self, name: str) -> dict[str, str]:
        """The content of the folder, wherever it lies."""
        folder = folder_of(name)
        digest = hashlib.sha256()
        for file in (CONFIG, PREPROCESSOR):
            if (folder / file).is_file():
                digest.update(f"{file}|{sha256_of_file(folder / file)}|".encode())
        return {
            **installed_versions(("timm", "transformers")),
            "folder_sha256": digest.hexdigest(),
            "weights_sha256": sha256_of_weights(folder),
        }

    def checkpoint(self, name: str) -> Path | None:
        return weights_file(folder_of(name))

    def check(self, name: str) -> None:
        folder = folder_of(name)
        config_of(folder)
        weights_file(folder)

    def build(self, name: str, options: BuildOptions) -> BuiltModel:
        folder = folder_of(name)
        config = config_of(folder)
        if options.pretrained:
            raise DeployBenchError(
                f"--pretrained with hub:{name}",
                expected="the folder's own weights",
                action="leave out --pretrained",
            )
        if "architecture" in config:
            return _build_timm(folder, config, options)
        if "architectures" in config:
            from deploybench.models.transformers_models import build_transformers

            return build_transformers(folder, config, options)
        trained = trained_model(folder)
        if trained is not None:
            raise DeployBenchError(
                f"hub:{name} was trained as {trained.model}, which neither timm nor transformers "
                "builds",
                expected="the model by its own name",
                action=f"--model {trained.model} --checkpoint {folder}",
            )
        raise DeployBenchError(
            f"{folder / CONFIG} names no architecture",
            expected="a config.json of timm (architecture) or of transformers (architectures)",
            action="build the model in Python, and pass package.module:factory with --checkpoint",
        )


def folder_of(name: str) -> Path:
    """The folder; raises DeployBenchError for what is none, such as the name of a repository."""
    folder = Path(name).expanduser()
    if folder.is_dir() and (folder / CONFIG).is_file():
        return folder
    found = f"there is no folder {folder.absolute()}"
    if folder.is_dir():
        listed = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        found = f"the folder {folder} has no {CONFIG}: it has {listed}"
    raise DeployBenchError(
        found,
        expected=f"a folder on this disk with {CONFIG} and the weights, as a model hub lays it out",
        action="download it first (hf download OWNER/NAME --local-dir FOLDER): nothing is "
        "downloaded here",
    )


def config_of(folder: Path) -> dict[str, Any]:
    """The folder's config.json. Raises DeployBenchError where it is no JSON object."""
    return read_json(folder / CONFIG)


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = untrusted.read_json(path)
    except (ValueError, OSError) as error:
        raise DeployBenchError(
            f"{path} does not read as JSON: {error}", action="download the folder again"
        ) from None
    if not isinstance(content, dict):
        raise DeployBenchError(f"{path} is a {type(content).__name__}", expected="a JSON object")
    return content


def _build_timm(folder: Path, config: dict[str, Any], options: BuildOptions) -> BuiltModel:
    """A folder that timm wrote (``save_for_hf``, ``push_to_hf_hub``)."""
    from deploybench.models.timm_source import build_timm, preprocessing_of

    # Older folders have the configuration of the weights at the top, without a name of its own.
    of_weights = dict(config.get("pretrained_cfg") or config)
    arguments: dict[str, Any] = dict(config.get("model_args") or {})
    classes = config.get("num_classes", of_weights.get("num_classes"))
    if classes is not None:
        arguments.setdefault("num_classes", classes)
    # The folder's weights are here; none of timm's own are to be looked for.
    for key in ("url", "file", "hf_hub_id", "hf_hub_filename", "source", "architecture"):
        of_weights.pop(key, None)
    of_weights = {key: value for key, value in of_weights.items() if key not in ("model_args",)}
    built = build_timm(
        str(config["architecture"]), options, {**arguments, "pretrained_cfg": of_weights}
    )
    labels = _timm_labels(config, of_weights, built.num_classes) or built.labels
    if classes is not None and options.num_classes not in (None, classes):
        labels = None
    recorded = {key: value for key, value in built.arguments.items() if key != "pretrained_cfg"}
    return replace(
        built,
        labels=labels,
        preprocessing=preprocessing_of(built.module, options.image_size),
        arguments=recorded,
        usual_preprocessing=False,  # the folder says what its own weights see
    )


def _timm_labels(
    config: dict[str, Any], of_weights: dict[str, Any], classes: int
) -> tuple[str, ...] | None:
    """The class names in output order: descriptions where there are any, else the names."""
    names = config.get("label_names") or of_weights.get("label_names")
    descriptions = config.get("label_descriptions") or of_weights.get("label_descriptions") or {}
    if isinstance(names, dict):
        names = [names.get(str(index)) for index in range(classes)]
    if not isinstance(names, list) or len(names) != classes or None in names:
        return None
    if not isinstance(descriptions, dict):
        descriptions = {}
    return tuple(str(descriptions.get(name, name)) for name in names)
