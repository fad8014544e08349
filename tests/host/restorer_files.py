"""Small files of others' restorers."""

import pytest
import torch


def onnx_file(path, weight=None, size=512, scale=1.0, kind=1):
    """A network that gives scale * picture, or weight * picture where it takes a weight (an ONNX element type)."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    inputs = [helper.make_tensor_value_info("input", kind, [1, 3, size, size])]
    if weight:
        inputs.append(helper.make_tensor_value_info("weight", weight, []))
        nodes = [helper.make_node("Cast", ["weight"], ["w"], to=kind), helper.make_node("Mul", ["input", "w"], ["out"])]
        constants = []
    else:
        constants = [helper.make_tensor("w", kind, [], [scale])]
        nodes = [helper.make_node("Mul", ["input", "w"], ["out"])]
    output = helper.make_tensor_value_info("out", kind, [1, 3, size, size])
    graph = helper.make_graph(nodes, "net", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def restoreformer_state(**changes):
    from spandrel.architectures.RestoreFormer import RestoreFormer

    torch.manual_seed(0)
    sizes = {"n_embed": 16, "embed_dim": 32, "ch": 32, "ch_mult": (1,) * 6, "num_res_blocks": 1, "z_channels": 32}
    network = RestoreFormer(
        **{**sizes, "attn_resolutions": (16,), "out_ch": 3, "in_channels": 3, "resolution": 512, "dropout": 0.0,
           "double_z": False, "enable_mid": True, "head_size": 8, **changes}
    )  # fmt: skip
    return network.state_dict()
