"""What WeCom's pages give an operator to copy, checked for its form where it is written down: types of settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

import pydantic

from adapters.wecom.crypto import is_aes_key

NOTHING = pydantic.SecretStr("")
API_URL = "https://qyapi.weixin.qq.com"

_CORP_ID = re.compile(r"[A-Za-z0-9_-]{6,64}")
_SECRET = re.compile(r"[!-~]{16,128}")
_TOKEN = re.compile(r"[A-Za-z0-9]{1,32}")


def _corp_id(value: str) -> str:
    if value and not _CORP_ID.fullmatch(value):
        raise ValueError("is no corp id: it begins with ww (我的企业 → 企业信息)")
    return value


def _secret(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _SECRET.fullmatch(value.get_secret_value()):
        raise ValueError("is no secret of WeCom's: 43 characters, from the app's page")
    return value


def _token(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError("is no Token: up to 32 letters and digits, from the page where the callback is set up")
    return value


def _aes_key(value: pydantic.SecretStr) -> pydantic.SecretStr:
    if value.get_secret_value() and not is_aes_key(value.get_secret_value()):
        raise ValueError("is no EncodingAESKey: 43 letters and digits, from the page where the callback is set up")
    return value


def _api_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"must be the address of WeCom's API, such as {API_URL}")
    return value.rstrip("/")


CorpId: TypeAlias = Annotated[str, pydantic.AfterValidator(_corp_id)]
Secret: TypeAlias = Annotated[pydantic.SecretStr, pydantic.AfterValidator(_secret)]
CallbackToken: TypeAlias = Annotated[pydantic.SecretStr, pydantic.AfterValidator(_token)]
AesKey: TypeAlias = Annotated[pydantic.SecretStr, pydantic.AfterValidator(_aes_key)]
ApiUrl: TypeAlias = Annotated[str, pydantic.AfterValidator(_api_url)]


def ask_whole(section: str, credentials: Mapping[str, object]) -> None:
    """All of them, or none.

    :param credentials: by their keys, in the order in which one would set them.
    :raises ValueError: half of them are set; names one that is missing.
    """
    there = [name for name, value in credentials.items() if _is_set(value)]
    missing = [name for name in credentials if name not in there]
    if there and missing:
        raise ValueError(f"{section}.{missing[0]} is missing, but {section}.{there[0]} is set")


def _is_set(value: object) -> bool:
    return bool(value.get_secret_value() if isinstance(value, pydantic.SecretStr) else value)
