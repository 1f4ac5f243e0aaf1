"""A training that is ended anywhere and gone on with comes to the same weights, to the bit."""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from deploybench.cli.train import RESUME
from deploybench.errors import DeployBenchError
from deploybench.training.curve import EpochLine, read_curve
from deploybench.training.events import (
    EpochEnded,
    Evaluating,
    StepMade,
    TrainingEvent,
    TrainingInterrupted,
)
from deploybench.training.folder import check_same_plan, read_record
from deploybench.training.job import train
from deploybench.training.state import load_state, state_path
from deploybench.training.stopping import StopSignals
from tests.apart import interrupt
from tests.training.small import request

NET = "tests.training.nets:dropping"
EVERY_STEP = 0.0
RECIPE = {"epochs": 3, "ema": 0.9, "mixup": 0.2, "horizontal_flip": 0.5, "batch": 8}
"""With all that is drawn at random, and a moving average."""


class Killed(BaseException):
    """What no code of a training handles: nothing is done after it, as after SIGKILL."""


def run(data: Path, out: Path, **changes: object) -> bytes:
    """The bytes of the weights of a whole training."""
    result = train(request(data, out, model=NET, **{**RECIPE, **changes}))
    return result.checkpoint.read_bytes()


def killed(data: Path, out: Path, when: Callable[[TrainingEvent], bool], **changes: object) -> None:
    """Train until an event, and no further."""

    def tell(event: TrainingEvent) -> None:
        if when(event):
            raise Killed

    with pytest.raises(Killed):
        train(request(data, out, model=NET, **{**RECIPE, **changes}), tell)


def without_times(lines: tuple[EpochLine, ...]) -> list[EpochLine]:
    return [line.replaced(seconds=0.0) for line in lines]


@pytest.fixture(scope="module")
def unbroken(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of three epochs of four steps that nobody ended."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    run(colours, out)
    return out


@pytest.mark.parametrize(
    ("when", "save_every_s"),
    [
        pytest.param(
            lambda event: isinstance(event, StepMade) and event.step == 6, EVERY_STEP, id="a step"
        ),
        pytest.param(
            lambda event: isinstance(event, StepMade) and event.step == 6, 1e9, id="steps unsaved"
        ),
        pytest.param(
            lambda event: isinstance(event, StepMade) and event.step == 1, 1e9, id="no state yet"
        ),
        pytest.param(
            lambda event: isinstance(event, Evaluating) and event.epoch == 2,
            EVERY_STEP,
            id="an evaluation",
        ),
        pytest.param(
            lambda event: isinstance(event, EpochEnded) and event.line.epoch == 2,
            EVERY_STEP,
            id="an epoch's end",
        ),
        pytest.param(
            lambda event: isinstance(event, EpochEnded) and event.line.epoch == 3,
            EVERY_STEP,
            id="all but the end",
        ),
    ],
)
def test_weights_and_curve_are_those_of_an_unbroken_training_when_killed_at(
    when: Callable[[TrainingEvent], bool],
    save_every_s: float,
    unbroken: Path,
    colours: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    killed(colours, out, when, save_every_s=save_every_s)
    weights = run(colours, out, resume=True)
    assert weights == (unbroken / "model.safetensors").read_bytes()
    assert without_times(read_curve(out)) == without_times(read_curve(unbroken))
    assert not state_path(out).exists()


def test_it_goes_on_after_the_step_of_the_state_and_not_from_the_beginning(
    colours: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    killed(
        colours,
        out,
        lambda event: isinstance(event, StepMade) and event.step == 6,
        save_every_s=EVERY_STEP,
    )
    events: list[TrainingEvent] = []
    train(request(colours, out, model=NET, resume=True, **RECIPE), events.append)
    first = next(event for event in events if isinstance(event, StepMade))
    assert first.step == 6, "the state is that of step 5: step 6 was told of before it was saved"


def test_another_seed_comes_to_other_weights(unbroken: Path, colours: Path, tmp_path: Path) -> None:
    weights = run(colours, tmp_path / "out", seed=1)
    assert weights != (unbroken / "model.safetensors").read_bytes()


def test_an_unfinished_training_is_refused_without_resume_and_says_so(
    colours: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    killed(colours, out, lambda event: isinstance(event, EpochEnded))
    with pytest.raises(DeployBenchError) as caught:
        train(request(colours, out, model=NET, **RECIPE))
    assert "not finished: 1 of 3 epochs" in caught.value.found
    assert "--resume" in (caught.value.action or "")
    with pytest.raises(DeployBenchError) as caught:
        train(request(colours, out, model=NET, resume=True, **{**RECIPE, "learning_rate": 1e-3}))
    assert "recipe.learning_rate was 0.002, and is 0.001" in caught.value.found
    with pytest.raises(DeployBenchError) as caught:
        train(request(colours, out, model=NET, resume=True, seed=7, **RECIPE))
    assert "seed was 0, and is 7" in caught.value.found
    state = load_state(out)
    assert state is not None, "a refusal touches nothing"


def test_other_data_is_refused_by_its_content(colours: Path, tmp_path: Path) -> None:
    from shutil import copytree

    from PIL import Image

    out, data = tmp_path / "out", tmp_path / "data"
    copytree(colours, data)
    killed(data, out, lambda event: isinstance(event, EpochEnded))
    Image.new("RGB", (32, 32)).save(data / "train" / "red" / "0.png")
    with pytest.raises(DeployBenchError) as caught:
        train(request(data, out, model=NET, resume=True, **RECIPE))
    assert "data training: other images or labels" in caught.value.found


def test_a_finished_training_is_not_trained_over_unless_that_is_asked_for(
    unbroken: Path, colours: Path
) -> None:
    before = (unbroken / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(DeployBenchError, match="finished"):
        train(request(colours, unbroken, model=NET, **RECIPE))
    result = train(request(colours, unbroken, model=NET, resume=True, **RECIPE))
    assert len(result.lines) == 3, "what is finished is returned as it is"
    assert (unbroken / "model.safetensors").stat().st_mtime_ns == before


def test_force_begins_anew_and_touches_nothing_but_a_training(
    colours: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    killed(colours, out, lambda event: isinstance(event, EpochEnded))
    (out / "notes.txt").write_text("mine")
    run(colours, out, force=True, seed=3)
    assert (out / "notes.txt").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").write_text("somebody's weights")
    with pytest.raises(DeployBenchError, match="something else"):
        train(request(colours, other, model=NET, force=True, **RECIPE))
    assert (other / "model.safetensors").read_text() == "somebody's weights"


def test_a_damaged_state_is_refused_and_the_way_out_is_said(colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed(colours, out, lambda event: isinstance(event, EpochEnded))
    path = state_path(out)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DeployBenchError) as caught:
        train(request(colours, out, model=NET, resume=True, **RECIPE))
    assert "does not read as the state" in caught.value.found
    assert "--force" in (caught.value.action or "")


def test_a_full_disk_leaves_the_state_before_whole(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import deploybench.training.state as states

    out = tmp_path / "out"
    saves = 0
    save = states.torch.save

    def full(content: object, stream: object) -> None:
        nonlocal saves
        saves += 1
        if saves == 2:
            stream.write(b"half of a state")  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device")
        save(content, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(states.torch, "save", full)
    with pytest.raises(DeployBenchError) as caught:
        train(request(colours, out, model=NET, **RECIPE))
    assert "No space left on device" in caught.value.found
    monkeypatch.undo()
    found = load_state(out)
    assert found is not None
    assert found[0].epoch == 1
    assert [path.name for path in (out / "last").iterdir()] == ["state.pt"]


LONG = {**RECIPE, "epochs": 16}


def going(data: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """The command that trains LONG, in a process of its own."""
    words = ["train", "--model", NET, "--data", str(data), "--out", str(out), "--batch", "8"]
    words += ["--image-size", "32", "--epochs", "16", "--lr", "2e-3", "--ema", "0.9"]
    words += ["--mixup", "0.2", "--threads", "1", "--device", "cpu", "--save-every", "1ms"]
    return subprocess.Popen(
        [sys.executable, "-m", "deploybench", *words, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_made(out: Path) -> int:
    found = load_state(out)
    return 0 if found is None else found[0].step


def test_the_command_goes_on_after_a_kill_and_a_termination(colours: Path, tmp_path: Path) -> None:
    asked = request(colours, tmp_path / "unbroken", model=NET, **LONG)
    unbroken = train(asked)
    out = tmp_path / "out"
    for number, code in {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143}.items():
        before = steps_made(out)
        process = going(colours, out, "--resume")
        while process.poll() is None and steps_made(out) < before + 6:
            time.sleep(0.02)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
        assert process.returncode == code, told
        record = read_record(out)
        assert record is not None
        assert not record.finished
    assert told.rstrip().splitlines()[-2].endswith(f"--save-every 1ms {RESUME}")
    assert told.rstrip().splitlines()[-1] == "terminated"
    # What the command began, the call goes on with: both ask for the same.
    resumed = train(replace(asked, out=out, resume=True))
    assert resumed.checkpoint.read_bytes() == unbroken.checkpoint.read_bytes()


def test_ctrl_c_ends_it_after_the_step_under_way_with_a_state_of_that_step(
    colours: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told: list[TrainingEvent] = []

    def tell(event: TrainingEvent) -> None:
        told.append(event)
        if isinstance(event, StepMade) and event.step == 6:
            interrupt()

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(request(colours, out, model=NET, **RECIPE), tell)
    assert signal.getsignal(signal.SIGINT) is before
    assert isinstance(told[-1], TrainingInterrupted)
    assert (told[-1].epoch, told[-1].step) == (1, 6)
    found = load_state(out)
    assert found is not None
    assert found[0].step == 6
    assert run(colours, out, resume=True) == (unbroken / "model.safetensors").read_bytes()


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    with StopSignals() as signals:
        interrupt()
        assert signals.asked
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_a_checkpoint_may_be_called_otherwise_when_its_training_goes_on(
    unbroken: Path, colours: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "lite0.safetensors", tmp_path / "lite0-of-monday.safetensors"
    first.write_bytes((unbroken / "model.safetensors").read_bytes())
    out = tmp_path / "out"
    killed(colours, out, lambda event: isinstance(event, EpochEnded), init_from=first)
    first.rename(second)
    assert run(colours, out, init_from=second, resume=True)
    weights = load_file(second)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, second)
    with pytest.raises(DeployBenchError, match="begun_from was") as caught:
        train(request(colours, out, model=NET, init_from=second, resume=True, **RECIPE))
    was, now = re.findall(r'(?:was|is) ([^,]*…|[^,]*")', caught.value.found)
    assert was != now


def test_a_classifier_that_was_new_is_another_training_s(
    unbroken: Path, colours: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    begun = {"init_from": unbroken, "new_head": True}
    killed(colours, out, lambda event: isinstance(event, EpochEnded), **begun)
    with pytest.raises(DeployBenchError, match="new_head was true, and is false"):
        run(colours, out, init_from=unbroken, resume=True)
    with pytest.raises(DeployBenchError, match="allow_partial was false, and is true"):
        run(colours, out, **begun, allow_partial=True, resume=True)


def test_of_long_values_the_part_is_shown_that_differs(unbroken: Path) -> None:
    record = read_record(unbroken)
    assert record is not None
    names = tuple(f"a class with a long name {number}" for number in range(20))
    others = (*names[:15], "another", *names[16:])
    plans = [
        record.plan.replaced(data=record.plan.data.replaced(classes=classes))
        for classes in (names, others)
    ]
    with pytest.raises(DeployBenchError) as caught:
        check_same_plan(plans[0], plans[1], unbroken)
    was, now = caught.value.found.split(", and is ")
    assert "a class with a long name 15" in was
    assert "another" in now
    assert len(caught.value.found) < 300


def test_an_epoch_s_line_has_the_rate_of_its_last_step_also_after_a_resume(
    unbroken: Path, colours: Path, tmp_path: Path
) -> None:
    recipe = request(colours, tmp_path, model=NET, **RECIPE).recipe
    rates = [line.learning_rate for line in read_curve(unbroken)]
    assert rates[0] > rates[1] > rates[2] > 10 * recipe.min_learning_rate
    # The cosine of the step 11 of 12, which is the last one.
    assert rates[2] == pytest.approx(
        recipe.min_learning_rate
        + 0.5
        * (recipe.learning_rate - recipe.min_learning_rate)
        * (1 + math.cos(math.pi * 11 / 12))
    )
    out = tmp_path / "out"
    judging = lambda event: isinstance(event, Evaluating)  # noqa: E731
    killed(colours, out, judging, save_every_s=EVERY_STEP)
    run(colours, out, resume=True)
    assert [line.learning_rate for line in read_curve(out)] == rates
