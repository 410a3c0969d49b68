"""What every table of kefu.toml has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One table of kefu.toml."""

    # What the operator wrote may be a secret put under the wrong key: an error must never repeat it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)
