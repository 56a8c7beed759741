"""Pipeline files of the predecessor, unchanged, run by the command line against servers of ours.

The files are not part of this repository. Where a checkout has none beside it, there is nothing to test.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.command_line import ROOT, Shell
from tests.conformance import anthropic_wire, compatible_wire, openai_wire
from tests.conformance.model_server import Answer, ModelServer, Received

FILES = ROOT.parent / "shared" / "compat"

needs_files = pytest.mark.skipif(not FILES.is_dir(), reason="no pipeline files of the predecessor beside this checkout")

QUEUES = "model.openai,model.anthropic,model.google,model.ollama"
"""Of the models that the files name."""

HITS = 5
"""Pages that the search server finds for every query."""

Reply = str | Callable[[str], str]
"""What the model says, or how it says it to a prompt."""


class Predecessor:
    """A copy of the files, which may be read-only where they are, and the command line in it."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.folder = shell.folder / "compat"
        self._url = ""
        shutil.copytree(FILES, self.folder, copy_function=shutil.copyfile)
        for folder in (self.folder, self.folder / "data"):
            folder.chmod(0o755)

    def ask(self, models: Models) -> None:
        """Let runs ask these models, whatever provider a file names."""
        self._shell.write(
            f"""
            default_model = "openai/gpt-4o-mini"
            [providers.ollama]
            base_url = "{models.url}"
            """,
            "compat/orchestrator.toml",
        )
        self._shell.environment |= {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": models.url,
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "ANTHROPIC_BASE_URL": models.root,
            "ORCHESTRATOR_SEARCH_URL": f"{models.root}/search?q={{query}}&n={{count}}",
        }

    def run(self, file: str, *options: str, code: int = 0) -> dict[str, Any]:
        """The result document of a file, which must validate and end with this exit code."""
        validated = self._shell.run("validate", file, cwd=self.folder)
        assert validated.code == 0, validated.said
        arguments = ("run", file, "--redis", self._fleet(), "-o", "result.json", *options)
        ended = self._shell.run(*arguments, cwd=self.folder, seconds=90)
        assert ended.code == code, ended.said
        document: dict[str, Any] = json.loads(self.text("result.json"))
        return document

    def _fleet(self) -> str:
        """The Redis of two workers that do what is done in the folder."""
        if not self._url:
            self._url = self._shell.redis()
            config = self.folder / "orchestrator.toml"
            settings = {"workdir": self.folder, "lease_seconds": 8, **({"config": config} if config.exists() else {})}
            self._shell.worker("tools", "-c", "4", **settings)
            self._shell.worker("models", "--queues", QUEUES, "-c", "16", **settings)
        return self._url

    def text(self, path: str) -> str:
        """What a file in the folder holds."""
        return (self.folder / path).read_text()

    def names(self, pattern: str) -> set[str]:
        """Names of the files in the folder that match."""
        return {path.name for path in self.folder.glob(pattern)}


class Models(ModelServer):
    """Models of three providers, and a search, that answer by the words of what they are asked.

    The first of the given words that a prompt holds decides; a prompt that holds none gets a text that says nothing.
    """

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        super().__init__()
        self._replies = replies
        self.script(otherwise=self._answer)

    def prompts(self, words: str = "") -> list[str]:
        """What was asked with these words in it, in the order in which it came."""
        return [prompt for prompt in map(prompt_of, self.calls()) if words in prompt]

    def calls(self, words: str = "") -> list[Received]:
        """The requests to models that have these words in their prompt."""
        return [request for request in self.requests if request.method == "POST" and words in prompt_of(request)]

    def _answer(self, received: Received) -> Answer:
        if received.method == "GET":
            return _hits(received.path)
        said = self._said(prompt_of(received))
        if received.path.endswith("/v1/messages"):
            return anthropic_wire.text(said)
        return openai_wire.text(said) if "input" in received.body else compatible_wire.text(said)

    def _said(self, prompt: str) -> str:
        reply = next((reply for words, reply in self._replies.items() if words in prompt), "a plain text")
        return reply if isinstance(reply, str) else reply(prompt)


def prompt_of(received: Received) -> str:
    """All text of a request to a model, in the format of any of the providers."""
    body = received.body
    said = [message.get("content") or "" for message in body.get("input") or body["messages"]]
    return "\n".join(text if isinstance(text, str) else " ".join(part["text"] for part in text) for text in said)


def status_of(document: Mapping[str, Any], step: str) -> str:
    """How a step ended."""
    status: str = document["steps"][step]["status"]
    return status


def _hits(path: str) -> Answer:
    found = [{"title": f"Page {n}", "url": f"https://example.org/{n}", "content": path} for n in range(HITS)]
    return Answer(body=json.dumps({"results": found}).encode())
