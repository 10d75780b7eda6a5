"""Tests of the SDK's public names, and of the symmetry of its two clients."""

import inspect
from collections.abc import Callable

import mien


def test_all_is_sorted_and_complete() -> None:
    public = {name for name, value in vars(mien).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert mien.__all__ == sorted(mien.__all__)
    assert set(mien.__all__) == public | {"__version__"}


def options(function: Callable[..., object]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]


def test_both_clients_have_the_same_methods() -> None:
    calls = [name for name in vars(mien.Client) if not name.startswith("_")]
    assert calls == ["local", "analyze", "stream", "models", "model_card", "server_info", "close"]
    assert inspect.signature(mien.Client.local) == inspect.signature(mien.AsyncClient.local)
    for name in calls[1:]:
        plain, twin = getattr(mien.Client, name), getattr(mien.AsyncClient, name)
        if name == "stream":  # whose frames and results are iterated asynchronously
            assert inspect.isasyncgenfunction(twin)
            assert options(plain) == options(twin)
            continue
        assert inspect.signature(plain) == inspect.signature(twin), name
        assert inspect.iscoroutinefunction(twin), name
    assert inspect.signature(mien.Client) == inspect.signature(mien.AsyncClient)


def test_every_public_name_is_described() -> None:
    for name in mien.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(mien, name)), name
