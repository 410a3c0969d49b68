"""What Slack's refusals mean."""

from __future__ import annotations

from adapters.slack.wire import UNCERTAIN, NotReached, Refused, SlackError
from bot.errors import CredentialsRefused, DestinationGone, NotSent, PerhapsSent, SendError, Undeliverable

DEAD_TOKEN = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"})
"""The installation is gone, or its token was replaced."""

# Somebody has to change the app or the workspace; until then no other message fares better.
_NOT_ALLOWED = frozenset(
    {
        "access_denied",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "invalid_app_id",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "org_login_required",
        "team_access_not_granted",
        "two_factor_setup_required",
    }
)
_NOBODY_THERE = frozenset(
    {
        "cannot_dm_bot",
        "cannot_reply_to_message",
        "channel_is_archived",
        "channel_not_found",
        "channel_type_not_supported",
        "external_channel_migrating",
        "invalid_thread_ts",
        "is_archived",
        "is_inactive",
        "messages_tab_disabled",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
        "team_not_found",
        "thread_not_found",
        "user_disabled",
        "user_not_found",
        "user_not_visible",
    }
)
_LATER = frozenset(
    {"message_limit_exceeded", "request_timeout", "service_unavailable", "team_added_to_org", "accesslimited"}
)

_STREAM_ENDED = frozenset({"message_not_in_streaming_state", "stopped_by_user"})
_NO_STREAMS = frozenset(
    {
        "channel_type_not_supported",
        "method_not_supported_for_channel_type",
        "missing_recipient_team_id",
        "missing_recipient_user_id",
        "team_not_found",
        "user_not_found",
    }
)
_UNKNOWN_METHOD = frozenset(
    {"unknown_method", "method_deprecated", "deprecated_endpoint", "not_allowed_token_type", "missing_scope"}
)
_MESSAGE_GONE = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "update_failed"}
)
_CONTENT = frozenset(
    {
        "block_mismatch",
        "blocks_too_long",
        "invalid_arguments",
        "invalid_array_arg",
        "invalid_attachments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_chunks",
        "markdown_text_conflict",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "only_one_table_allowed",
        "streaming_mode_mismatch",
        "too_many_attachments",
    }
)


def is_patience(refused: Refused) -> bool:
    """Slack asks us to be slower."""
    return refused.retry_after is not None


def is_dead_token(refused: Refused) -> bool:
    return refused.error in DEAD_TOKEN


def is_about_everything(refused: Refused) -> bool:
    """No other message to this place would fare better now."""
    return (
        is_patience(refused)
        or is_dead_token(refused)
        or refused.error in _NOT_ALLOWED | _NOBODY_THERE | _LATER | UNCERTAIN
    )


def is_forbidden(refused: Refused) -> bool:
    """We may not do this there, and asking again will not change it."""
    return not (is_patience(refused) or is_dead_token(refused) or refused.error in _LATER | UNCERTAIN | {""})


def is_stream_ended(refused: Refused) -> bool:
    """Its five minutes are over, or somebody ended it."""
    return refused.error in _STREAM_ENDED


def is_stopped(refused: Refused) -> bool:
    """A person pressed Stop."""
    return refused.error == "stopped_by_user"


def is_still_streaming(refused: Refused) -> bool:
    return refused.error == "streaming_state_conflict"


def is_without_streams(refused: Refused) -> bool:
    """This conversation can have none."""
    return refused.error in _NO_STREAMS


def is_unknown_method(refused: Refused) -> bool:
    """This workspace does not know the method, or our installation may not use it."""
    return refused.error in _UNKNOWN_METHOD or refused.status == 404


def is_message_gone(refused: Refused) -> bool:
    """There is no message to write into."""
    return refused.error in _MESSAGE_GONE


def is_about_content(refused: Refused) -> bool:
    """The same words may pass in another form."""
    return refused.error in _CONTENT or refused.status == 413


def as_send_error(error: SlackError) -> SendError:
    """The core's word for it."""
    if isinstance(error, NotReached):
        return NotSent(f"Slack can not be reached ({error})")
    if not isinstance(error, Refused):
        return PerhapsSent(f"Slack did not answer ({error})")
    words = f"Slack says no ({error})"
    if is_patience(error):
        return NotSent(f"Slack asks for patience ({error.method})", retry_after=error.retry_after)
    if is_dead_token(error):
        return CredentialsRefused(f"Slack refuses the token ({error.error})")
    if error.error in UNCERTAIN:
        return PerhapsSent(words)
    if error.error in _LATER or is_still_streaming(error):
        return NotSent(words)
    if error.error in _NOBODY_THERE:
        return DestinationGone(words)
    if error.error in _NOT_ALLOWED:
        return CredentialsRefused(words)
    if error.error or error.status == 413:
        return Undeliverable(words)
    # Something between us and Slack: a proxy that wants to know who we are, a captive portal.
    return NotSent(words)
