"""What a thread shows beside its messages: the status line, and the agent session with its Stop button."""

from __future__ import annotations

from tests.fakes.slackapi.chat import Handler
from tests.fakes.slackapi.errors import Refused, invalid_arguments
from tests.fakes.slackapi.params import Params
from tests.fakes.slackapi.places import Caller, writable
from tests.fakes.slackapi.state import Channel, Json, State

STATUSES = ("active", "processing", "suspended", "closed")
TITLE_LIMIT = 200
LOADING_MESSAGES = 10
LINE_LIFE = 120.0
"""Slack takes a status away by itself after two minutes."""


class Sessions:
    """assistant.threads.* and agents.sessions.*."""

    def __init__(self, state: State) -> None:
        self._state = state

    def table(self) -> dict[str, Handler]:
        return {
            "assistant.threads.setStatus": self._set_line,
            "assistant.threads.setTitle": self._set_title,
            "assistant.threads.setSuggestedPrompts": self._set_prompts,
            "agents.sessions.setStatus": self._set_status,
            "agents.sessions.rename": self._rename,
        }

    def check(self, status: str) -> None:
        """:raises Refused: it is none of Slack's."""
        if status and status not in STATUSES:
            raise invalid_arguments(f"must be one of {list(STATUSES)} [json-pointer:/status]")

    def set(self, channel: Channel, thread: str, status: str) -> None:
        channel.sessions.setdefault(thread, {"title": ""})["status"] = status
        self._state.touch()

    def _set_line(self, params: Params, caller: Caller) -> Json:
        channel, thread = self._thread(params, caller)
        if "status" not in params.raw:
            raise invalid_arguments("missing required field: status")
        lines = params.structure("loading_messages", list, "invalid_arguments") or []
        if len(lines) > LOADING_MESSAGES:
            raise invalid_arguments(f"no more than {LOADING_MESSAGES} items allowed [json-pointer:/loading_messages]")
        if status := params.text("status"):
            at = self._state.clock.now()
            channel.statuses[thread] = {"status": status, "loading_messages": lines, "at": at}
        else:
            channel.statuses.pop(thread, None)
        self._state.touch()
        return {}

    def _set_title(self, params: Params, caller: Caller) -> Json:
        channel, thread = self._thread(params, caller)
        channel.sessions.setdefault(thread, {"status": ""})["title"] = params.required("title")
        return {}

    def _set_prompts(self, params: Params, caller: Caller) -> Json:
        channel = writable(self._state, caller, params.required("channel_id"))
        prompts = params.structure("prompts", list, "invalid_arguments")
        if not prompts or not all(isinstance(one, dict) and one.get("title") and one.get("message") for one in prompts):
            raise invalid_arguments("missing required field: prompts")
        channel.prompts = {"title": params.text("title"), "prompts": prompts, "thread": params.text("thread_ts")}
        return {}

    def _set_status(self, params: Params, caller: Caller) -> Json:
        channel, thread = self._thread(params, caller)
        status = params.required("status")
        self.check(status)
        title = params.text("title")
        if len(title) > TITLE_LIMIT:
            raise invalid_arguments(f"must be less than {TITLE_LIMIT + 1} characters [json-pointer:/title]")
        starter = params.text("initiator_user_id")
        if starter and starter not in self._state.people:
            raise Refused("user_not_found")
        channel.sessions.setdefault(thread, {"title": title})
        self.set(channel, thread, status)
        answer: Json = {"status": status, "title": channel.sessions[thread]["title"]}
        if self._state.subscribed is not None and "agent_session_stopped" not in self._state.subscribed:
            warning = "missing_agent_session_stopped_event_subscription"
            answer |= {"warning": warning, "response_metadata": {"warnings": [warning]}}
        return answer

    def _rename(self, params: Params, caller: Caller) -> Json:
        channel, thread = self._thread(params, caller)
        if thread not in channel.sessions:
            raise Refused("session_not_found")
        title = params.required("title")
        if len(title) > TITLE_LIMIT:
            raise invalid_arguments(f"must be less than {TITLE_LIMIT + 1} characters [json-pointer:/title]")
        channel.sessions[thread]["title"] = title
        return {"title": title}

    def _thread(self, params: Params, caller: Caller) -> tuple[Channel, str]:
        channel = writable(self._state, caller, params.required("channel_id"))
        thread = params.required("thread_ts")
        root = channel.messages.get(thread)
        if root is None or root.thread:
            raise Refused("thread_not_found")
        caller.call.thread = thread
        return channel, thread
