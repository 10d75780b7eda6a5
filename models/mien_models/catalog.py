"""The catalogue of published weights that Mien can import: name, URL, SHA-256 and resulting specification."""

from dataclasses import dataclass

from mien_models.errors import ModelError
from mien_models.spec import AgeValueHead, CropSpec, EmotionHead, GenderHead, InputSpec, ModelSpec, Task

_ARRIAGA = "https://raw.githubusercontent.com/oarriaga/face_classification/master/trained_models"
_SSRNET = "https://raw.githubusercontent.com/shamangary/SSR-Net/master/pre-trained"
_YUNET = "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/master/onnx"

_GREY = InputSpec(colour="grey", shift=127.5, scale=127.5)  # (x / 255 - 0.5) * 2
_BGR = InputSpec(colour="bgr", shift=0, scale=1)


@dataclass(frozen=True, slots=True)
class Published:
    """One published file and its entry in a model store."""

    name: str
    """Name in the registry, or name of the detector."""
    url: str
    sha256: str
    """Digest of the published file, in hexadecimal digits."""
    terms: str
    """Licence of the file, and the terms of its training data."""
    spec: ModelSpec | None = None
    """Target specification of a Keras file; None for a detector's ONNX file, which is kept unchanged."""

    @property
    def file(self) -> str:
        """Name of the ONNX file in a model store."""
        return f"{self.name}.onnx" if self.spec else self.url.rpartition("/")[2]


def find(name: str) -> Published:
    """Return the published file with a name; raises `ModelError`."""
    if name not in PUBLISHED:
        raise ModelError(f"unknown published weights {name!r}; available: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def _mini_xception(task: Task, data: str, head: EmotionHead | GenderHead, crop: CropSpec) -> ModelSpec:
    return ModelSpec(
        name=f"mini-xception-{task}-published",
        version="1.0.0",
        summary=f"mini-Xception for {task} as Arriaga et al. published it, trained on {data}.",
        architecture="mini_xception",
        options={"outputs": head.count},
        crop=crop,
        input=_GREY,
        heads={task: head},
    )


def _ssrnet(task: Task, data: str, folder: str, sha256: str) -> Published:
    name = f"ssrnet-{task}-{data}-published"
    spec = ModelSpec(
        name=name,
        version="1.0.0",
        summary=f"SSR-Net for {task} as Yang et al. published it, trained on {data.upper()}.",
        architecture="ssrnet",
        options={"span": 101.0 if task == "age" else 1.0},
        # The training crops and the released demo add 40 % of the box on each side, a scale of 1.8. Age error is
        # lowest there (1,000 faces of UTKFace val, the chips' edges repeated: a mean error of 10.5 years for WIKI,
        # against 12.0 at 1.4); gender is as accurate from 1.4 on, where the face fills more of the crop.
        crop=CropSpec(size=64, scale=1.8 if task == "age" else 1.4, center_y=0.5),
        input=_BGR,
        heads={task: _ssrnet_head(task, data)},
    )
    url = f"{_SSRNET}/{folder}/ssrnet_3_3_3_64_1.0_1.0/ssrnet_3_3_3_64_1.0_1.0.h5"
    return Published(name, url, sha256, f"Apache-2.0; {data.upper()} is for research", spec)


def _ssrnet_head(task: Task, data: str) -> AgeValueHead | GenderHead:
    if task == "age":
        return AgeValueHead()
    # The release codes men as 0 in MORPH (data/TYY_MORPH_create_db.py), but as 1 in IMDB and WIKI.
    return GenderHead(count=1, source="value", high="female" if data == "morph" else "male")


YUNET = Published(
    "yunet",
    f"{_YUNET}/yunet_n_320_320.onnx",
    "81dbde155e982455488235acb8ec2dec5d647edf7cf7080d33e4abb69b93a0d2",
    "Apache-2.0; WIDER FACE is for research",
)
"""The detector's file."""

_ALL = (
    Published(
        "mini-xception-emotion-published",
        f"{_ARRIAGA}/emotion_models/fer2013_mini_XCEPTION.102-0.66.hdf5",
        "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
        "MIT; FER2013 is for research",
        _mini_xception(
            "emotion",
            "FER2013",
            EmotionHead(count=7),
            # The images of FER2013, the training data, are about as high as the face box; the released demo for video
            # crops a little wider (20 and 40 pixels, independent of the face's size), hence the small margin.
            CropSpec(size=64, scale=1.05, center_y=0.5),
        ),
    ),
    Published(
        "mini-xception-gender-published",
        f"{_ARRIAGA}/gender_models/gender_mini_XCEPTION.21-0.95.hdf5",
        "7affc7bd520c48ca908eada26988d0e17fdfa1d447d8ae5675395f05ca6f943b",
        "MIT; IMDB is for research",
        _mini_xception(
            "gender",
            "IMDB",
            GenderHead(count=2, source="classes"),
            # The crops of IMDB, the training data, have a scale of 1.8; on photographs 1.6 gives the most correct
            # predictions (34 of 38 faces, against 24 at 1.05 and 31 at 1.8).
            CropSpec(size=64, scale=1.6, center_y=0.5),
        ),
    ),
    _ssrnet("age", "imdb", "imdb", "f51ac230a68bafdcd9699160f01e4d67a78232419ebcfae8622e0638e6dd4ca3"),
    _ssrnet("age", "wiki", "wiki", "f8b677f1a61fcf1233de0bd942f3172b1397fcbfe0f2784220154af1faf833e0"),
    _ssrnet("age", "morph2", "morph2", "0ad001c42cc2425ffaebd7d374983eba5c89e4f695ab10431c4c95573dc69f4d"),
    _ssrnet("gender", "imdb", "imdb_gender_models", "e295148efe9c282a27ebd69a64f6495b1b280728141047866ff81001089b1767"),
    _ssrnet("gender", "wiki", "wiki_gender_models", "2d15bfa72869526d1e2b80385157e34a55fb5a4b184bbac5ea56d623141d7e8c"),
    _ssrnet(
        "gender", "morph", "morph_gender_models", "da8f77eadb15653360bde466691eb77516e4c5e0ba5b603959b4c27aa86eeff5"
    ),
    YUNET,
)

PUBLISHED = {published.name: published for published in _ALL}
"""Published files by name."""
