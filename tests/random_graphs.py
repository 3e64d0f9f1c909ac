"""Random ONNX graphs that are a multi-layer perceptron, in the many ways in which exporters write one."""

import numpy as np
from onnx_graphs import TensorProto, helper, numpy_helper

KINDS = {  # how the samples lie: declared shape, of one sample, from n features
    "rows": lambda n: ["N", n],
    "one row": lambda n: [1, n],
    "rows of an axis more": lambda n: ["N", 1, n],
    "columns": lambda n: [n, "N"],
    "a vector": lambda n: [n],
}
OPSETS = (11, 13, 17, 20)


class Maker:
    """One graph in the making: `value` is the name of the last value, `width` counts its features."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants = [], []
        self.opset = int(self.random.choice(OPSETS))
        self.kind = list(KINDS)[self.random.integers(len(KINDS))]
        self.width = int(self.random.integers(2, 6))
        self.shape = KINDS[self.kind](self.width)
        self.value = "x"
        self.rank = len(self.shape)
        self.columns = self.kind == "columns"
        self.is_table = self.kind in ("rows", "one row")
        self.axis = 0 if self.columns else self.rank - 1  # of the features

    def chance(self, probability):
        return self.random.random() < probability

    def numbers(self, *shape):
        return self.random.standard_normal(shape).astype("f4")

    def positive(self, *shape):
        return self.random.uniform(0.5, 2, shape).astype("f4")

    def node(self, operator, *inputs, count=1, **attributes):
        """The name of what a node makes, or of each of several."""
        names = []
        for each in inputs:
            if not isinstance(each, str):
                name = f"c{len(self.constants)}"
                self.constants.append(numpy_helper.from_array(np.asarray(each), name))
                each = name
            names.append(each)
        made = [f"v{len(self.nodes)}_{k}" for k in range(count)]
        self.nodes.append(helper.make_node(operator, names, made, **attributes))
        return made[0] if count == 1 else made

    def listed(self, operator, value, integers, **attributes):
        """A node whose integers are an input, or an attribute before opset 13."""
        if self.opset < 13:
            key = "split" if operator == "Split" else "axes"
            return self.node(operator, value, **{key: integers}, **attributes)
        return self.node(operator, value, np.array(integers), **attributes)

    # What changes nothing

    def detour(self):
        v, table = self.value, self.is_table
        ways = [
            lambda: self.node("Identity", v),
            lambda: self.node("Cast", v, to=TensorProto.FLOAT),
        ]
        if self.rank == 2:
            turn = {"perm": [1, 0]}
            ways.append(lambda: self.node("Transpose", self.node("Transpose", v, **turn), **turn))
        if table:
            ways += [
                lambda: self.listed("Squeeze", self.listed("Unsqueeze", v, [1]), [1]),
                lambda: self.node("Reshape", v, np.array([-1, self.width])),
                lambda: self.node("Reshape", v, np.array([0, -1])),
                lambda: self.node("Flatten", v),
                lambda: self.view(v),
            ]
        self.value = ways[self.random.integers(len(ways))]()

    def view(self, v):
        """x.view(x.shape[0], -1)"""
        count = self.node("Gather", self.node("Shape", v), np.array(0), axis=0)
        count = self.listed("Unsqueeze", count, [0])
        return self.node("Reshape", v, self.node("Concat", count, np.array([-1]), axis=0))

    # What is affine

    def one_a_feature(self, numbers):
        return numbers.reshape(-1, 1) if self.columns else numbers

    def constant(self, numbers):
        """One number a feature, or one for all."""
        return self.one_a_feature(numbers(self.width)) if self.chance(0.7) else numbers()[()]

    def affine(self):
        v, c, p = self.value, self.constant(self.numbers), self.constant(self.positive)
        mask = self.one_a_feature((self.random.random(self.width) < 0.7).astype("f4"))
        ways = [
            lambda: self.node("Add", v, c),
            lambda: self.node("Sub", v, c),
            lambda: self.node("Sub", c, v),
            lambda: self.node("Mul", p, v),
            lambda: self.node("Div", v, p),
            lambda: self.node("Neg", v),
            lambda: self.node("Mul", v, mask),
        ]
        if self.is_table:
            n = self.width
            operands = self.positive(n), self.numbers(n), self.numbers(n), self.positive(n)
            ways.append(lambda: self.node("BatchNormalization", v, *operands))
        self.value = ways[self.random.integers(len(ways))]()

    def dense(self):
        n_out = int(self.random.integers(1, 6))
        W = self.numbers(self.width, n_out) / np.float32(np.sqrt(self.width))
        v, b, self.width = self.value, self.numbers(n_out), n_out
        if self.columns:
            self.value = self.node("MatMul", W.T, v)
        elif self.rank == 2 and self.chance(0.5):
            turned = self.chance(0.5)
            bias = [b] if self.chance(0.8) else []
            scales = {"alpha": float(self.positive()), "beta": float(self.positive())}
            self.value = self.node(
                "Gemm", v, W.T if turned else W, *bias, transB=int(turned), **scales
            )
            return
        else:
            self.value = self.node("MatMul", v, W)
        if self.chance(0.7):
            self.value = self.node("Add", self.value, self.one_a_feature(b))

    # What picks features

    def select(self):
        v, n, axis = self.value, self.width, self.axis
        if n < 2:
            return
        k = int(self.random.integers(1, n))
        order = self.random.permutation(n)[:k]
        way = self.random.integers(5)
        if way == 0:
            limits = (np.array([each]) for each in (n - k, n, axis))
            self.value, self.width = self.node("Slice", v, *limits), k
        elif way == 1:
            self.value, self.width = self.node("Gather", v, order, axis=axis), k
        elif way == 2:
            a, b = self.listed("Split", v, [k, n - k], count=2, axis=axis)
            if self.chance(0.5):
                self.value, self.width = a, k
            else:
                parts = [a, self.node("Mul", b, np.float32(2.5))]
                self.value = self.node("Concat", *parts[:: self.random.choice([1, -1])], axis=axis)
        elif way == 3:
            self.value = self.node("Concat", self.node("Neg", v), v, axis=axis)
            self.width = 2 * n
        else:
            limits = (np.array([each]) for each in (-1, -(2**40), axis, -1))
            self.value = self.node("Slice", v, *limits)

    def activate(self):
        v, node = self.value, self.node
        one, two = np.float32(1), np.float32(2)
        limit = np.float32(self.random.standard_normal())

        def tansig():
            e = node("Exp", node("Mul", v, -two))
            return node("Sub", node("Mul", node("Reciprocal", node("Add", e, one)), two), one)

        ways = [
            lambda: node("Tanh", v),
            lambda: node("Relu", v),
            lambda: node("Sigmoid", v),
            lambda: node("Sin", v),
            lambda: node("LeakyRelu", v, alpha=0.2),
            lambda: node("Elu", v, alpha=0.7),
            lambda: node("Mul", v, node("Sigmoid", v)),
            lambda: node("Div", node("Softplus", node("Mul", v, two)), two),
            lambda: node("Max", v, node("Mul", v, np.float32(0.1))),
            lambda: node("Max", v, limit),
            lambda: node("Min", v, limit),
            lambda: node("Exp", node("Neg", node("Mul", v, v))),
            lambda: node("Clip", node("Tanh", v), -one, one),
            lambda: node("Clip", v, limit, limit + two),
            tansig,
        ]
        self.value = ways[self.random.integers(len(ways))]()

    def make(self):
        """The model."""
        if not self.columns:
            for step, probability in ((self.affine, 0.4), (self.select, 0.2), (self.affine, 0.3)):
                if self.chance(probability):
                    step()
        for _ in range(self.random.integers(1, 4)):
            self.detour()
            self.dense()
            while self.chance(0.3):
                self.affine()
            self.detour()
            if self.chance(0.2):
                self.select()
            if self.chance(0.8):
                self.activate()
            while self.chance(0.25):
                self.affine()
            if self.chance(0.15):
                self.select()
        self.detour()
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", self.shape), (self.value, None))
        ]
        graph = helper.make_graph(self.nodes, "g", ends[:1], ends[1:], self.constants)
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)

    def samples(self, N):
        """Some in the declared shape."""
        return self.numbers(*(N if n == "N" else n for n in self.shape))
