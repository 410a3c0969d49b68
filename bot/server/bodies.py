"""Request bodies to values, and values to JSON responses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

READ_SECONDS = 15.0
"""How long a client may take to send its body."""


class Body(BaseModel):
    """A JSON object that a client sends."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)

    @field_validator("*")
    @classmethod
    def _storable(cls, value: object) -> object:
        # PostgreSQL takes no NUL in a text; with SQLite it would cut the text in some tools.
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must not contain a NUL character")
        return value


B = TypeVar("B", bound=Body)


class Refusal(Exception):
    """A request that is not served; the text is one sentence that repeats nothing of the request."""

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


def error_response(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status, headers=headers, dumps=dumps)


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


async def read_body(request: web.Request, model: type[B]) -> B:
    """The body as this model.

    :raises Refusal: 400 malformed, 408 too slow. A body over the limit is aiohttp's 413.
    """
    try:
        async with asyncio.timeout(READ_SECONDS):
            raw = await request.read()
    except TimeoutError:
        raise Refusal(408, "timeout", "the body did not arrive in time") from None
    except web.RequestPayloadError:
        raise Refusal(400, "bad_body", "the body can not be decoded") from None
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "bad_json", "the body is not JSON in UTF-8") from None
    try:
        return model.model_validate(value, strict=False)
    except ValidationError as refused:
        raise Refusal(400, "bad_field", _first_problem(refused)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _first_problem(refused: ValidationError) -> str:
    first = refused.errors(include_url=False, include_input=False)[0]
    if first["type"] == "extra_forbidden":
        return "there is a field that is not known"
    said = re.sub(r"^(?:Value error, |Input )", "", first["msg"])
    return f"{'.'.join(str(step) for step in first['loc']) or 'body'}: {said}"
