"""Images, documents and sound that a model step shows its model: from the run's folder, a URL, or as they stand."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import os
import re
from pathlib import PurePath

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.base import Media
from orchestrator_worker.tools.base import ToolContext
from orchestrator_worker.tools.paths import locate, open_regular, parent_of

MEDIA_BYTES = 20 * 1024 * 1024
"""Of one image or document: what the providers take in a request."""

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w=.+-]+)*?)(;base64)?,(.*)", re.DOTALL)


def media_of(given: Json, context: ToolContext, default_type: str) -> Media:
    """What `given` stands for: a path, a URL, a data URL, or a mapping of `path`, `url` or `data` with `media_type`.

    Raises:
        ParametersInvalid: it is none of these, cannot be read, or is too large.
    """
    if isinstance(given, str):
        return _of_text(given, context, "", default_type)
    if isinstance(given, dict):
        stated = str(given.get("media_type") or "")
        if isinstance(given.get("data"), str):
            return Media(stated or default_type, _decoded(given["data"]), name=str(given.get("name") or ""))
        source = given.get("url") or given.get("path")
        if isinstance(source, str):
            return _of_text(source, context, stated, default_type)
    raise ParametersInvalid(
        f"an image or file is {type(given).__name__}: give a path, a URL, or a mapping with path, url or data (base64)"
    )


def _of_text(source: str, context: ToolContext, stated: str, default_type: str) -> Media:
    if source.startswith("data:"):
        return _of_data_url(source, stated, default_type)
    name = PurePath(source.partition("?")[0]).name
    media_type = stated or mimetypes.guess_type(name)[0] or default_type
    if source.startswith(("https://", "http://", "gs://")):
        return Media(media_type, url=source, name=name)
    return Media(media_type, _read(source, context), name=name)


def _of_data_url(source: str, stated: str, default_type: str) -> Media:
    found = _DATA_URL.fullmatch(source)
    if found is None or not found[3]:
        raise ParametersInvalid(f"data URL {source[:40]!r} is not base64; write data:<type>;base64,<data>")
    return Media(stated or found[1] or default_type, _decoded(found[4]))


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ParametersInvalid(f"the data of an image or file is not base64: {error}") from None
    return _sized(data, "the data of an image or file")


def _read(path: str, context: ToolContext) -> bytes:
    place = locate(path, context)
    try:
        with parent_of(place) as (folder, name):
            descriptor = open_regular(folder, name, os.O_RDONLY, place.given)
            with open(descriptor, "rb") as file:
                return _sized(file.read(MEDIA_BYTES + 1), place.given)
    except OSError as error:
        raise ParametersInvalid(f"file {place.given!r} cannot be read: {error.strerror}") from None


def _sized(data: bytes, what: str) -> bytes:
    if len(data) > MEDIA_BYTES:
        raise ParametersInvalid(f"{what} is larger than {MEDIA_BYTES:,} bytes, which no provider takes in a request")
    return data
