"""Tests of detector training: runs, checkpoints and export."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.errors import DetectorError, ModelError
from mien_models.detectors import Detector, create
from mien_models.detectors.dense import pad
from mien_models.detectors.mien import MienDetector
from mien_models.export.detector import write_detector
from mien_models.networks.face_detector import SCALE, FaceDetectorNet
from mien_training.detection.job import export_detector, train_detector
from mien_training.detection.losses import detection_loss
from mien_training.detection.recipes import DETECTION_RECIPES
from mien_training.detection.run import DetectionRun
from mien_training.detection.warm_start import warm_start
from tests.detector_training import RECIPE, SMALL, SPEC, scene
from tests.face_zips import write_faces, write_photographs


def test_the_exported_file_answers_as_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = FaceDetectorNet(**SMALL)
    for output in net.outputs:
        torch.nn.init.normal_(output.weight)  # type: ignore[arg-type]
    spec = write_detector(SPEC, net, tmp_path)
    assert spec.weights is not None
    assert spec.weights.bytes == (tmp_path / "small.onnx").stat().st_size
    detector = MienDetector(tmp_path / "small.json", long_side=640)
    for height, width in ((64, 64), (40, 100)):
        padded = pad(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
        scores, shapes = detector.predict(padded)
        with torch.inference_mode():
            expected = net.eval()(torch.from_numpy(padded).permute(2, 0, 1)[None].float() / SCALE)[0].numpy()
        assert scores == pytest.approx(1 / (1 + np.exp(-expected[:, 0])), abs=1e-4)
        assert pytest.approx(expected[:, 1:], abs=1e-3) == shapes


@pytest.fixture
def teacher(shared: Path) -> Detector:
    return create("yunet", model_path=shared / "reference" / "yunet_n_320_320.onnx", long_side=320)


def test_a_run_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    write_photographs(tmp_path / "detect.zip")
    write_detector(SPEC, FaceDetectorNet(**SMALL), tmp_path)
    teacher = MienDetector(tmp_path / "small.json", long_side=64)
    lines: list[str] = []
    recipe = replace(RECIPE, epochs=1)
    train_detector(recipe, tmp_path, tmp_path / "runs", teacher=teacher, report=lines.append)
    run = train_detector(RECIPE, tmp_path, tmp_path / "runs", teacher=teacher, report=lines.append)
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert {"score", "box", "points", "seconds", "ap", "ap_24"} <= json.loads(lines[-1]).keys()
    assert (tmp_path / "runs" / "small.jsonl").read_text().splitlines() == lines
    again = DetectionRun(RECIPE, 2, tmp_path / "runs" / "small.pt", 0)
    assert again.epoch == 2
    last, average = run.net.state_dict(), run.averaged.state_dict()
    assert not torch.equal(last["stem.0.weight"], average["stem.0.weight"])
    assert all(torch.equal(value, again.averaged.state_dict()[name]) for name, value in average.items())
    spec = export_detector(run, tmp_path, tmp_path)
    assert 0 < spec.min_score < 1
    picture = np.random.default_rng(0).integers(0, 256, (65, 97, 3), np.uint8)
    found = create("mien", model_path=tmp_path / "small.json", long_side=64, min_score=0.001).detect(picture)
    assert found.points is not None
    assert found.points.shape == (len(found), 5, 2)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "small.pt"
    if content is None:
        DetectionRun(DETECTION_RECIPES["mien"], 2, path, 0).save()
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="remove it to start again"):
        DetectionRun(RECIPE, 2, path, 0)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    net = FaceDetectorNet(**SMALL)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    generator = np.random.default_rng(0)
    picture = scene((8, 16, 24, 32))
    picture.image[:] = generator.integers(0, 60, picture.image.shape)
    picture.image[16:48, 8:32] = 220
    image = torch.from_numpy(picture.image).permute(2, 0, 1)[None].float() / SCALE
    losses = []
    for _ in range(40):
        loss, _ = detection_loss(net(image), [picture])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.shared
def test_chips_are_kept_where_the_teacher_sees_their_face(tmp_path: Path, teacher: Detector, shared: Path) -> None:
    from mien_training.detection.chips import load_chips

    write_faces(tmp_path / "fairface.zip", "file,gender,split", ["male"] * 4)
    assert len(load_chips([tmp_path / "fairface.zip"], teacher, limit=4, seed=0)) == 0
    chips = load_chips([shared / "data" / "utkface.zip"], teacher, limit=40, seed=0)
    assert len(chips) > 30
    assert np.median(chips.boxes[:, 3]) / 80 == pytest.approx(0.968, abs=0.06)
    assert (chips.points[:, 0, 0] < chips.points[:, 1, 0]).mean() > 0.9


def test_every_recipe_makes_a_network_with_its_options() -> None:
    for name, recipe in DETECTION_RECIPES.items():
        assert recipe.spec.name == name
        assert sum(parameter.numel() for parameter in FaceDetectorNet(**recipe.spec.options).parameters()) < 300_000


def test_a_damaged_or_missing_file_is_an_error(tmp_path: Path) -> None:
    write_detector(SPEC, FaceDetectorNet(**SMALL), tmp_path)
    path = tmp_path / "small.json"
    weights = tmp_path / "small.onnx"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    with pytest.raises(DetectorError, match="damaged"):
        create("mien", model_path=path, long_side=64)
    weights.unlink()
    with pytest.raises(DetectorError, match="cannot be read"):
        create("mien", model_path=path, long_side=64)
    SPEC.write(path)
    with pytest.raises(DetectorError, match="no weights"):
        create("mien", model_path=path, long_side=64)
    path.write_text("{}")
    with pytest.raises(DetectorError, match="not a detector's specification"):
        create("mien", model_path=path, long_side=64)
    with pytest.raises(DetectorError, match=r"detector\.path"):
        create("mien", model_path=tmp_path / "none.json", long_side=64)


def test_the_learning_rate_warms_up_and_decays_to_zero(tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=100, epochs=10, warm_up=50)
    run = DetectionRun(recipe, 10, tmp_path / "none.pt", 0)
    rates = []
    for step in (0, 49, 50, 525, 999):
        run._set_learning_rate(step)
        rates.append(run.optimizer.param_groups[0]["lr"] / recipe.learning_rate)
    assert rates[0] == pytest.approx(0.02)
    assert rates[1] == pytest.approx(1)
    assert rates[3] == pytest.approx(0.5, abs=0.01)
    assert rates[4] == pytest.approx(0, abs=1e-4)


def test_a_network_started_from_a_file_answers_as_the_file_does(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = FaceDetectorNet(**SMALL)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    write_detector(SPEC, net, tmp_path)
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (64, 96, 3), np.uint8) for _ in range(4)]

    started = FaceDetectorNet(**SMALL)
    warm_start(started, tmp_path / "small.json", images)
    inputs = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / SCALE
    with torch.inference_mode():
        assert torch.allclose(started.eval()(inputs), net.eval()(inputs), atol=1e-4)
        # On the images that it was shown, the statistics of the batch are those that it was given.
        assert torch.allclose(started.train()(inputs), net.eval()(inputs), atol=1e-2)


def test_a_file_of_another_network_is_refused_as_a_start(tmp_path: Path) -> None:
    write_detector(SPEC, FaceDetectorNet(**SMALL), tmp_path)
    deeper = FaceDetectorNet(**SMALL | {"depths": (1, 0, 0, 0)})
    with pytest.raises(ModelError, match="another network"):
        warm_start(deeper, tmp_path / "small.json", [np.zeros((64, 64, 3), np.uint8)])
