"""From the parameters of a model step to the messages that its model is sent."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.catalog import MODEL_ACTIONS
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.providers.base import Media, Message
from orchestrator_worker.steps.request import messages_of, parameters_of
from tests.unit.asking import call, context

PNG = b"\x89PNG"
DATA = base64.b64encode(PNG).decode()


def messages(uses: str = "generate", folder: Path = Path("/nowhere"), **parameters: Any) -> list[Message]:
    return list(messages_of(parameters_of(call(uses, **parameters)), context(folder)))


def misfit(uses: str = "generate", **parameters: Any) -> str:
    with pytest.raises(ParametersInvalid) as caught:
        messages(uses, **parameters)
    return str(caught.value)


class TestMessages:
    def test_a_prompt_is_one(self) -> None:
        assert messages() == [Message.of("user", "Say fine.")]

    def test_system_then_the_conversation_then_the_prompt(self) -> None:
        given = [{"role": "developer", "content": "a"}, {"role": "assistant", "content": "b"}, {"content": "c"}]
        assert messages(system_prompt="Be brief.", messages=given) == [
            Message.of("system", "Be brief."),
            Message.of("system", "a"),
            Message.of("assistant", "b"),
            Message.of("user", "c"),
            Message.of("user", "Say fine."),
        ]

    def test_a_conversation_needs_no_prompt(self) -> None:
        assert messages(prompt="", messages=[{"role": "user", "content": "a"}]) == [Message.of("user", "a")]

    def test_what_is_shown_stands_before_the_prompt(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(PNG)
        (tmp_path / "b.pdf").write_bytes(b"%PDF")
        assert messages(folder=tmp_path, image="a.png", files=["b.pdf"]) == [
            Message(
                "user",
                (Media("image/png", PNG, name="a.png"), Media("application/pdf", b"%PDF", name="b.pdf"), "Say fine."),
            )
        ]

    def test_what_is_shown_needs_no_prompt(self) -> None:
        assert messages(prompt="", images="https://example.org/a.png")[0].text == ""

    @pytest.mark.parametrize(
        ("part", "read"),
        [
            ("a", "a"),
            ({"type": "text", "text": "a"}, "a"),
            ({"type": "input_text", "text": "a"}, "a"),
            (
                {"type": "image_url", "image_url": {"url": "https://example.org/a.jpg"}},
                Media("image/jpeg", url="https://example.org/a.jpg", name="a.jpg"),
            ),
            (
                {"type": "input_image", "image_url": f"data:image/gif;base64,{DATA}"},
                Media("image/gif", PNG),
            ),
            ({"type": "input_audio", "input_audio": {"data": DATA, "format": "mp3"}}, Media("audio/mp3", PNG)),
            ({"type": "input_audio", "input_audio": {"data": DATA}}, Media("audio/wav", PNG)),
            (
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}"}},
                Media("application/pdf", PNG),
            ),
            ({"type": "image", "data": DATA, "media_type": "image/webp"}, Media("image/webp", PNG)),
            ({"type": "file", "data": DATA, "name": "a.bin"}, Media("application/octet-stream", PNG, name="a.bin")),
        ],
    )
    def test_parts_in_the_form_that_openais_chat_takes(self, part: Any, read: str | Media) -> None:
        given = [{"role": "user", "content": [part]}]
        assert messages(prompt="", messages=given) == [Message("user", (read,))]


class TestAnalyze:
    @pytest.mark.parametrize(
        ("parameters", "prompt"),
        [
            ({"prompt": "Sum up.", "text": "Long."}, "Sum up.\n\nData:\nLong."),
            ({"prompt": "Sum up.", "text": ""}, "Sum up."),
            ({"prompt": "", "text": "Long."}, "Analyze the following text for general:\n\nLong."),
            ({"prompt": "", "text": "Long.", "analysis_type": "mood"}, "Analyze the following text for mood:\n\nLong."),
            ({"prompt": "Sum up.", "text": {"ü": [1]}}, 'Sum up.\n\nData:\n{"ü": [1]}'),
        ],
    )
    def test_prompt(self, parameters: dict[str, Any], prompt: str) -> None:
        assert messages("analyze", **parameters) == [Message.of("user", prompt)]


class TestPictures:
    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({}, "Describe the picture."),
            ({"analysis_type": "Detect-Objects", "detail_level": "low"}, "Name the objects"),
            ({"analysis_type": "the season"}, "Analyze the picture for the season."),
            ({"prompt": "Who painted it?", "analysis_type": "ocr"}, "Who painted it?"),
        ],
    )
    def test_ask_for_their_kind_of_analysis(self, parameters: dict[str, Any], words: str) -> None:
        url = "https://example.org/a.png"
        (message,) = messages("analyze-image", **{"image": url, "prompt": "", **parameters})
        shown, asked = message.parts
        assert isinstance(shown, Media)
        assert (shown.url, str(asked).startswith(words)) == (url, True)
        assert ("Answer in a sentence" in str(asked)) is ("detail_level" in parameters)

    def test_say_what_to_leave_out_and_in_what_form(self) -> None:
        shown = {"image": "https://example.org/a.png", "confidence_threshold": 0.7, "output_format": "json"}
        (message,) = messages("analyze-image", **shown)
        assert "less sure of than 0.7" in str(message.parts[1])
        assert str(message.parts[1]).endswith("Answer with JSON alone.")

    def test_are_needed(self) -> None:
        assert "images" in misfit("analyze-image")


class TestMisfits:
    @pytest.mark.parametrize(
        ("parameters", "named"),
        [
            ({"max_tokens": "many"}, "parameter 'max_tokens'"),
            ({"max_tokens": 0}, "parameter 'max_tokens'"),
            ({"temperature": "hot"}, "parameter 'temperature'"),
            ({"prompt": ["a"]}, "parameter 'prompt'"),
            ({"messages": "hello"}, "parameter 'messages'"),
            ({"max_turns": 0}, "parameter 'max_turns'"),
            ({"reasoning_effort": "huge"}, "parameter 'reasoning_effort'"),
            ({"messages": [{"role": "tool", "content": "x"}]}, "parameter 'messages.0.role'"),
            ({"messages": [{"role": ["user"], "content": "x"}]}, "parameter 'messages.0.role'"),
            ({"messages": [{"content": "x"}, {"role": "user"}]}, "parameter 'messages.1.content'"),
            ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "parameter 'messages.0.content'"),
            ({"prompt": ""}, "write `prompt` or `messages`"),
        ],
    )
    def test_are_named(self, parameters: dict[str, Any], named: str) -> None:
        assert named in misfit(**parameters)

    def test_all_of_them_at_once(self) -> None:
        said = misfit(max_tokens="many", temperature="hot")
        assert "max_tokens" in said
        assert "temperature" in said

    def test_are_shown_in_part(self) -> None:
        assert len(misfit(prompt=["x" * 10_000])) < 200

    def test_a_structured_step_needs_its_schema(self) -> None:
        assert "parameter 'schema'" in misfit("generate-structured")

    def test_an_action_that_is_not_there(self) -> None:
        assert "did you mean 'generate'" in misfit("generat")
        assert ", ".join(MODEL_ACTIONS) in misfit("zzz")
