"""WeCom's callbacks are signed and encrypted; here is how, over strings and bytes.

The signature is a SHA-1 over the sorted parts, which WeCom chose; the AES key is the one of the page where the callback
is set up. Of everything that can be wrong with a ciphertext a caller learns one thing only, that it is refused: telling
a wrong padding from a wrong receiver would let anybody who can call us decrypt, byte by byte.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import struct

from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

_BLOCK = 32
"""WeCom pads to its key's length, not to AES's block."""
_AES_BLOCK = 16
_RANDOM = 16
"""Bytes before the length."""
_HEAD = _RANDOM + 4
_SIGNATURE = re.compile(r"[0-9a-f]{40}", re.ASCII)
_AES_KEY = re.compile(r"[A-Za-z0-9]{43}", re.ASCII)


class CryptoRefused(Exception):
    """It was not encrypted for us with our key. Deliberately without a reason."""

    def __init__(self) -> None:
        super().__init__("not encrypted for us")


def is_aes_key(text: str) -> bool:
    """Whether it can be an EncodingAESKey: 43 letters and digits."""
    return _AES_KEY.fullmatch(text) is not None


def sign(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """What WeCom writes into `msg_signature`."""
    parts = "".join(sorted((token, timestamp, nonce, encrypted)))
    return hashlib.sha1(parts.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def is_signed(shown: str, *, token: str, timestamp: str, nonce: str, encrypted: str) -> bool:
    """Whether `shown` is the signature of the rest, compared in constant time. Never raises, whatever stands there."""
    if not _SIGNATURE.fullmatch(shown):
        return False
    return hmac.compare_digest(sign(token, timestamp, nonce, encrypted).encode(), shown.encode())


class Cipher:
    """Encrypts for one receiver and decrypts what was encrypted for it."""

    def __init__(self, aes_key: str, receive_id: str) -> None:
        """
        :param aes_key: the EncodingAESKey, 43 characters.
        :param receive_id: the corp id; "" for an AI bot.
        :raises ValueError: that is no EncodingAESKey; the text does not repeat it.
        """
        if not is_aes_key(aes_key):
            raise ValueError("an EncodingAESKey has 43 letters and digits")
        # Its last character has two bits more than 32 bytes take; WeCom ignores them, and so does this decoder.
        self._key = base64.b64decode(aes_key + "=")
        self._receive_id = receive_id.encode()

    def __repr__(self) -> str:
        return "Cipher()"

    def decrypt(self, encrypted: str) -> bytes:
        """What was encrypted: bytes, for nobody has said yet that they are text.

        :param encrypted: base64, of a call whose signature is right.
        :raises CryptoRefused: in every other case.
        """
        message = _content(self._opened(_decoded(encrypted)), self._receive_id)
        if message is None:
            raise CryptoRefused
        return message

    def encrypt(self, plain: bytes) -> str:
        """`plain` for the other side, in base64."""
        body = os.urandom(_RANDOM) + struct.pack(">I", len(plain)) + plain + self._receive_id
        padding = _BLOCK - len(body) % _BLOCK
        encryptor = self._cipher().encryptor()
        sealed = encryptor.update(body + bytes([padding]) * padding) + encryptor.finalize()
        return base64.b64encode(sealed).decode()

    def _opened(self, sealed: bytes) -> bytes:
        if not sealed or len(sealed) % _AES_BLOCK:
            raise CryptoRefused
        decryptor = self._cipher().decryptor()
        return decryptor.update(sealed) + decryptor.finalize()

    def _cipher(self) -> BlockCipher[CBC]:
        return BlockCipher(AES(self._key), CBC(self._key[:_AES_BLOCK]))


def _decoded(encrypted: str) -> bytes:
    try:
        return base64.b64decode(encrypted, validate=True)
    except (binascii.Error, ValueError):
        raise CryptoRefused from None


def _content(body: bytes, receive_id: bytes) -> bytes | None:
    """The message in an opened body; None where padding, length or receiver are not what they have to be."""
    padding = body[-1]
    if not 1 <= padding <= _BLOCK or not hmac.compare_digest(body[-padding:], bytes([padding]) * padding):
        return None
    body = body[:-padding]
    if len(body) < _HEAD:
        return None
    (length,) = struct.unpack(">I", body[_RANDOM:_HEAD])
    end = _HEAD + length
    if end > len(body) or not hmac.compare_digest(body[end:], receive_id):
        return None
    return body[_HEAD:end]
