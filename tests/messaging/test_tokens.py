"""Where tokens for OAUTHBEARER come from: files, and code of users' in every form that they may write it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.tokens import TokenError
from kafka_saga.runtime.errors import ConfigError

MODULE = """
import asyncio
from aiokafka.abc import AbstractTokenProvider

def plain():
    return "token-plain"

async def awaited():
    return "token-awaited"

def of_aws():
    return "token-aws", 1_700_000_000_000

class Provider(AbstractTokenProvider):
    async def token(self):
        return "token-class"
    def extensions(self):
        return {"logicalCluster": "lkc-1"}

instance = Provider()

class Nest:
    inner = plain

def failing():
    raise RuntimeError("client_secret=hush was refused")

def nothing():
    return None

def broken():
    return "two\\nlines"

number = 7
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_tokens.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def settings(**source: object) -> KafkaSettings:
    return KafkaSettings.model_validate({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", **source})


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("plain", "token-plain"),
        ("awaited", "token-awaited"),
        ("of_aws", "token-aws"),
        ("Provider", "token-class"),
        ("instance", "token-class"),
        ("Nest.inner", "token-plain"),
    ],
)
async def test_a_provider_may_have_any_usual_form(name: str, token: str) -> None:
    tokens = settings(sasl_oauth_token_provider=f"their_tokens:{name}").client_options()["sasl_oauth_token_provider"]
    assert await tokens.token() == token
    assert tokens.extensions() == ({"logicalCluster": "lkc-1"} if token == "token-class" else {})


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("their_tokens", "write module:object, e.g. shop.tokens:provider"),
        ("their_tokens:number", "is no provider of tokens: name a function that returns one"),
        ("their_tokens:missing", "is no provider of tokens"),
        ("no_such_module:provider", "there is no module 'no_such_module'"),
    ],
)
def test_what_is_no_provider_is_said_before_anybody_connects(path: str, said: str) -> None:
    with pytest.raises(ConfigError, match="sasl_oauth_token_provider") as caught:
        settings(sasl_oauth_token_provider=path).client_options()
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["failing", "nothing", "broken"])
async def test_a_provider_that_gives_none_is_named_and_what_it_says_is_not_repeated(name: str) -> None:
    tokens = settings(sasl_oauth_token_provider=f"their_tokens:{name}").client_options()["sasl_oauth_token_provider"]
    with pytest.raises(TokenError, match=f"sasl_oauth_token_provider their_tokens:{name} gives no token") as caught:
        await tokens.token()
    assert "hush" not in str(caught.value)


async def test_a_token_in_a_file_is_read_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    tokens = settings(sasl_oauth_token_file=file).client_options()["sasl_oauth_token_provider"]
    assert await tokens.token() == "first"
    file.write_text("second\n")
    assert await tokens.token() == "second"
    file.unlink()
    with pytest.raises(TokenError, match=f"sasl_oauth_token_file {file} cannot be read: No such file"):
        await tokens.token()


def test_the_principal_is_whom_the_token_names(tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "payment"}).encode()).decode().rstrip("=")
    (tmp_path / "jwt").write_text(f"e30.{claims}.c2ln")
    (tmp_path / "opaque").write_text("0123456789")
    assert settings(sasl_oauth_token_file=tmp_path / "jwt").principal == "User:payment"
    assert settings(sasl_oauth_token_file=tmp_path / "opaque").principal == "User:(of the token)"
    assert settings(sasl_oauth_token_file=tmp_path / "nowhere").principal == "User:(of the token)"
