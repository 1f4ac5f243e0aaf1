"""The forms in which people have checkpoints: loaded right, tensor by tensor, or refused in words
that say what to do; and nothing that a file names is run, on any version of torch."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from deploybench.errors import DeployBenchError
from deploybench.models.checkpoint import LoadReport, load_state, read_checkpoint
from tests.models import checkpoint_forms as forms
from tests.models.checkpoint_forms import (
    Form,
    Network,
    raw,
    renamed,
    saved,
    trained,
    under,
    without,
)

NAMED_CODE = "refused: a pickle that names code (Unsupported global)"
NOT_FOUND = "refused: no tensor fits"
NO_STATE = "refused: no state dict"
OTHER = "refused: 'is of another architecture', keys missing or unexpected"
NOT_CODE = "refused: a pickle that names code, or no checkpoint (Unsupported operand)"
NOT_HERE = "refused: 'Cannot use weights_only'; by reading: opened by torch before 2.6"


def case(name: str, item: int, before: str, now: str, *values: Any) -> Any:
    mark = pytest.mark.trust(item=item, case=name, before=before, now=now)
    return pytest.param(*values, marks=mark, id=name)


def plain(name: str, *values: Any) -> Any:
    """A form that was loaded right before, too."""
    return pytest.param(*values, id=name)


def load(path: Path, network: Network | None = None, **options: Any) -> tuple[Network, LoadReport]:
    network = network or Network()
    report = load_state(
        network,
        read_checkpoint(path),
        allow_partial=options.pop("allow_partial", False),
        example=lambda: torch.randn(2, 3, 8, 8),
        **options,
    )
    return network, report


def assert_holds(network: Network, wanted: dict[str, torch.Tensor]) -> None:
    for key, value in network.state_dict().items():
        if key in wanted:
            assert torch.equal(value, wanted[key]), key


BUFFERS = without("num_batches", {k: v for k, v in trained().items() if "running" in k})
AVERAGE_OF_PARAMETERS = {
    "model": {**raw(), **BUFFERS},
    "ema": {"decay": 0.9, "shadow": forms.parameters_of(trained())},
}
DINO = {"student": under("module.", raw()), "teacher": under("module.backbone.", trained())}
STUDENT_AND_TEACHER = {**under("student.", raw()), **under("teacher.", trained())}
ONLINE_AND_EMA = {**under("online_model.", raw()), **under("ema_model.", trained())}
DEEP = under("module.model.backbone.", trained())
INSIDE = renamed("layers.", "layers._orig_mod.", trained())
HEAD_BESIDE = {(k if k.startswith("fc") else f"backbone.{k}"): v for k, v in trained().items()}
AUX = {**trained(), "aux.weight": torch.ones(3, 4), "aux.bias": torch.ones(3)}
PROFILED = {**trained(), "total_ops": torch.ones(1), "stem.conv.total_params": torch.ones(1)}

RAW = "loaded: the weights as trained, not their average, without a word"
LOADED = [
    plain("a state dict", saved(trained()), ""),
    plain("torch.save's format before 1.6", saved(trained(), "c.pth", False), ""),
    plain("a state dict with an epoch", saved({"model": trained(), "epoch": 3}), "model"),
    case("timm's own, with argparse.Namespace", 5, NAMED_CODE, "loaded: state_dict_ema",
         saved(forms.timm_own()), "state_dict_ema"),
    case("torchvision's reference training", 5, NAMED_CODE, "loaded: model_ema.module",
         saved(forms.torchvision_own()), "model_ema.module"),
    case("Lightning, with a path, a numpy scalar, a date, an object", 5, NAMED_CODE, "loaded",
         saved(forms.lightning()), "state_dict.model"),
    case("torch.save(model)", 5, NAMED_CODE, "its tensors are loaded, its code is not run",
         saved(forms.seeded(1)), ""),
    case("a pickle of a state dict", 5, "refused: Unsupported operand 149", "loaded",
         forms.plain_pickle, ""),
    case("NumPy's arrays in a pickle (detectron2)", 5, "refused: Unsupported operand 149",
         "loaded", forms.arrays_in_a_pickle, "model"),
    case("sharded safetensors by their index", 5, NOT_CODE, "loaded", forms.sharded, ""),
    case("a folder of sharded safetensors", 5, "refused: there is no checkpoint", "loaded",
         forms.sharded_folder, ""),
    case("a folder with an index of .bin", 5, "refused: there is no checkpoint", "loaded",
         forms.sharded_pickles, ""),
    case("safetensors named .pth", 5, NOT_CODE, "loaded", forms.safetensors_named("c.pth"), ""),
    case("a pickle named .safetensors", 5, "refused: header too large", "loaded",
         saved(trained(), "c.safetensors"), ""),
    case("ema beside model", 4, RAW, "ema is taken, model is left",
         saved({"model": raw(), "ema": trained()}), "ema"),
    case("ema.module beside model", 4, RAW, "ema.module is taken",
         saved({"model": raw(), "ema": {"module": trained(), "updates": 3}}), "ema.module"),
    case("an average of the parameters alone", 4, RAW, "the average, with the model's buffers",
         saved(AVERAGE_OF_PARAMETERS), "ema.shadow"),
    case("ema_model. beside online_model. in the keys", 4, NOT_FOUND, "ema_model is taken",
         saved(ONLINE_AND_EMA), "ema_model"),
    case("student and teacher", 4, NO_STATE, "the teacher is taken, said",
         saved(DINO), "teacher.module.backbone"),
    case("student. and teacher. in the keys", 4, NOT_FOUND, "the teacher is taken, said",
         saved({"state_dict": STUDENT_AND_TEACHER}), "state_dict.teacher"),
    case("module, as DeepSpeed has it", 4, NO_STATE, "loaded",
         saved({"module": under("module.", trained())}), "module.module"),
    case("_orig_mod. inside a key", 4, OTHER, "loaded", saved(INSIDE), ""),
    case("three wrappers, module.model.backbone.", 4, NOT_FOUND, "loaded",
         saved({"state_dict": DEEP}), "state_dict.module.model.backbone"),
    case("Lightning's encoder.", 4, NOT_FOUND, "loaded",
         saved({"state_dict": under("encoder.", trained())}), "state_dict.encoder"),
    case("a backbone with its head beside it", 4, OTHER, "loaded, said",
         saved(HEAD_BESIDE), "backbone"),
    case("without num_batches_tracked", 4, OTHER, "loaded",
         saved(without("num_batches", trained())), ""),
    case("with criterion.*", 4, OTHER, "loaded, counted as ignored",
         saved({**trained(), "criterion.weight": torch.ones(3)}), ""),
    case("with an auxiliary head that the model lacks", 4, OTHER, "loaded, counted as ignored",
         saved(AUX), ""),
    case("with a profiler's total_ops", 4, OTHER, "loaded, counted as ignored",
         saved(PROFILED), ""),
]  # fmt: skip


@pytest.mark.parametrize(("form", "taken"), LOADED)
def test_a_form_is_loaded_right(form: Form, taken: str, tmp_path: Path) -> None:
    network, report = load(form(tmp_path))

    wanted = trained()
    if report.missing or taken.endswith("shadow"):
        wanted = without("num_batches", wanted)
    assert_holds(network, wanted)
    assert report.taken == taken
    assert report.random == ()


@pytest.mark.trust(
    item=5,
    case="a checkpoint in fp16 or bf16",
    before="loaded, not a word",
    now="loaded, and said",
)
@pytest.mark.parametrize("narrow", [forms.HALF, forms.WIDE], ids=["fp16", "bf16"])
def test_narrow_numbers_are_loaded_and_said(
    narrow: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    network, report = load(saved(narrow)(tmp_path))

    assert_holds(network, {key: value.to(trained()[key].dtype) for key, value in narrow.items()})
    assert "read as float32" in report.remarks[0]


SAID = "refused, and said to be that"
KIND = "verified, the numbers cast without a word"
NO_CAUSE = "failed parity: 'the fp32 eager reference itself holds NaN or Inf'"
REFUSED = [
    case("two states that nothing tells apart", 4, NO_STATE, "refused: --checkpoint-key chooses",
         saved({"first": raw(), "second": trained()}), "--checkpoint-key first"),
    case("whole numbers in the place of weights", 5, KIND, "refused",
         saved(forms.INTEGER_HEAD), "fc.weight (integer numbers for real ones)"),
    case("complex numbers in the place of weights", 5, KIND, "refused",
         saved(forms.COMPLEX_HEAD), "fc.weight (complex numbers for real ones)"),
    case("a quantised tensor", 5, "RuntimeError: 'Copying from quantized Tensor …'", "refused",
         saved(forms.QUANTISED_HEAD), "fc.weight (quantised numbers for real ones)"),
    case("8-bit floats without their scale", 5, KIND, "refused",
         saved(forms.EIGHT_BITS), "fc.weight (8-bit floating"),
    case("NaN in the weights", 5, NO_CAUSE, "refused: the training diverged",
         saved(forms.DIVERGED), "NaN or Inf in 1 tensor: fc.weight"),
    case("Inf in a bias", 5, NO_CAUSE, "refused: the training diverged",
         saved(forms.OVERFLOWN), "NaN or Inf in 1 tensor: fc.bias"),
    case("a Git LFS pointer", 5, NOT_CODE, f"{SAID}; git lfs pull",
         forms.written(forms.LFS), "git lfs pull"),
    case("an HTML page", 5, NOT_CODE, SAID, forms.written(forms.PAGE), "page of HTML"),
    case("gzip", 5, NOT_CODE, f"{SAID}; gunzip", forms.written(forms.GZIPPED), "gunzip"),
    case("JSON", 5, NOT_CODE, SAID, forms.written(b'{"a": 1}', "c.json"), "JSON"),
    case("an ONNX file", 5, NOT_CODE, SAID, forms.written(forms.ONNX, "c.onnx"), "an ONNX file"),
    case("Keras' HDF5", 5, NOT_CODE, SAID, forms.written(forms.KERAS, "c.h5"), "Keras"),
    case("an empty file", 5, "refused: EOFError", SAID, forms.written(b""), "empty (0 bytes)"),
    case("text", 5, "refused: KeyError: 101", SAID, forms.written(b"hello"), "text: 'hello'"),
    case("NumPy's .npz", 5, "refused: enforce fail at inline_container.cc", SAID,
         forms.arrays, "NumPy"),
    case("a zip of something else", 5, "refused: enforce fail at inline_container.cc", SAID,
         forms.zipped, "readme.txt"),
    case("a truncated file", 5, "refused: Invalid argument", SAID,
         forms.truncated, "damaged or truncated"),
    plain("truncated safetensors", forms.truncated_safetensors, "damaged or truncated"),
    case("an index whose shard is missing", 5, NOT_CODE, "refused, with the shard's name",
         forms.lost_shard, "model-2.safetensors, which is not there"),
    case("a folder with several files", 5, "refused: there is no checkpoint",
         "refused, with both names", forms.several_files, "best.pth, last.pth"),
    case("a folder without weights", 5, "refused: there is no checkpoint",
         "refused, with what it has", forms.dead_folder, "it has readme.txt"),
    case("TorchScript", 6, NOT_HERE, f"{SAID}; not opened",
         forms.torchscript, "TorchScript archive"),
    case("a tar file of torch before 0.2", 6, NOT_HERE, f"{SAID}; not opened",
         forms.tar, "tar archive"),
    plain("a pickle that acts", saved(forms.Acting()), "system, which acts on the machine"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "words"), REFUSED)
def test_a_form_is_refused_in_words_that_say_what_to_do(
    form: Form, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = form(tmp_path)

    with pytest.raises(DeployBenchError) as refusal:
        load(path)

    assert words in str(refusal.value)
    assert refusal.value.action or refusal.value.expected
    assert not (tmp_path / "executed").exists()


@pytest.mark.trust(
    item=4,
    case="which state is meant can be chosen",
    before="no option",
    now="--checkpoint-key student takes it; what is left is said",
)
@pytest.mark.parametrize("key", ["student", "student.module"])
def test_a_key_chooses_the_state(key: str, tmp_path: Path) -> None:
    network, report = load(saved(DINO)(tmp_path), key=key)

    assert_holds(network, raw())
    assert report.taken == "student.module"
    assert report.left == ("teacher (13 tensors)",)


@pytest.mark.trust(
    item=4,
    case="a key that is not there",
    before="no option",
    now="refused with the keys that hold states",
)
def test_a_wrong_key_lists_the_states_and_not_their_parts(tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        load(saved(DINO)(tmp_path), key="momentum")

    assert (
        refusal.value.expected == "the key of a state: student (13 tensors), teacher (13 tensors)"
    )


def test_a_listed_key_is_as_long_as_tells_it_from_the_others(tmp_path: Path) -> None:
    together = {"state_dict": {**under("model.", raw()), **under("ema.model.", trained())}}

    with pytest.raises(DeployBenchError) as refusal:
        load(saved(together)(tmp_path), key="teacher")

    assert refusal.value.expected == (
        "the key of a state: state_dict.ema (13 tensors), state_dict.model (13 tensors)"
    )
    for key in ("state_dict.ema", "state_dict.model"):
        assert load(saved(together)(tmp_path), key=key)[1].taken.startswith(key)


def test_a_key_of_a_plain_state_dict_is_refused_without_the_names_of_its_layers(
    tmp_path: Path,
) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        load(saved(trained())(tmp_path), key="ema")

    assert refusal.value.expected == "no key: the file itself is the state"
    assert refusal.value.action == "leave --checkpoint-key out"


@pytest.mark.trust(
    item=4,
    case="an auxiliary head of the model's that the checkpoint lacks",
    before=OTHER,
    now="loaded: NaN in it changes no output in eval",
)
def test_a_head_that_eval_does_not_use_may_be_missing(tmp_path: Path) -> None:
    network, report = load(saved(trained())(tmp_path), Network(auxiliary=True))

    assert_holds(network, trained())
    assert report.random == ()
    assert "not used in eval (tried): aux.* (2)" in report.remarks[0]
    assert bool(network.state_dict()["aux.weight"].isfinite().all())


def test_a_head_that_eval_uses_may_not_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match=r"2 keys missing \(fc.weight, fc.bias\)"):
        load(saved(without("fc", trained()))(tmp_path))


def test_what_belongs_to_another_architecture_is_no_training_s_own(tmp_path: Path) -> None:
    state = {**trained(), "layers.0.attention.weight": torch.ones(3)}

    with pytest.raises(DeployBenchError, match="1 unexpected"):
        load(saved(state)(tmp_path))


def test_a_teacher_without_a_student_beside_it_is_not_preferred(tmp_path: Path) -> None:
    state = {**under("model.", raw()), **under("teacher.", trained())}

    network, report = load(saved(state)(tmp_path))

    assert_holds(network, raw())
    assert report.left == ("teacher (13 tensors)",)


@pytest.mark.trust(
    item=6,
    case="any checkpoint on torch before 2.6 (CVE-2025-32434)",
    before="torch.load(weights_only=True); by reading: it could be bypassed there",
    now="a reader of our own that calls nothing; torch.load is never used",
)
@pytest.mark.parametrize("old_format", [False, True])
def test_torch_load_is_never_used(
    old_format: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(forms.timm_own(), zipped=not old_format)(tmp_path)
    monkeypatch.setattr(torch, "__version__", "2.1.0")

    def used(*arguments: object, **options: object) -> None:
        raise AssertionError("torch.load was called")

    for name in ("load", "jit.load"):
        monkeypatch.setattr(f"torch.{name}", used)

    network, _ = load(path)

    assert_holds(network, trained())


class Touching:
    """Creates a file by a function that no list of dangerous ones has."""

    def __reduce__(self) -> tuple[object, ...]:
        return (_touch, ("executed",))


def _touch(name: str) -> None:
    Path(name).touch()


@pytest.mark.trust(
    item=6,
    case="a checkpoint in which an object's own code would run",
    before="refused with its weights, on the torch of today; not tried on torch before 2.6",
    now="its weights are loaded, the object is left unbuilt, and that is said",
)
@pytest.mark.parametrize("old_format", [False, True])
def test_nothing_that_a_pickle_names_is_called(
    old_format: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": trained(), "config": Touching()}
    path = saved(content, zipped=not old_format)(tmp_path)

    network, report = load(path)

    assert_holds(network, trained())
    assert any("_touch" in remark for remark in report.remarks)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("size", [10**12, -1])
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(size: int, tmp_path: Path) -> None:
    path = saved(trained())(tmp_path)
    changed = tmp_path / "changed.pth"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                content = _with_size(content, size)
            target.writestr(name, content)

    with pytest.raises(DeployBenchError, match=r"damaged|another architecture"):
        load(changed)


def _with_size(pickled: bytes, size: int) -> bytes:
    """The pickle with another size in the place of the first tensor's (4, 3, 3, 3)."""
    small = b"K\x04K\x03K\x03K\x03t"
    assert small in pickled
    number = pickle.dumps(size, protocol=2)[2:-1]
    return pickled.replace(small, number + b"K\x03K\x03K\x03t", 1)
