"""File tools: their results, and that no path, link or race leads out of the run's folder."""

import ctypes
import os
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from orchestrator_client.contract.caps import VALUE_BYTES
from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed, ValueTooLarge
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.paths import locate, open_regular, parent_of
from orchestrator_worker.tools.registry import invoke


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    return ToolContext(run="r", instance="s", attempt=1, folder=folder)


def do(context: ToolContext, action: str, **parameters: object) -> ToolResult:
    result = invoke(f"filesystem.{action}", parameters, context)
    assert isinstance(result, ToolResult)
    return result


def test_write_creates_folders_and_read_returns_what_was_written(context):
    written = do(context, "write", path="./a//b/c.txt", content="grüße\r\n")
    assert written.value == {
        "result": {"action": "write", "path": "a/b/c.txt", "size": 9},
        "success": True,
        "error": None,
    }
    assert do(context, "read", path="a/b/c.txt").output == {
        "action": "read",
        "path": "a/b/c.txt",
        "content": "grüße\r\n",
        "size": 9,
    }


def test_content_that_is_no_text_is_written_as_json(context):
    do(context, "write", path="a.json", content={"é": [1, None]})
    assert (context.folder / "a.json").read_text() == '{\n  "é": [\n    1,\n    null\n  ]\n}'


def test_content_that_json_cannot_say_is_refused_and_leaves_no_file(context):
    with pytest.raises(ParametersInvalid, match="'content' can be written neither as text nor as JSON"):
        do(context, "write", path="a.json", content=[float("nan")])
    assert os.listdir(context.folder) == []


def test_a_missing_file_is_a_reported_failure(context):
    result = do(context, "read", path="nowhere/a.txt")
    assert not result.success
    assert result.error == "File not found: nowhere/a.txt (there is no 'nowhere')"
    assert do(context, "read", path="a.txt").error == "File not found: a.txt"


def test_readers_see_the_old_content_or_the_new_while_a_file_is_rewritten(context):
    contents = {letter * 200_000 for letter in "ab"}
    do(context, "write", path="f", content="a" * 200_000)
    seen, done = set[str](), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add((context.folder / "f").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for letter in "ba" * 20:
        do(context, "write", path="f", content=letter * 200_000)
    done.set()
    reader.join()
    assert seen <= contents
    assert os.listdir(context.folder) == ["f"]


def test_a_rewritten_file_keeps_its_permissions(context):
    target = context.folder / "run.sh"
    target.write_text("old")
    target.chmod(0o750)
    do(context, "write", path="run.sh", content="new")
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("new", 0o750)


def test_append_adds_and_tells_the_whole_size(context):
    do(context, "append", path="log/x", content="one\n")
    assert do(context, "append", path="log/x", content="two\n").output["size"] == 8
    assert (context.folder / "log/x").read_text() == "one\ntwo\n"


def test_copy_and_move(context):
    do(context, "write", path="a", content="x")
    assert do(context, "copy", source="a", destination="new/b").output == {
        "action": "copy",
        "source": "a",
        "destination": "new/b",
    }
    assert do(context, "move", path="a", dest="new").output["destination"] == "new/a"
    assert sorted(os.listdir(context.folder / "new")) == ["a", "b"]
    assert not (context.folder / "a").exists()


def test_delete_removes_a_file_an_empty_folder_and_a_link_itself(context):
    (context.folder / "kept").write_text("x")
    (context.folder / "link").symlink_to("kept")
    (context.folder / "empty").mkdir()
    for path in ("link", "empty"):
        assert do(context, "delete", path=path).output == {"action": "delete", "path": path}
    assert os.listdir(context.folder) == ["kept"]


def test_delete_spares_a_full_folder_and_the_run_folder(context):
    do(context, "write", path="full/x", content="x")
    result = do(context, "delete", path="full")
    assert not result.success
    assert "not empty" in str(result.error)
    with pytest.raises(ParametersInvalid, match="working folder itself"):
        do(context, "delete", path=".")


def test_exists_says_what_a_path_is(context):
    do(context, "write", path="d/x", content="abc")
    assert do(context, "exists", path="d/x").output == {
        "action": "exists",
        "path": "d/x",
        "exists": True,
        "type": "file",
        "size": 3,
    }
    assert do(context, "exists", path="d").output["type"] == "directory"
    assert do(context, "exists", path="no/such").output["exists"] is False


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["d/a.py", "d/b.txt", "d/link", "d/sub"]),
        ("*.py", ["d/a.py"]),
        ("**/*.py", ["d/a.py", "d/sub/c.py", "d/sub/deep/e.py"]),
        ("sub/*", ["d/sub/c.py", "d/sub/deep"]),
        ("../*", []),
    ],
)
def test_list_matches_names_and_follows_no_link(context, pattern, expected):
    for name in ("a.py", "b.txt", "sub/c.py", "sub/deep/e.py"):
        do(context, "write", path=f"d/{name}", content="x")
    (context.folder / "d/link").symlink_to(context.folder.parent)
    result = do(context, "list", path="d", pattern=pattern).output
    assert [item["path"] for item in result["items"]] == expected
    assert result["count"] == len(expected)


def test_a_listed_item_has_name_path_type_and_size(context):
    do(context, "write", path="x", content="abc")
    assert do(context, "list").output["items"] == [{"name": "x", "path": "x", "type": "file", "size": 3}]


OUTSIDE = [
    "../secret",
    "a/../../secret",
    "a/b/../../../secret",
    "./../secret",
    "./././../secret",
    "..//secret",
    "a//..//..//secret",
    "../run-evil/x",
    f"{'../' * 40}etc/shadow",
    "..",
    "../",
    "/",
    "/etc/passwd",
    "//etc/passwd",
    "/etc/./passwd",
    "/etc/../etc/passwd",
    "/tmp/../etc/passwd",
    "/root/.ssh/id_rsa",
    "/var/run/docker.sock",
    "/dev/stdin",
    "/dev/fd/0",
    "/proc/self/environ",
    "/proc/1/environ",
    "/proc/self/root/etc/passwd",
    "/proc/self/cwd/secret",
    "~",
    "~/x",
    "~+/x",
    "~root/x",
    "C:\\x",
    "c:\\..\\x",
    "c:/x",
    "\\\\host\\share",
    "\\\\?\\C:\\x",
    "out/secret",
    "out/run/../secret",
    "out/../secret",
    "chain/secret",
    "root/etc/passwd",
    "descriptors/0",
    "x" * 5000,
    "x/" * 3000,
    "a" * 300,
]
"""Paths that lead out of the run's folder, also through links in it, or that no system takes."""


@pytest.fixture
def linked(context) -> ToolContext:
    """Links in the run's folder that lead out of it."""
    for name, target in {"out": "..", "file-out": "../secret", "chain": "out", "root": "/"}.items():
        (context.folder / name).symlink_to(target)
    (context.folder / "descriptors").symlink_to("/proc/self/fd")
    (context.folder / "real").write_text("x")
    return context


@pytest.mark.parametrize("path", [*OUTSIDE, "out", "file-out"])
@pytest.mark.parametrize("action", ["read", "write", "append", "list", "exists"])
def test_no_path_leads_out(linked, path, action):
    with pytest.raises(ParametersInvalid, match="outside the run's working folder"):
        do(linked, action, path=path)
    assert (linked.folder.parent / "secret").read_text() == "secret"


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_out_there_is_copied_moved_or_deleted(linked, path):
    for action, given in (
        ("delete", {"path": path}),
        *((action, {"source": path, "destination": "taken"}) for action in ("copy", "move")),
        *((action, {"source": "real", "destination": path}) for action in ("copy", "move")),
    ):
        with pytest.raises(ParametersInvalid, match="outside the run's working folder"):
            do(linked, action, **given)
    assert (linked.folder.parent / "secret").read_text() == "secret"
    assert not (linked.folder / "taken").exists()


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(context, path):
    with pytest.raises(ParametersInvalid, match="empty or contains a NUL"):
        do(context, "read", path=path)


def test_an_allowed_folder_may_be_used(context):
    wider = ToolContext(run="r", instance="s", attempt=1, folder=context.folder, allowed=(context.folder.parent,))
    assert do(wider, "read", path="../secret").output["content"] == "secret"
    with pytest.raises(ParametersInvalid, match="ORCHESTRATOR_ALLOW_PATHS"):
        do(wider, "read", path="/etc/passwd")


def test_a_link_within_the_folder_is_followed(context):
    do(context, "write", path="real/x", content="x")
    (context.folder / "alias").symlink_to("real")
    assert do(context, "read", path="alias/x").output["content"] == "x"


def test_a_link_to_itself_is_refused(context):
    (context.folder / "loop").symlink_to("loop")
    # Python 3.13 resolves such a link to itself; the walk then refuses it.
    with pytest.raises((ParametersInvalid, ToolFailed), match=r"cannot be resolved|was refused"):
        do(context, "read", path="loop/x")


@pytest.mark.parametrize("action", ["read", "write", "append"])
def test_a_fifo_is_refused_without_waiting_for_its_other_end(context, action):
    os.mkfifo(context.folder / "fifo")
    with pytest.raises(ParametersInvalid, match="not a regular file"):
        do(context, action, path="fifo")


def test_a_socket_and_a_folder_are_refused(context):
    folder = os.open(context.folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as unix:
        # Through the descriptor: the address of a socket may not be longer than about 100 bytes.
        unix.bind(f"/proc/self/fd/{folder}/s")
        os.close(folder)
        with pytest.raises(ParametersInvalid, match="not a regular file"):
            do(context, "read", path="s")
    with pytest.raises(ParametersInvalid, match=r"is a folder; .*filesystem\.list"):
        do(context, "read", path=".")


def test_a_file_that_is_no_text_is_refused_with_the_place(context):
    (context.folder / "x.bin").write_bytes(b"ok\xff")
    with pytest.raises(ParametersInvalid, match=r"'x\.bin' is not UTF-8 text: byte 0xff at offset 2"):
        do(context, "read", path="x.bin")


def test_a_file_larger_than_a_value_is_refused(context):
    with (context.folder / "big").open("wb") as file:
        file.truncate(VALUE_BYTES + 1)
    with pytest.raises(ValueTooLarge, match=f"larger than {VALUE_BYTES} bytes"):
        do(context, "read", path="big")


def test_a_folder_or_file_swapped_for_a_link_after_it_was_resolved_is_refused(context, tmp_path):
    do(context, "write", path="d/f", content="mine")
    deep, shallow = locate("d/f", context), locate("f", context)
    (context.folder / "d").rename(context.folder / "aside")
    (context.folder / "d").symlink_to(tmp_path)
    (context.folder / "f").symlink_to(tmp_path / "secret")
    with pytest.raises(ToolFailed, match="'d' is not a folder, or became a symbolic link"), parent_of(deep):
        pytest.fail("the link was followed")
    with parent_of(shallow) as (folder, name), pytest.raises(ToolFailed, match="became a symbolic link"):
        open_regular(folder, name, os.O_RDONLY, "f")


def test_a_folder_swapped_for_a_link_while_files_are_written_and_read_never_leads_out(context, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("secret")
    inside, link = context.folder / "d", context.folder / "link"
    inside.mkdir()
    (inside / "f").write_text("mine")
    link.symlink_to(outside)
    done = threading.Event()

    def flip() -> None:
        while not done.is_set():
            assert exchange(-100, bytes(inside), -100, bytes(link), 2) == 0

    # renameat2 with AT_FDCWD and RENAME_EXCHANGE: at every moment the name is there, as one or the other.
    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    flipper = threading.Thread(target=flip)
    flipper.start()
    seen, turn, until = set(), 0, time.monotonic() + 60
    try:
        # At least so often, and on until it was met as the folder and as the link.
        while turn < 3000 or (not {"mine", "ParametersInvalid"} <= seen and time.monotonic() < until):
            turn += 1
            try:
                if turn % 3:
                    seen.add(do(context, "read", path="d/f").output.get("content"))
                else:
                    do(context, "write", path="d/new", content="x")
            except StepError as refused:
                seen.add(type(refused).__name__)
    finally:
        done.set()
        flipper.join()
    assert "secret" not in seen
    assert {"mine", "ParametersInvalid"} <= seen
    assert os.listdir(outside) == ["f"]
