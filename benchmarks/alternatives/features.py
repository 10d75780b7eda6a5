"""What each system offers, from its documentation, and reasons for the measured differences."""

from alternatives.scoring import FER2013, UTKFACE
from alternatives.targets import PHOTOGRAPHS_FALSE, PHOTOGRAPHS_GENDER

COLUMNS = ("Mien", "Human", "face-api.js", "DeepFace", "fer", "MediaPipe")

FEATURES: dict[str, tuple[str, str, str, str, str, str]] = {
    "age": ("years, with a range", "years", "years", "years", "-", "-"),
    "gender": ("yes, or `uncertain`", "yes, or `unknown`", "yes", "yes", "-", "-"),
    "seven emotions": ("yes", "yes", "yes", "yes", "yes", "-"),
    "mood (valence, arousal)": ("yes", "-", "-", "-", "-", "-"),
    "no prediction for faces too small or too blurred": ("yes", "-", "-", "-", "-", "-"),
    "video": ("tracks of faces in streams", "smoothing between frames", "-", "webcam window", "video files", "-"),
    "face landmarks": ("5", "468", "68", "eyes", "-", "6"),
    "head pose": ("-", "yes", "yes", "-", "-", "other task"),
    "recognition, embeddings": ("-", "yes", "yes", "yes", "-", "-"),
    "liveness, anti-spoofing": ("-", "optional", "-", "optional", "-", "-"),
    "race or ethnicity": ("- (not estimated on purpose)", "optional", "-", "yes", "-", "-"),
    "body, hands, gestures": ("-", "yes", "-", "-", "-", "other tasks"),
    "runs in a browser": ("-", "yes", "yes", "-", "-", "yes"),
    "choice of detectors": ("3", "1", "2", "20", "2", "2"),
    "server": ("gRPC, HTTP, Open Inference Protocol", "-", "-", "HTTP, gRPC", "-", "-"),
    "TLS, health checks, metrics, traces, deadlines": ("yes", "-", "-", "-", "-", "-"),
    "scales each task on a cluster": ("yes", "-", "-", "-", "-", "-"),
    "accuracy by group, published with the weights": ("yes", "-", "-", "-", "-", "model card"),
    "works without a download at first use": ("yes", "yes", "yes", "-", "yes", "0.10: yes; 1.x: no"),
    "languages": (
        "Python; others by gRPC, HTTP",
        "JavaScript",
        "JavaScript",
        "Python; HTTP",
        "Python",
        "Python, C++, Java, JavaScript",
    ),
    "licence of the code": ("Apache-2.0", "MIT", "MIT", "MIT", "MIT", "Apache-2.0"),
}
"""One row for each feature, in the order of `COLUMNS`; `-` is no."""

WHEN_NOT = (
    "**To recognise or verify people, or for head pose, dense landmarks, masks or liveness.** Mien has "
    "none of these, and no "
    "embeddings. DeepFace, InsightFace, Human and face-api.js do; the cloud services also report face "
    "masks and occlusion.",
    "**In a browser, or in a Node program without a server.** Human and face-api.js run where the camera "
    "is, and no image "
    "leaves the device.",
    "**For other parts of the body.** Human and MediaPipe follow hands and bodies as well.",
    "**Without a look at the terms of the training data.** The data sets behind Mien's weights are for research "
    "([cards](../models/cards)); so are those behind most of the weights here. A cloud service comes with a contract.",
    "**For decisions about a person.** No system here is accurate enough, and in many places it is not allowed "
    "([security and privacy](../SECURITY.md)).",
)
"""When another system is the better choice."""

REASONS = {
    FER2013: "the default model answers as most of FER+'s annotators would, which FER2013's own labels often "
    "contradict; `mien-emotion-fer2013` is the model for those labels ([comparison](comparison.md)).",
    UTKFACE: "face-api.js was trained on UTKFace, and answers only for the faces that it finds.",
    PHOTOGRAPHS_FALSE: "smoke of rockets and folds of space suits ([known errors](models.md#known-errors)).",
    PHOTOGRAPHS_GENDER: "women with hidden or short hair ([known errors](models.md#known-errors)); their genders "
    "are marked as `uncertain`.",
}
"""Why Mien is behind on a measure, where it is."""
