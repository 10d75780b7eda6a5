"""Render the pictures of docs/video.md from the example photograph alone: a contact sheet, and a plot of moods.

python benchmarks/video_pictures.py

The clip moves over the photograph, covers the face with a bar for half a second, and cuts to another scene.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import mien
from mien.cli.video.drawing import FaceDrawer
from mien.cli.video.history import History
from mien.cli.video.plot import draw_plot
from video_clips import FPS, pan

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "astronaut.jpg"
FACE = (199.0, 65.0, 80.0, 110.0)
FRAMES, CUT = 150, 100
COVERED = range(50, 62)
SHOWN = ((2, "start"), (40, "moved"), (55, "covered"), (66, "the same track"), (99, "before a cut"), (108, "new track"))


def frames() -> list[NDArray[np.uint8]]:
    """Return the frames, (H, W, 3) uint8 RGB."""
    with tempfile.TemporaryDirectory() as folder:
        clip = pan(EXAMPLE, Path(folder), count=FRAMES, face=FACE, height=150)
    pictures = [cv2.cvtColor(cv2.imdecode(np.frombuffer(f, np.uint8), 1), cv2.COLOR_BGR2RGB) for f in clip.frames]
    for number in COVERED:
        pictures[number][:, 200:440] = 90
    blurred = cv2.GaussianBlur(np.rot90(pictures[0], 2), (0, 0), 25)
    for number in range(CUT, FRAMES):  # the face, mirrored and smaller, in another place
        scene = np.ascontiguousarray(255 - blurred)
        head = cv2.resize(pictures[number][90:390, 170:470, :][:, ::-1], (220, 220), interpolation=cv2.INTER_AREA)
        scene[180:400, 60:280] = head
        pictures[number] = scene
    return [np.asarray(picture, np.uint8) for picture in pictures]


def main() -> None:
    """Analyze the clip in this process, and write docs/video.jpg and docs/moods.png."""
    pictures, drawer, history = frames(), FaceDrawer(), History()
    drawn = []
    with mien.Client.local() as client:
        for result in client.stream(pictures, frame_rate=FPS):
            history.add(result)
            if result.frame_id is not None:
                drawn.append(drawer.draw(pictures[result.frame_id], result.faces, result.timestamp_ms))
    font = ImageFont.load_default(size=16)
    sheet = Image.new("RGB", (3 * 400, 2 * 300))
    for place, (number, text) in enumerate(SHOWN):
        small = Image.fromarray(drawn[number]).resize((400, 300), Image.Resampling.LANCZOS)
        ImageDraw.Draw(small).text(
            (8, 276), f"{number / FPS:.1f} s: {text}", fill="white", font=font, stroke_width=2, stroke_fill="black"
        )
        sheet.paste(small, (place % 3 * 400, place // 3 * 300))
    sheet.save(ROOT / "docs" / "video.jpg", quality=85)
    draw_plot(history).save(ROOT / "docs" / "moods.png", optimize=True)


if __name__ == "__main__":
    main()
