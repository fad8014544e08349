import importlib.util

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.codes import code_losses
from resemblance.core.training.tokenizer import Tokenizer


def test_perfect_logits_have_no_code_loss():
    torch.manual_seed(0)
    net = Tokenizer().net
    codes = torch.randint(0, 1024, (1, 16))
    clean = net.embedding[codes].mT.reshape(1, -1, 4, 4)
    logits = torch.nn.functional.one_hot(codes, 1024) * 100.0
    value, soft, _ = code_losses(net, clean, logits, clean, codes)
    assert value.item() == pytest.approx(0, abs=1e-5)
    assert torch.allclose(soft, clean, atol=1e-4)
