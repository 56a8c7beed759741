"""LangChain's tools: their own, by import path, and those that a project's author writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_worker.tools.base import ToolResult
from orchestrator_worker.tools.registry import listed, resolve
from tests.conformance.tools.caller import ToolCaller

pytestmark = pytest.mark.filterwarnings("ignore:.*langchain-community.*:DeprecationWarning")

COMMUNITY = "langchain:langchain_community.tools"
TOOLKIT = "langchain:langchain_community.agent_toolkits:FileManagementToolkit"
OURS = "langchain:tests.langchain_tools"
ERRORS = "^Error: "


@pytest.fixture
def caller(tmp_path: Path) -> ToolCaller:
    return ToolCaller(tmp_path / "run")


def call(caller: ToolCaller, uses: str, **given: Any) -> ToolResult:
    return caller.result(uses, **given)


class TestFiles:
    def test_the_run_folder_is_where_they_work(self, caller: ToolCaller) -> None:
        call(caller, f"{COMMUNITY}:WriteFileTool", file_path="notes/a.txt", text="ä")
        assert (caller.folder / "notes/a.txt").read_text() == "ä"
        assert call(caller, f"{COMMUNITY}:ReadFileTool", file_path="notes/a.txt").output == "ä"
        assert call(caller, f"{COMMUNITY}:ListDirectoryTool", dir_path="notes").output == "a.txt"

    def test_a_root_stands_within_the_run_folder(self, caller: ToolCaller) -> None:
        (caller.folder / "in").mkdir(parents=True)
        (caller.folder / "in/b").write_text("b")
        given: dict[str, Any] = {"config": {"root_dir": "in"}}
        assert call(caller, f"{COMMUNITY}:ReadFileTool", file_path="b", **given).output == "b"
        assert call(caller, f"{TOOLKIT}/read_file", file_path="b", **given).output == "b"

    @pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "missing"])
    def test_a_failure_told_as_text_is_one_if_the_plan_says_how(self, caller: ToolCaller, path: str) -> None:
        (caller.folder.parent / "secret").write_text("secret")
        told = call(caller, f"{COMMUNITY}:ReadFileTool", file_path=path)
        assert (told.success, told.output.startswith("Error: ")) == (True, True)
        failed = call(caller, f"{COMMUNITY}:ReadFileTool", file_path=path, error_pattern=ERRORS)
        assert not failed.success
        assert failed.error == told.output
        assert failed.value["result"] == told.output

    def test_a_toolkit_names_its_tools(self, caller: ToolCaller) -> None:
        with pytest.raises(ParametersInvalid, match=r"is several tools; write .*Toolkit/ and one of .*read_file"):
            call(caller, TOOLKIT, file_path="b")
        with pytest.raises(ParametersInvalid, match=r"one of .*read_file"):
            call(caller, f"{TOOLKIT}/raed_file", file_path="b")
        assert resolve(f"{TOOLKIT}/read_file").info.description == "Read file from disk"


class TestDatabases:
    @pytest.fixture
    def uri(self, tmp_path: Path) -> str:
        with sqlite3.connect(tmp_path / "shop.db") as database:
            database.execute("create table goods (name text, price real)")
            database.execute("insert into goods values ('tea', 2.5), ('Brötchen', 0.5)")
        return f"sqlite:///{tmp_path / 'shop.db'}"

    def test_a_function_makes_the_tool_once_for_each_configuration(self, caller: ToolCaller, uri: str) -> None:
        from tests.langchain_tools import MADE

        for name, price in (("tea", "2.5"), ("Brötchen", "0.5")):
            sql = f"select price from goods where name = '{name}'"
            assert price in str(call(caller, f"{OURS}:query", config={"uri": uri}, query=sql).output)
        assert MADE.count(uri) == 1

    def test_a_list_of_tools_is_a_toolkit(self, caller: ToolCaller, uri: str) -> None:
        rows = call(caller, f"{OURS}:several/sql_db_query", config={"uri": uri}, query="select name from goods").output
        assert "tea" in str(rows)
        assert call(caller, f"{OURS}:several/sql_db_list_tables", config={"uri": uri}).output == "goods"

    def test_a_configuration_that_does_not_fit_is_named(self, caller: ToolCaller) -> None:
        with pytest.raises(ParametersInvalid, match=r"query: 'config' does not fit: .*uri"):
            call(caller, f"{OURS}:query", query="select 1")
        with pytest.raises(ParametersInvalid, match="'config' must be a mapping"):
            call(caller, f"{OURS}:query", config=[1], query="select 1")
        with pytest.raises(ToolFailed, match="making the tool raised"):
            call(caller, f"{OURS}:query", config={"uri": "nonsense"}, query="select 1")


class TestRequests:
    @pytest.fixture
    def url(self) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write("grüße".encode())

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        server.server_close()

    def test_a_page_is_fetched(self, caller: ToolCaller, url: str) -> None:
        assert call(caller, f"{OURS}:fetch", url=url).output == "grüße"


class TestResults:
    def test_an_artifact_stands_beside_the_content(self, caller: ToolCaller) -> None:
        result = call(caller, f"{OURS}:chart", points="[1, 2]")
        assert result.value == {"result": "2 points", "success": True, "error": None, "artifact": {"points": [1, 2]}}

    def test_an_artifact_that_json_cannot_say_is_a_warning(self, caller: ToolCaller) -> None:
        result = call(caller, f"{OURS}:opaque")
        assert result.output == "done"
        assert "artifact is not kept: artifact is a builtins.object" in result.warnings[0]

    @pytest.mark.parametrize(
        ("uses", "given", "output"), [("Later", {"numbers": [1, 2]}, 3), ("plus_one", {"number": 1}, 2)]
    )
    def test_tools_that_are_async_alone_are_awaited(
        self, caller: ToolCaller, uses: str, given: dict[str, Any], output: int
    ) -> None:
        assert call(caller, f"{OURS}:{uses}", **given).output == output

    @pytest.mark.parametrize(
        ("what", "output"),
        [("mapping", {"a": [1, "ä"]}), ("list", [1, 2]), ("json", '{"a":1}'), ("text", "5")],
    )
    def test_what_langchain_made_text_of_is_read_and_other_text_is_left(
        self, caller: ToolCaller, what: str, output: object
    ) -> None:
        assert call(caller, f"{OURS}:untyped", what=what).output == output

    def test_a_schema_may_be_json(self, caller: ToolCaller) -> None:
        assert call(caller, f"{OURS}:by_schema", n="4").output in (8, "8")
        with pytest.raises(ParametersInvalid, match=r"parameter 'n' was \"x\": it must be of type integer"):
            call(caller, f"{OURS}:by_schema", n="x")

    def test_a_parameter_that_the_tool_has_not_is_refused(self, caller: ToolCaller) -> None:
        with pytest.raises(ParametersInvalid, match=r"there is no parameter 'pth'; it takes path"):
            call(caller, f"{OURS}:as_text", path="a", pth="b")


class TestNames:
    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("no_such_package:Tool", "the worker has no module 'no_such_package'"),
            ("tests.langchain_tools:Nothing", "has no 'Nothing'"),
            ("tests.langchain_tools:dangerous", "is no LangChain tool; name a subclass of BaseTool"),
            ("os:system", "is no LangChain tool"),
            ("nonsense", "write it as package.module:function"),
        ],
    )
    def test_what_is_no_tool_is_refused_and_not_called(self, path: str, said: str) -> None:
        from tests.langchain_tools import MADE

        with pytest.raises(ParametersInvalid, match=said):
            resolve(f"langchain:{path}")
        assert "rm" not in MADE

    def test_one_tool_has_no_members_and_a_made_one_no_configuration(self, caller: ToolCaller) -> None:
        with pytest.raises(ParametersInvalid, match=r"is one tool; write it without '/x'"):
            call(caller, f"{OURS}:chart/x", points=[])
        with pytest.raises(ParametersInvalid, match=r"is a tool already, which takes no 'config'"):
            call(caller, f"{OURS}:chart", points=[], config={"a": 1})

    def test_a_pattern_is_a_regular_expression(self, caller: ToolCaller) -> None:
        with pytest.raises(ParametersInvalid, match="'error_pattern' is no regular expression"):
            call(caller, f"{OURS}:as_text", path="a", error_pattern="(")

    def test_what_is_found_by_path_is_not_listed(self) -> None:
        names = [entry.info.name for entry in listed() if not isinstance(entry, Exception)]
        assert not [name for name in names if name.startswith(("langchain:", "python:"))]
