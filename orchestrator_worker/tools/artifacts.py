"""Files that a call leaves in the folder of its run, for what no value should carry."""

from __future__ import annotations

import mimetypes
import re

from orchestrator_client.contract.tool import Artifact
from orchestrator_worker.tools.base import ToolContext

FOLDER = "artifacts"
"""Of all artifacts of a run, within its folder; each instance has a folder there."""


def written(context: ToolContext, name: str, content: bytes, media_type: str) -> Artifact:
    """Write one artifact of a call. An attempt that comes later writes over what an earlier one left."""
    ending = mimetypes.guess_extension(media_type) or ".bin"
    # Brackets of an instance's name are in the way of whoever works on files by pattern.
    place = context.folder / FOLDER / re.sub(r"[^\w.#-]+", "_", context.instance)
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"{name}{ending}"
    file.write_bytes(content)
    path = file.relative_to(context.folder).as_posix()
    return Artifact(name=file.name, path=path, bytes=len(content), media_type=media_type)
