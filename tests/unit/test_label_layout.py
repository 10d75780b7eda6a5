"""Tests of label placement, on synthetic crowds."""

import numpy as np

from mien.drawing.label_layout import covered, place_labels

WIDTH, HEIGHT = 1600.0, 1200.0


def crowd(seed: int) -> np.ndarray:
    """Return the (N, 4) boxes of rows of faces, as in a group photograph, 40 to 70 pixels wide."""
    rng = np.random.default_rng(seed)
    boxes = []
    for row in range(5):
        for column in range(10):
            wide = rng.uniform(40, 70)
            x, y = 60 + column * 150 + rng.normal(0, 15), 100 + row * 210 + rng.normal(0, 15)
            boxes.append((x, y, x + wide, y + wide * 1.3))
    return np.array(boxes)


def count(places: np.ndarray, faces: np.ndarray) -> tuple[int, int]:
    """Return how many labels others cover by a tenth, and how many faces labels cover by a tenth."""
    labels = sum(covered(places[i : i + 1], np.delete(places, i, axis=0))[0] > 0.1 for i in range(len(places)))
    return int(labels), int((covered(faces, places) > 0.1).sum())


def below(sizes: list[tuple[float, float]], faces: np.ndarray) -> np.ndarray:
    """Return the places right below the faces, without regard to anything else."""
    return np.array([(f[0], f[3], f[0] + w, f[3] + h) for (w, h), f in zip(sizes, faces, strict=True)])


def test_labels_avoid_faces_and_each_other() -> None:
    total, naive = np.zeros(2, int), np.zeros(2, int)
    for seed in range(6):
        faces = crowd(seed)
        sizes = [(130.0, 60.0)] * len(faces)
        places = place_labels(sizes, faces, np.empty((0, 4)), WIDTH, HEIGHT)
        total += count(places, faces)
        naive += count(below(sizes, faces), faces)
        assert places.min() >= 0
        assert places[:, 2].max() <= WIDTH
        assert places[:, 3].max() <= HEIGHT
    print(f"300 labels: covered {total[0]} (below the faces: {naive[0]}), faces hidden {total[1]} ({naive[1]})")
    assert total[0] <= naive[0]
    assert total[1] == 0


def test_numbers_in_a_dense_crowd_cover_no_face() -> None:
    faces = np.array([(x, y, x + 40, y + 52) for y in range(20, 1000, 70) for x in range(20, 1500, 60)], float)
    places = place_labels([(18.0, 16.0)] * len(faces), faces, np.empty((0, 4)), WIDTH, HEIGHT)
    assert count(places, faces) == (0, 0)
