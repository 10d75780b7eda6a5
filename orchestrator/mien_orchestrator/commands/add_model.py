"""The command `mien models add`: add an ONNX file to the model store."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from mien.errors import ModelError
from mien_models.registry import TASKS
from mien_models.spec import EMOTIONS, EmotionHead, Task
from mien_models.store import ModelStore
from mien_models.store.own_model.add import add as add_to_store
from mien_models.store.own_model.face_check import describe
from mien_models.store.own_model.options import OwnModel
from mien_orchestrator.commands.exit_codes import needs_extra, reported_errors
from mien_orchestrator.settings import Settings


def add(
    file: Annotated[Path, typer.Argument(help="ONNX file of a network that takes images of faces.", metavar="FILE")],
    task: Annotated[list[str], typer.Option(help=f"Task of the model, one of {', '.join(TASKS)}; may be repeated.")],
    name: Annotated[str | None, typer.Option(help="Name of the model.", show_default="that of the file")] = None,
    output: Annotated[
        list[str] | None, typer.Option(help="Output of a task, as TASK=NAME, if several outputs fit.")
    ] = None,
    colour: Annotated[
        str | None, typer.Option("--colour", "--color", help="Channels: rgb, bgr or grey.", show_default="rgb or grey")
    ] = None,
    shift: Annotated[
        str, typer.Option(help="Subtracted from pixels of 0 to 255: one number, or one per channel.")
    ] = "0",
    scale: Annotated[
        str, typer.Option(help="The difference is divided by it: one number, or one per channel.")
    ] = "255",
    size: Annotated[int | None, typer.Option(help="Side of the input in pixels, if the file leaves it open.")] = None,
    crop_scale: Annotated[float, typer.Option(help="Side of the crop, in heights of the face's box.")] = 1.05,
    crop_center_y: Annotated[float, typer.Option(help="Height of the box's centre in the crop, from its top.")] = 0.475,
    labels: Annotated[str, typer.Option(help="Emotions in the order of the output's columns.")] = ",".join(EMOTIONS),
    high: Annotated[str, typer.Option(help="Gender of a high value, or of the second of two columns.")] = "male",
    years: Annotated[float, typer.Option(help="Years that an age output of 1 stands for, such as 100.")] = 1,
    summary: Annotated[str | None, typer.Option(help="One sentence about the model.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of that name in the store.")] = False,
) -> None:
    """Add your own ONNX file to the model store: write its specification, and check it on a face.

    The file is inspected: layout and size of its input, scores or probabilities of its outputs. Colours, shift, scale
    and crop are those that it was trained with; wrong ones give wrong predictions, so look at those for the face.
    """
    with reported_errors(), needs_extra("torch", "adding a model"):
        own = OwnModel(
            tasks=cast(tuple[Task, ...], _known("task", task, TASKS)),
            name=name,
            outputs=_outputs(output or []),
            colour=cast(Any, _known("colour", [colour], ("rgb", "bgr", "grey"))[0] if colour else None),
            shift=_numbers("shift", shift),
            scale=_numbers("scale", scale),
            size=size,
            crop_scale=crop_scale,
            crop_center_y=crop_center_y,
            labels=tuple(label.strip() for label in labels.split(",")),
            high=cast(Any, _known("high", [high], ("male", "female"))[0]),
            years=years,
            summary=summary,
        )
        added = add_to_store(ModelStore(Settings.load().models.store), file, own, replace=replace)
    for note in added.notes:
        typer.echo(note)
    head = added.spec.heads.get("emotion")
    seen = describe(added.answers, head.labels if isinstance(head, EmotionHead) else ())
    typer.echo(f"predictions for a portrait of a smiling woman: {seen}")
    typer.echo(f"{added.spec.name} is in {added.path}")
    for each in added.spec.heads:
        typer.echo(f"use it: MIEN_TASKS__{each.upper()}__MODEL={added.spec.name}")


def _known(option: str, given: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    for word in given:
        if word not in known:
            raise ModelError(f"--{option} is one of {', '.join(known)}, not {word!r}")
    return tuple(dict.fromkeys(given))


def _outputs(given: list[str]) -> dict[Task, str]:
    outputs = {}
    for text in given:
        task, equals, name = text.partition("=")
        if not equals or not name:
            raise ModelError(f"--output is TASK=NAME, such as age=logits, not {text!r}")
        outputs[cast(Task, _known("output", [task], TASKS)[0])] = name
    return outputs


def _numbers(option: str, text: str) -> float | tuple[float, float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ModelError(f"--{option} is a number, or three with commas, not {text!r}") from error
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) != 3:
        raise ModelError(f"--{option} is a number, or three with commas, not {text!r}")
    return (numbers[0], numbers[1], numbers[2])
