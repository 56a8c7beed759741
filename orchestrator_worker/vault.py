"""The secrets of this worker: read where a call is made, and masked in whatever leaves it.

A secret is the environment variable `ORCHESTRATOR_SECRET_<NAME>`, or else the file of its name in the secrets' folder.
Only what stands in the plan is replaced: `secret://NAME` in a model's answer, a page or an input stays text, or whoever
writes that could have a secret sent anywhere. What is masked is the value as it stands and in the forms in which
programs repeat it, also where lines end in the middle of it; a tool that writes it backwards is not found out.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from orchestrator_client.contract.errors import CredentialMissing, OrchestratorError, ParametersInvalid
from orchestrator_client.contract.patterns import fits
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import load_project
from orchestrator_client.contract.secret import PATTERN
from orchestrator_client.contract.template import is_template
from orchestrator_worker.settings import settings

VARIABLES = "ORCHESTRATOR_SECRET_"

SHORTEST = 6
"""Characters of a secret, below which masking it would also mask ordinary text; and of a part of one, at the end of
what was cut, from which on it is masked."""

ESCAPED_TIMES = 3
"""How often a text of JSON may stand in another one."""

_LINE_BREAK = re.compile(r"(?:\r|\\+r)?(?:\n|\\+n)")
"""As it stands, or as JSON has it."""

SECRET_BYTES = 64 * 1024
"""Of a file in the secrets' folder; larger ones are none."""


class Vault:
    """Knows the secrets, and which tools may have them."""

    def __init__(self, folder: Path, grants: Mapping[str, tuple[str, ...]]) -> None:
        """`grants`: name -> patterns of tools, as `[secrets]` of orchestrator.toml has them."""
        self._folder, self._grants = folder, grants
        self._forms: dict[str, str] = {}
        self._mask: re.Pattern[str] | None = None
        for name in self._found():
            if (value := self._value(name)) is not None:
                self.learn(name, value)

    def opened(self, written: Json, rendered: Json, uses: str) -> Json:
        """The rendered parameters of a step, with the secrets that its plan asks for in the texts that it wrote.

        Raises:
            CredentialMissing: the worker does not have one, or not for this tool.
            ParametersInvalid: one is too short to be masked.
        """
        match written, rendered:
            case str(), str() if not is_template(written):
                return PATTERN.sub(lambda found: self._secret(found[1], uses), rendered)
            case dict(), dict():
                return {key: self.opened(written.get(key), value, uses) for key, value in rendered.items()}
            case list(), list() if len(written) == len(rendered):
                return [self.opened(*pair, uses) for pair in zip(written, rendered, strict=True)]
        return rendered

    def learn(self, name: str, value: str) -> None:
        """Know a value when it is met. One that a secret had before stays known."""
        if value in self._forms or len(value) < SHORTEST:
            return
        self._forms |= dict.fromkeys(forms_of(value), f"[secret {name}]")
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._mask = re.compile("|".join(map(re.escape, longest_first)))

    def masked(self, value: Any) -> Any:
        """A value of JSON with no secret in it."""
        if self._mask is None:
            return value
        match value:
            case str():
                return self.masked_text(value)
            case dict():
                return {self.masked(key): self.masked(item) for key, item in value.items()}
            case list():
                return [self.masked(item) for item in value]
        return value

    def masked_text(self, text: str) -> str:
        """A text with no secret in it."""
        if self._mask is None:
            return text
        masked = self._mask.sub(lambda found: self._forms[found[0]], text)
        joined = _LINE_BREAK.sub("", masked)
        if len(joined) == len(masked):
            return masked
        return self._masked_over_lines(masked, list(self._mask.finditer(joined)))

    def masked_bytes(self, data: bytes) -> bytes:
        """What may be text, with no secret in it."""
        text = data.decode("utf-8", "surrogateescape")
        return data if self._mask is None else self.masked_text(text).encode("utf-8", "surrogateescape")

    def mask_error(self, error: OrchestratorError) -> None:
        """Take the secrets out of an error's message, and the beginning of one where the message was cut."""
        if self._mask is not None:
            error.args = tuple(self.masked_end(arg) if isinstance(arg, str) else arg for arg in error.args)
            if isinstance(message := getattr(error, "message", None), str):
                error.message = self.masked_end(message)  # type: ignore[attr-defined]

    def masked_end(self, text: str) -> str:
        """A text with no secret in it, nor the beginning of one at its end, where it may have been cut."""
        masked = self.masked_text(text)
        for form, label in self._forms.items():
            for length in range(min(len(form) - 1, len(masked)), SHORTEST - 1, -1):
                if masked.endswith(form[:length]):
                    return masked[:-length] + label
        return masked

    def _masked_over_lines(self, text: str, in_joined: list[re.Match[str]]) -> str:
        """A text without what was found in it with its lines joined: base64 is often broken after 76 letters."""
        if not in_joined:
            return text
        places, line = list[int](), 0
        for end in _LINE_BREAK.finditer(text):
            places += range(line, end.start())
            line = end.end()
        places += range(line, len(text))
        for found in reversed(in_joined):
            first, last = places[found.start()], places[found.end() - 1]
            text = text[:first] + self._forms[found[0]] + text[last + 1 :]
        return text

    def _secret(self, name: str, uses: str) -> str:
        if name in self._grants and not fits(uses, self._grants[name]):
            named = ", ".join(self._grants[name])
            raise CredentialMissing(f"secret '{name}' is not for {uses}; [secrets] in orchestrator.toml: {named}")
        value = self._value(name)
        if value is None:
            raise CredentialMissing(
                f"this worker has no secret '{name}'; set {VARIABLES}{name} for it, or write {self._folder / name}"
            )
        if len(value) < SHORTEST:
            raise ParametersInvalid(f"secret '{name}' is shorter than {SHORTEST} characters, too short to be masked")
        self.learn(name, value)
        return value

    def _value(self, name: str) -> str | None:
        """A secret, read anew: it may have been changed since."""
        if (value := os.environ.get(VARIABLES + name)) is not None:
            return value
        file = self._folder / name
        try:
            if file.is_file() and file.stat().st_size <= SECRET_BYTES:
                return file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            return None
        return None

    def _found(self) -> Iterator[str]:
        """Names of all the secrets that there are."""
        yield from (name.removeprefix(VARIABLES) for name in os.environ if name.startswith(VARIABLES))
        if self._folder.is_dir() and os.access(self._folder, os.R_OK | os.X_OK):
            yield from os.listdir(self._folder)


_in_use: dict[int, Vault] = {}


def in_use() -> Vault:
    """That of this process; where none was chosen, by its settings and orchestrator.toml. A fork begins with none.

    Raises:
        ConfigInvalid: orchestrator.toml cannot be used.
    """
    return _in_use.get(os.getpid()) or use(Vault(settings().secrets_folder, load_project().secrets))


def use(vault: Vault) -> Vault:
    """Let this process use that vault, from now on."""
    _in_use[os.getpid()] = vault
    return vault


def forms_of(secret: str) -> set[str]:
    """A secret as it stands, and as programs write it: escaped, quoted, in base64 wherever in a longer text, in hex.

    In a message it may be escaped three times over: a plan is a text in a body, which is a text in an envelope.
    """
    escaped = {secret}
    for is_ascii in (True, False):
        text = secret
        for _ in range(ESCAPED_TIMES):
            text = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
            escaped.add(text)
    encoded = {form for text in escaped for form in _base64(text.encode())}
    data = secret.encode()
    forms = {*escaped, *encoded, repr(secret)[1:-1], html.escape(secret), data.hex(), data.hex().upper()}
    forms |= {quote(secret), quote(secret, safe=""), quote_plus(secret), *(quote(form, safe="") for form in encoded)}
    return {form for form in forms if len(form) >= SHORTEST}


def _base64(data: bytes) -> Iterator[str]:
    """What is the same in every text that has `data` in it, by the place in the three bytes that make four letters."""
    for before in range(3):
        # Letters that the bytes before or behind have a part in are left out.
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + data).decode()[first:last]


def hide_in_logs(vault: Vault) -> None:
    """From now on, no record of a log has a secret in it, nor its traceback."""

    def record(*args: Any, **fields: Any) -> logging.LogRecord:
        entry = logging.LogRecord(*args, **fields)
        entry.msg, entry.args = vault.masked_text(entry.getMessage()), ()
        if entry.exc_info and entry.exc_info[0] is not None:
            entry.exc_text = vault.masked_text(logging.Formatter().formatException(entry.exc_info))
        return entry

    logging.setLogRecordFactory(record)
