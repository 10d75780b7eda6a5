"""Log lines of other processes arrive at standard error, whole and in order."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mien_orchestrator.cluster.log_forwarding import LogReceiver, LogSender, sender


@contextmanager
def logger_to(path: str) -> Iterator[logging.Logger]:
    logger, handler = logging.Logger("test"), LogSender(path)
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_lines_arrive_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    receiver = LogReceiver()
    with logger_to(receiver.path) as logger:
        for number in range(20):
            logger.warning("line %d: naïve 人", number)
    receiver.close()
    assert capsys.readouterr().err.splitlines() == [f"line {number}: naïve 人" for number in range(20)]


def test_without_a_receiver_lines_go_to_the_own_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    receiver = LogReceiver()
    receiver.close()
    assert sender(receiver.path) is None
    with logger_to(receiver.path) as logger:
        logger.warning("alone")
    assert capfd.readouterr().err == "alone\n"
