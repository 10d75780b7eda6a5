"""Tests that ONNX files of other origins are wrapped, specified and checked when they are added to a store."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from mien.errors import ModelError
from mien_models.registry import Registry
from mien_models.runtimes import load
from mien_models.spec import EMOTIONS, GenderHead
from mien_models.store import ModelStore
from mien_models.store.own_model.add import add
from mien_models.store.own_model.face_check import FACE, describe
from mien_models.store.own_model.options import OwnModel

SIZE = 48
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Net(nn.Module):
    """A small network with one or several outputs."""

    def __init__(self, *columns: int, channels: int = 3, last: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 5, stride=3), nn.ReLU(), nn.AvgPool2d(5), nn.Flatten())
        self.heads = nn.ModuleList(nn.Linear(72, count) for count in columns)
        self.last = last

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        hidden = self.body(images)
        return tuple(self.last(head(hidden)) for head in self.heads)


class Last(Net):
    """The same for images with the channels last."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return super().forward(images.permute(0, 3, 1, 2))


def softmax(scores: Tensor) -> Tensor:
    return scores.softmax(1)


def export(
    net: nn.Module, path: Path, shape: tuple[int, ...], *outputs: str, opset: int = 17, batch: bool = True
) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter, and about constants
        torch.onnx.export(
            net.eval(),
            (torch.zeros(shape),),
            path,
            input_names=["input"],
            output_names=list(outputs),
            dynamic_axes={name: {0: "n"} for name in ("input", *outputs)} if batch else None,
            opset_version=opset,
            dynamo=False,
        )
    return path


def crops(count: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.mark.parametrize("opset", [11, 17, 20])
def test_emotion_scores_get_their_preprocessing_and_softmax(tmp_path: Path, store: ModelStore, opset: int) -> None:
    net = Net(7)
    path = export(net, tmp_path / "my.onnx", (1, 3, SIZE, SIZE), "logits", opset=opset)
    labels = tuple(reversed(EMOTIONS))
    added = add(store, path, OwnModel(tasks=("emotion",), shift=MEAN, scale=STD, labels=labels))
    assert (added.spec.name, added.spec.crop.size, added.spec.architecture) == ("my", SIZE, None)
    assert added.spec.parameters == sum(parameter.numel() for parameter in net.parameters())
    entry = Registry([store.folder]).for_task("emotion", "my")
    assert entry.spec.heads["emotion"].labels == labels  # type: ignore[union-attr]
    answers = load(entry, "emotion").predict(crops())["probabilities"]
    images = torch.from_numpy(crops()).permute(0, 3, 1, 2).float() - torch.tensor(MEAN).view(3, 1, 1)
    expected = net(images / torch.tensor(STD).view(3, 1, 1))[0].softmax(1)
    assert np.allclose(answers, expected.detach().numpy(), atol=1e-4)
    with pytest.raises(ModelError, match="only an ONNX file; use the runtime onnx"):
        load(entry, "emotion", runtime="torch")


@pytest.mark.parametrize("channels", ["first", "last"])
def test_probabilities_are_recognized_and_kept(tmp_path: Path, store: ModelStore, channels: str) -> None:
    net, shape = (Net, (1, 3, SIZE, SIZE)) if channels == "first" else (Last, (1, SIZE, SIZE, 3))
    made = net(7, last=softmax)
    path = export(made, tmp_path / "my.onnx", shape, "probabilities")
    added = add(store, path, OwnModel(tasks=("emotion",), colour="bgr"))
    assert "7 columns of probabilities" in added.notes[1]
    answers = load(Registry([store.folder]).get("my"), "emotion").predict(crops())["probabilities"]
    images = torch.from_numpy(crops()[..., ::-1].copy()).float() / 255
    expected = made(images if channels == "last" else images.permute(0, 3, 1, 2))[0]
    assert np.allclose(answers, expected.detach().numpy(), atol=1e-4)


def test_outputs_of_one_file_answer_several_tasks(tmp_path: Path, store: ModelStore) -> None:
    made = Net(101, 2, channels=1)
    path = export(made, tmp_path / "two heads.onnx", (1, 1, SIZE, SIZE), "ages", "sexes")
    added = add(store, path, OwnModel(tasks=("age", "gender"), high="female"))
    assert (added.spec.name, added.spec.input.colour) == ("two-heads", "grey")
    assert added.spec.heads["gender"] == GenderHead(first=101, count=2, source="classes", high="female")
    entry = Registry([store.folder]).get("two-heads")
    grey = (torch.from_numpy(crops()).float() * torch.tensor([0.299, 0.587, 0.114])).sum(3)[:, None] / 255
    ages, sexes = made(grey)
    years = load(entry, "age").predict(crops())["years"]
    assert np.allclose(years, (ages.softmax(1) @ torch.arange(101.0)).detach().numpy(), atol=1e-2)
    p_male = load(entry, "gender").predict(crops())["p_male"]
    assert np.allclose(p_male, sexes.softmax(1)[:, 0].detach().numpy(), atol=1e-4)
    assert describe(added.answers, ()).startswith("age ")


def test_a_value_between_0_and_1_is_an_age_in_other_units(tmp_path: Path, store: ModelStore) -> None:
    path = export(Net(1, last=torch.sigmoid), tmp_path / "my.onnx", (1, 3, SIZE, SIZE), "age")
    with pytest.raises(ModelError, match=r"the age of an adult is 0.* years; set the years"):
        add(store, path, OwnModel(tasks=("age",)))
    assert not list(store.folder.iterdir())
    added = add(store, path, OwnModel(tasks=("age",), years=100))
    assert 1 < added.answers["years"][0] < 100


def test_which_output_is_meant_must_be_said(tmp_path: Path, store: ModelStore) -> None:
    path = export(Net(1, 1, 3), tmp_path / "my.onnx", (1, 3, SIZE, SIZE), "first", "second", "odd")
    with pytest.raises(ModelError, match=r"2 outputs that could be gender: it has first \(1 columns\), second"):
        add(store, path, OwnModel(tasks=("gender",)))
    with pytest.raises(ModelError, match="no output 'third'"):
        add(store, path, OwnModel(tasks=("gender",), outputs={"gender": "third"}))
    with pytest.raises(ModelError, match="output 'odd' has 3 columns; gender has 1 or 2"):
        add(store, path, OwnModel(tasks=("gender",), outputs={"gender": "odd"}))
    with pytest.raises(ModelError, match="has no outputs that could be emotion"):
        add(store, path, OwnModel(tasks=("emotion",)))
    assert add(store, path, OwnModel(tasks=("gender",), outputs={"gender": "second"})).spec.heads.keys() == {"gender"}


def test_a_file_for_one_face_at_a_time_is_refused(tmp_path: Path, store: ModelStore) -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net(2)

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images)[0].reshape(1, 2) + 0

    path = export(One(), tmp_path / "my.onnx", (1, 3, SIZE, SIZE), "sexes", batch=False)
    with pytest.raises(ModelError, match="open batch dimension"):
        add(store, path, OwnModel(tasks=("gender",)))


def test_other_files_are_refused(tmp_path: Path, store: ModelStore) -> None:
    nothing, text = tmp_path / "none.onnx", tmp_path / "text.onnx"
    text.write_text("not ONNX")
    vector = tmp_path / "vector.onnx"
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), vector)
    for path, message in [
        (nothing, "No such file"),
        (text, "is not an ONNX file"),
        (vector, "expected a batch of images"),
    ]:
        with pytest.raises(ModelError, match=message):
            add(store, path, OwnModel(tasks=("age",)))
    assert not store.folder.exists() or not list(store.folder.iterdir())


def test_names_and_preprocessing_are_checked(tmp_path: Path, store: ModelStore) -> None:
    path = export(Net(2), tmp_path / "my.onnx", (1, 3, SIZE, SIZE), "sexes")
    gender: tuple[str, ...] = ("gender",)
    for own, message in [
        ({"name": "mien-emotion"}, "is a model of Mien"),
        ({"name": "../odd"}, "not a name for a model"),
        ({"colour": "grey"}, "has 3 input channels, which is not grey"),
        ({"size": 64}, "takes images of 48 pixels, not 64"),
        ({"tasks": ("emotion",), "labels": ("happy", "sad")}, "the labels must be angry"),
    ]:
        with pytest.raises(ModelError, match=message):
            add(store, path, OwnModel(**{"tasks": gender, **own}))  # type: ignore[arg-type]
    add(store, path, OwnModel(tasks=("gender",)))
    with pytest.raises(ModelError, match="has a model my already"):
        add(store, path, OwnModel(tasks=("gender",)))
    add(store, path, OwnModel(tasks=("gender",), high="female"), replace=True)


def test_a_file_that_takes_crops_is_used_as_it_is(store: ModelStore, tmp_path: Path) -> None:
    shipped = Registry().get("ssrnet-age")
    path = tmp_path / "copied.onnx"
    path.write_bytes(shipped.whole.read())
    added = add(store, path, OwnModel(tasks=("age",), size=shipped.spec.crop.size))
    assert added.path.read_bytes() == path.read_bytes()
    assert FACE.is_file()
