"""Tests of requests, result values and drawing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli import tables
from mien.cli.annotate import Annotator
from mien.cli.sources import Source, find
from mien.images import image_bytes
from mien.request import analyze_request
from mien.v1 import face_pb2
from mien.v1 import face_service_pb2 as pb

GREY = np.full((60, 80, 3), 100, np.uint8)


def a_face(x: float, label: str = "happy") -> face_pb2.Face:
    return face_pb2.Face(
        box=face_pb2.Box(x=x, y=5, width=20, height=25),
        ratio_box=face_pb2.Box(x=x / 80, y=5 / 60, width=20 / 80, height=25 / 60),
        landmarks=face_pb2.Landmarks(
            right_eye=face_pb2.Point(x=x + 5, y=12),
            left_eye=face_pb2.Point(x=x + 15, y=12),
            nose=face_pb2.Point(x=x + 10, y=17),
            right_mouth_corner=face_pb2.Point(x=x + 6, y=24),
            left_mouth_corner=face_pb2.Point(x=x + 14, y=24),
        ),
        detection_score=0.9,
        age=face_pb2.Age(years=33.4, low=28, high=40),
        gender=face_pb2.Gender(value=face_pb2.GENDER_VALUE_FEMALE, probability=0.93),
        emotions=[face_pb2.Emotion(label=label, probability=0.8), face_pb2.Emotion(label="sad", probability=0.2)],
        mood=face_pb2.Mood(valence=0.6, arousal=0.4, label=face_pb2.MOOD_LABEL_EXCITED),
    )


REPLY = pb.AnalyzeResponse(
    faces=[a_face(10), face_pb2.Face(box=face_pb2.Box(x=50, y=5, width=10, height=12))],
    image=face_pb2.ImageInfo(width=80, height=60, format="PNG", exif_orientation=1),
    detector=face_pb2.ModelInfo(name="haar", version="4"),
)


@pytest.mark.parametrize(
    "array",
    [GREY[0, 0], GREY.astype(float), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 4), np.uint8), GREY[None]],
    ids=["one dimension", "floats", "empty", "alpha", "batch"],
)
def test_an_array_that_is_not_an_image_is_rejected(array: np.ndarray) -> None:
    with pytest.raises(mien.ImageError, match=r"\(H, W, 3\) uint8 RGB"):
        image_bytes(array)


def test_wrong_arguments_are_refused_before_anything_is_sent() -> None:
    options = {"max_faces": None, "all_or_nothing": False}
    with pytest.raises(mien.InvalidRequestError, match="pass \\['age'\\]"):
        analyze_request(b"x", tasks="age", **options)  # type: ignore[arg-type]
    for count in (0, -1, 2**32, 1.5, True):
        with pytest.raises(mien.InvalidRequestError, match="max_faces"):
            analyze_request(b"x", tasks=None, max_faces=count, all_or_nothing=False)  # type: ignore[arg-type]
    with pytest.raises(mien.InvalidRequestError, match="not NoneType"):
        analyze_request(None, tasks=None, **options)  # type: ignore[arg-type]
    with pytest.raises(mien.ImageError, match="no such file"):
        analyze_request("missing.jpg", tasks=None, **options)  # type: ignore[arg-type]


def test_values_have_a_readable_repr() -> None:
    analysis = mien.Analysis.from_message(REPLY)
    assert str(analysis).splitlines() == [
        "2 faces in 80x60 PNG",
        "  (10, 5) 20x25, 33 years (28-40), female 93%, happy 80%, mood excited",
        "  (50, 5) 10x12",
    ]
    bare = analysis.faces[1]
    assert (bare.age, bare.gender, bare.emotion, bare.mood, bare.landmarks, bare.detection_score) == (None,) * 6
    assert "AnalyzeResponse" not in repr(analysis)


POOR = face_pb2.Face(
    box=face_pb2.Box(x=50, y=5, width=10, height=12),
    quality=face_pb2.Quality(
        size_px=12, sharpness=0.05, abstained_reasons=["REASON_FACE_TOO_SMALL", "REASON_FACE_TOO_BLURRED"]
    ),
)


def test_an_abstained_face_has_its_reasons_everywhere() -> None:
    analysis = mien.Analysis.from_message(pb.AnalyzeResponse(faces=[a_face(10), POOR]))
    good, poor = analysis.faces
    assert (good.abstained, good.abstained_reasons, good.abstention) == (False, (), "")
    assert poor.quality == mien.Quality(12, pytest.approx(0.05))
    assert poor.abstained_reasons == ("face_too_small", "face_too_blurred")
    assert str(poor) == "(50, 5) 10x12, too small and too blurred to tell"
    table = tables.analyses([("photo.jpg", analysis)])
    assert list(table.columns[2].cells)[1] == "too small and too blurred to tell"
    assert analysis.to_dict()["faces"][1]["quality"]["abstained_reasons"] == [
        "REASON_FACE_TOO_SMALL",
        "REASON_FACE_TOO_BLURRED",
    ]  # type: ignore[index]


def test_the_reason_is_drawn_at_the_face() -> None:
    wide = np.full((120, 300, 3), 100, np.uint8)
    mute = face_pb2.Face(box=POOR.box)
    message, silent = (
        mien.draw(wide, mien.Analysis.from_message(pb.AnalyzeResponse(faces=[face]))) for face in (POOR, mute)
    )
    assert (message != silent).any(2).sum() > 200


def test_a_reason_of_a_newer_server_is_still_a_reason() -> None:
    newer = face_pb2.Face.FromString(face_pb2.Face(quality=face_pb2.Quality(abstained_reasons=[7])).SerializeToString())  # type: ignore[list-item]
    (face,) = mien.Analysis.from_message(pb.AnalyzeResponse(faces=[newer])).faces
    assert face.abstained
    assert face.abstained_reasons == ()
    assert face.abstention == "too poor to tell"


def test_a_reply_as_dict_has_every_field() -> None:
    message = mien.Analysis.from_message(REPLY).to_dict()
    assert {"faces", "faces_truncated", "image", "tasks", "detector"} <= message.keys()
    assert mien.Analysis.from_message(pb.AnalyzeResponse()).to_dict()["faces"] == []


def test_results_are_frozen() -> None:
    analysis = mien.Analysis.from_message(REPLY)
    with pytest.raises(AttributeError):
        analysis.faces[0].age.years = 20  # type: ignore[misc, union-attr]


def test_drawing_changes_the_picture_at_the_face_alone() -> None:
    wide = np.full((120, 200, 3), 100, np.uint8)
    drawn = mien.draw(wide, mien.Analysis.from_message(REPLY))
    assert drawn.shape == wide.shape
    changed = np.argwhere((drawn != wide).any(2))
    assert len(changed) > 50
    assert changed[:, 1].min() >= 8
    assert np.array_equal(mien.draw(GREY, mien.Analysis.from_message(pb.AnalyzeResponse())), GREY)


def test_drawing_turns_the_picture_as_the_boxes_are(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(path, exif=exif)
    assert mien.draw(path, mien.Analysis.from_message(pb.AnalyzeResponse())).shape == (80, 60, 3)


def test_an_annotated_file_is_whole_or_absent(tmp_path: Path) -> None:
    analysis = mien.Analysis.from_message(REPLY)
    source = Source("grey", None)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(mien.InvalidRequestError, match="cannot write"):
        Annotator(tmp_path / "file" / "below", [source]).write(source, GREY, analysis)
    written = Annotator(tmp_path / "pictures", [source]).write(source, GREY, analysis)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == [written.name] == ["stdin.annotated.jpg"]


def test_a_full_disk_is_not_an_invalid_request(tmp_path: Path) -> None:
    source = Source("grey", None)
    (tmp_path / ".full.jpg.partial").symlink_to("/dev/full")
    with pytest.raises(mien.FileError, match="No space left"):
        Annotator(tmp_path / "full.jpg", [source]).write(source, GREY, mien.Analysis.from_message(REPLY))
    assert list(tmp_path.iterdir()) == []


def test_sources_are_listed_once_in_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    names = [str(tmp_path / "b.jpg"), str(tmp_path), "-", str(tmp_path / "missing.jpg")]
    assert [Path(source.name).name for source in find(names)] == ["b.jpg", "a.png", "-", "missing.jpg"]


def test_a_photograph_is_never_drawn_over(tmp_path: Path) -> None:
    path = tmp_path / "self.jpg"
    Image.fromarray(GREY).save(path)
    with pytest.raises(mien.InvalidRequestError, match="the photograph itself"):
        Annotator(path, find([str(path)]))


def test_annotated_pictures_of_a_folder_are_not_analyzed_again(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.annotated.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert [Path(source.name).name for source in find([str(tmp_path)])] == ["a.jpg"]


def test_names_do_not_depend_on_who_finishes_first(tmp_path: Path) -> None:
    sources = [Source("x/a.jpg", Path("x/a.jpg")), Source("y/a.png", Path("y/a.png"))]
    annotator = Annotator(tmp_path, sources)
    analysis = mien.Analysis.from_message(REPLY)
    written = [annotator.write(source, GREY, analysis).name for source in reversed(sources)]
    assert written == ["a-2.annotated.jpg", "a.annotated.jpg"]


@pytest.mark.parametrize(("mode", "level"), [("I;16", 25700), ("LA", (100, 255)), ("RGBA", (100, 100, 100, 255))])
def test_every_mode_is_drawn_as_the_server_reads_it(tmp_path: Path, mode: str, level: object) -> None:
    path = tmp_path / "odd.png"
    Image.new(mode, (80, 60), level).save(path)  # type: ignore[arg-type]
    assert np.array_equal(mien.draw(path, mien.Analysis.from_message(pb.AnalyzeResponse())), GREY)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "5"])
def test_an_invalid_timeout_is_rejected(timeout: object) -> None:
    with mien.Client("127.0.0.1:1") as client, pytest.raises(mien.InvalidRequestError, match="timeout"):
        client.server_info(timeout=timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize("server", ["host", "http://x:1", "a b:1", ":50", 5])
def test_an_invalid_address_is_rejected(server: object) -> None:
    with pytest.raises(mien.InvalidRequestError, match="host:port"):
        mien.Client(server)  # type: ignore[arg-type]


@pytest.mark.parametrize("server", [None, "127.0.0.1:1"])
def test_a_closed_client_raises_an_error(server: str | None) -> None:
    client = mien.Client(server)
    client.close()
    client.close()
    for call in (client.models, client.server_info, lambda: client.analyze(GREY)):
        with pytest.raises(mien.MienError, match="closed"):
            call()
