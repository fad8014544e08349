"""Networks that judge faces: LPIPS and three face-recognition networks, from the asset packages.

EdgeFace (George et al., 2023) decides on identity: nothing is trained against it. w600k_mbf (ArcFace loss,
MobileFaceNet) trains and guides, and the embedding network began as SFace: both are shown beside it. All but EdgeFace
have gradients.
"""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.embedding import RecognitionCrop
from .assets import asset


class _NumpyOnly(pickle.Unpickler):
    """Unpickles arrays of numbers and nothing else."""

    ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype"})

    def find_class(self, module: str, name: str) -> Any:
        """Admit what numpy needs to rebuild an array."""
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"The file asks for {module}.{name}; expected arrays of numbers only.")


def lpips(net: str = "alex", assets: str | Path | None = None) -> nn.Module:
    """LPIPS (Zhang et al., CVPR 2018) with its published weights; ``net`` is ``"alex"`` or ``"vgg"``.

    The module takes two (N,3,H,W) in [0,1] and returns (N,1,1,1).
    """
    import lpips as package

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = package.LPIPS(net=net, pnet_rand=True, verbose=False)
    with asset({"alex": "alexnet", "vgg": "vgg16"}[net], assets).open("rb") as file:
        layers = next(v for k, v in _NumpyOnly(file).load().items() if not k.startswith("NetLin"))
    convolutions = [m for m in metric.net.modules() if isinstance(m, nn.Conv2d)]
    for i, convolution in enumerate(convolutions):
        convolution.weight.data = torch.from_numpy(layers[f"Conv_{i}"]["kernel"]).permute(3, 2, 0, 1).contiguous()
        convolution.bias = nn.Parameter(torch.from_numpy(layers[f"Conv_{i}"]["bias"]).clone(), requires_grad=False)
    return _Frozen(metric)


class _Frozen(nn.Module):
    """LPIPS on pictures in [0,1], without gradients to its own weights."""

    def __init__(self, metric: nn.Module) -> None:
        super().__init__()
        self.metric = metric.eval().requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(N,3,H,W) twice to (N,1,1,1)."""
        return self.metric(x, y, normalize=True)


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """What an ONNX file says.

    Attributes:
        weights: tensors by name.
        nodes: of each the operator, the names that it reads, the name that it writes, and its attributes.
        entry, exit: names of the first input and the first output.
    """

    weights: dict[str, Tensor]
    nodes: list[tuple[str, list[str], str, dict[str, Any]]]
    entry: str
    exit: str


def read_graph(path: Path) -> OnnxGraph:
    """Read an ONNX file."""
    import onnx

    graph = onnx.load(str(path)).graph
    weights = {item.name: torch.from_numpy(onnx.numpy_helper.to_array(item).copy()) for item in graph.initializer}
    nodes = [
        (n.op_type, list(n.input), n.output[0], {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute})
        for n in graph.node
    ]
    return OnnxGraph(weights, nodes, next(i.name for i in graph.input if i.name not in weights), graph.output[0].name)


class OnnxNetwork(nn.Module):
    """A feed-forward ONNX network of the few operators recognition networks use, rebuilt in torch to have gradients."""

    def __init__(self, graph: OnnxGraph) -> None:
        super().__init__()
        self._weights = {}
        for i, (name, weight) in enumerate(graph.weights.items()):
            self.register_buffer(f"w{i}", weight)
            self._weights[name] = f"w{i}"
        self._nodes, self._input, self._output = graph.nodes, graph.entry, graph.exit

    def forward(self, x: Tensor) -> Tensor:
        """The graph's first input to its first output."""
        return self.values(x)[self._output]

    def with_maps(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The first output, and maps (N,C,h,w): the trunk's last at each size, and the one that the graph flattens."""
        values = self.values(x)
        trunk = {values[output].shape[-1]: values[output] for op, _, output, _ in self._nodes if op == "Add"}
        flattened = next(values[inputs[0]] for op, inputs, _, _ in self._nodes if op == "Flatten")
        return values[self._output], [*trunk.values(), flattened]

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """All that the graph computes, by name."""
        values: dict[str, Tensor] = {self._input: x}
        for op, inputs, output, attributes in self._nodes:
            args = [values[i] if i in values else getattr(self, self._weights[i]) for i in inputs]
            values[output] = self._operate(op, args, attributes)
        return values

    @staticmethod
    def _operate(op: str, args: list[Tensor], attributes: dict[str, Any]) -> Tensor:
        match op:
            case "Conv":
                bias = args[2] if len(args) > 2 else None
                top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
                if (top, left) != (bottom, right):
                    args[0] = F.pad(args[0], (left, right, top, bottom))
                    top = left = 0
                return F.conv2d(
                    args[0], args[1], bias, attributes["strides"], (top, left), 1, attributes.get("group", 1)
                )
            case "PRelu":
                return F.prelu(args[0], args[1].flatten())
            case "BatchNormalization":
                x, scale, shift, mean, variance = args
                return F.batch_norm(x, mean, variance, scale, shift, eps=attributes["epsilon"])
            case "Gemm":
                return F.linear(args[0], args[1] if attributes.get("transB") else args[1].T, args[2])
            case "Flatten":
                return args[0].flatten(1)
            case "Dropout":
                return args[0]
            case "Add":
                return args[0] + args[1]
            case "Sub":
                return args[0] - args[1]
            case "Mul":
                return args[0] * args[1]
        raise ValueError(f"The operator '{op}' is not among those recognition networks use.")


class EdgeFace(nn.Module):
    """Faces aligned to the template (N,3,S,S) in [0,1] to unit embeddings (N,512), by onnxruntime."""

    def __init__(self, assets: str | Path | None = None) -> None:
        import onnxruntime

        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            str(asset("edgeface", assets)), options, providers=["CPUExecutionProvider"]
        )
        self.crop = RecognitionCrop()

    def forward(self, faces: Tensor) -> Tensor:
        """Embed faces of any side that is a multiple of 256."""
        return self.embed(self.crop(faces))

    def embed(self, crops: Tensor) -> Tensor:
        """Embed crops (N,3,112,112) in [0,1]."""
        pixels = (crops.float().cpu() * 2 - 1).numpy()
        # The file's shapes are those of one face.
        found = [self._session.run(None, {"data": one[None]})[0] for one in pixels]
        return F.normalize(torch.from_numpy(np.concatenate(found))).to(crops.device)


class Recognizer(nn.Module):
    """Faces aligned to the template (N,3,S,S) in [0,1] to unit embeddings (N,D).

    Args:
        name: ``"arcface"`` (w600k_mbf, 512 numbers) or ``"sface"`` (128 numbers).
        assets: folder of the asset packages.
        graph: the network, where it was read already.
    """

    def __init__(self, name: str, assets: str | Path | None = None, graph: OnnxGraph | None = None) -> None:
        super().__init__()
        self.network = OnnxNetwork(graph or read_graph(asset(name, assets))).requires_grad_(False).eval()
        self.normalize = name == "arcface"  # SFace's graph does it itself
        self.crop = RecognitionCrop()

    def forward(self, faces: Tensor) -> Tensor:
        """Embed faces of any side that is a multiple of 256."""
        return self.embed(self.crop(faces))

    def embed(self, crops: Tensor) -> Tensor:
        """Embed crops (N,3,112,112) in [0,1]."""
        x = crops * 255
        return F.normalize(self.network((x - 127.5) / 127.5 if self.normalize else x).flatten(1))
