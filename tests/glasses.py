"""The edits that add a task `glasses` to a copy of the repository, in the order of `docs/extend.md`."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]

EDITS: dict[str, list[tuple[str, str]]] = {
    "models/mien_models/spec.py": [
        ('Literal["age", "gender", "emotion"]', 'Literal["age", "gender", "emotion", "glasses"]'),
        (
            "\n\nclass AgeDistributionHead(_Columns):",
            '\n\nclass GlassesHead(_Columns):\n    """Probability of glasses, from one logit."""\n\n'
            '    kind: Literal["glasses"] = "glasses"\n    count: int = 1\n    temperature: float = 1.0\n'
            "\n\nclass AgeDistributionHead(_Columns):",
        ),
        ("Annotated[EmotionHead | GenderHead |", "Annotated[EmotionHead | GenderHead | GlassesHead |"),
    ],
    "models/mien_models/registry.py": [
        ('("age", "gender", "emotion")', '("age", "gender", "emotion", "glasses")'),
        ('"emotion": ("probabilities",),', '"emotion": ("probabilities",),\n    "glasses": ("p_glasses",),'),
        ('"emotion": "mien-emotion"}', '"emotion": "mien-emotion", "glasses": "glasses-net"}'),
    ],
    "models/mien_models/networks/served.py": [
        ("GenderHead, Head,", "GenderHead, GlassesHead, Head,"),
        (
            "        case AgeDistributionHead():\n            return _age_from",
            "        case GlassesHead():\n"
            '            return {"p_glasses": torch.sigmoid(scores[:, 0] / head.temperature)}\n'
            "        case AgeDistributionHead():\n            return _age_from",
        ),
    ],
    "models/mien_models/store/own_model/outputs.py": [
        ('"emotion": (len(EMOTIONS),)}', '"emotion": (len(EMOTIONS),), "glasses": (1,)}'),
        ("    GenderHead,\n", "    GenderHead,\n    GlassesHead,\n"),
        (
            '        "emotion": EmotionHead(labels=own.labels),\n',
            '        "emotion": EmotionHead(labels=own.labels),\n        "glasses": GlassesHead(),\n',
        ),
        (
            '        case "emotion":\n            return EmotionHead(',
            '        case "glasses":\n            return GlassesHead(first=first)\n'
            '        case "emotion":\n            return EmotionHead(',
        ),
    ],
    "models/mien_models/store/own_model/face_check.py": [
        (
            '    if "p_male" in answers:\n',
            '    if "p_glasses" in answers:\n        words.append(f"glasses {float(answers[\'p_glasses\'][0]):.0%}")\n'
            '    if "p_male" in answers:\n',
        ),
    ],
    "models/mien_training/faces/losses.py": [
        ("GenderHead, Head", "GenderHead, GlassesHead, Head"),
        (
            "        case AgeDistributionHead():\n",
            "        case GlassesHead():\n"
            '            return _mean(F.binary_cross_entropy_with_logits(scores[:, 0], labels["glasses"].float(), '
            'reduction="none"), labels["glasses"] >= 0)\n'
            "        case AgeDistributionHead():\n",
        ),
    ],
    "models/mien_training/faces/calibration.py": [
        ("GenderHead, Head", "GenderHead, GlassesHead, Head"),
        (
            "        case AgeDistributionHead():\n",
            "        case GlassesHead():\n            return head\n        case AgeDistributionHead():\n",
        ),
    ],
    "protos/mien/v1/face.proto": [
        (
            "  Quality quality = 9;\n",
            '  Quality quality = 9;\n  // Task "glasses": probability that the person wears glasses, 0 to 1.\n'
            "  optional float glasses = 10;\n",
        )
    ],
    "orchestrator/mien_orchestrator/pipeline/response.py": [
        (
            "\n\n_FILL: dict",
            "\n\ndef _fill_glasses(\n    face: face_pb2.Face, answers: Answers, index: int, model: face_pb2.ModelInfo\n"
            ") -> None:\n"
            '    face.glasses = float(answers["p_glasses"][index])\n\n\n_FILL: dict',
        ),
        ('    "emotion": _fill_emotion,\n', '    "emotion": _fill_emotion,\n    "glasses": _fill_glasses,\n'),
    ],
    "orchestrator/mien_orchestrator/pipeline/rollout/difference.py": [
        (
            "\n\n_COMPARE: dict",
            "\n\ndef _glasses(first: Answers, second: Answers, models: tuple[ModelInfo, ModelInfo]) -> Difference:\n"
            '    return Difference(labels=(first["p_glasses"] >= 0.5) != (second["p_glasses"] >= 0.5))\n'
            "\n\n_COMPARE: dict",
        ),
        ('    "emotion": _emotion,\n', '    "emotion": _emotion,\n    "glasses": _glasses,\n'),
    ],
    "orchestrator/mien_orchestrator/telemetry/metrics.py": [
        (
            "            for task, value in values.items():\n",
            '            if face.HasField("glasses"):\n                values["glasses"] = str(face.glasses >= 0.5)\n'
            "            for task, value in values.items():\n",
        )
    ],
    "client/mien/request.py": [
        ('Literal["age", "gender", "emotion"]', 'Literal["age", "gender", "emotion", "glasses"]')
    ],
    "client/mien/types/face.py": [
        (
            "    mood: Mood | None\n    quality: Quality\n",
            "    mood: Mood | None\n    glasses: float | None\n"
            '    """Probability that the person wears glasses, 0 to 1."""\n    quality: Quality\n',
        ),
        (
            "        quality=Quality(",
            '        glasses=face.glasses if face.HasField("glasses") else None,\n        quality=Quality(',
        ),
        (
            "        if self.abstained:\n            parts",
            '        if self.glasses is not None:\n            parts.append(f"glasses {self.glasses:.0%}")\n'
            "        if self.abstained:\n            parts",
        ),
    ],
    "client/mien/drawing/draw.py": [
        (
            '    return "\\n".join(lines)\n',
            '    if face.glasses is not None and face.glasses >= 0.5:\n        lines.append("glasses")\n'
            '    return "\\n".join(lines)\n',
        )
    ],
    "client/mien/cli/tables.py": [
        ('"emotion", "mood"):', '"emotion", "mood", "glasses"):'),
        ('"no face", "", "", "", "")', '"no face", "", "", "", "", "")'),
        ("-> tuple[str, str, str, str]:", "-> tuple[str, str, str, str, str]:"),
        ('face.abstention, "-", "-", "-"', 'face.abstention, "-", "-", "-", "-"'),
        (
            '    return age, gender, emotion or "-", mood\n',
            '    glasses = "-" if face.glasses is None else f"{face.glasses:.0%}"\n'
            '    return age, gender, emotion or "-", mood, glasses\n',
        ),
    ],
    "client/mien/cli/csv_rows.py": [
        ('"sharpness", "abstained")', '"sharpness", "abstained", "glasses")'),
        (
            '("yes" if face.abstained else ""),\n',
            '("yes" if face.abstained else ""),\n        _rounded(face.glasses),\n',
        ),
    ],
    "client/mien/cli/main.py": [("age,gender,emotion.", "age,gender,emotion,glasses.")],
}
"""Files, and in each the texts to replace; each text occurs once."""

WEIGHTS = """
from pathlib import Path

import torch

import mien_models
from mien_models.export.model import write
from mien_models.networks import build
from mien_models.spec import CropSpec, GlassesHead, InputSpec, ModelSpec

torch.manual_seed(0)
spec = ModelSpec(
    name="glasses-net",
    version="0.1.0",
    summary="Untrained.",
    architecture="mini_xception",
    options={"channels": 1, "outputs": 1},
    crop=CropSpec(size=48),
    input=InputSpec(colour="grey", shift=127.5, scale=127.5),
    heads={"glasses": GlassesHead()},
)
write(spec, build(spec).eval(), Path(mien_models.__file__).parent / "weights")
"""
"""A program that writes the default model of the new task, with initial weights."""


def copy_with_glasses(folder: Path) -> None:
    """Copy the packages and the protos, and apply the edits. The stubs and the weights are still to be made."""
    for name in ("client", "models/mien_models", "models/mien_training", "models/cards", "orchestrator", "workers"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "protos", folder / "protos", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, edits in EDITS.items():
        text = (folder / name).read_text()
        for before, after in edits:
            assert text.count(before) == 1, f"{name} has {text.count(before)} times: {before}"
            text = text.replace(before, after)
        (folder / name).write_text(text)
