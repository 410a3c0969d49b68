"""Batches: albums, edits that change nothing, and one bad update among good ones."""

from __future__ import annotations

import pytest
import structlog

from adapters.telegram.reading import Batch, Reader
from bot.messages import MessageKind
from tests.adapters.telegram.doubles import DATE, ME, NOW, Json, message, update


@pytest.fixture
def reader() -> Reader:
    made = Reader(collections=("shop",), now=lambda: NOW)
    made.me = ME
    return made


def photo(number: int, caption: str = "", *, album: str = "a1") -> Json:
    fields: Json = {"photo": [{}], "media_group_id": album, **({"caption": caption} if caption else {})}
    return update(payload=message(message_id=number, **fields), update_id=900 + number)


def stored(reader: Reader, *updates: Json) -> Batch:
    batch = reader.read(updates)
    reader.remember(batch)
    return batch


def test_of_an_album_only_the_part_with_words_is_answered(reader: Reader) -> None:
    batch = stored(reader, photo(1), photo(2, "哪个是真的？"), photo(3))
    assert [found.text for found in batch.messages] == ["哪个是真的？"]


def test_the_rest_of_an_album_that_comes_later_is_not_answered_again(reader: Reader) -> None:
    stored(reader, photo(1, "哪个是真的？"))
    assert stored(reader, photo(2), photo(3)).messages == ()


def test_an_album_without_words_is_one_message_however_it_arrives(reader: Reader) -> None:
    first = stored(reader, photo(1), photo(2))
    later = stored(reader, photo(3))
    assert len(first.messages) == 1
    assert set(first.messages[0].keys) & set(later.messages[0].keys), "the core recognises the album by a shared key"


def test_every_part_of_an_album_that_has_words_is_answered(reader: Reader) -> None:
    batch = stored(reader, photo(1, "one?"), photo(2, "two?"))
    assert len({key for found in batch.messages for key in found.keys}) == 4, "no key in common"


def test_two_albums_are_two(reader: Reader) -> None:
    assert len(stored(reader, photo(1, album="a"), photo(2, album="b")).messages) == 2


def test_an_album_that_could_not_be_stored_is_answered_when_it_comes_again(reader: Reader) -> None:
    reader.read([photo(1, "哪个是真的？")])
    assert len(stored(reader, photo(2)).messages) == 1


def edited(text: str, date: int) -> Json:
    return update("edited_message", message(text, edit_date=date), update_id=date)


def test_a_reaction_or_a_link_preview_is_no_edit(reader: Reader) -> None:
    stored(reader, update(payload=message("how do I pay?")))
    assert stored(reader, edited("how do I pay?", DATE + 1)).messages == ()
    changed = stored(reader, edited("how do I pay abroad?", DATE + 2))
    assert [found.kind for found in changed.messages] == [MessageKind.EDIT]
    assert stored(reader, edited("how do I pay abroad?", DATE + 3)).messages == ()
    assert len(stored(reader, edited("how do I pay?", DATE + 4)).messages) == 1


def test_one_bad_update_stops_no_other_and_leaves_one_line(reader: Reader) -> None:
    bad: Json = {"update_id": 905, "message": {"text": "secret words"}}
    with structlog.testing.capture_logs() as logs:
        batch = reader.read([photo(1), bad, update(payload=message("hi"), update_id=907)])
    assert len(batch.messages) == 2
    assert batch.last_update_id == 907
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert [line["update"] for line in warnings] == [905]
    assert "secret" not in str(logs)


def test_the_last_number_counts_even_if_its_update_is_unreadable(reader: Reader) -> None:
    assert reader.read([update(update_id=5), {"update_id": 6, "message": 0}]).last_update_id == 6
    assert reader.read([{"message": {}}]).last_update_id is None


def test_messages_carry_the_channels_collections(reader: Reader) -> None:
    assert reader.read([update()]).messages[0].collections == ("shop",)


def test_memory_is_bounded(reader: Reader) -> None:
    for number in range(5000):
        stored(reader, photo(number, "hi", album=f"a{number}"))
    assert len(stored(reader, photo(9000, album="a0")).messages) == 1, "the oldest was forgotten"
    assert stored(reader, photo(9001, album="a4999")).messages == ()
