"""What a user meets: a damaged photograph and photographs of a person in, and the product decides on everything.

Faces are found in all of them, photographs are refused or doubted, the face is matched or not, gates open or close, and
the face is blended in by as much as it is damaged. One person is given, by photographs as they lie on the disk; nothing
is named by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..faces.detect import Detect
from ..files.images import read_photo
from ..loading import Models
from ..pipeline import RestoreOptions, restore_photos
from ..records import References
from ..references.encoding import encode_references
from ..references.views import ReferencePhoto
from .album import Album
from .data import to_tensor

PERSON = "someone"


@dataclass(frozen=True, eq=False)
class Decided:
    """What became of one face.

    Attributes:
        picture: (3,512,512) in [0,1], the restored photograph.
        guided: whether references were used for it.
        accepted: share of the photographs that were not refused; 0 to 1.
    """

    picture: Tensor
    guided: bool
    accepted: float


class Decider:
    """The product, on the faces of an album.

    Args:
        album: where photographs come from; one that is no file of the folder is given as it was aligned.
        folder: of the album.
        models: the restorer whose references are tried, and the embedders.
        detect: photographs → faces.
        options: how faces are restored.
    """

    def __init__(
        self,
        album: Album,
        folder: Path,
        models: Models,
        detect: Detect,
        options: RestoreOptions,
    ) -> None:
        self.album, self.folder, self.options = album, folder, options
        self.models, self.detect = models, detect
        self._known: dict[tuple[int, ...], References] = {}

    def __call__(self, damaged: Tensor, references: Sequence[int]) -> Decided:
        """A damaged photograph (3,512,512), and the numbers of the photographs given."""
        known = self._references(tuple(references))
        result = restore_photos(damaged[None], self.models, self.detect, self.options, known if known.people else None)
        used = sum(len(person) for person in known.people) / max(1, len(references))
        return Decided(result.pixels[0], any(face.guided for face in result.faces), used)

    def _references(self, numbers: tuple[int, ...]) -> References:
        if numbers not in self._known:
            photos = [ReferencePhoto(self._photograph(n), self.album.names[n], PERSON) for n in numbers]
            with torch.inference_mode():
                self._known[numbers] = encode_references(
                    photos, self.models.restorer, self.models.telling_apart, self.detect
                )
        return self._known[numbers]

    def _photograph(self, number: int) -> Tensor:
        path = self.folder / self.album.names[number]
        return read_photo(path).pixels if path.is_file() else to_tensor([self.album.faces[number]])[0]
