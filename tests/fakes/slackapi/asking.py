"""Calls the fake as a bot would, with no library between: for the fake's own tests."""

from __future__ import annotations

import aiohttp

from tests.fakes.slackapi.state import Json


class Asking:
    """Posts JSON with a bearer token."""

    def __init__(self, api_url: str, token: str, http: aiohttp.ClientSession) -> None:
        self.url = api_url
        self.token = token
        self.http = http

    async def __call__(self, method: str, **arguments: object) -> Json:
        """The answer, whatever it is."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json; charset=utf-8"}
        async with self.http.post(f"{self.url}{method}", json=arguments, headers=headers) as response:
            assert response.status == 200, f"{method}: {response.status}"
            answer: Json = await response.json()
            return answer

    async def ok(self, method: str, **arguments: object) -> Json:
        """The answer of a call that must work."""
        answer = await self(method, **arguments)
        assert answer["ok"] is True, answer
        return answer

    async def refused(self, method: str, **arguments: object) -> str:
        """Slack's code for a call that must not work."""
        answer = await self(method, **arguments)
        assert answer["ok"] is False, answer
        return str(answer["error"])

    async def look(self, method: str, **arguments: object) -> Json:
        """A call of those that read no JSON: GET with a query."""
        asked = {
            name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in arguments.items()
        }
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.get(f"{self.url}{method}", params=asked, headers=headers) as response:
            answer: Json = await response.json()
            return answer
