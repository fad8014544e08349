from __future__ import annotations

import torch
from resemblance.core.models.prior import Prior
from resemblance.core.restorers.table import attach_prior, builtin_restorer
from resemblance.core.training.prior import export


def test_a_prior_is_attached_to_the_restorer_it_was_trained_on_alone(tmp_path) -> None:
    restorer = builtin_restorer()
    restorer.network.prior = None
    export(Prior(), tmp_path / "prior.safetensors", "0" * 16)
    attach_prior(restorer, restorer.network, tmp_path / "prior.safetensors")
    assert restorer.network.prior is None
    trained = Prior()
    torch.nn.init.normal_(trained.out.weight)
    export(trained, tmp_path / "prior.safetensors", restorer.fingerprint)
    attach_prior(restorer, restorer.network, tmp_path / "prior.safetensors")
    like = restorer.network.embedding
    assert torch.equal(restorer.network.prior.out.weight, trained.out.weight.half().to(like))
