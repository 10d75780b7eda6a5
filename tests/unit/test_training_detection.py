"""Tests of detector training: assignment and losses."""

import numpy as np
import pytest
import torch

from mien_models.detectors.dense import cells
from mien_models.networks.face_detector import FaceDetectorNet
from mien_training.detection.assignment import assign, assign_from_teacher, decode, overlap
from mien_training.detection.losses import detection_loss
from tests.detector_training import SMALL, UNKNOWN, reported, scene


def test_the_loss_reads_predictions_as_serving_does() -> None:
    boxes, points = decode(reported((8, 16, 24, 32), 0), torch.from_numpy(cells(64, 64)))
    assert torch.allclose(boxes, torch.tensor([8.0, 16, 24, 32]), atol=1e-4)
    assert torch.allclose(points, torch.tensor([20.0, 32]), atol=1e-4)


def test_overlap_is_intersection_over_union() -> None:
    one = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    other = torch.tensor([[0.0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5]])
    assert overlap(one, other).tolist() == pytest.approx([1, 1 / 3, 0])


def test_every_face_gets_cells_near_it_even_a_tiny_one() -> None:
    truth = torch.tensor([[10.0, 10, 3, 3], [20, 20, 40, 40]])
    places = torch.from_numpy(cells(64, 64))
    predictions = reported((0, 0, 8, 8), 0)
    boxes, _ = decode(predictions[None], places)
    pairs = assign(boxes, predictions[None, :, 0], places, truth, UNKNOWN, torch.tensor([0, 0]))
    assert set(pairs.faces.tolist()) == {0, 1}
    assert len(set(pairs.cells.tolist())) == len(pairs.cells)
    centres = (places[pairs.cells, :2] + 0.5) * places[pairs.cells, 2:]
    distance = (centres - (truth[pairs.faces, :2] + truth[pairs.faces, 2:] / 2)).abs().max(1).values
    assert (distance < 2.5 * 32).all()


def test_faces_of_other_pictures_are_not_mixed_up() -> None:
    truth = torch.tensor([[8.0, 8, 16, 16], [8, 8, 16, 16]])
    places = torch.from_numpy(cells(64, 64))
    good, bad = reported((8, 8, 16, 16), 2), reported((40, 40, 8, 8), -2)
    predictions = torch.stack([good, bad])
    boxes, _ = decode(predictions, places)
    pairs = assign(boxes, predictions[..., 0], places, truth, UNKNOWN, torch.tensor([0, 1]))
    assert pairs.scores[pairs.faces == 0].min() > 0.99
    assert pairs.scores[pairs.faces == 1].max() < 0.1
    # Better boxes earn more cells.
    assert (pairs.faces == 0).sum() > (pairs.faces == 1).sum() == 1


def test_a_teachers_cells_are_assigned_their_face_but_not_its_points() -> None:
    places = torch.from_numpy(cells(64, 64))
    truth = torch.tensor([[8.0, 16, 24, 32], [8, 16, 24, 32]])
    received, astray = reported((8, 18, 24, 30), 0.0), reported((40, 40, 20, 20), 0.0)
    received[7, 0], received[9, 0], astray[5, 0] = 0.9, 0.2, 0.9
    pairs = assign_from_teacher(torch.stack([astray, received]), places, truth, UNKNOWN, torch.tensor([0, 1]))
    assert (pairs.faces.tolist(), pairs.cells.tolist()) == ([1], [7])
    assert pairs.scores.tolist() == pytest.approx([0.9])
    assert pairs.points.isnan().all()
    none = assign_from_teacher(received[None], places, truth[:0], UNKNOWN[:0], torch.tensor([], dtype=torch.long))
    assert len(none.faces) == 0


def test_a_teachers_detections_add_to_the_labels() -> None:
    picture, doubt = scene((8, 16, 24, 32)), reported((8, 16, 24, 32), -3.0)
    lesson = reported((8, 16, 24, 32), 0.0)
    alone, _ = detection_loss(doubt[None], [picture], lesson[None])
    lesson[:, 0] = 0.8
    assert detection_loss(doubt[None], [picture])[0] == alone
    assert detection_loss(doubt[None], [picture], lesson[None])[1]["score"] > 0


def test_a_batch_without_faces_has_a_loss() -> None:
    sure, unsure = (detection_loss(reported((0, 0, 9, 9), logit)[None], [scene()])[0] for logit in (3.0, -3.0))
    assert sure > unsure > 0


def test_correct_predictions_have_a_lower_loss() -> None:
    picture = scene((8, 16, 24, 32))
    _, right = detection_loss(reported((8, 16, 24, 32), 0)[None], [picture])
    _, wrong = detection_loss(reported((14, 16, 24, 24), 0)[None], [picture])
    assert right["box"] == pytest.approx(0, abs=1e-4)
    assert right["points"] == pytest.approx(0, abs=1e-4)
    assert wrong["box"] > 0.3
    assert wrong["points"] > 0.1


def test_unknown_points_cost_nothing() -> None:
    picture = scene((8, 16, 24, 32))
    picture.points[:] = np.nan
    loss, parts = detection_loss(reported((14, 16, 24, 24), 0)[None], [picture])
    assert parts["points"] == 0
    assert loss.isfinite()


def test_ignored_regions_count_neither_way() -> None:
    everywhere = np.array([[0, 0, 64, 64]], np.float32)
    assert detection_loss(reported((0, 0, 9, 9), 3)[None], [scene(ignored=everywhere)])[0] == 0
    face, beside = scene((8, 8, 24, 24)), scene((8, 8, 24, 24), ignored=everywhere)
    counts, spared = (detection_loss(reported((8, 8, 24, 24), 3)[None], [picture])[1] for picture in (face, beside))
    assert 0 < spared["score"] < counts["score"]


def test_a_strided_filter_is_equal_in_training_and_serving() -> None:
    torch.manual_seed(0)
    block = FaceDetectorNet(**SMALL).stages[0][0]  # type: ignore[index]
    pictures = torch.rand(2, 16, 32, 48)
    training = block.train()._filtered(pictures)
    assert torch.equal(training, block.eval()._filtered(pictures))
