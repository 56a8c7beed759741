"""What all records of the contract are made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

Json = Any
"""Anything that JSON can say: None, bool, int, float, str, list of Json, dict of str to Json."""


class Record(BaseModel):
    """A frozen record that ignores fields it does not know, so that an older reader can take a newer plan."""

    model_config = ConfigDict(frozen=True, extra="ignore")
