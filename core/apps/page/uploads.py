"""Files that visitors send: each lands whole in the visitor's own folder, or not at all."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import IO

import anyio
from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ...files.images import FORMATS
from .limits import (
    ALL_MEGABYTES,
    FILES,
    FREE_MEGABYTES,
    MEGABYTES,
    OWN_MEGABYTES,
    UPLOAD_MINUTES,
    megabytes_in,
)
from .visitors import Visitor, fit_name


class Uploads:
    """What comes in from all visitors, and room for it.

    Args:
        folder: of all visitors' files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._coming: Counter[str] = Counter()  # bytes that each visitor is sending now

    async def take(self, request: Request, visitor: Visitor) -> Response:
        """Take an upload; the answer names the files, as gradio's own does, or says in a sentence why not."""
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return PlainTextResponse("An upload must say how long it is (Content-Length).", 411)
        try:
            with anyio.fail_after(UPLOAD_MINUTES * 60):
                return await self._take(request, visitor, int(length))
        except TimeoutError:
            return PlainTextResponse(f"Stopped: an upload may take {UPLOAD_MINUTES} minutes. Send fewer files.", 408)
        except (MultiPartException, FormParserError) as error:
            return PlainTextResponse(f"No form of files: {error}. Send at most {FILES} files at once.", 400)

    async def _take(self, request: Request, visitor: Visitor, length: int) -> Response:
        self._coming[visitor.name] += length  # before there is a look for room: others look at the same time
        try:
            why = await run_in_threadpool(self._no_room, visitor, length)
            if not why:
                # Until it is whole it lies in files without a name, which go with the request whatever ends it.
                form = await request.form(max_files=FILES, max_fields=FILES)
                try:
                    files = [file for _, file in form.multi_items() if isinstance(file, UploadFile)]
                    return await run_in_threadpool(_keep, files, visitor)
                finally:
                    await form.close()
        finally:
            self._coming[visitor.name] -= length
            self._coming += Counter()  # those who send nothing are not counted any more
        async for _ in request.stream():  # browsers hear an answer when they have sent all
            pass
        return PlainTextResponse(why, 413)

    def _no_room(self, visitor: Visitor, length: int) -> str | None:
        """Why what comes, so many bytes of it now, cannot be taken, or None."""
        own = megabytes_in(visitor.folder) + self._coming[visitor.name] / 1e6
        if own > OWN_MEGABYTES:
            return (
                f"You have {own - length / 1e6:.0f} MB here and send {length / 1e6:.0f} more; the limit is "
                f"{OWN_MEGABYTES} MB for each visitor. Send fewer photographs, or wait an hour: files are deleted then."
            )
        coming = self._coming.total() / 1e6
        free = shutil.disk_usage(self._folder).free / 1e6 - coming
        if megabytes_in(self._folder) + coming > ALL_MEGABYTES or free < FREE_MEGABYTES:
            return "There is no room for more photographs at the moment. Try again in an hour: files are deleted then."
        return None


def _keep(files: list[UploadFile], visitor: Visitor) -> Response:
    names = [fit_name(file.filename or "") for file in files]
    for name, file in zip(names, files, strict=True):
        if Path(name).suffix.lower() not in FORMATS:
            return PlainTextResponse(f"{name}: the page takes {', '.join(FORMATS)}. Convert it first.", 415)
        if (file.size or 0) > MEGABYTES * 1e6:
            text = (
                f"{name}: the file has {(file.size or 0) / 1e6:.0f} MB; the page takes {MEGABYTES} MB. Save it smaller."
            )
            return PlainTextResponse(text, 413)
    kept: list[Path] = []
    try:
        for name, file in zip(names, files, strict=True):
            kept.append(visitor.new_folder() / name)
            _copy(file.file, kept[-1])
    except OSError as error:
        for path in kept:
            shutil.rmtree(path.parent, ignore_errors=True)
        return PlainTextResponse(f"The photographs could not be kept ({error.strerror}). Try again later.", 507)
    return JSONResponse([str(path) for path in kept])


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
