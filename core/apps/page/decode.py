"""Photographs of visitors are decoded in processes of their own, which are ended when one takes too long.

A file of a few hundred kilobytes can keep a decoder busy for minutes, in one call that nothing interrupts.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from dataclasses import fields
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...files.images import Photo, PictureError, read_photo
from ..console import FAILURES
from .limits import check_file

SECONDS = 20.0  # that a photograph may take
STARTING = 120.0  # [s] that a process may take until it is ready
WORKERS = 2
PLANES = ("pixels", "alpha")
BESIDES = tuple(field.name for field in fields(Photo) if field.name not in PLANES)


class Decoder:
    """Reads photographs, as :func:`...files.images.read_photo` does, for several threads.

    Args:
        seconds: that one may take.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._workers = [_Worker() for _ in range(WORKERS)]
        self._free: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._free.put(worker)

    def start(self) -> None:
        """Start a process without waiting for it, so that the first photograph need not."""
        self._workers[-1].start()

    def read(self, path: Path) -> Photo:
        """Check and read a photograph.

        Raises:
            OSError: the file is missing or cannot be read.
            PictureError: as :func:`check_file` and :func:`...files.images.read_photo`, or it takes too long.
        """
        worker = self._free.get()
        try:
            return worker.read(path, self._seconds)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()


class _Worker:
    """One process, started when it is needed."""

    def __init__(self) -> None:
        self._started: tuple[SpawnProcess, Connection] | None = None
        self._ready = False

    def start(self) -> Connection:
        if self._started is None:
            context = multiprocessing.get_context("spawn")
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there,), daemon=True)
            process.start()
            there.close()
            self._started = process, here
        return self._started[1]

    def read(self, path: Path, seconds: float) -> Photo:
        connection = self.start()
        try:
            if not self._ready:
                self._answer(connection, STARTING)
                self._ready = True
            connection.send(path)
            answer = self._answer(connection, seconds)
            levels = b"" if isinstance(answer, Exception) else connection.recv_bytes()
        except TimeoutError as error:
            self.end()
            raise PictureError(
                f"{path}: takes too long to read; the limit is {seconds:g} s. Open it elsewhere and save it anew."
            ) from error
        except (EOFError, ConnectionError) as error:
            self.end()
            raise PictureError(f"{path}: reading it broke off; expected a whole picture. Save it anew.") from error
        if isinstance(answer, Exception):
            raise answer
        return _from_levels(levels, *answer)

    def end(self) -> None:
        if self._started:
            process, connection = self._started
            self._started, self._ready = None, False
            process.kill()
            process.join()
            connection.close()

    @staticmethod
    def _answer(connection: Connection, seconds: float) -> Any:
        if not connection.poll(seconds):
            raise TimeoutError
        return connection.recv()


def _work(connection: Connection) -> None:
    """What the process does until nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the server ends this one
    connection.send("ready")
    while True:
        try:
            path = connection.recv()
        except EOFError:
            return
        try:
            check_file(path)
            photo = read_photo(path)
        except FAILURES as error:
            connection.send(error)
            continue
        planes = photo.pixels if photo.alpha is None else torch.cat([photo.pixels, photo.alpha])
        connection.send((tuple(planes.shape), {name: getattr(photo, name) for name in BESIDES}))
        connection.send_bytes(_levels(planes, photo.depth))


def _levels(planes: Tensor, depth: int) -> bytes:
    """Planes in [0,1] as the whole numbers that the file held: a quarter or half of the bytes."""
    kind, top = (np.uint16, 65535) if depth == 16 else (np.uint8, 255)
    levels = np.empty(tuple(planes.shape), kind)
    for level, plane in zip(levels, planes, strict=True):
        level[:] = (plane * top).round_()
    return levels.tobytes()


def _from_levels(levels: bytes, shape: tuple[int, int, int], besides: dict[str, Any]) -> Photo:
    kind = np.uint16 if besides["depth"] == 16 else np.uint8
    read = np.frombuffer(levels, kind).reshape(shape).astype(np.float32)
    planes = torch.from_numpy(read).div_(np.iinfo(kind).max)
    return Photo(planes[:3], planes[3:] if shape[0] > 3 else None, **besides)
