"""Names and units: what is set comes back from the net, its copies, pickles and files."""

import copy
import pickle

import numpy as np
import pytest

import deltanet as dn

FORMATS = pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
SET = {
    "input_names": ["angle", "speed", "Höhe \N{DEGREE SIGN}"],
    "output_names": ['the "torque", [or] {so}\\', ""],
    "input_units": ["rad", "rad/s", "m"],
    "output_units": ["N m", "1"],
}


def named(names=tuple(SET)):
    net = dn.MLP([3, 4, 2], seed=0)
    for name in names:
        setattr(net, name, SET[name])
    return net


def of(net):
    """The labels that are set."""
    return {name: getattr(net, name) for name in SET if getattr(net, name) is not None}


@pytest.mark.parametrize("name", SET)
def test_each_is_set_by_itself(name):
    net = named([name])
    assert of(net) == {name: SET[name]}
    for form in (tuple, np.array, dict.fromkeys, iter):
        setattr(net, name, form(SET[name]))
        assert getattr(net, name) == SET[name]
        assert all(type(label) is str for label in getattr(net, name))
    setattr(net, name, None)
    assert of(net) == {}


WRONG = {  # value, error, words
    "one str": ("abc", TypeError, "must be None or a list of str; got 'abc'"),
    "a number": (3, TypeError, "must be None or a list of str; got 3"),
    "numbers": (["a", 1, "c"], TypeError, "must be None or a list of str; got 1 in it"),
    "bytes": (b"abc", TypeError, "must .*; got 97 in it"),
    "None within": ([None, "a", "b"], TypeError, "must .*; got None in it"),
    "too many": (["a"] * 4, ValueError, "must have one entry for each of [32] (in|out)puts; got 4"),
    "two lines": (["a\nb", "", ""], ValueError, r"must be single lines; got 'a\\nb'"),
    "none": ([], ValueError, "must have one entry .*; got 0"),
}


@pytest.mark.parametrize("name", SET)
@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused_changes_nothing(case, name):
    value, error, words = WRONG[case]
    net = named()
    with pytest.raises(error, match=f"^{name} {words}"):
        setattr(net, name, value)
    assert of(net) == SET


def test_a_list_that_was_read_is_a_new_one():
    net = named()
    net.input_names.append("more")
    assert of(net) == SET


@pytest.mark.parametrize(
    "names", [(), ("input_names",), ("output_units", "input_units"), tuple(SET)]
)
def test_copies_keep_them(names):
    net = named(names)
    pickled = pickle.loads(pickle.dumps(net))
    for other in (net.copy(), net.astype("float32"), pickled, copy.copy(net), copy.deepcopy(net)):
        assert of(other) == {name: SET[name] for name in names}
        other.input_names = ["x", "y", "z"]
        assert of(net) == {name: SET[name] for name in names}, "a copy shares nothing"


def test_they_are_no_part_of_a_comparison():
    assert named() == dn.MLP([3, 4, 2], seed=0)


@FORMATS
@pytest.mark.parametrize(
    "names", [(), ("input_names",), ("output_units", "input_units"), tuple(SET)]
)
def test_files_keep_them(tmp_path, suffix, names):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    dn.save(named(names), tmp_path / f"net{suffix}")
    assert of(dn.load(tmp_path / f"net{suffix}")) == {name: SET[name] for name in names}
    assert of(dn.load(tmp_path / f"net{suffix}", dtype="float32")) == of(named(names))


@FORMATS
def test_long_ones(tmp_path, suffix):
    """Those of an image and of a genome are kept."""
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    genome, image = dn.MLP([20_000, 1], seed=0), dn.MLP([784, 1], seed=0)
    genome.input_names = [f"ENSG{k:011}" for k in range(20_000)]
    image.input_names = [
        f"intensity of the pixel in row {k // 28} and column {k % 28}" for k in range(784)
    ]
    path = tmp_path / f"net{suffix}"
    for net in (genome, image):
        dn.save(net, path)
        assert dn.load(path).input_names == net.input_names
