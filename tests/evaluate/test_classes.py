"""The classes of data and of a model that are not told in the same order, or not alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.data.dataset import DataSet, Example
from deploybench.errors import DeployBenchError
from deploybench.evaluate.classes import matched


def data(*names: str) -> DataSet:
    """A set with an image of each class."""
    examples = tuple(Example(f"{index}.png", (index,)) for index in range(len(names)))
    return DataSet(
        name="made up",
        form="made up",
        root=Path("data"),
        class_names=names,
        task="single-label",
        examples=examples,
        images=None,  # type: ignore[arg-type]
    )


def labels_of(found: DataSet) -> list[tuple[int, ...] | None]:
    return [example.labels for example in found.examples]


def test_folders_are_matched_by_name_whatever_the_models_order() -> None:
    found = matched(data("cat", "dog"), ["dog", "bird", "cat"], 3)
    assert found.data.class_names == ("dog", "bird", "cat")
    assert labels_of(found.data) == [(2,), (0,)]
    assert found.how.startswith("by name")


def test_order_that_somebody_wrote_down_and_that_is_not_the_models_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="another order: class 0 is 'dog' in the data") as e:
        matched(data("dog", "cat"), ["cat", "dog"], 2)
    assert "--class-names" in str(e.value.action)
    found = matched(data("dog", "cat"), ["cat", "dog"], 2, given=True)
    assert labels_of(found.data) == [(0,), (1,)]
    assert "output 0 is 'dog', which the artifact calls 'cat'" in found.how
    assert "the same names in another order" in found.how


def test_labels_that_are_numbers_are_not_taken_for_a_model_s_names() -> None:
    with pytest.raises(DeployBenchError, match=r"numbers .0 to 1., and the model's") as e:
        matched(data("0", "1"), ["cat", "dog"], 2)
    assert "--class-names" in str(e.value.action)
    found = matched(data("0", "1"), ["0", "1"], 2)
    assert found.how == "by name"
    found = matched(data("cat", "cow"), ["cat", "dog"], 2, given=True)
    assert found.how.endswith("output 1 is 'cow', which the artifact calls 'dog'")


def test_class_that_the_model_does_not_have_is_named() -> None:
    with pytest.raises(DeployBenchError, match="scarlet"):
        matched(data("scarlet", "blue"), ["red", "blue"], 2)


def test_artifact_without_names_takes_the_datas_order_and_says_so() -> None:
    found = matched(data("cat", "dog"), None, 2)
    assert labels_of(found.data) == [(0,), (1,)]
    assert found.how.startswith("assumed: the model's outputs are the data's classes in their")


def test_artifact_without_names_and_with_another_number_of_classes_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="has 2 classes, the model puts out 10"):
        matched(data("cat", "dog"), None, 10)
    with pytest.raises(DeployBenchError, match="2 names, and the model puts out 10"):
        matched(data("cat", "dog"), None, 10, given=True)


def test_name_that_the_model_has_twice_is_nobodys() -> None:
    """ImageNet has two cranes: a bird and a machine."""
    names = ["crane", "dog", "crane"]
    assert labels_of(matched(data("dog"), names, 3).data) == [(1,)]
    with pytest.raises(DeployBenchError, match="crane"):
        matched(data("crane", "dog"), names, 3)
