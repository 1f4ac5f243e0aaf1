"""What a checkpoint's training arguments say of its images is read; the rest is passed over."""

from __future__ import annotations

from deploybench.models.training_arguments import training_images


def test_arguments_of_timms_training_are_read_and_leave_nothing_assumed() -> None:
    images = training_images(
        {
            "model": "resnet18",
            "img_size": 64,
            "input_size": None,
            "crop_pct": 1.0,
            "mean": [0.1, 0.2, 0.3],
            "std": None,
            "interpolation": "",
            "lr": 0.1,
        }
    )
    assert images.image_size == (64, 64)
    assert images.options.model_dump() == {"mean": (0.1, 0.2, 0.3), "crop": 1.0}
    assert images.whole


def test_arguments_of_torchvisions_training_are_read() -> None:
    images = training_images(
        {"val_crop_size": 224, "val_resize_size": 232, "interpolation": "bilinear"}
    )
    assert images.image_size == (224, 224)
    assert images.options.crop == 224 / 232
    assert not images.whole


def test_arguments_of_something_else_say_nothing() -> None:
    images = training_images({"mean": "mean.npy", "img_size": "large", "interpolation": "random"})
    assert images.image_size is None
    assert images.options.model_dump() == {}
