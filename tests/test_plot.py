"""Pictures and notebook tables: what is drawn and labelled, against the numbers themselves."""

import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

import deltanet as dn
from deltanet import _plots

X = np.random.default_rng(0).standard_normal((30, 3))


def named(sizes=(3, 5, 2), **options):
    net = dn.MLP(list(sizes), seed=0, **options)
    net.output_names = [f"angle {o}" for o in range(sizes[-1])]
    net.output_units = ["rad"] * sizes[-1]
    return net


def fitted(net, **options):
    """(Fit, Y)"""
    Y = np.stack([np.sin((o + 1) * X[:, 0]) * 10**o for o in range(net.sizes[-1])], axis=1)
    return dn.fit(net, X, Y, max_iter=12, **options), Y


@pytest.fixture
def drawing():
    return pytest.importorskip("matplotlib", reason="pictures need the extra 'plot'")


def texts(labels):
    return [label.get_text() for label in labels]


def draw(ax, tmp_path):
    """The picture as a file: what cannot be drawn fails here."""
    ax.figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 3000


# Pictures of a Jacobian


@pytest.mark.parametrize(
    "wrt, blocks",
    [
        (None, ["W0\n5 x 3", "b0\n5", "W1\n2 x 5", "b1\n2"]),
        ("weights", ["W0\n5 x 3", "W1\n2 x 5"]),
        ("last", ["W1\n2 x 5", "b1\n2"]),
        ([("biases", 0)], ["b0\n5"]),
    ],
)
@pytest.mark.parametrize("sample", [0, 7, -1])
def test_blocks_of_a_jacobian(drawing, tmp_path, wrt, blocks, sample):
    """The images side by side are the dense rows."""
    J = named().jacobian(X).restrict(wrt)
    ax = J.plot(sample)
    assert texts(ax.get_xticklabels()) == blocks
    assert texts(ax.get_yticklabels()) == ["angle 0 [rad]", "angle 1 [rad]"]
    assert ax.get_xlabel() and ax.get_ylabel() == "output"
    assert f"sample {sample % 30}" in ax.get_title()
    shown = np.concatenate([np.asarray(image.get_array()) for image in ax.images], axis=1)
    np.testing.assert_array_equal(shown, J[sample].to_dense())
    ends = [image.get_extent()[:2] for image in ax.images]
    assert ends[0][0] == 0 and ax.get_xlim() == (0, ends[-1][1])
    assert all(a[1] == b[0] for a, b in pairwise(ends))
    assert len({(image.norm.vmin, image.norm.vmax) for image in ax.images}) == 1
    draw(ax, tmp_path)


def test_a_wide_block_shows_its_largest_entries(drawing, tmp_path):
    net = dn.MLP([784, 50, 3], seed=0)
    J = net.jacobian(np.random.default_rng(0).standard_normal(784))
    ax = J.plot()
    image, dense = np.asarray(ax.images[0].get_array()), J.weight(0).reshape(3, -1)
    assert image.shape == (3, _plots.STRIPS)
    for row, entries in zip(image, dense, strict=True):
        strips = np.array_split(entries, _plots.STRIPS)
        np.testing.assert_array_equal(abs(row), [abs(strip).max() for strip in strips])
        assert set(row) <= set(entries)
    draw(ax, tmp_path)


@pytest.mark.parametrize(
    "J",
    [
        dn.MLP([3, 4, 2], seed=0).jacobian(X[0]),
        dn.MLP([3, 4, 2], seed=0).jacobian(np.full(3, np.nan)),
        dn.MLP([3, 4, 2], "relu", seed=0).jacobian(np.zeros(3)),
        dn.MLP([3, 4, 2], "relu", seed=0, dtype="float32").jacobian([np.inf, 0, 0]),
        dn.MLP([3, *[4] * 30, 40], seed=0).jacobian(X),
        dn.MLP([1, 1], bias=False, seed=0).jacobian([[2.0]]),
        dn.MLP([3, 4, 2], seed=0).jacobian(X).weighted(np.ones((30, 5, 2))),
        dn.MLP([3, 4, 2], bias=False, seed=0).jacobian(X).restrict("biases"),
        dn.Jacobian.from_factors([None, np.ones((3, 2, 2))], [None, np.ones((3, 5))]),
    ],
    ids=lambda J: str(J.shape),
)
def test_any_jacobian_can_be_drawn(drawing, tmp_path, J):
    ax = J.plot()
    assert len(ax.images) == sum(W + b for _, W, b in J._kept.layers)
    assert ax.get_ylabel() == ("row" if J.shape[-2] == 5 else "output")
    draw(ax, tmp_path)


def test_labels_follow_the_rows():
    """Names as they were when J was made; rows that R has combined have none."""
    net = named()
    J = net.jacobian(X)
    one = net.jacobian(X[0])
    net.output_names = None
    for each in (J, one, J[2], J[3:5], J.restrict("last"), pickle.loads(pickle.dumps(J))):
        assert _plots.joined(*map(each._labels.get, ("output_names", "output_units"))) == [
            "angle 0 [rad]",
            "angle 1 [rad]",
        ]
    assert not J.weighted(np.ones((30, 2)))._labels
    assert not dn.MLP([3, 2], seed=0).jacobian(X)._labels


def test_given_axes_and_wrong_samples(drawing):
    from matplotlib.figure import Figure

    J = named().jacobian(X)
    ax = Figure().subplots()
    assert J.plot(3, ax=ax) is ax
    for sample in (30, -31):
        with pytest.raises(IndexError, match=f"between -30 and 29; got {sample}"):
            J.plot(sample)
    with pytest.raises(TypeError, match=r"sample must be an integer; got 1\.5"):
        J.plot(1.5)
    with pytest.raises(IndexError, match="between -1 and 0; got 1"):
        J[0].plot(1)
    with pytest.raises(IndexError, match="there is no sample"):
        J[:0].plot()


# Pictures of a fit


@pytest.mark.parametrize("validation", [None, 0.3])
def test_the_course_of_a_fit(drawing, tmp_path, validation):
    fit, _ = fitted(named((3, 6, 1)), validation=validation)
    loss, damping, residuals = fit.plot()
    for ax in (loss, damping, residuals):
        assert ax.get_xlabel() and ax.get_ylabel() and ax.get_title()
    lines = {line.get_label(): line.get_ydata() for ax in (loss, damping) for line in ax.lines}
    np.testing.assert_array_equal(lines["loss"], [fit.start, *fit.history["loss"]])
    np.testing.assert_array_equal(lines["damping"], fit.history["damping"])
    np.testing.assert_array_equal(lines["gradient"], fit.history["gradient"])
    np.testing.assert_array_equal(lines["refused"], fit.history["loss"][~fit.history["accepted"]])
    assert ("validation loss" in lines) == (validation is not None)
    assert loss.get_yscale() == damping.get_yscale() == "log" and fit.reason in loss.get_title()
    draw(loss, tmp_path)


def test_residuals_of_one_output(drawing):
    fit, Y = fitted(named((3, 6, 1)))
    ax = fit.plot()[2]
    x, y = ax.lines[-1].get_data()
    np.testing.assert_allclose(x[:, 0] if x.ndim > 1 else x, fit.net(X)[:, 0], rtol=1e-12)
    np.testing.assert_allclose(np.ravel(y), (fit.net(X) - Y)[:, 0], rtol=1e-9, atol=1e-12)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("fitted angle 0 [rad]", "residual [rad]")


def test_residuals_of_several_outputs(drawing):
    """Of scales that differ by ten, each in units of its own, which the legend tells."""
    fit, Y = fitted(named((3, 6, 3)))
    ax = fit.plot()[2]
    r = fit.net(X) - Y
    sizes = np.sqrt((r**2).mean(axis=0))
    for o, line in enumerate(ax.lines[1:]):
        np.testing.assert_allclose(line.get_ydata(), r[:, o] / sizes[o], rtol=1e-9)
    legend = texts(ax.get_legend().get_texts())
    assert legend == [f"angle {o} [rad]: {sizes[o]:.2g}" for o in range(3)]


def test_a_fit_keeps_few_points(monkeypatch):
    """Of many samples some at random, and never X."""
    monkeypatch.setattr(_plots, "POINTS", 10)
    fit, Y = fitted(named())
    y, r = fit._points
    assert y.shape == r.shape == (10, 2)
    every = fit.net(X)
    rows = [int(np.flatnonzero(np.isclose(every[:, 0], each, rtol=1e-12))[0]) for each in y[:, 0]]
    assert len(set(rows)) == 10 and len(set(np.diff(rows))) > 1
    np.testing.assert_allclose(r, every[rows] - Y[rows], rtol=1e-9, atol=1e-12)
    held = sum(a.nbytes for a in fit._points) + sum(a.nbytes for a in fit.history.values())
    assert len(pickle.dumps(fit)) < held + 5000


@pytest.mark.parametrize("limit, kept", [(20_000, 24), (20, 10), (1, 1)])
def test_points_that_count(monkeypatch, limit, kept):
    """Never samples of weight 0; of many outputs fewer samples."""
    monkeypatch.setattr(_plots, "NUMBERS", limit)
    weight = np.arange(30.0) % 5
    fit, Y = fitted(named(), sample_weight=weight)
    y, r = fit._points
    possible = np.hstack([fit.net(X), fit.net(X) - Y])[weight > 0]
    rows = [
        np.isclose(possible, each, rtol=1e-9, atol=1e-12).all(axis=1) for each in np.hstack([y, r])
    ]
    assert len(rows) == kept and np.all(np.sum(rows, axis=1) == 1)
    assert np.max(np.sum(rows, axis=0)) == 1


def test_fits_of_no_step_and_of_no_residual(drawing, tmp_path):
    net = dn.MLP([3, 4, 2], seed=0)
    for fit in (dn.fit(net, X, net(X)), dn.fit(net, X, net(X) + 1, max_iter=0)):
        draw(fit.plot()[0], tmp_path)


def test_axes_of_a_fit(drawing):
    from matplotlib.figure import Figure

    fit, _ = fitted(named())
    three = Figure().subplots(3, 1)
    assert list(fit.plot(three)) == list(three)
    with pytest.raises(ValueError, match=r"axes must be three, for loss.*; got 2"):
        fit.plot(three[:2])


# Both


def test_no_global_state_is_touched(drawing):
    """No pyplot, no backend, no setting."""
    code = """
import sys, numpy as np, deltanet as dn, matplotlib
settings = lambda: dict(dict.items(matplotlib.rcParams))  # read as it is: this chooses no backend
before, X = settings(), np.ones((4, 3))
net = dn.MLP([3, 4, 2], seed=0)
net.jacobian(X).plot(0), dn.fit(net, X, np.arange(8.0).reshape(4, 2), max_iter=2).plot()
assert settings() == before
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr


# Tables for notebooks


class Cells(HTMLParser):
    """The rows of all tables, and the text outside of them; fails where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.lines = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert not attributes
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)
        else:
            self.lines.append(data)


def test_table_of_a_net():
    net = dn.MLP.from_layers(
        [np.ones((5, 3)), np.ones((2, 5))],
        [None, [0, 0]],
        [("hardtanh", -0.5, 2), "identity"],
        output_scale=2.0,
    )
    page = Cells(net._repr_html_())
    assert page.rows == [
        ["layer", "inputs", "outputs", "activation", "bias", "parameters"],
        ["0", "3", "5", "hardtanh(-0.5, 2)", "no", "15"],
        ["1", "5", "2", "identity", "yes", "12"],
    ]
    assert page.lines == [
        "MLP",
        "27 parameters, float64, 216 bytes",
        "dense Jacobian: 2 x 27 a sample, 432 bytes",
        "scalings: output",
    ]


def test_names_are_escaped_and_few():
    net = dn.MLP([20, 4, 1], seed=0)
    net.input_names = ["<script>alert(1)</script>", *(f"x{i}" for i in range(19))]
    net.output_names, net.output_units = ["a & b"], ["<b>\"'"]
    text = net._repr_html_()
    assert "<script" not in text and "<b>" not in text and "a &amp; b" in text
    lines = " ".join(Cells(text).lines)
    assert (
        "inputs: <script>alert(1)</script>, x0" in lines and "(20)" in lines and "x12" not in lines
    )
    net.input_names = ["x" * 10_000] * 20
    assert len(net._repr_html_()) < 3000


def test_a_deep_net_has_a_small_table():
    net = dn.MLP([3, *[2] * 500, 1], seed=0)
    for each in (net, net.jacobian(X)):
        text = each._repr_html_()
        assert len(text) < 3000
        assert [row[0] for row in Cells(text).rows[1:]] == [
            *map(str, range(6)), "\N{VERTICAL ELLIPSIS}", *map(str, range(495, 501))
        ]  # fmt: skip


@pytest.mark.parametrize("single", [False, True])
def test_table_of_a_jacobian(single):
    J = named().jacobian(X[0] if single else X).restrict([0, ("weights", 1)])
    page = Cells(J._repr_html_())
    N = "" if single else "30 x "
    assert page.rows == [
        ["layer", "delta", "input", "kept", "columns"],
        ["0", f"{N}2 x 5", f"{N}3", "W and b", "20"],
        ["1", f"{N}2 x 2", f"{N}5", "W", "10"],
    ]
    assert sum(int(row[-1]) for row in page.rows[1:]) == J.shape[-1]
    assert re.search(r"2 outputs x 30 parameters, float64", page.lines[1])
    assert "in factors" in page.lines[2] and "dense" in page.lines[2]
    assert page.lines[1].startswith("2 outputs" if single else "30 samples x ")


def test_table_of_a_fit():
    fit, _ = fitted(named())
    page = Cells(fit._repr_html_())
    facts = dict(page.rows[:4])
    assert facts["loss"] == f"{fit.start:.6g} to {fit.loss:.6g}"
    assert facts["stopped by"].startswith(fit.reason)
    assert facts["steps"].startswith(str(len(fit.history["loss"])))
    assert page.lines[0] == "Fit" and "MLP" in page.lines
    assert dict(page.rows[4:6])["explained"] == f"{fit.explained:.6g} of the variance of Y"
    assert page.rows[5] == ["scaled", " and ".join(fit.scaled)] and fit.scaled
    none = dn.fit(fit.net, X, fit.net(X) + 1, max_iter=0)
    assert dict(Cells(none._repr_html_()).rows[:4])["steps"] == "0, of which 0 accepted"
