"""Signatures and ciphertexts: the official vectors, others' code on the other side, and everything that is forged."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given, settings
from hypothesis import strategies as st
from wechatpy.enterprise.crypto import PrpCrypto

from adapters.wecom.crypto import Cipher, CryptoRefused, is_signed, sign
from tests.adapters.wecom.samples import (
    AES_KEY,
    CORP,
    ECHO,
    ECHO_SIGNATURE,
    ECHO_WORDS,
    NONCE,
    TIMESTAMP,
    TOKEN,
)

CIPHER = Cipher(AES_KEY, CORP)
KEY = base64.b64decode(AES_KEY + "=")


def encrypted(body: bytes) -> str:
    """A whole body, however it looks, under the right key."""
    encryptor = BlockCipher(AES(KEY), CBC(KEY[:16])).encryptor()
    return base64.b64encode(encryptor.update(body) + encryptor.finalize()).decode()


def body(message: bytes = b"hello", *, receiver: bytes = CORP.encode(), length: int | None = None) -> bytes:
    """Random bytes, length, message and receiver, not padded yet."""
    return b"r" * 16 + (len(message) if length is None else length).to_bytes(4, "big") + message + receiver


def padded(content: bytes) -> bytes:
    count = 32 - len(content) % 32
    return content + bytes([count]) * count


def test_the_official_vectors() -> None:
    assert sign(TOKEN, TIMESTAMP, NONCE, ECHO) == ECHO_SIGNATURE
    assert is_signed(ECHO_SIGNATURE, token=TOKEN, timestamp=TIMESTAMP, nonce=NONCE, encrypted=ECHO)
    assert CIPHER.decrypt(ECHO) == ECHO_WORDS


@given(message=st.binary(max_size=300), receiver=st.sampled_from(["", CORP, "企业"]))
@settings(deadline=None)
def test_what_is_encrypted_is_decrypted_and_never_looks_the_same(message: bytes, receiver: str) -> None:
    cipher = Cipher(AES_KEY, receiver)
    sealed = cipher.encrypt(message)
    assert cipher.decrypt(sealed) == message
    assert sealed != cipher.encrypt(message)
    assert len(base64.b64decode(sealed)) % 32 == 0


@given(words=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
@settings(deadline=None)
def test_others_code_reads_ours_and_ours_reads_others(words: str) -> None:
    theirs = PrpCrypto(KEY)
    assert theirs.decrypt(CIPHER.encrypt(words.encode()), CORP) == words
    assert CIPHER.decrypt(theirs.encrypt(words, CORP).decode()) == words.encode()


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param("", id="nothing"),
        pytest.param("!", id="no base64"),
        pytest.param("é" * 64, id="beyond ASCII"),
        pytest.param(ECHO[:-5], id="cut base64"),
        pytest.param(ECHO[:64], id="the first blocks only"),
        pytest.param(base64.b64encode(b"x" * 15).decode(), id="no whole block"),
        pytest.param(encrypted(b"x" * 32), id="no padding"),
        pytest.param(encrypted(b"x" * 31 + b"\x00"), id="a padding of nothing"),
        pytest.param(encrypted(b"x" * 31 + b"\x21"), id="a padding that is too long"),
        pytest.param(encrypted(bytes([32]) * 32), id="nothing but padding"),
        pytest.param(encrypted(body() + b"\x01\x02" + bytes([3]) * (32 - (len(body()) + 2) % 32)), id="mixed padding"),
        pytest.param(encrypted(padded(b"short")), id="no room for a length"),
        pytest.param(encrypted(padded(body(receiver=b"ww-another"))), id="another receiver"),
        pytest.param(encrypted(padded(body(receiver=b""))), id="no receiver"),
        pytest.param(encrypted(padded(body(receiver=CORP.encode() + b"x"))), id="a receiver and more"),
        pytest.param(encrypted(padded(body(length=4))), id="a length that is too small"),
        pytest.param(encrypted(padded(body(length=6))), id="a length into the receiver"),
        pytest.param(encrypted(padded(body(length=2**32 - 1))), id="a length beyond everything"),
    ],
)
def test_what_is_not_encrypted_for_us_is_refused_without_a_reason(forged: str) -> None:
    with pytest.raises(CryptoRefused) as refused:
        CIPHER.decrypt(forged)
    assert str(refused.value) == "not encrypted for us"
    assert refused.value.__cause__ is None


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_no_bytes_get_through_or_raise_anything_else(junk: bytes) -> None:
    for forged in (base64.b64encode(junk).decode(), encrypted(junk[: len(junk) // 16 * 16] or b"0" * 16)):
        with pytest.raises(CryptoRefused):
            CIPHER.decrypt(forged)


@given(st.text(max_size=50))
def test_no_text_is_a_signature_and_none_raises(shown: str) -> None:
    assert not is_signed(shown, token=TOKEN, timestamp=shown, nonce=shown, encrypted=shown)


def test_a_key_of_another_length_is_said_to_be_wrong_without_repeating_it() -> None:
    for wrong in ("", AES_KEY[:-1], AES_KEY + "a", "!" * 43):
        with pytest.raises(ValueError, match="43 letters and digits") as error:
            Cipher(wrong, CORP)
        assert not wrong or wrong not in str(error.value)
    assert AES_KEY not in repr(CIPHER)
