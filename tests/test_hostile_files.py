"""Broken and hostile files: one clear error that names the file, and no memory to speak of.

The error is a ValueError, TypeError or OSError of one line. Python and NumPy allocate at most twice the
file's size and a fixed rest, whatever the file claims.
"""

import io
import json
import os
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import deltanet as dn
from deltanet._io.table import read_table

ERRORS = (ValueError, TypeError, OSError)
REST = 400_000  # bytes: the interpreter, imports, the message
LARGE = 2**20  # bytes of a file where a multiple of its size would show
SIZES = (3, 5, 2)
WEIGHT = np.linspace(-1, 1, LARGE // 4, dtype="f4").reshape(512, 512)


# .npy arrays and archives of them


def npy_header(text, version=(1, 0), length=None):
    text = text.encode("latin1") if isinstance(text, str) else text
    count = len(text) if length is None else length
    return (
        b"\x93NUMPY"
        + bytes(version)
        + struct.pack("<H" if version == (1, 0) else "<I", count)
        + text
    )


def npy(shape, data=b"", dtype="<f8", **kwargs):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}"
    return npy_header(text.ljust(117) + "\n", **kwargs) + data


def array(value):
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def archive(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as target:
        for name, content in members:
            with warnings.catch_warnings():  # of a name that is there twice
                warnings.simplefilter("ignore")
                target.writestr(name, content)
    return file.getvalue()


def header(version=1, sizes=SIZES, activations=("tanh", "identity"), **more):
    content = {"format_version": version, "sizes": sizes, "activations": activations}
    return json.dumps(content | more)


def arrays_of(sizes=SIZES, **change):
    net = dn.MLP(sizes, seed=0)
    arrays = {}
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        arrays |= {f"layers.{k}.weight": np.array(W), f"layers.{k}.bias": np.array(b)}
    arrays |= {name.replace("__", "."): value for name, value in change.items()}
    return {name: value for name, value in arrays.items() if value is not None}


def npz(text=None, **change):
    """A model file; text is its header, the rest changes its arrays."""
    entries = {"deltanet": np.array(header() if text is None else text)} | arrays_of(**change)
    return archive([(f"{name}.npy", array(value)) for name, value in entries.items()])


def with_entry(content, method=zipfile.ZIP_STORED):
    return archive([("0.weight.npy", content)], method)


def lying_size(claim):
    """An archive of one deflated entry, whose directory claims another size."""
    content = bytearray(with_entry(array(np.zeros(1000)), zipfile.ZIP_DEFLATED))
    place = content.index(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", claim)
    return bytes(content)


def crowded():
    """A directory of names that all stand for one entry."""
    content = with_entry(array(WEIGHT[0]))
    place, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    count = LARGE // (end - place)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, count * (end - place), place, 0)
    return content[:place] + content[place:end] * count + tail


DEEP = "[" * 10_000  # within the length that a header may have
MODELS = {  # file name, content, words of the message
    "npz: empty": ("m.npz", lambda: b"", "zip"),
    "npz: not a zip": ("m.npz", lambda: b"PK\x03\x04" + bytes(LARGE), "zip"),
    "npz: truncated": ("m.npz", lambda: npz()[:-40], "m.npz"),
    "npz: first half": ("m.npz", lambda: npz()[: len(npz()) // 2], "m.npz"),
    "npz: second half": ("m.npz", lambda: npz()[len(npz()) // 2 :], "m.npz"),
    "npz: bad checksum": (
        "m.npz",
        lambda: npz().replace(array(np.zeros(5))[-40:], b"\1" * 40),
        "CRC",
    ),
    "npz: bomb": ("m.npz", lambda: with_entry(bytes(100 * LARGE), zipfile.ZIP_DEFLATED), "claim"),
    "npz: crowded": ("m.npz", crowded, "directory"),
    "npz: claims too much": ("m.npz", lambda: lying_size(2**31), "claim"),
    "npz: claims somewhat more": ("m.npz", lambda: lying_size(9000), "m.npz"),
    "npz: encrypted": (
        "m.npz",
        lambda: npz().replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
        "m.npz",
    ),
    "npz: pickled": ("m.npz", lambda: npz(layers__0__weight=np.array([{}], object)), "pickled"),
    "npz: wrong magic": ("m.npz", lambda: with_entry(b"NUMPY" + bytes(99)), "magic"),
    "npz: shape lies": ("m.npz", lambda: with_entry(npy((2**40, 3), bytes(240))), "too short"),
    "npz: shape wraps": ("m.npz", lambda: with_entry(npy((2**62, 4), b"")), "too short"),
    "npz: negative shape": ("m.npz", lambda: with_entry(npy((-1, 3), bytes(240))), "counts"),
    "npz: room left": ("m.npz", lambda: with_entry(npy((1, 3), bytes(240))), "fill"),
    "npz: no width": ("m.npz", lambda: with_entry(npy((2**60,), dtype="<U0")), "dtype"),
    "npz: header too long": (
        "m.npz",
        lambda: with_entry(npy_header(b" " * 10**6, (2, 0))),
        "header",
    ),
    "npz: header past the end": (
        "m.npz",
        lambda: with_entry(npy_header("{", (2, 0), 2**32 - 1)),
        "header",
    ),
    "npz: header nests": ("m.npz", lambda: with_entry(npy_header("-" * 500 + "1")), "header"),
    "npz: header of much text": (
        "m.npz",
        lambda: with_entry(npy_header("-" * 4000 + "1")),
        "header",
    ),
    "npz: header runs code": (
        "m.npz",
        lambda: with_entry(npy_header("__import__('os').abort()")),
        "header",
    ),
    "npz: text file": ("m.npz", lambda: archive([("readme.txt", b"no array")]), "no .npy"),
    "npz: repeated": ("m.npz", lambda: archive([("a", b"")] * 2), "repeated"),
    "npz: no header": ("m.npz", lambda: archive([("a.npy", array(WEIGHT))]), "activation"),
    "npz: header no text": ("m.npz", lambda: npz(text=3), "string"),
    "npz: header no JSON": ("m.npz", lambda: npz(text="{"), "m.npz"),
    "npz: JSON nests": ("m.npz", lambda: npz(text=DEEP), "nests deeper"),
    "npz: JSON too long": ("m.npz", lambda: npz(text="[" + "[]," * 10**5 + "[]]"), "too long"),
    "npz: JSON of a list": ("m.npz", lambda: npz(text="[1]"), "format_version"),
    "npz: other version": (
        "m.npz",
        lambda: npz(text=header(version=2)),
        "format_version must be 1; got 2",
    ),
    "npz: sizes no list": ("m.npz", lambda: npz(text=header(sizes=7)), "sizes"),
    "npz: sizes of text": ("m.npz", lambda: npz(text=header(sizes=["a", "b"])), "shape"),
    "npz: other sizes": (
        "m.npz",
        lambda: npz(text=header(sizes=[3, 4, 2])),
        "layers.0.weight must have shape (4, 3)",
    ),
    "npz: too few sizes": (
        "m.npz",
        lambda: npz(text=header(sizes=[3, 5], activations=["tanh"])),
        "layers.1",
    ),
    "npz: too many sizes": (
        "m.npz",
        lambda: npz(text=header(sizes=[3, 5, 2, 1])),
        "layers.2.weight is missing",
    ),
    "npz: huge sizes": ("m.npz", lambda: npz(text=header(sizes=[2**40, 2**40])), "layers.0.weight"),
    "npz: other activation": (
        "m.npz",
        lambda: npz(text=header(activations=["tanh", "os.system"])),
        "os.system",
    ),
    "npz: huge parameter": (
        "m.npz",
        lambda: npz(text=header(activations=[["elu", 10**400], "tanh"])),
        "finite",
    ),
    "npz: activation of lists": (
        "m.npz",
        lambda: npz(text=header(activations=[[], {}])),
        "activation",
    ),
    "npz: softmax inside": (
        "m.npz",
        lambda: npz(text=header(activations=["softmax", "tanh"])),
        "softmax",
    ),
    "npz: NaN": ("m.npz", lambda: npz(layers__0__bias=np.full(5, np.nan)), "finite"),
    "npz: late NaN": (
        "m.npz",
        lambda: npz(
            header(sizes=[512, 512], activations=["tanh"]),
            sizes=(512, 512),
            layers__0__weight=WEIGHT,
            layers__0__bias=np.full(512, np.nan),
        ),
        "biases[0] must be finite",
    ),
    "npz: infinity": ("m.npz", lambda: npz(layers__1__weight=np.full((2, 5), -np.inf)), "finite"),
    "npz: complex": ("m.npz", lambda: npz(layers__0__bias=np.zeros(5, complex)), "real"),
    "npz: text for numbers": ("m.npz", lambda: npz(layers__0__bias=np.full(5, "1")), "real"),
    "npz: biases no list": ("m.npz", lambda: npz(text=header(biases=3)), "'biases'"),
    "npz: biases of numbers": ("m.npz", lambda: npz(text=header(biases=[1, 0])), "'biases'"),
    "npz: too many biases": ("m.npz", lambda: npz(text=header(biases=[True] * 3)), "'biases'"),
    "npz: a bias that must not be": (
        "m.npz",
        lambda: npz(text=header(biases=[False, True])),
        "unknown array 'layers.0.bias'",
    ),
    "npz: a bias that is missing": ("m.npz", lambda: npz(layers__1__bias=None), "layers.1.bias"),
    "npz: too few names": (
        "m.npz",
        lambda: npz(text=header(input_names="a\nb")),
        "input_names of the header must be a string of 3 lines",
    ),
    "npz: units in a list": (
        "m.npz",
        lambda: npz(text=header(output_units=["m", "m"])),
        "output_units of the header must be a string of 2 lines",
    ),
    "npz: a million names": (
        "m.npz",
        lambda: npz(text=header(output_names="\n" * LARGE)),
        "output_names of the header must be a string of 2 lines",
    ),
    "npz: a million small strings": (
        "m.npz",
        lambda: npz(text='["ab"' + ',"ab"' * (LARGE // 5) + "]"),
        "too long",
    ),
    "npz: a million digits": ("m.npz", lambda: npz(text="1" * LARGE), "too long"),
    "npz: a long header in letters of others": (
        "m.npz",
        lambda: npz(text=json.dumps("\N{GREEK SMALL LETTER ALPHA}" * LARGE, ensure_ascii=False)),
        "ASCII",
    ),
    "npz: a long header that is deflated": (
        "m.npz",
        lambda: archive(
            [
                ("deltanet.npy", array(np.array(header(input_names="a" * 2**18)))),
                ("fill.npy", np.random.default_rng(0).bytes(LARGE)),
            ],
            zipfile.ZIP_DEFLATED,
        ),
        "too long for a header",
    ),
    "npz: one size": ("m.npz", lambda: npz(text=header(sizes=[3], input_names="")), "'sizes'"),
    "npz: unknown array": ("m.npz", lambda: npz(layers__9__bias=np.zeros(5)), "layers.9.bias"),
    "npz: scale of zero": ("m.npz", lambda: npz(input_scale=np.zeros(3)), "not zero"),
    "npz: shift of NaN": ("m.npz", lambda: npz(output_shift=np.full(2, np.nan)), "finite"),
    "npz: long scale": ("m.npz", lambda: npz(input_scale=np.ones(4)), "(3,)"),
    "other ending": ("m.pkl", lambda: b"cos\nsystem\n(S'true'\ntR.", "must end in"),
    "folder": ("", lambda: None, "must end in"),
}


# safetensors


def safetensors(entries, data=b"", length=None, metadata=None):
    text = entries
    if isinstance(entries, dict):
        text = json.dumps(entries | ({"__metadata__": metadata} if metadata else {})).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def st_model(text=None, **change):
    data, entries = b"", {}
    for name, value in arrays_of(**change).items():
        entries[name] = entry(list(value.shape), len(data), len(data) + value.nbytes, "F64")
        data += value.tobytes()
    return safetensors(entries, data, metadata={"deltanet": header() if text is None else text})


SAFETENSORS = {
    "st: empty": (lambda: b"", "m.safetensors"),
    "st: header larger than the file": (lambda: safetensors(b"{}", length=2**20), "m.safetensors"),
    "st: header larger than memory": (lambda: safetensors(b"{}", length=2**60), "m.safetensors"),
    "st: header no JSON": (lambda: safetensors(b"pickle" * 9), "m.safetensors"),
    "st: header nests": (lambda: safetensors(DEEP.encode()), "m.safetensors"),
    "st: metadata nests": (lambda: st_model(text=DEEP), "nests deeper"),
    "st: truncated": (lambda: st_model()[:-8], "m.safetensors"),
    "st: shape lies": (
        lambda: safetensors({"0.weight": entry([2**20, 2**20], 0, 64)}, bytes(64)),
        "m.safetensors",
    ),
    "st: shape wraps": (
        lambda: safetensors({"0.weight": entry([2**62, 4], 0, 0)}),
        "m.safetensors",
    ),
    "st: past the end": (
        lambda: safetensors({"0.weight": entry([4, 4], 0, 64)}, bytes(8)),
        "m.safetensors",
    ),
    "st: arrays overlap": (
        lambda: safetensors(
            {"0.weight": entry([4, 4], 0, 64), "0.bias": entry([4], 0, 16)}, bytes(64)
        ),
        "m.safetensors",
    ),
    "st: bfloat16, too short": (
        lambda: safetensors({"0.weight": entry([2, 4], 0, 16, "BF16")}, bytes(15)),
        "m.safetensors",
    ),
    "st: 8-bit floats": (
        lambda: safetensors({"0.weight": entry([2, 4], 0, 8, "F8_E5M2")}, bytes(8)),
        "'0.weight' has the type F8_E5M2",
    ),
    "st: unknown type": (
        lambda: safetensors({"0.weight": entry([2, 4], 0, 8, "Q7")}, bytes(8)),
        "m.safetensors",
    ),
    "st: no activation": (
        lambda: safetensors({"0.weight": entry([512, 512], 0, LARGE)}, WEIGHT.tobytes()),
        "activation",
    ),
    "st: foreign array": (lambda: st_model(secret=np.zeros(3)), "secret"),
    "st: NaN": (lambda: st_model(layers__0__bias=np.full(5, np.nan)), "finite"),
    "st: a million names": (
        lambda: st_model(text=header(output_names="\n" * LARGE)),
        "output_names of the header must be a string of 2 lines",
    ),
    "st: a million small strings": (
        lambda: st_model(text='["ab"' + ',"ab"' * (LARGE // 5) + "]"),
        "too long",
    ),
    "st: mismatched layers": (lambda: st_model(text=header(sizes=[5, 3, 2])), "shape"),
}
MODELS |= {name: ("m.safetensors", *rest) for name, rest in SAFETENSORS.items()}


# ONNX


def onnx_model(change=lambda graph: None, W=None, nodes=()):
    onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    W = np.ones((3, 5), "f4") if W is None else W
    made = [
        helper.make_node("Gemm", ["x", "W"], ["v"], "first"),
        helper.make_node("Tanh", ["v"], ["h"], "second"),
        *(helper.make_node(*args) for args in nodes),
    ]
    last = made[-1].output[0]
    value = [helper.make_tensor_value_info(n, 1, None) for n in ("x", last)]
    graph = helper.make_graph(made, "g", value[:1], value[1:], [numpy_helper.from_array(W, "W")])
    change(graph)
    return helper.make_model(graph).SerializeToString()


def constant(**fields):
    """Change fields of the weight; None clears one, a list is appended to it."""

    def change(graph):
        for name, value in fields.items():
            if isinstance(value, list):
                graph.initializer[0].ClearField(name)
                getattr(graph.initializer[0], name).extend(value)
            else:
                setattr(graph.initializer[0], name, value)

    return change


def external(location):
    def change(graph):
        graph.initializer[0].ClearField("raw_data")
        graph.initializer[0].data_location = 1
        pair = graph.initializer[0].external_data.add()
        pair.key, pair.value = "location", location

    return change


def declared(*shape):
    """Declare the shape of the input."""

    def change(graph):
        for n in shape:
            graph.input[0].type.tensor_type.shape.dim.add().dim_value = n

    return change


def flatten_after_add():
    onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
    return onnx.helper.make_node("Add", ["x", "W"], ["v"], "first")


def picking(width):
    """Few features of many."""

    def change(graph):
        declared(2, width)(graph)
        onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
        index = onnx.numpy_helper.from_array(np.array([0, 1, 2]), "index")
        graph.initializer.append(index)
        graph.node.insert(0, onnx.helper.make_node("Gather", ["x", "index"], ["p"], "pick", axis=1))
        graph.node[1].input[0] = "p"

    return onnx_model(change, W=np.ones((3, 64), "f4"))


def repeated(count):
    def change(graph):
        graph.node.extend([graph.node[1]] * count)

    return change


def nan_at_the_end():
    W = WEIGHT.copy()
    W[-1, -1] = np.nan
    return W


ONNX = {  # content, words of the message
    "onnx: empty": (lambda: b"", "m.onnx"),
    "onnx: no protobuf": (lambda: b"\xff" * LARGE, "m.onnx"),
    "onnx: truncated": (lambda: onnx_model(W=WEIGHT)[:-5000], "m.onnx"),
    "onnx: cyclic": (lambda: onnx_model(lambda g: g.node[0].input.__setitem__(0, "h")), "cyclic"),
    "onnx: takes itself": (
        lambda: onnx_model(lambda g: g.node[1].input.__setitem__(0, "h")),
        "'second' (Tanh)",
    ),
    "onnx: branches": (
        lambda: onnx_model(nodes=[("Exp", ["h"], ["a"]), ("Add", ["a", "h"], ["b"])]),
        "branches",
    ),
    "onnx: unknown operator": (
        lambda: onnx_model(nodes=[("System", ["h"], ["a"], "evil")]),
        "'evil' (System)",
    ),
    "onnx: subgraph": (lambda: onnx_model(nodes=[("If", ["h"], ["a"], "evil")]), "'evil' (If)"),
    "onnx: external data": (lambda: onnx_model(external("weights.bin")), "another file"),
    "onnx: external password": (lambda: onnx_model(external("../../etc/passwd")), "in the folder"),
    "onnx: wide input": (
        lambda: onnx_model(declared(3, 2**40), nodes=[("Flatten", ["h"], ["f"])]),
        "'first' (Gemm)",
    ),
    "onnx: picks of a wide input": (lambda: picking(2**40), "numbers"),
    "onnx: zeros for a wide input": (lambda: picking(2**18), "numbers"),
    "onnx: spreads a constant": (
        lambda: onnx_model(
            lambda g: [declared(1, 2**20, 2**20)(g), g.node[0].CopyFrom(flatten_after_add())],
            W=WEIGHT[:1],
        ),
        "numbers",
    ),
    "onnx: repeats a constant": (
        lambda: onnx_model(
            W=WEIGHT, nodes=[("Gather", ["W", "many"], ["big"]), ("MatMul", ["h", "big"], ["b"])]
        ),
        "m.onnx",
    ),
    "onnx: shape lies": (lambda: onnx_model(constant(dims=[2**40, 5])), "'W' of shape"),
    "onnx: shape wraps": (lambda: onnx_model(constant(dims=[2**62, 4])), "'W' of shape"),
    "onnx: negative shape": (lambda: onnx_model(constant(dims=[-1, 5])), "negative"),
    "onnx: many axes": (lambda: onnx_model(constant(dims=[1] * LARGE)), "axes"),
    "onnx: no numbers": (lambda: onnx_model(constant(raw_data=b"")), "holds 0 numbers"),
    "onnx: fewer numbers": (lambda: onnx_model(constant(raw_data=b"123")), "'W' of shape"),
    "onnx: unknown type": (lambda: onnx_model(constant(data_type=99)), "99"),
    "onnx: 8-bit floats": (
        lambda: onnx_model(constant(data_type=17)),
        "8-bit floats (FLOAT8E4M3FN)",
    ),
    "onnx: text": (lambda: onnx_model(constant(data_type=8)), "'W' must hold numbers"),
    "onnx: long integers": (
        lambda: onnx_model(
            constant(data_type=7, raw_data=b"", int64_data=[1] * LARGE, dims=[LARGE])
        ),
        "integers",
    ),
    "onnx: NaN": (lambda: onnx_model(W=np.full((3, 5), np.nan, "f4")), "NaN"),
    "onnx: late NaN": (lambda: onnx_model(W=nan_at_the_end()), "NaN"),
    "onnx: late NaN, listed": (
        lambda: onnx_model(
            constant(raw_data=b"", float_data=nan_at_the_end().ravel().tolist()), W=WEIGHT
        ),
        "NaN",
    ),
    "onnx: late error": (
        lambda: onnx_model(W=WEIGHT, nodes=[("Mish", ["h"], ["a"], "late")]),
        "'late' (Mish)",
    ),
    "onnx: mismatched layers": (
        lambda: onnx_model(
            W=WEIGHT, nodes=[("Add", ["h", "W"], ["a"]), ("MatMul", ["a", "W"], ["b"])]
        ),
        "(Add)",
    ),
    "onnx: two layers": (
        lambda: onnx_model(nodes=[("MatMul", ["h", "W"], ["b"], "last")]),
        "'last' (MatMul)",
    ),
    "onnx: no inputs": (lambda: onnx_model(nodes=[("Gemm", [], ["a"], "none")]), "none"),
    "onnx: one operand": (lambda: onnx_model(nodes=[("Add", ["h"], ["a"], "one")]), "'one' (Add)"),
    "onnx: same name": (
        lambda: onnx_model(lambda g: g.initializer.extend(list(g.initializer))),
        "twice",
    ),
    "onnx: many nodes": (lambda: onnx_model(repeated(LARGE // 16)), "nodes"),
    "onnx: no graph": (lambda: b"\x08\x07", "m.onnx"),
}
MODELS |= {name: ("m.onnx", *rest) for name, rest in ONNX.items()}


# Tables of the command line, of three columns


def comma(text):
    return lambda: text.encode()


TABLES = {
    "npy: empty": ("t.npy", lambda: b"", "magic"),
    "npy: shape lies": ("t.npy", lambda: npy((2**40, 3), bytes(LARGE)), "too short"),
    "npy: truncated": ("t.npy", lambda: array(np.zeros((999, 3)))[:-1], "too short"),
    "npy: pickled": ("t.npy", lambda: array(np.array([[{}, 1, 2]], object)), "pickled"),
    "npy: header nests": ("t.npy", lambda: npy_header("(" * 500), "header"),
    "npy: long header": ("t.npy", lambda: npy_header(b" " * LARGE, (2, 0)), "header"),
    "npy: text": ("t.npy", lambda: array(np.full((4, 3), "1")), "real numbers"),
    "npy: wrong width": ("t.npy", lambda: array(np.zeros((LARGE // 32, 4))), "(N, 3)"),
    "npz table: bomb": (
        "t.npz",
        lambda: with_entry(array(np.zeros((LARGE, 4))), zipfile.ZIP_DEFLATED),
        "(N, 3)",
    ),
    "npz table: claims": ("t.npz", lambda: lying_table(), "t.npz"),
    "npz table: crowded": ("t.npz", crowded, "directory"),
    "npz table: pickled": (
        "t.npz",
        lambda: with_entry(array(np.array([[{}, 1, 2]], object))),
        "pickled",
    ),
    "npz table: several": ("t.npz", npz, "give one array"),
    "csv: empty": ("t.csv", comma(""), "empty"),
    "csv: bytes": ("t.csv", lambda: b"\xff" * LARGE, "t.csv"),
    "csv: zeros": ("t.csv", lambda: bytes(LARGE), "t.csv"),
    "csv: one line": ("t.csv", comma("1," * (LARGE // 2)), "longer"),
    "csv: one word": ("t.csv", comma("1" * LARGE), "longer"),
    "csv: late line": ("t.csv", comma("1,2,3\n" + "1," * (LARGE // 2)), "longer"),
    "csv: late word": ("t.csv", comma("1,2,3\n" * (LARGE // 6) + "1,2,x\n"), "'x'"),
    "csv: late row": ("t.csv", comma("1,2,3\n" * (LARGE // 6) + "1,2\n"), "columns"),
    "csv: wrong width": ("t.csv", comma("1,2,3,4\n" * (LARGE // 8)), "(N, 3)"),
    "csv: a quote": ("t.csv", comma('1,2,"3\n' + "1,2,3\n" * (LARGE // 6)), "t.csv"),
}


def lying_table():
    """A table of the right width whose archive claims more than it holds."""
    content = bytearray(with_entry(npy((10**7, 3), bytes(10**6)), zipfile.ZIP_DEFLATED))
    place = content.index(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", 128 + 24 * 10**7)
    return bytes(content)


def refused(read, path):
    """The error of read(path), and the most memory it took."""
    tracemalloc.start()
    try:
        with pytest.raises(ERRORS) as caught:
            read(path)
        return caught.value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


CASES = {name: (*case, dn.load) for name, case in MODELS.items()} | {
    name: (*case, lambda path: read_table(path, 3)) for name, case in TABLES.items()
}


@pytest.mark.parametrize("case", CASES)
def test_refused_in_one_line_and_little_memory(tmp_path, case):
    name, make, words, read = CASES[case]
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors", reason="needs the extra deltanet[safetensors]")
    path, content = tmp_path / name, make()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ERRORS):  # what is imported or cached by the first call is not counted
        read(path)
    error, peak = refused(read, path)
    message = str(error)
    assert str(path) in message and words in message
    assert "\n" not in message and len(message) < 1000
    size = len(content or b"")
    assert peak <= 2 * size + REST, f"{peak} bytes for a file of {size}"
    assert sorted(os.listdir(tmp_path)) == [name] * bool(name)


def test_the_memory_of_numpy_is_seen(tmp_path):
    """Else the bound of the test above would bind nothing."""

    def read(path):
        np.ones(3 * LARGE, np.uint8)
        raise ValueError

    assert refused(read, tmp_path)[1] >= 3 * LARGE


# Any byte


def net_of():
    net = dn.MLP(SIZES, activation=("elu", 0.5), seed=0)
    return dn.MLP.from_layers(net.weights, net.biases, net.activations, input_scale=[1, 2, 3])


def valid_onnx(path):
    """Layers, a scaling, an activation in two nodes and a Reshape."""
    from onnx import numpy_helper

    def change(graph):
        for name, value in (
            ("V", np.ones((5, 4), "f4")),
            ("s", np.array([-1, 4])),
            ("c", np.ones(4, "f4")),
        ):
            graph.initializer.append(numpy_helper.from_array(value, name))

    layer, silu = (
        ("MatMul", ["h", "V"], ["a"]),
        [("Sigmoid", ["a"], ["b"]), ("Mul", ["a", "b"], ["d"])],
    )
    end = ("Reshape", ["d", "s"], ["e"]), ("Div", ["e", "c"], ["f"])
    path.write_bytes(onnx_model(change, nodes=[layer, *silu, *end]))


VALID = {  # file name -> what writes it
    "net.npz": lambda path: dn.save(net_of(), path),
    "state.npz": lambda path: np.savez_compressed(
        path, **{"0.weight": np.ones((5, 3)), "0.bias": np.ones(5)}
    ),
    "net.safetensors": lambda path: dn.save(net_of(), path),
    "net.onnx": valid_onnx,
    "table.npy": lambda path: np.save(path, np.ones((4, 3))),
    "table.npz": lambda path: np.savez_compressed(path, X=np.ones((4, 3))),
    "table.csv": lambda path: path.write_text("a,b,c\n" + "1,2.5,-3e4\n" * 4),
}
EXAMPLES = 250
EDITS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255), st.integers(0, 2)),
    min_size=1,
    max_size=4,
)


def edited(content, edits, length):
    content = bytearray(content)
    for place, byte, kind in edits:
        at = int(place * len(content))
        if kind == 0:
            content[at : at + 1] = bytes([byte])
        elif kind == 1:
            content[at:at] = bytes([byte] * 3)
        else:
            del content[at : at + 1 + byte // 8]
    return bytes(content[: int(length * len(content))])


@pytest.mark.parametrize("name", VALID)
def test_any_change_is_refused_or_valid(tmp_path, name):
    if name.endswith((".safetensors", ".onnx")):
        pytest.importorskip(name.partition(".")[2], reason="needs the extra of this format")
    path = tmp_path / name
    VALID[name](path)
    content = path.read_bytes()

    def read():
        if name.startswith("table"):
            assert read_table(path, 3).shape[1:] == (3,)
        else:
            net = dn.load(path, activation="tanh" if name.startswith("state") else None)
            assert np.isfinite(net.params).all()
            assert net(np.zeros((2, net.sizes[0]))).shape == (2, net.sizes[-1])

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS, st.sampled_from([1, 1, 1, 0.9, 0.5]))
    def check(edits, length):
        path.write_bytes(edited(content, edits, length))
        try:
            read()
        except ERRORS as error:
            assert str(path) in str(error) and "\n" not in str(error)

    read()
    check()
