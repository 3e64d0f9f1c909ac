"""The file of a Jacobian: one clear error for what is broken, and nothing lost when writing fails."""

import io
import json
import zipfile

import numpy as np
import pytest

import deltanet as dn

N, SIZES = 4, (3, 5, 2)


def saved(folder, **change):
    """The header and the arrays of a saved Jacobian."""
    path = folder / "J.npz"
    dn.MLP(SIZES, seed=0).jacobian(np.ones((N, 3))).save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("deltanet").item()), arrays


def written(folder, header, arrays):
    path = folder / "changed.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in {"deltanet": np.array(json.dumps(header)), **arrays}.items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{name}.npy", file.getvalue())
    return path


def test_what_is_written(tmp_path):
    header, arrays = saved(tmp_path)
    assert header == {
        "holds": "Jacobian",
        "format_version": 1,
        "dtype": "float64",
        "sizes": [3, 5, 2],
        "biases": [True, True],
        "layers": [[0, True, True], [1, True, True]],
        "rows": [4, 2],
    }
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {
        "outputs": (4, 2),
        "inputs.0": (4, 3),
        "deltas.0": (4, 2, 5),
        "inputs.1": (4, 5),
        "deltas.1": (4, 2, 2),
        "first_weight": (5, 3),
    }
    J = dn.Jacobian.load(written(tmp_path, header, arrays))
    assert J.shape == (4, 2, 32)
    swapped = {name: array.astype(array.dtype.newbyteorder()) for name, array in arrays.items()}
    other = dn.Jacobian.load(written(tmp_path, header, swapped))
    np.testing.assert_array_equal(other.to_dense(), J.to_dense())


HUGE = 2**31 - 1
HEADERS = {  # what changes in the header, words of the message
    "holds": ({"holds": "a cat"}, "must hold a Jacobian"),
    "version": ({"format_version": 2}, "format_version must be 1; got 2"),
    "no version": ({"format_version": None}, "format_version must be 1; got None"),
    "dtype": ({"dtype": "float16"}, "dtype must be float64 or float32; got 'float16'"),
    "object": ({"dtype": "O"}, "dtype must be float64 or float32"),
    "other dtype": ({"dtype": "float32"}, "outputs must have shape .* and dtype float32; got"),
    "sizes": ({"sizes": [3, 4, 2]}, r"must have shape \(4, 3\)"),
    "negative": ({"sizes": [3, -5, 2]}, "'sizes' must be a list of counts"),
    "fractions": ({"sizes": [3, 5.0, 2]}, "'sizes' must be a list of counts"),
    "true": ({"sizes": [3, True, 2]}, "'sizes' must be a list of counts"),
    "one size": ({"sizes": [3]}, "'sizes' must be a list of counts, at least 2"),
    "no sizes": ({"sizes": None}, "'sizes' must be a list"),
    "zero": ({"sizes": [3, 0, 2]}, "'sizes' must be positive at layer 0"),
    "huge": ({"sizes": [HUGE, HUGE, HUGE]}, "at most .* parameters"),
    "wide": ({"sizes": [HUGE, 5, 2]}, "must have shape"),
    "larger": ({"sizes": [2**31, 5, 2]}, "'sizes' must be a list of counts"),
    "more layers": ({"sizes": [3, 5, 2, 7]}, "'biases' must be"),
    "biases": ({"biases": [True]}, "'biases' must be"),
    "numbers as biases": ({"biases": [1, 1]}, "'biases' must be"),
    "no bias": ({"biases": [True, False]}, "'layers' must name layers and biases that there are"),
    "rows": ({"rows": [4, 3]}, r"outputs must have shape \(4, 3\)"),
    "three rows": ({"rows": [4, 2, 2]}, r"'rows' must be \[N, m\]"),
    "no rows": ({"rows": []}, "'rows' must be a list of counts"),
    "zero rows": ({"rows": [4, 0]}, r"'rows' must be \[N, m\] or \[m\], m > 0"),
    "layers": ({"layers": [[0, True, True]]}, "unknown array 'inputs.1'"),
    "no layers": ({"layers": None}, "'layers' must be a list"),
    "text": ({"layers": "01"}, "'layers' must be a list"),
    "order": ({"layers": [[1, True, True], [0, True, True]]}, "'layers' must name layers"),
    "twice": ({"layers": [[0, True, True], [0, True, True]]}, "'layers' must name layers"),
    "beyond": ({"layers": [[0, True, True], [2, True, True]]}, "'layers' must name layers"),
    "nothing kept": ({"layers": [[0, False, False]]}, "'layers' must name layers"),
    "a list too short": (
        {"layers": [[0, True]]},
        r"'layers' must be a list of \[layer, bool, bool\]",
    ),
    "long": ({"layers": [[0, "x" * 500, True]]}, "'layers' must be a list"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_do_not_fit(name, tmp_path):
    change, words = HEADERS[name]
    header, arrays = saved(tmp_path)
    refused(written(tmp_path, header | change, arrays), words)


ARRAYS = {
    "missing": ({"deltas.1": None}, "deltas.1 is missing"),
    "unknown": ({"deltas.2": np.ones(3)}, "unknown array 'deltas.2'"),
    "shape": ({"inputs.1": np.ones((4, 6))}, r"inputs.1 must have shape \(4, 5\)"),
    "transposed": ({"first_weight": np.ones((3, 5))}, r"first_weight must have shape \(5, 3\)"),
    "complex": ({"outputs": np.ones((4, 2), complex)}, "dtype float64; got .* complex128"),
    "text": ({"outputs": np.full((4, 2), "1.0")}, "outputs must have shape .*dtype float64"),
    "one float32": ({"outputs": np.ones((4, 2), "f4")}, "dtype float64; got .* float32"),
    "scale 0": ({"input_scale": np.array([1.0, 0, 1])}, "input_scale must be finite and not zero"),
    "scale": ({"input_scale": np.ones(4)}, r"input_scale must have shape \(3,\)"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit(name, tmp_path):
    change, words = ARRAYS[name]
    header, arrays = saved(tmp_path)
    kept = {name: array for name, array in (arrays | change).items() if array is not None}
    refused(written(tmp_path, header, kept), words)


def test_counts_that_no_array_backs(tmp_path):
    """Of no sample, or of a layer that is dropped, a width costs no byte of the file, nor of memory."""
    header, arrays = saved(tmp_path)
    empty = {name: array[:0] for name, array in arrays.items() if name != "first_weight"}
    wide = {
        **empty,
        "inputs.0": np.empty((0, HUGE)),
        "deltas.0": np.empty((0, 2, HUGE)),
        "inputs.1": np.empty((0, HUGE)),
    }
    header |= {"sizes": [HUGE, HUGE, 2], "rows": [0, 2]}
    refused(written(tmp_path, header, wide), "at most .* parameters")
    last = {
        name: array for name, array in arrays.items() if name in ("outputs", "inputs.1", "deltas.1")
    }
    header |= {"sizes": [HUGE, 5, 2], "rows": [4, 2], "layers": [[1, True, True]]}
    J = dn.Jacobian.load(written(tmp_path, header, last))
    assert J.shape == (4, 2, 12) and J.ggn().shape == (12, 12)


def refused(path, words):
    with pytest.raises(ValueError, match=words) as found:
        dn.Jacobian.load(path)
    assert str(found.value).startswith(str(path)) and "\n" not in str(found.value)
    assert len(str(found.value)) < len(str(path)) + 300


def test_other_files(tmp_path):
    net, path = dn.MLP(SIZES, seed=0), tmp_path / "net.npz"
    dn.save(net, path)
    refused(path, "it must hold a Jacobian")
    np.savez(path, a=np.ones(3))
    refused(path, "it must hold a Jacobian")
    path.write_bytes(b"no archive")
    refused(path, "zip")
    net.jacobian(np.ones(3)).save(path)
    with pytest.raises(ValueError, match=r"it holds a Jacobian: use dn.Jacobian.load"):
        dn.load(path)
    with pytest.raises(FileNotFoundError):
        dn.Jacobian.load(tmp_path / "none.npz")
    for call in (net.jacobian(np.ones(3)).save, dn.Jacobian.load):
        with pytest.raises(ValueError, match=r"J\.npy must end in \.npz"):
            call(tmp_path / "J.npy")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path, J = tmp_path / "J.npz", dn.MLP(SIZES, seed=0).jacobian(np.ones((N, 3)))
    J.save(path)
    before = path.read_bytes()

    def fail(*args, **named):
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="disk full"):
        J[:2].save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["J.npz"]


def test_any_byte_that_changes(tmp_path):
    """Loads, or is refused: no other exception."""
    path = tmp_path / "J.npz"
    dn.MLP((1, 1), seed=0).jacobian(np.ones((1, 1))).save(path)
    content, random = path.read_bytes(), np.random.default_rng(0)
    refusals = 0
    for at in random.permutation(len(content))[:600]:
        changed = bytearray(content)
        changed[at] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        try:
            dn.Jacobian.load(path)
        except (ValueError, OSError):
            refusals += 1
    assert refusals > 100
