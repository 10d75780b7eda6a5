"""Callers that load a server while it is changed."""

import threading

import mien
from tests.photographs import EXAMPLE


class Caller(threading.Thread):
    """Calls without a pause until it is stopped; keeps errors, and the emotion models that answered."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._ended = threading.Event()
        self.models: list[str] = []
        self.errors: list[Exception] = []

    def run(self) -> None:
        with mien.Client(self._address) as client:
            while not self._ended.is_set():
                try:
                    result = client.analyze(EXAMPLE, timeout=30)
                    (model,) = (task.model for task in result.tasks if task.task == "emotion")
                    assert model
                    self.models.append(model.name)
                except Exception as error:
                    self.errors.append(error)

    def stop(self) -> None:
        self._ended.set()
        self.join()
