"""Secrets by name: a plan says `secret://NAME`, and only the worker that makes the call knows the value."""

from __future__ import annotations

import re

PATTERN = re.compile(r"secret://([A-Za-z_][A-Za-z0-9_]*)")
