import pytest
import torch
from resemblance.core.models.embedding import RecognitionCrop
from torch.nn import functional as F

FACES = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))


def test_sface_is_the_published_network(assets):
    """Against onnxruntime, which gives the embeddings of pixels from 0 to 255."""
    onnxruntime = pytest.importorskip("onnxruntime")
    sface = pytest.importorskip("resemblance.core.training.sface")
    pytest.importorskip("onnx")
    from resemblance.core.training.assets import asset

    crops = RecognitionCrop()(FACES)
    session = onnxruntime.InferenceSession(str(asset("sface", assets)), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    theirs = torch.cat([torch.from_numpy(session.run(None, {name: (255 * c[None]).numpy()})[0]) for c in crops])
    with torch.no_grad():
        ours = sface.published_sface(assets).embed(crops)
    torch.testing.assert_close(ours, F.normalize(theirs), atol=1e-4, rtol=0)
