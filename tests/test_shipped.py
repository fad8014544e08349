"""The weights in the repository do what the README says, on people they were not trained on."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps
from resemblance.core.faces.crop import crop_faces
from resemblance.core.faces.detect import detect_faces
from resemblance.core.faces.identity import WEIGHTS as EMBEDDING
from resemblance.core.faces.identity import load_embedders
from resemblance.core.files.checkpoints import about, fingerprint, read
from resemblance.core.files.images import read_photo
from resemblance.core.references.encoding import encode_references
from resemblance.core.references.views import ReferencePhoto
from resemblance.core.restorers.table import BUILTIN, TRANSFER, builtin_restorer
from resemblance.core.restorers.tokens import code_use, decode_tokens, encode_tokens, restore_tokens

PHOTOS = Path(__file__).parent / "photos"
EXAMPLES = Path(__file__).parents[1] / "nodes" / "examples"


@pytest.fixture(scope="module")
def restorer():
    return builtin_restorer(dtype=torch.float32)


@pytest.fixture(scope="module")
def crops():
    photo = read_photo(PHOTOS / "portrait_male_93.jpg").pixels[None]
    faces = detect_faces(photo, backend="built-in")
    assert len(faces) == 1
    return crop_faces(photo, faces)


def damaged(crops, severity):
    degradation = pytest.importorskip("resemblance.core.training.degradation")
    clean = (crops.pixels[0].permute(1, 2, 0) * 255).round().byte().numpy()
    faces = [degradation.degrade(clean, severity, np.random.default_rng(seed)) for seed in range(3)]
    return torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float() / 255


def drawn(photo, kind):
    """A photograph (3,H,W) as somebody draws it: with a pencil, or in black lines."""
    bright = ImageOps.grayscale(Image.fromarray((photo.permute(1, 2, 0) * 255).round().byte().numpy()))
    if kind == "lines":
        sheet = ImageOps.invert(bright.filter(ImageFilter.FIND_EDGES)).point(lambda v: 255 * (v > 215))
    else:
        paper = np.asarray(ImageOps.invert(bright).filter(ImageFilter.GaussianBlur(6)), np.float32)
        sheet = np.clip(255 * np.asarray(bright, np.float32) / (256 - paper), 0, 255)
    return torch.from_numpy(np.array(sheet, np.float32)).expand(3, -1, -1) / 255


@pytest.mark.parametrize(
    ("kind", "reason"), [("pencil", "it seems to be a drawing"), ("lines", "its face is too damaged")]
)
def test_a_drawing_is_no_reference(restorer, kind, reason):
    photos = [read_photo(EXAMPLES / f"man_reference_{n}.jpg").pixels for n in (1, 2, 3)]
    given = [ReferencePhoto(photo, str(n), "man") for n, photo in enumerate((*photos, drawn(photos[0], kind)))]
    found = encode_references(given, restorer, load_embedders(), partial(detect_faces, backend="built-in"))
    assert found.people[0].sources == ("0", "1", "2") and found.doubted == ()
    ((source, why),) = found.refused
    assert source == "3" and re.match(reason, why)


def error(faces, truth):
    return (faces - truth).square().mean().item()


@pytest.mark.parametrize("severity", ["moderate", "severe"])
def test_restored_faces_look_like_the_truth(restorer, crops, assets, severity):
    judges = pytest.importorskip("resemblance.core.training.judges")
    faces, truth = damaged(crops, severity), crops.pixels.expand(3, -1, -1, -1)
    restored = restorer.restore(faces)
    perceived = judges.lpips("alex", assets)
    with torch.no_grad():
        before, after = (perceived(x, truth).mean().item() for x in (faces, restored))
    assert after < 0.65 * before
    if severity == "severe":
        assert error(restored, truth) < error(faces, truth)


def test_content_and_quality_are_monotone(restorer, crops):
    """From the codebook's face (content 0) to the input's, and with quality from the input outwards."""
    tokens = encode_tokens(crops, restorer)
    content = [error(decode_tokens(restore_tokens(tokens, c)), crops.pixels) for c in (0.0, 0.5, 1.0)]
    assert content[0] > content[1] > content[2]
    quality = [error(decode_tokens(restore_tokens(tokens, 1.0, q)), crops.pixels) for q in (0.0, 0.5, 1.0)]
    assert quality[0] < 1e-9 < quality[1] < quality[2]


def test_the_codebook_is_used(restorer, crops):
    use = code_use(encode_tokens(crops, restorer))
    assert use.distinct > 100  # of the 1,024 places of one face
    assert use.perplexity > 50


def test_the_weights_stay_small():
    assert BUILTIN.stat().st_size < 20e6
    assert sum(file.stat().st_size for file in BUILTIN.parent.iterdir()) < 60e6


def test_the_parts_were_trained_on_one_another():
    """The transfer reads the embedder's embeddings, and both it and the prior the restorer."""
    assert about(TRANSFER)["embedder"] == about(EMBEDDING)["fingerprint"] == fingerprint(read(EMBEDDING))
    network = builtin_restorer().network
    assert network.transfer is not None and network.prior is not None
