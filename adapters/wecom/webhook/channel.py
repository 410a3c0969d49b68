"""The channel of a WeCom group's robot: it hears nothing, and says what operators are to know."""

from __future__ import annotations

from adapters.rendering import wecom as dialects
from adapters.rendering.wording import ticket_line, whole
from adapters.wecom import failures
from adapters.wecom.pacing import Pacer
from adapters.wecom.standing import Standing
from adapters.wecom.timing import Timing
from adapters.wecom.webhook.robot import Robot
from adapters.wecom.webhook.settings import SECTION
from adapters.wecom.wire import Refused, WeComError
from bot.errors import SendError, Undeliverable
from bot.messages import ConversationRef, Reply
from bot.ports import ChannelHealth, Intake, Part, Sleep
from bot.telemetry import get_logger

_EVERYBODY = ""

log = get_logger(__name__)


class WebhookChannel:
    """As `bot.ports.Channel`. There is one group, so whatever the address, it goes there."""

    platform = SECTION
    account = ""
    repeatable = False
    """The robot knows no delivery ids: what is said twice stands there twice."""

    def __init__(self, *, robot: Robot, standing: Standing, pacer: Pacer, sleep: Sleep, timing: Timing) -> None:
        self._robot = robot
        self._standing = standing
        self._pacer = pacer
        self._sleep = sleep
        self._timing = timing

    async def run(self, intake: Intake) -> None:
        """There is nothing to hear, and no way to ask after the robot but by speaking."""
        while True:
            await self._sleep(self._timing.upkeep)

    def health(self) -> ChannelHealth:
        return self._standing.health()

    def placeholder_first(self, conversation: ConversationRef) -> bool:
        return False

    def show_interval(self, conversation: ConversationRef) -> float | None:
        return None

    async def show(self, conversation: ConversationRef, text: str, *, shown: str | None, turn_id: str) -> str | None:
        return None

    def render(self, reply: Reply) -> tuple[Part, ...]:
        parts = dialects.app_markdown(whole(reply, ticket=ticket_line(reply)), limit=dialects.ROBOT_LIMIT) or ("…",)
        return tuple(Part(text=part) for part in parts)

    def take_slot(self, conversation: ConversationRef) -> bool:
        return self._pacer.take(_EVERYBODY)

    async def wait_for_slot(self, conversation: ConversationRef) -> None:
        await self._pacer.wait(_EVERYBODY)

    async def send(
        self, conversation: ConversationRef, part: Part, *, replaces: str | None, delivery_id: int, reply: Reply
    ) -> str:
        """The robot's messages have no ids; the delivery's stands for it."""
        try:
            await self._say(part.text)
        except WeComError as error:
            raise self._as_send_error(error) from None
        return str(delivery_id)

    def silent(self, conversation: ConversationRef, answers: tuple[int, ...]) -> None:
        """Nobody asks here."""

    async def close(self) -> None:
        await self._robot.close()

    async def _say(self, markdown: str) -> None:
        """As Markdown, and as mere words where WeCom does not take that."""
        try:
            await self._robot.post({"msgtype": "markdown", "markdown": {"content": markdown}})
        except Refused as refused:
            if not isinstance(failures.as_send_error(refused), Undeliverable):
                raise
            log.warning("wecom_webhook.form_refused", reason=str(refused))
            words = "\n\n".join(dialects.plain(markdown))
            await self._robot.post({"msgtype": "text", "text": {"content": dialects.shortened(words, 2048) or "…"}})

    def _as_send_error(self, error: WeComError) -> SendError:
        if isinstance(error, Refused) and error.errcode == failures.TOO_OFTEN:
            self._pacer.park_all(self._timing.frequency_pause)
        return failures.as_send_error(error, self._timing, section=SECTION)
