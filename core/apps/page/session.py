"""What is kept of one visitor: photographs, faces, references, and the stages of the faces that are looked at."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ...faces.crop import crop_faces, pick_crops
from ...faces.detect import ORDERS
from ...faces.paste import paste_faces
from ...faces.select import measure_faces
from ...files.images import Photo, write_atomically
from ...geometry import compose, scaling
from ...pipeline import blend_for
from ...records import Crops, Face, References
from ..console import FAILURES
from .faces import DrawnFace, Kept, draw
from .graph import Settings, workflow
from .limits import FACES, PHOTOS, REFERENCES, Run, check_number
from .people import Matched, Reference, Studio, encode_group, look_at, match
from .pictures import thumbnail

Progress = Callable[[], None]

SHOWN = 1280  # [px] longer side of a photograph on the page
SURELY = 0.7  # score of the detector from which what it found is taken for a face without asking
NEEDY = 0.5  # faces whose damage calls for at least so much of a restored one are chosen to begin with


@dataclass(frozen=True, eq=False)
class Opened:
    """A photograph that is looked at.

    Attributes:
        path: of its file.
        size: width and height [px].
        small: (3,h,w) in [0,1], as it is shown.
        crops: its faces, numbered from 0 without gaps.
        found_as: the numbers that the detector gave them, which ComfyUI's nodes will too.
        doubtful: numbers of those that are probably no faces.
        chosen: numbers of the faces that are restored.
        kept: the stages of each face.
        more: whether there are more faces, which are left out.
    """

    path: Path
    size: tuple[int, int]
    small: Tensor
    crops: Crops
    found_as: tuple[int, ...]
    doubtful: frozenset[int]
    chosen: set[int]
    kept: tuple[Kept, ...]
    more: bool

    @property
    def faces(self) -> tuple[Face, ...]:
        """In the photograph's own pixels."""
        return self.crops.faces

    @property
    def first(self) -> int:
        """The face to begin with: the largest of those that are surely faces, if any, best one to be restored."""
        sizes = {face.index: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in self.faces}
        return max(sizes, key=lambda n: (n not in self.doubtful, n in self.chosen, sizes[n]), default=0)


class Session:
    """One visitor. All of it goes when the visitor does.

    Args:
        studio: the networks.
        folder: for results and pictures alone, among the visitor's own; it is made when it is needed.
    """

    def __init__(self, studio: Studio, folder: Path) -> None:
        self.studio = studio
        self.folder = folder
        self.photos: list[Path] = []
        self.thumbnails: dict[Path, str] = {}
        self.saved: dict[Path, Hashable] = {}  # what each photograph was made with when it was last saved
        self.face = 0  # that is looked at
        self.references: list[Reference] = []
        self.opened: Opened | None = None
        self.run: Run | None = None
        self._by_hand: dict[Path, dict[Path, int]] = {}
        self._chosen: dict[Path, set[int]] = {}
        self._groups = Kept()
        self._matched = Kept()
        # A second event of the same visitor must not read what the first is changing.
        self._lock = threading.RLock()

    def take_photos(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
        """Take photographs in place of those that were there; yields each with what is wrong with it, or None.

        The one that is looked at stays, where it is among them; else the first good one is looked at.

        Raises:
            ValueError: there are too many.
        """
        check_number(paths, PHOTOS, "photos")
        before, self.photos = self.photos, []
        if self.opened and self.opened.path not in paths:
            self.opened = None
        for path in paths:
            problem = None
            try:
                if path not in before or self.opened is None:
                    photo = self.studio.read(path)
                    self.thumbnails[path] = thumbnail(photo.pixels)
                    if self.opened is None:
                        self._turn_to(self.open(path, photo))
                self.photos.append(path)
            except FAILURES as error:
                problem = told(error, path)
            yield path, problem

    def look_at(self, number: int) -> Opened:
        """Turn to another of the photographs.

        Args:
            number: of the photograph among those that were taken, from 0.

        Raises:
            OSError, PictureError: it cannot be read any more.
        """
        path = self.photos[number]
        with self._lock:
            if self.opened is None or self.opened.path != path:
                self._turn_to(self.open(path, self.studio.read(path)))
            assert self.opened is not None
            return self.opened

    def take_references(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
        """Take reference photographs in place of those that were there; what was read before is not read again.

        Raises:
            ValueError: there are too many.
        """
        check_number(paths, REFERENCES, "photos of these people")
        before = {reference.path: reference for reference in self.references}
        self.references = []
        for path in paths:
            reference, problem = before.get(path), None
            if reference is None:
                try:
                    reference = look_at(path.name, path, self.studio)
                except FAILURES as error:
                    problem = told(error, path)
                    reference = Reference(path.name, path, None, None, problem)
            self.references.append(reference)
            yield path, problem

    def belongs(self, reference: int, face: int | None) -> None:
        """Say whose a reference photograph is: a face's number, NOBODY, or None for what is recognised."""
        if self.opened:
            said = self._by_hand.setdefault(self.opened.path, {})
            said.pop(self.references[reference].path, None)
            if face is not None:
                said[self.references[reference].path] = face

    def said_of(self, reference: int) -> int | None:
        """What was said by hand of a reference photograph."""
        said = self._by_hand.get(self.opened.path, {}) if self.opened else {}
        return said.get(self.references[reference].path)

    def matched(self, opened: Opened | None = None, progress: Progress | None = None) -> Matched:
        """Who is who in a photograph (the one that is looked at)."""
        opened = opened or self.opened
        assert opened is not None
        said = self._by_hand.get(opened.path, {})

        def encoded(name: str, paths: tuple[Path, ...]) -> References:
            return self._groups.get(name, paths, lambda: encode_group(name, paths, self.studio, progress))

        key = tuple(reference.path for reference in self.references), tuple(sorted(said.items())), opened.path
        with self._lock:
            return self._matched.get(
                "matched", key, lambda: match(self.references, opened.crops, said, self.studio, encoded)
            )

    def drawn(
        self, face: int, settings: Settings, opened: Opened | None = None, progress: Progress | None = None
    ) -> DrawnFace:
        """One face as the settings have it; only what they change is computed."""
        opened = opened or self.opened
        assert opened is not None
        with self._lock:
            matched = self.matched(opened, progress)
            crop = pick_crops(opened.crops, [face])
            return draw(
                opened.kept[face], crop, settings, matched.references, matched.matches[face], self.studio, progress
            )

    def whole(self, settings: Settings, first: int | None = None) -> tuple[Tensor, Tensor]:
        """The photograph before and after, as large as it is shown; with `first` that face alone is restored in it."""
        opened = self.opened
        assert opened is not None
        numbers = sorted(opened.chosen if first is None else opened.chosen & {first})
        crops = pick_crops(opened.crops, numbers)
        height, width = opened.small.shape[-2:]
        back = scaling(opened.size[0] / width, opened.size[1] / height)
        affines = [compose(affine, back) for affine in crops.affines]
        crops = replace(crops, affines=torch.stack(affines) if affines else crops.affines, photos=((height, width),))
        after, _ = paste_faces([opened.small], crops, self.drawn_faces(numbers, settings, opened))
        return opened.small, after[0]

    def workflow(self, settings: Settings) -> Path:
        """A file with a graph for ComfyUI that restores the photograph as the page does."""
        opened = self.opened
        assert opened is not None
        matched = self.matched()
        references = [(reference.name, person) for reference, person in matched.named] if matched.references else []
        graph = workflow(
            opened.path.name,
            self.studio.detector.name,
            [opened.found_as[face] for face in sorted(opened.chosen)],
            references,
            {opened.found_as[face]: person for face, person in matched.manual.items()},
            settings,
            FACES + 1,
        )
        file = self.folder / f"{opened.path.stem}_workflow.json"
        write_atomically(file, json.dumps(graph, indent=1).encode())
        return file

    def stop(self) -> None:
        """End the run that is on, where there is one."""
        if self.run:
            self.run.stop.set()

    def close(self) -> None:
        """Forget everything."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def made_with(self, path: Path, settings: Settings) -> Hashable:
        """All that a restored photograph depends on, to be compared."""
        references = tuple(reference.path for reference in self.references)
        said = tuple(sorted(self._by_hand.get(path, {}).items()))
        return settings, frozenset(self._chosen.get(path, ())), references, said

    def _turn_to(self, opened: Opened) -> None:
        self.opened, self.face = opened, opened.first

    def open(self, path: Path, photo: Photo) -> Opened:
        """Find and measure the faces of a photograph."""
        pixels = photo.pixels
        batch = pixels[None]
        detected = self.studio.detect(batch)
        largest = sorted(detected, key=ORDERS["large-small"])[:FACES]
        found = measure_faces(batch, [face for face in detected if face in largest])
        faces = [replace(face, index=n) for n, face in enumerate(found)]
        doubtful = frozenset(face.index for face in faces if face.score < SURELY)
        needy = {face.index for face in faces if face.quality and blend_for(face.quality.severity) >= NEEDY}
        height, width = pixels.shape[1:]
        return Opened(
            path,
            (width, height),
            _shrunk(pixels),
            crop_faces(batch, faces),
            tuple(face.index for face in found),
            doubtful,
            self._chosen.setdefault(path, needy - doubtful),
            tuple(Kept() for _ in faces),
            len(detected) > FACES,
        )

    def drawn_faces(
        self, numbers: Sequence[int], settings: Settings, opened: Opened, progress: Progress | None = None
    ) -> Tensor:
        """Some faces as the settings have them, (N,3,512,512) in [0,1]."""
        drawn = [self.drawn(number, settings, opened, progress).after for number in numbers]
        return torch.stack(drawn) if drawn else opened.crops.pixels[:0]


def told(error: BaseException, path: Path) -> str:
    """What an error says, without the folder that a visitor knows nothing of."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.replace(f"{path}: ", "").replace(str(path), path.name)
    return text[:1].upper() + text[1:]


def _shrunk(pixels: Tensor) -> Tensor:
    height, width = pixels.shape[1:]
    scale = SHOWN / max(height, width)
    if scale >= 1:
        return pixels.clone()
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(pixels[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
