"""Tests that a server analyzes raw pixels of every format as the encoded image, and rejects inconsistent ones."""

import cv2
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from numpy.typing import NDArray
from PIL import Image

import mien
from mien.v1 import face_service_pb2 as pb
from mien.v1.face_service_pb2_grpc import FaceAnalysisServiceStub
from tests.photographs import EXAMPLE

GAP = 12
"""Bytes between the rows."""


def pixels() -> NDArray[np.uint8]:
    with Image.open(EXAMPLE) as file:
        return np.asarray(file.convert("RGB"))


def rows(kind: pb.PixelFormat, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture's rows of bytes in a format, without gaps."""
    height, width = picture.shape[:2]
    match kind:
        case pb.PIXEL_FORMAT_BGR:
            picture = picture[:, :, ::-1]
        case pb.PIXEL_FORMAT_GRAY:
            picture = np.asarray(Image.fromarray(picture).convert("L"))
        case pb.PIXEL_FORMAT_NV12:
            planes = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).reshape(-1)
            luma, chroma = planes[: width * height], planes[width * height :].reshape(2, -1)
            picture = np.concatenate([luma, chroma.T.reshape(-1)]).reshape(-1, width)
    return picture.reshape(len(picture), -1)


def analyze(server: str, raw: pb.RawImage) -> pb.AnalyzeResponse:
    with grpc.insecure_channel(server) as channel:
        reply: pb.AnalyzeResponse = FaceAnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest(raw=raw), timeout=30)
        return reply


@pytest.mark.parametrize("kind", ["RGB", "BGR", "GRAY", "NV12"])
def test_every_format_has_the_faces_of_the_encoded_image(single: str, kind: str) -> None:
    value = pb.PixelFormat.Value(f"PIXEL_FORMAT_{kind}")
    picture = pixels()
    padded = np.pad(rows(value, picture), ((0, 0), (0, GAP)))
    height, width = picture.shape[:2]
    stride = padded.shape[1]
    reply = analyze(single, pb.RawImage(format=value, width=width, height=height, stride=stride, data=padded.tobytes()))
    with mien.Client(single) as client:
        shown = Image.fromarray(picture).convert("L" if kind == "GRAY" else "RGB")
        (expected,) = client.analyze(np.asarray(shown)).faces
    (face,) = mien.Analysis.from_message(reply).faces
    assert (reply.image.width, reply.image.height, reply.image.format) == (width, height, kind)
    if kind == "NV12":  # colours are rounded, and have half the resolution
        assert face.box.x == pytest.approx(expected.box.x, abs=3)
        assert face.gender
        assert expected.gender
        assert face.gender.value == expected.gender.value
    else:
        assert face == expected


def test_a_client_sends_arrays_of_every_layout(single: str) -> None:
    picture = pixels()
    with mien.Client(single) as client:
        (expected,) = client.analyze(picture).faces
        assert client.analyze(picture[:, :, ::-1], color="bgr").faces == (expected,)
        analysis = client.analyze(rows(pb.PIXEL_FORMAT_NV12, picture), color="nv12")
    height, width = picture.shape[:2]
    assert (analysis.image.format, analysis.image.width, analysis.image.height) == ("NV12", width, height)
    assert analysis.faces[0].box.x == pytest.approx(expected.box.x, abs=3)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (pb.RawImage(width=1, height=1, data=b"0"), "IMAGE_FORMAT_UNSUPPORTED"),
        (pb.RawImage(format=pb.PIXEL_FORMAT_GRAY, width=1, height=70_000, data=bytes(70_000)), "IMAGE_TOO_LARGE"),
        (pb.RawImage(format=pb.PIXEL_FORMAT_RGB, width=9, height=9, data=b"0"), "IMAGE_UNDECODABLE"),
        (pb.RawImage(format=pb.PIXEL_FORMAT_RGB), "IMAGE_EMPTY"),
    ],
    ids=["no format", "tall", "short", "no pixels"],
)
def test_inconsistent_raw_images_are_rejected_with_a_reason(single: str, raw: pb.RawImage, reason: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        analyze(single, raw)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(raised.value)
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == reason
