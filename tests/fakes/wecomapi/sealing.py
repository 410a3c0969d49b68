"""How callbacks are sealed and replies are read: by wechatpy, so that our crypto is judged by others' code."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

import xmltodict
from wechatpy.enterprise.crypto import PrpCrypto, WeChatCrypto
from wechatpy.exceptions import WeChatException

from tests.fakes.wecomapi.state import Json


class Unreadable(Exception):
    """What the bot answered is neither empty nor a sealed reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A request as WeCom makes it."""

    query: dict[str, str]
    body: bytes
    content_type: str


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """One of the bot's callback addresses, and what both sides know about it."""

    name: str
    """app, kf or bot."""
    form: Literal["xml", "json"]
    token: str
    aes_key: str
    receive_id: str
    """The CorpID; "" for an AI bot."""
    agent_id: str = ""
    url: str = ""
    """Where the callbacks go: the whole address."""
    skew: int = 0
    """Seconds that WeCom's clock is off by, for stale requests."""

    def seal(self, plain: str) -> Sealed:
        """Encrypted and signed anew: never the same bytes twice."""
        # The bot compares with its own clock, which no test of ours moves: never the fake's.
        timestamp, nonce = str(int(time.time()) + self.skew), str(secrets.randbelow(10**10))
        made = xmltodict.parse(self._crypto().encrypt_message(plain, nonce, timestamp))["xml"]
        query = {"msg_signature": made["MsgSignature"], "timestamp": timestamp, "nonce": nonce}
        if self.form == "json":
            body = json.dumps({"encrypt": made["Encrypt"]}).encode()
            return Sealed(query=query, body=body, content_type="application/json")
        envelope = {"ToUserName": self.receive_id, "Encrypt": made["Encrypt"], "AgentID": self.agent_id}
        return Sealed(query=query, body=xml(envelope).encode(), content_type="text/xml")

    def challenge(self, words: str) -> dict[str, str]:
        """The query of the GET that WeCom makes when the address is entered; `words` must come back plain."""
        sealed = self.seal(words)
        in_json = self.form == "json"
        encrypted = json.loads(sealed.body)["encrypt"] if in_json else xmltodict.parse(sealed.body)["xml"]["Encrypt"]
        return {**sealed.query, "echostr": encrypted}

    def read(self, body: bytes, nonce: str) -> str:
        """The words of a sealed reply; "" for none.

        :raises Unreadable: it is something else, or sealed badly.
        """
        if not body:
            return ""
        try:
            return self._read(body, nonce)
        except (ValueError, KeyError, TypeError, AssertionError, IndexError, WeChatException) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error
        except xmltodict.expat.ExpatError as error:
            raise Unreadable("no XML") from error

    def _read(self, body: bytes, nonce: str) -> str:
        if self.form == "json":
            reply: Json = json.loads(body)
            names = {"encrypt", "msgsignature", "timestamp", "nonce"}
            if set(reply) != names or not isinstance(reply["timestamp"], int):
                raise ValueError("not encrypt, msgsignature, timestamp (a number) and nonce")
            if reply["nonce"] != nonce:
                raise ValueError("the nonce is not that of the address")
            sealed: Any = {"Encrypt": reply["encrypt"]}
            signature, timestamp = reply["msgsignature"], str(reply["timestamp"])
        else:
            reply = xmltodict.parse(body)["xml"]
            sealed, signature = reply, reply["MsgSignature"]
            timestamp, nonce = reply["TimeStamp"], reply["Nonce"]
        plain: str = self._crypto().decrypt_message(sealed, signature, timestamp, nonce)
        return plain

    def _crypto(self) -> WeChatCrypto:
        return WeChatCrypto(self.token, self.aes_key, self.receive_id)

    def decrypts(self, encrypted: str) -> str:
        """Reads what was encrypted with this key, without a signature."""
        plain: str = PrpCrypto(self._crypto().key).decrypt(encrypted, self.receive_id)
        return plain


def xml(fields: Json) -> str:
    """What a callback says, as WeCom writes it: strings in CDATA, numbers bare, objects nested."""
    return f"<xml>{_inside(fields)}</xml>"


def _inside(fields: Json) -> str:
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in fields.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return _inside(value)
    if isinstance(value, list):
        return "".join(_inside(one) for one in value)
    if isinstance(value, (int, float)):
        return str(value)
    safe = str(value).replace("]]>", "]]]]><![CDATA[>")
    return f"<![CDATA[{safe}]]>"
