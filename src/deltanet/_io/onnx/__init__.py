"""ONNX graphs that are a multi-layer perceptron, through the `onnx` package (extra: onnx).

Reading: protobuf -> `graph` (the nodes that the output needs) -> `follow` (a list of steps: what the nodes
do to the samples) -> `_affine.Chain` (steps folded into layers) -> the arguments of `MLP.from_layers`. What a
node does stands in tables by operator: `linear` (products, arithmetic, normalization), `moves` (axes,
selections), `activations`; `join` meets branches again; `patterns` knows activations that exporters write as
several nodes. `constants` reads tensors, `folding` computes with them. `axes` says which axis of a value
counts samples and which hold features. Writing: `write`.
"""

from deltanet._io.onnx.read import read
from deltanet._io.onnx.write import write

__all__ = ["read", "write"]
