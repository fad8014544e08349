"""What each command was told; defaults and help stand with the options (:mod:`.cli`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class NetworkArguments:
    """Which networks find faces.

    Attributes:
        detector: see :func:`..faces.detect.load_detector`.
        models_dir: the folder with the files of other libraries, or None.
        device: where networks run, such as ``"cpu"``.
    """

    detector: str
    models_dir: Path | None
    device: str


@dataclass(frozen=True, kw_only=True)
class DetectionArguments(NetworkArguments):
    """Which faces are found; see :func:`..faces.detect.detect_faces`."""

    threshold: float
    min_size: float
    max_faces: int | None
    order: str


@dataclass(frozen=True, kw_only=True)
class PictureArguments:
    """Pictures in, pictures out.

    Attributes:
        paths: pictures, folders or patterns.
        out: a folder, or a file where one picture is given.
        recursive: whether folders in folders count.
        overwrite: whether outputs that are there are replaced.
    """

    paths: list[str]
    out: Path
    recursive: bool
    overwrite: bool


@dataclass(frozen=True, kw_only=True)
class FacesArguments(PictureArguments, DetectionArguments):
    """``resemblance faces``.

    Attributes:
        json: whether what was found is told as JSON.
    """

    json: bool


@dataclass(frozen=True, kw_only=True)
class RestoreArguments(PictureArguments, DetectionArguments):
    """``resemblance restore``.

    Attributes:
        weights: of another restorer, or None.
        fidelity, strength, min_sharpness: see :class:`..pipeline.RestoreOptions`, whose `blend` is the strength.
        scale: see :class:`..faces.paste.PasteOptions`.
        grain: whether faces are given the grain of their photographs.
        strict: whether a JPEG that is cut short is refused.
        mend: whether folds and scratches are looked for, see :class:`..pipeline.RestoreOptions`.
        damage_mask: a damage mask, or a folder of them, or None.
        aligned: whether the pictures are aligned faces.
        format: suffix of the results without its dot; None keeps each picture's.
        quality: 1 to 100, of JPEG and WebP.
        report: where a report goes, ``"-"`` for stdout, or None.
        reference: photographs, folders and saved references, or None.
        match: who is who, by hand, or None.
        embedder: see :func:`..faces.identity.load_embedder`.
        match_threshold, reference_strength: see :class:`..references.options.ReferenceOptions`.
        maps: the folder for maps, or None.
        refine, identity, seed, candidates: see :class:`..refinement.RefinementOptions`; None where they were not given.
    """

    weights: Path | None
    fidelity: float | None
    strength: float | None
    min_sharpness: float
    scale: float
    grain: bool
    strict: bool
    mend: bool
    damage_mask: Path | None
    aligned: bool
    format: str | None
    quality: int
    report: Path | str | None
    reference: list[str] | None
    match: str | None
    embedder: str
    match_threshold: float | None
    reference_strength: float
    maps: Path | None
    refine: int | None
    identity: float | None
    seed: int | None
    candidates: int | None


@dataclass(frozen=True, kw_only=True)
class ReferencesArguments(NetworkArguments):
    """``resemblance references``.

    Attributes:
        paths: photographs of one person, or a folder for each.
        out: the file to write.
        weights: of the restorer that is to use them; None is the built-in one.
        overwrite: whether a file that is there is replaced.
        embedder: see :func:`..faces.identity.load_embedder`.
    """

    paths: list[str]
    out: Path
    weights: Path | None
    overwrite: bool
    embedder: str


@dataclass(frozen=True, kw_only=True)
class InspectArguments:
    """``resemblance inspect``: files of weights; none is the built-in restorer's."""

    weights: list[Path]
    device: str


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments:
    """``resemblance evaluate``.

    Attributes:
        data: the folder of photographs.
        split, only, half, limit: which of them, see :class:`..training.album.Selection`.
        damage: severities.
        references: rows of the table.
        metrics: numbers to measure; None is all.
        truth: least width of a face that is the truth at 512 px [px]; None is the default.
        refine: steps of refinement; None is the restorer's own choice.
        weights: of other restorers.
        assets: the folder with the networks that judge, or None.
        json, grid: files to write, or None.
        device: where networks run.
    """

    data: Path
    split: str
    only: str | None
    half: str
    limit: int | None
    damage: list[str]
    references: list[str]
    metrics: list[str] | None
    truth: float | None
    refine: int | None
    weights: list[Path]
    assets: Path | None
    json: Path | None
    grid: Path | None
    device: str


@dataclass(frozen=True, kw_only=True)
class AppArguments(NetworkArguments):
    """``resemblance app``: the address and the port to listen at; port 0 takes a free one; and further names."""

    host: str
    port: int
    names: list[str]
