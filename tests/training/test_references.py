from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.faces.identity import WEIGHTS
from resemblance.core.restorers.table import attach_transfer, load_restorer
from resemblance.core.training.references import export


def test_transfer_weights_go_to_their_own_restorer_only(tmp_path: Path) -> None:
    restorer = load_restorer()
    network = restorer.network
    transfer = network.transfer
    assert transfer is not None
    path = tmp_path / "transfer.safetensors"
    shutil.copy(WEIGHTS, tmp_path)
    export(transfer, path, "another", WEIGHTS)
    network.transfer = None
    attach_transfer(restorer, network, path)
    assert network.transfer is None
    export(transfer, path, restorer.fingerprint, WEIGHTS)
    attach_transfer(restorer, network, path)
    assert network.transfer is not None
    torch.testing.assert_close(network.transfer.bands.bias, transfer.bands.bias, rtol=1e-2, atol=1e-2)
