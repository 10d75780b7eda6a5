"""Tests of when the keys of a token issuer are fetched, and of what is refused."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from mien.errors import ServerUnavailableError, SettingsError
from mien_orchestrator.edge.auth.jwt import key_sources
from mien_orchestrator.edge.auth.jwt.key_sources import MAX_AGE_SECONDS, MIN_INTERVAL_SECONDS, REFRESH_SECONDS, UrlKeys
from mien_orchestrator.settings import Settings
from tests.issuers import KeySetServer, ec_key, public_jwk, serve_keys

FIRST, SECOND = public_jwk(ec_key(), "first"), public_jwk(ec_key(), "second")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(key_sources, "time", made)
    return made


@pytest.fixture
def issuer() -> Iterator[KeySetServer]:
    with serve_keys(FIRST) as served:
        yield served


async def test_an_unknown_key_fetches_again_after_the_least_interval(clock: Clock, issuer: KeySetServer) -> None:
    keys = UrlKeys(issuer.url, proxies=False)
    assert (await keys.current()).find("first", "ES256")
    issuer.keys.append(SECOND)
    assert not (await keys.renewed()).find("second", "ES256")
    clock.now += MIN_INTERVAL_SECONDS
    assert (await keys.renewed()).find("second", "ES256")
    assert issuer.requests == 2


async def test_many_calls_share_one_fetch(issuer: KeySetServer) -> None:
    keys = UrlKeys(issuer.url, proxies=False)
    await asyncio.gather(*(keys.current() for _ in range(50)), *(keys.renewed() for _ in range(50)))
    assert issuer.requests == 1


async def test_old_keys_are_fetched_in_the_background(clock: Clock, issuer: KeySetServer) -> None:
    keys = UrlKeys(issuer.url, proxies=False)
    await keys.current()
    issuer.keys[:] = [SECOND]
    issuer.held.clear()
    clock.now += REFRESH_SECONDS + 1
    assert (await keys.current()).find("first", "ES256")
    issuer.held.set()
    assert (await keys.renewed()).find("second", "ES256")
    assert issuer.requests == 2


async def test_keys_are_kept_while_the_issuer_fails_but_not_for_ever(
    clock: Clock, issuer: KeySetServer, caplog: pytest.LogCaptureFixture
) -> None:
    keys = UrlKeys(issuer.url, proxies=False)
    await keys.current()
    issuer.status = 503
    clock.now += REFRESH_SECONDS + 1
    assert (await keys.renewed()).find("first", "ES256")
    assert "keeping the previous keys for 24 hours after their fetch: HTTP Error 503" in caplog.text
    clock.now += MAX_AGE_SECONDS
    with pytest.raises(ServerUnavailableError, match="cannot fetch the keys"):
        await keys.current()
    issuer.status = 200
    clock.now += MIN_INTERVAL_SECONDS
    assert (await keys.current()).find("first", "ES256")


async def test_a_cancelled_call_does_not_cancel_the_fetch_of_others(issuer: KeySetServer) -> None:
    issuer.held.clear()
    keys = UrlKeys(issuer.url, proxies=False)
    first, second = asyncio.create_task(keys.current()), asyncio.create_task(keys.current())
    await asyncio.sleep(0)
    first.cancel()
    issuer.held.set()
    assert (await second).find("first", "ES256")
    assert first.cancelled()


async def test_a_redirect_and_a_large_answer_are_refused(
    issuer: KeySetServer, caplog: pytest.LogCaptureFixture
) -> None:
    with serve_keys(FIRST) as elsewhere:
        issuer.status, issuer.location = 302, elsewhere.url
        with pytest.raises(ServerUnavailableError):
            await UrlKeys(issuer.url, proxies=False).current()
        assert elsewhere.requests == 0
    assert "HTTP Error 302" in caplog.text
    issuer.status = 200
    issuer.keys = [FIRST | {"x5c": ["A" * 2**20]}]
    with pytest.raises(ServerUnavailableError):
        await UrlKeys(issuer.url, proxies=False).current()
    assert "larger than 1 MiB" in caplog.text


async def test_an_unreachable_key_server_is_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    with serve_keys() as gone:
        pass
    with caplog.at_level(logging.ERROR), pytest.raises(ServerUnavailableError):
        await UrlKeys(gone.url, proxies=False).current()
    assert f"the key set at {gone.url} cannot be fetched, rejecting all JSON Web Tokens" in caplog.text
    assert "Connection refused" in caplog.text


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"issuer": "https://a.example"}, "belong together"),
        ({"issuer": "a", "audience": "b", "jwks": "ftp://a.example/keys"}, "must be a file, or a URL"),
        ({"issuer": "a", "audience": "b", "jwks": "https:///keys"}, "must be a file, or a URL"),
        ({"algorithms": "HS256"}, "algorithms.0: Input should be 'RS256'"),
        ({"algorithms": "none"}, "algorithms.0: Input should be 'RS256'"),
    ],
)
def test_invalid_settings_are_errors(values: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        Settings.load({"auth": {"jwt": values}})


def test_algorithms_are_separated_by_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_AUTH__JWT__ALGORITHMS", "ES256, EdDSA")
    assert Settings.load().auth.jwt.accepted == ("ES256", "EdDSA")
