"""A chain of dense layers with affine maps before, between and behind them: the algebra of `onnx`."""

import numpy as np


class Chain:
    """Layers so far, and the affine map behind the last of them.

    `weight` is None until a product comes: then ``weight h + bias``, else ``h``; of either, times
    `scale` plus `shift`. Before the first product the map is that of the input scaling instead,
    ``(x - shift) / scale``, so that a mean and a deviation keep their digits.
    """

    def __init__(self):
        self.done = []  # (W, b, activation)
        self.input = None
        self.weight = self.bias = None
        self.scale, self.shift = np.float64(1), np.float64(0)
        self.kinds = set()  # dtype of every constant

    @property
    def before_layers(self):
        return self.weight is None and not self.done

    @property
    def width(self):
        """Features of the value behind the chain; None before the first layer."""
        if self.before_layers:
            return None
        return (self.done[-1][0] if self.weight is None else self.weight).shape[0]

    def multiply(self, c):
        if self.before_layers:
            self.scale = self.scale / c
        else:
            self.scale, self.shift = self.scale * c, self.shift * c

    def divide(self, c):
        if self.before_layers:
            self.scale = self.scale * c
        else:
            self.scale, self.shift = self.scale / c, self.shift / c

    def add(self, c):
        if self.before_layers:
            self.shift = self.shift - c * self.scale
        elif self.weight is not None and self.bias is None and np.all(self.scale == 1):
            self.bias = np.broadcast_to(c, self.weight.shape[:1])
        else:
            self.shift = self.shift + c

    def product(self, W, bias=None):
        """W h + bias: a further layer; one that is not closed yet gets the identity."""
        if self.before_layers:
            self.input = self.shift, self.scale
        elif self.weight is not None:
            self.close("identity")
        if self.before_layers or self.identity:
            self.weight, self.bias = W, bias
        else:  # W (scale h + shift) + bias
            self.weight, self.bias = W * self.scale, bias
            if np.any(self.shift != 0):
                extra = W @ np.broadcast_to(self.shift, W.shape[1:])
                self.bias = extra if bias is None else bias + extra
        self.scale, self.shift = np.float64(1), np.float64(0)

    @property
    def identity(self):
        return np.all(self.scale == 1) and np.all(self.shift == 0)

    def close(self, activation):
        """f(scale (weight h + bias) + shift): a layer, when there is a weight."""
        n_out = self.weight.shape[0]
        bias = self.bias
        if np.any(self.scale != 1):
            self.weight = np.broadcast_to(self.scale, n_out)[:, None] * self.weight
            bias = None if bias is None else self.scale * bias
        if np.any(self.shift != 0):
            bias = np.broadcast_to(self.shift, n_out) + (0 if bias is None else bias)
        self.done.append((self.weight, bias, activation))
        self.weight = self.bias = None
        self.scale, self.shift = np.float64(1), np.float64(0)

    def finish(self):
        """The arguments of `MLP.from_layers`."""
        output = self.shift, self.scale
        if self.weight is not None:
            self.scale, self.shift = np.float64(1), np.float64(0)
            self.close("identity")
        if not self.done:
            raise ValueError("the graph has no dense layer")
        kind = np.float64 if np.dtype(np.float64) in self.kinds else np.float32
        weights, biases, activations = zip(*self.done, strict=True)
        layers = {
            "weights": [W.astype(kind, copy=False) for W in weights],
            "biases": [None if b is None else b.astype(kind, copy=False) for b in biases],
            "activations": list(activations),
        }
        for side, (shift, scale) in (("input", self.input), ("output", output)):
            if np.any(shift != 0) or np.any(scale != 1):
                layers[f"{side}_shift"], layers[f"{side}_scale"] = shift, scale
        return layers
