"""How every provider comes by its SDK: ahead of the first call, beside the loop, and outside of any call's deadline."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_client.contract.project import Project, ProviderSection
from orchestrator_worker.providers.registry import Providers
from orchestrator_worker.providers.vendor import Vendor
from tests.conformance.adapter import Adapter
from tests.conformance.adapters import ADAPTERS
from tests.conformance.caller import KEY, Loop
from tests.conformance.caller import SuiteCaller as Caller

SDKS = {"openai": "openai", "anthropic": "anthropic", "google": "google.genai", "gateway": "openai"}
"""Provider of the suite -> the package that it calls its vendor with."""

SECONDS = 30.0
"""Of a call. An import takes longer here."""

FIRST_CALL = """
import asyncio, os, sys
from tests.conformance.adapters import ADAPTERS
from tests.conformance.caller import Caller
from tests.conformance.model_server import ModelServer

adapter = next(adapter for adapter in ADAPTERS if adapter.name == sys.argv[1])
os.environ[adapter.key_variable] = "sk-test"
with ModelServer() as server:
    call = Caller(adapter, server.script(otherwise=adapter.echo))
    provider = adapter.provider(server.root)
    assert sys.argv[2] not in sys.modules, "a provider imports its SDK before it is asked to"
    provider.warm()
    loaded = set(sys.modules)

    async def both_ways():
        await provider.complete(call.request())
        await provider.complete(call.request(), lambda text: None)
        await provider.close()

    asyncio.run(both_ways())
    print(*(set(sys.modules) - loaded))
"""

WITHOUT = """
import asyncio, os, sys
sys.modules[sys.argv[2]] = None  # Python's own way to say that a module is not to be had
from orchestrator_client.contract.errors import ModelFailed
from tests.conformance.adapters import ADAPTERS
from tests.conformance.caller import Caller
from tests.conformance.model_server import ModelServer

adapter = next(adapter for adapter in ADAPTERS if adapter.name == sys.argv[1])
os.environ[adapter.key_variable] = "sk-test"
with ModelServer() as server:
    adapter.provider(server.root).warm()
    print(Caller(adapter, server).failed())
"""


def in_a_fresh_process(code: str, adapter: Adapter) -> str:
    """What the code prints where nothing is imported yet."""
    done = subprocess.run(
        [sys.executable, "-c", code, adapter.name, SDKS[adapter.name]], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
class TestFreshProcess:
    def test_a_first_call_imports_no_more_of_the_sdk(self, adapter: Adapter) -> None:
        loaded = in_a_fresh_process(FIRST_CALL, adapter).split()
        ours = ("openai", "anthropic", "google", "httpx2", "httpcore2", "orchestrator_worker")
        assert [module for module in loaded if module.partition(".")[0] in ours] == []

    def test_without_the_sdk_warming_is_nothing_and_a_call_says_what_to_install(self, adapter: Adapter) -> None:
        said = in_a_fresh_process(WITHOUT, adapter)
        assert f"install orchestrator[{SDKS[adapter.name].partition('.')[0]}] on the workers" in said


def test_a_slow_import_costs_neither_the_deadline_nor_the_loop(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    call()  # the machine's first connection has its own price
    provider, loop, goes_on = call.adapter.provider(call.server.root), Loop(), threading.Event()
    imports: list[str] = []

    def let_time_pass() -> None:
        loop.put_forward(2 * SECONDS)
        goes_on.set()

    def slow_import() -> None:
        imports.append(provider.name)
        # Only the loop lets it go on: were it to run there, it would wait for itself.
        loop.call_soon_threadsafe(let_time_pass)
        assert goes_on.wait(timeout=60), "the loop stands still during an import"

    monkeypatch.setattr(type(provider), "_import_sdk", staticmethod(slow_import))

    async def first_calls() -> list[str]:
        try:
            replies = await asyncio.gather(*(provider.complete(call.request("hello", SECONDS)) for _ in range(4)))
            return [reply.text for reply in replies]
        finally:
            await provider.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(first_calls()) == ["hello"] * 4
    assert imports == [provider.name], "calls that come during an import wait for that one"


class TestProviders:
    def test_warm_imports_the_sdks_of_those_that_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        warmed: list[str] = []
        monkeypatch.setattr(Vendor, "warm", lambda provider: warmed.append(provider.name))
        section = ProviderSection(base_url="http://127.0.0.1:1/v1")
        providers = Providers(Project(providers={"ollama": section, "nowhere": ProviderSection()}))
        providers.warm(["openai", "ollama", "nobody", "nowhere", "google"])
        assert warmed == ["openai", "ollama", "google"]

    def test_a_provider_is_one_however_many_threads_ask_first(self) -> None:
        providers, together, found = Providers(Project()), threading.Barrier(8), []

        def ask() -> None:
            together.wait()
            found.append(providers("anthropic"))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(provider) for provider in found}) == 1


def test_what_the_request_leaves_out_is_told_before_what_the_answer_lacks(call: Caller) -> None:
    """Of one that has nothing to leave out, the second alone."""
    whole = call.adapter.text("x", input_tokens=-1)
    call.server.script(whole)
    model = call.adapter.reasoning_model or call.adapter.plain_model
    outcome = call.outcome(model=model, temperature=0.5, seed=1)
    assert not isinstance(outcome, ModelFailed)
    *left_out, uncounted = outcome.warnings
    assert "no credible count of tokens" in uncounted
    assert all("left out" in warning for warning in left_out)
    sent = call.adapter.sent(call.server.requests[0])
    assert len(left_out) == [sent.temperature, sent.seed].count(None)
    assert KEY not in "".join(outcome.warnings)
