"""Tests of the detectors on real photographs, and of their errors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import DetectorError
from mien_models.detectors import DETECTORS, create, shrink
from mien_models.faces import Faces
from mien_models.images.decode import decode

ASTRONAUT = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"

# YuNet's box of the face.
ASTRONAUT_BOX = (178, 65, 92, 112)


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return decode(ASTRONAUT.read_bytes()).pixels


@pytest.fixture(scope="module")
def yunet_file(shared: Path) -> Path:
    return shared / "reference" / "yunet_n_320_320.onnx"


def photographs(folder: Path) -> Iterator[NDArray[np.uint8]]:
    for path in sorted(folder.rglob("*.*")):
        if path.suffix in (".jpg", ".png"):
            yield decode(path.read_bytes()).pixels


def overlap(box: NDArray[np.float32], other: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes."""
    x, y, width, height = map(float, box)
    across = min(x + width, other[0] + other[2]) - max(x, other[0])
    down = min(y + height, other[1] + other[3]) - max(y, other[1])
    both = max(0.0, across) * max(0.0, down)
    return both / (width * height + other[2] * other[3] - both)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DetectorError, match="mien, yunet, haar"):
        create("retina", long_side=640)


def test_yunet_without_a_file_is_an_error() -> None:
    with pytest.raises(DetectorError, match=r"detector\.path"):
        create("yunet", long_side=640)


def test_yunet_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="cannot be read"):
        create("yunet", model_path=tmp_path / "nothing.onnx", long_side=640)


def test_yunet_refuses_another_file(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"not YuNet")

    with pytest.raises(DetectorError, match="SHA-256"):
        create("yunet", model_path=other, long_side=640)


def test_haar_refuses_a_score_it_does_not_have() -> None:
    with pytest.raises(DetectorError, match="no scores"):
        create("haar", long_side=640, min_score=0.5)


def test_haar_finds_the_astronaut_in_yunets_box(astronaut: NDArray[np.uint8]) -> None:
    faces = create("haar", long_side=640).detect(astronaut).largest_first(1)

    assert overlap(faces.boxes[0], ASTRONAUT_BOX) > 0.6
    assert faces.boxes.dtype == np.float32
    assert faces.points is None
    assert faces.scores is None


def test_haar_gives_boxes_in_the_pixels_of_the_image_it_was_given(astronaut: NDArray[np.uint8]) -> None:
    faces = create("haar", long_side=256).detect(astronaut).largest_first(1)

    assert overlap(faces.boxes[0], ASTRONAUT_BOX) > 0.6


def test_haar_finds_nothing_in_an_empty_picture() -> None:
    faces = create("haar", long_side=640).detect(np.full((120, 160, 3), 90, np.uint8))

    assert faces.boxes.shape == (0, 4)


def test_haar_finds_the_same_from_many_threads(astronaut: NDArray[np.uint8]) -> None:
    detector = create("haar", long_side=256)
    images = [astronaut, astronaut[:, ::-1].copy(), astronaut[:200]] * 4
    alone = [detector.detect(image).boxes for image in images]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: detector.detect(image).boxes, images))

    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


@pytest.mark.parametrize("long_side", [640, 256])
def test_ours_finds_the_astronaut_with_points_in_order(astronaut: NDArray[np.uint8], long_side: int) -> None:
    faces = create("mien", long_side=long_side).detect(astronaut)

    assert len(faces) == 1
    assert overlap(faces.boxes[0], ASTRONAUT_BOX) > 0.7
    assert faces.boxes.dtype == np.float32
    assert faces.points is not None
    assert faces.scores is not None
    assert 0.5 < faces.scores[0] <= 1
    right_eye, left_eye, nose, right_mouth, left_mouth = faces.points[0]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1]


def test_ours_finds_the_same_from_many_threads_and_in_images_of_any_size(astronaut: NDArray[np.uint8]) -> None:
    detector = create("mien", long_side=256)
    images = [astronaut, astronaut[:, ::-1], astronaut[:201], astronaut[:, 100:399], astronaut[:1, :1]] * 4
    alone = [detector.detect(image).boxes for image in images]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: detector.detect(image).boxes, images))

    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_higher_threshold_drops_faces(astronaut: NDArray[np.uint8]) -> None:
    assert len(create("mien", long_side=256, min_score=0.99).detect(astronaut)) == 0


def test_an_image_is_shrunk_to_the_long_side_and_never_enlarged() -> None:
    image = np.zeros((100, 400, 3), np.uint8)

    small, factor = shrink(image, 200)
    same, one = shrink(image, 800)

    assert small.shape == (50, 200, 3)
    assert factor.tolist() == [2, 2]
    assert same is image
    assert one.tolist() == [1, 1]


def test_a_thin_image_keeps_at_least_one_pixel() -> None:
    assert shrink(np.zeros((1, 3000, 3), np.uint8), 300)[0].shape == (1, 300, 3)


@pytest.mark.shared
@pytest.mark.parametrize("name", DETECTORS)
def test_an_image_of_one_pixel_has_no_face(name: str, yunet_file: Path) -> None:
    detector = create(name, model_path=yunet_file if name == "yunet" else None, long_side=640)
    assert len(detector.detect(np.zeros((1, 1, 3), np.uint8))) == 0


@pytest.mark.shared
def test_yunet_finds_the_astronaut_with_points_in_order(astronaut: NDArray[np.uint8], yunet_file: Path) -> None:
    faces = create("yunet", model_path=yunet_file, long_side=640).detect(astronaut)

    assert len(faces) == 1
    assert overlap(faces.boxes[0], ASTRONAUT_BOX) > 0.9
    assert faces.points is not None
    assert faces.points.shape == (1, 5, 2)
    assert faces.scores is not None
    assert 0.8 < faces.scores[0] <= 1
    right_eye, left_eye, nose, right_mouth, left_mouth = faces.points[0]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1]


@pytest.mark.shared
def test_yunet_gives_boxes_in_the_pixels_of_the_image_it_was_given(
    astronaut: NDArray[np.uint8], yunet_file: Path
) -> None:
    faces = create("yunet", model_path=yunet_file, long_side=256).detect(astronaut)

    assert overlap(faces.boxes[0], ASTRONAUT_BOX) > 0.8


@pytest.mark.shared
def test_yunet_finds_what_opencvs_own_detector_finds(shared: Path, yunet_file: Path) -> None:
    detector = create("yunet", model_path=yunet_file, long_side=10_000, min_score=0.4)
    faces = 0
    for photograph in photographs(shared / "photos"):
        image, _ = shrink(photograph, 640)
        height, width = image.shape[:2]
        reference = cv2.FaceDetectorYN.create(str(yunet_file), "", (width, height), 0.4, 0.3, 5000)
        expected = reference.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        rows = np.zeros((0, 15), np.float32) if expected is None else np.asarray(expected, np.float32)
        found = _by_score(detector.detect(image))

        assert len(found) == len(rows)
        assert found[:, :14] == pytest.approx(rows[np.argsort(-rows[:, 14], kind="stable"), :14], abs=1)
        assert found[:, 14] == pytest.approx(np.sort(rows[:, 14])[::-1], abs=0.01)
        faces += len(rows)
    assert faces > 100


def _by_score(faces: Faces) -> NDArray[np.float32]:
    """Return rows as FaceDetectorYN's: box, points, score; the best first."""
    assert faces.points is not None
    assert faces.scores is not None
    rows = np.concatenate([faces.boxes, faces.points.reshape(-1, 10), faces.scores[:, None]], axis=1)
    return rows[np.argsort(-faces.scores, kind="stable")]


@pytest.mark.shared
def test_detectors_have_few_false_positives(shared: Path, yunet_file: Path) -> None:
    for name, most in (("mien", 1), ("yunet", 0), ("haar", 2)):
        detector = create(name, model_path=yunet_file if name == "yunet" else None, long_side=640)

        assert sum(len(detector.detect(image)) for image in photographs(shared / "photos" / "no_face")) <= most


@pytest.mark.shared
def test_hand_counted_faces_are_detected(shared: Path, yunet_file: Path) -> None:
    detector = create("yunet", model_path=yunet_file, long_side=640)
    counts = {
        "nasa/STS-106.jpg": 7,
        "nasa/Expedition_3_Crew.jpg": 10,
        "nasa/Expedition_1_Crew.jpg": 3,
        "azure/identification1.jpg": 4,
        "azure/detection4.jpg": 3,
        "public_domain/usnavy_grace_hopper_128.jpg": 1,
    }
    for name, count in counts.items():
        assert len(detector.detect(decode((shared / "photos" / name).read_bytes()).pixels)) == count, name
