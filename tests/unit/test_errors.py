"""Tests of the mapping between errors and statuses."""

import pytest
from google.rpc import code_pb2

import mien
from mien.errors import _BY_CODE, from_status

CLASSES = [
    mien.InvalidRequestError,
    mien.NotFoundError,
    mien.AuthenticationError,
    mien.PermissionDeniedError,
    mien.CallCancelledError,
    mien.UnsupportedError,
    mien.OverloadedError,
    mien.DeadlineExceededError,
    mien.ServerUnavailableError,
    mien.ServerError,
]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_equal_after_serialization(kind: type[mien.MienError]) -> None:
    error = kind("what happened", reason="WHY")
    back = from_status(error.code, error.message, error.reason)
    assert (type(back), str(back), back.reason) == (kind, "what happened", "WHY")


def test_the_reason_selects_the_error_class() -> None:
    assert type(from_status(code_pb2.INVALID_ARGUMENT, "", "IMAGE_EMPTY")) is mien.ImageError
    assert type(from_status(code_pb2.INVALID_ARGUMENT, "", "TASK_UNKNOWN")) is mien.InvalidRequestError


@pytest.mark.parametrize("code", [number for number in code_pb2.Code.values() if number])
def test_every_code_has_an_error(code: int) -> None:
    error = from_status(code, "message")
    assert code in _BY_CODE
    assert (type(error), error.code) == (_BY_CODE[code], code)
