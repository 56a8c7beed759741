"""The JSON Schema for editors agrees with the loader."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.loader import dialect, loads, schema


class TestSchema:
    VALID: tuple[dict[str, Any], ...] = (
        {"steps": [{"id": "x", "tool": "terminal", "parameters": {"command": "date"}}]},
        {"steps": [{"id": "x", "action": "generate_text", "parameters": {"prompt": "p", "max_tokens": "{{ n }}"}}]},
        {"config": {}, "v1_a": 1, "steps": [{"id": "x", "tool": "python:a:b", "retry": {"attempts": 2}}]},
        {
            "inputs": {"n": 3, "m": {"type": "int"}},
            "steps": [{"id": "x", "tool": "file", "action": "exists", "parameters": {"path": "."}}],
        },
        {"steps": [{"id": "x", "action": "generate-structured", "schema": {}, "parameters": {"prompt": "p"}}]},
        {"steps": [{"id": "x", "action": "generate_structured", "parameters": {"prompt": "p", "schema": {}}}]},
        {
            "steps": [
                {
                    "id": "x",
                    "action": "generate",
                    "requires_model": {"min_size": "7B"},
                    "tools": ["http.get", "{{ t }}"],
                    "cache": 60,
                    "stream": "{{ s }}",
                    "parameters": {"prompt": "p"},
                }
            ]
        },
        {
            "steps": [
                {"id": "x", "for_each": "{{ f }}", "steps": [{"id": "y", "tool": "python:a:b"}], "max_parallel": 2}
            ]
        },
        {"steps": [{"id": "x", "tool": "python:a:b", "while": "iteration < 3", "max_iterations": "{{ n }}"}]},
        {"steps": [{"id": "x", "action_loop": [{"tool": "python:a:b"}], "until": True, "on_error": "say sorry"}]},
        {
            "global_error_handlers": [{"error_types": "*", "handler_action": "retry"}],
            "steps": [{"id": "x", "tool": "python:a:b", "retry_config": {"max_retries": 2, "backoff": "fixed"}}],
        },
        {
            "steps": [
                {"id": "x", "action": "generate", "parameters": {"prompt": "p", "max_tokens": "<AUTO>few?</AUTO>"}}
            ]
        },
    )
    INVALID: tuple[dict[str, Any], ...] = (
        {"steps": []},
        {"stepz": [{"id": "x", "tool": "terminal"}]},
        {"steps": [{"id": "x"}]},
        {"steps": [{"id": "1x", "tool": "terminal"}]},
        {"steps": [{"id": "items", "tool": "terminal"}]},
        {"steps": [{"id": "x", "tool": "terminall"}]},
        {"steps": [{"id": "x", "tool": "terminal", "depend_on": []}]},
        {"steps": [{"id": "x", "tool": "terminal", "timeout": -1}]},
        {"steps": [{"id": "x", "tool": "terminal", "action": "execute", "parameters": {"timeout": 3}}]},
        {
            "steps": [
                {"id": "x", "tool": "terminal", "action": "execute", "parameters": {"command": "c", "timeout": []}}
            ]
        },
        {"steps": [{"id": "x", "action": "generate", "parameters": {"prompt": [5]}}]},
        {"steps": [{"id": "x", "action": "generate-structured", "parameters": {"prompt": "p"}}]},
        {"steps": [{"id": "x", "action": "generate", "max_turns": 0, "parameters": {"prompt": "p"}}]},
        {"steps": [{"id": "x", "action": "generate", "requires_model": "big", "parameters": {"prompt": "p"}}]},
        {"steps": [{"id": "x", "for_each": 3, "tool": "python:a:b"}]},
        {"steps": [{"id": "x", "while": "true", "steps": []}]},
        {"steps": [{"id": "x", "while": "true", "steps": [{"id": "y"}]}]},
        {"steps": [{"id": "x", "tool": "python:a:b", "on_error": {"error_typs": "*", "fallback_value": 1}}]},
        {"inputs": {"m": {"type": "strin"}}, "steps": [{"id": "x", "tool": "terminal"}]},
    )

    def test_it_is_a_schema(self) -> None:
        jsonschema.Draft202012Validator.check_schema(schema())

    @pytest.mark.parametrize("document", VALID)
    def test_it_accepts_what_the_loader_accepts(self, document: dict[str, Any]) -> None:
        assert loads(json.dumps(document)).plan.steps
        jsonschema.Draft202012Validator(schema()).validate(document)

    @pytest.mark.parametrize("document", INVALID)
    def test_it_refuses_what_the_loader_refuses(self, document: dict[str, Any]) -> None:
        with pytest.raises(PlanInvalid):
            loads(json.dumps(document))
        assert not jsonschema.Draft202012Validator(schema()).is_valid(document)

    def test_it_describes_every_key_that_the_loader_reads(self) -> None:
        step = schema()["$defs"]["step"]["properties"]
        assert {"id", "tool", "action", "retry", "on_failure", "if", "produces"} <= step.keys()
        assert step.keys() >= dialect.STEP_LOOP_KEYS
        assert not dialect.STEP_LATER.keys() & step.keys()
