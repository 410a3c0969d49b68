"""Where each of Slack's codes lands in the core's errors."""

from __future__ import annotations

import pytest

from adapters.slack import failures
from adapters.slack.wire import NoAnswer, NotReached, Refused, patience
from bot.errors import CredentialsRefused, DestinationGone, NotSent, PerhapsSent, SendError, Undeliverable

CODES: dict[type[SendError], str] = {
    CredentialsRefused: "invalid_auth not_authed account_inactive token_revoked token_expired missing_scope"
    " no_permission not_allowed_token_type team_access_not_granted org_login_required ekm_access_denied access_denied",
    DestinationGone: "channel_not_found not_in_channel is_archived user_not_found cannot_dm_bot thread_not_found"
    " invalid_thread_ts cannot_reply_to_message messages_tab_disabled restricted_action user_disabled",
    NotSent: "service_unavailable request_timeout team_added_to_org message_limit_exceeded streaming_state_conflict",
    PerhapsSent: "internal_error fatal_error",
    Undeliverable: "msg_too_long msg_blocks_too_long invalid_blocks invalid_chunks no_text invalid_arguments"
    " markdown_text_conflict metadata_too_large something_new",
}


@pytest.mark.parametrize(
    ("code", "expected"), [pytest.param(code, kind, id=code) for kind, codes in CODES.items() for code in codes.split()]
)
def test_every_code_lands_where_it_belongs(code: str, expected: type[SendError]) -> None:
    assert type(failures.as_send_error(Refused("chat.postMessage", code))) is expected


def test_what_is_no_code() -> None:
    patient = failures.as_send_error(Refused("chat.update", "ratelimited", status=429, retry_after=7.0))
    assert isinstance(patient, NotSent) and patient.retry_after == 7.0
    assert isinstance(failures.as_send_error(NotReached("no route")), NotSent)
    assert isinstance(failures.as_send_error(NoAnswer("reset")), PerhapsSent)
    assert isinstance(failures.as_send_error(Refused("chat.update", "", status=407)), NotSent)
    assert isinstance(failures.as_send_error(Refused("chat.update", "", status=413)), Undeliverable)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("3", 3.0),
        ("0", 1.0),
        ("-5", 1.0),
        (None, 1.0),
        ("soon", 1.0),
        ("999999", 3600.0),
        ("inf", 3600.0),
        ("nan", 3600.0),
    ],
)
def test_patience_whatever_the_header_says(asked: object, seconds: float) -> None:
    assert patience(asked) == seconds


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("message_not_in_streaming_state", failures.is_stream_ended),
        ("stopped_by_user", failures.is_stopped),
        ("stopped_by_user", failures.is_stream_ended),
        ("streaming_state_conflict", failures.is_still_streaming),
        ("missing_recipient_team_id", failures.is_without_streams),
        ("channel_type_not_supported", failures.is_without_streams),
        ("unknown_method", failures.is_unknown_method),
        ("message_not_found", failures.is_message_gone),
        ("streaming_mode_mismatch", failures.is_about_content),
    ],
)
def test_what_decides_about_the_next_step(code: str, asked: object) -> None:
    assert asked(Refused("chat.stopStream", code))  # type: ignore[operator]
    assert not asked(Refused("chat.stopStream", "channel_not_found"))  # type: ignore[operator]
