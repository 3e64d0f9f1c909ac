"""Every verb, from X and from factors, of random nets, against dense algebra in NumPy.

One number reproduces one net: `pytest "tests/test_every_verb.py::test_random_net[17]"`, or for any number
`python tests/test_every_verb.py 17`.
"""

import os
import sys
import time
from itertools import pairwise

import dense_oracle as plain
import numpy as np
import pytest
import second_oracle as second
from dense_oracle import AtKink, PlainNet, absolute, assert_close
from oracle import Case

import deltanet as dn

TOLERANCE = {
    "float64": 1e-11,
    "float32": 3e-4,
}  # in its tail, f may make 100 units of rounding of 1
N_SAMPLES = ("single", 0, 1, 2, 3, 5, 8, 33, 150, 400)
HIDDEN = plain.SPECS
OUTPUTS = [*HIDDEN, "identity", "identity", *plain.COUPLED * 3]
ROWS = 60_000  # numbers of the dense Jacobian; one net in ten may have ten times as many
SECOND = 1_000_000  # numbers of the oracle's mixed second derivatives, in its widest layer
MATRIX = 100_000  # numbers of a P x P or (N m) x (N m) matrix


class Draw:
    """A net, its samples, a wrt, an H and an argument for each verb; all of them follow from the seed."""

    def __init__(self, seed):
        self.random = random = np.random.default_rng(seed)
        self.dtype = str(random.choice(["float64", "float32"]))
        N = N_SAMPLES[random.integers(len(N_SAMPLES))]
        self.single, self.N = N == "single", 1 if N == "single" else int(N)
        sizes = self.draw_sizes(ROWS * random.choice([1, 10], p=[0.9, 0.1]))
        self.plain = PlainNet.random(
            random,
            sizes,
            [*self.draw_from(HIDDEN, len(sizes) - 2), *self.draw_from(OUTPUTS, 1)],
            random.random(len(sizes) - 1) < random.choice([0, 0.5, 1], p=[0.15, 0.35, 0.5]),
            random.random() < 0.4,
            self.dtype,
        )
        self.wrt, self.threads = self.draw_wrt(), (None, 1, 2, 3)[random.integers(4)]
        self.net = dn.MLP.from_layers(
            self.plain.weights,
            self.plain.biases,
            self.plain.activations,
            *self.plain.scalings,
            dtype=self.dtype,
        )
        self.X = self.plain.samples(random, self.N, self.dtype)
        self.y, self.all_rows, self.dx, self.inputs, self.deltas = self.plain.differentiate(self.X)
        kept = self.plain.keep(self.wrt)
        self.D, self.P, self.m = self.all_rows[..., kept], int(kept.sum()), sizes[-1]
        self.other_is_single = random.random() < 0.2
        self.X2 = self.plain.samples(random, 1 if self.other_is_single else 3, self.dtype)
        self.D2 = self.plain.differentiate(self.X2)[1][..., kept]
        self.H, self.full_H = self.draw_H()

    def draw_sizes(self, numbers):
        random = self.random
        while True:
            widest = random.choice([3, 10, 40, 130], p=[0.2, 0.35, 0.35, 0.1])
            sizes = [int(n) for n in random.integers(1, widest + 1, random.integers(2, 7))]
            sizes[-1] = min(sizes[-1], int(random.choice([1, 3, 10, 40])))
            P = sum((a + 1) * b for a, b in pairwise(sizes))
            if max(self.N, 3) * sizes[-1] * P <= numbers:
                return sizes

    def draw_from(self, names, count):
        return [names[i] for i in self.random.integers(len(names), size=count)]

    def draw_wrt(self):
        random, layers = self.random, len(self.plain.weights)
        form = random.choice(
            ["none", "last", "weights", "biases", "layers", "pairs", "mixed", "mask", "empty"],
            p=[0.24, 0.12, 0.12, 0.12, 0.12, 0.08, 0.08, 0.1, 0.02],
        )

        def some(entries):
            picked = random.permutation(len(entries))[: random.integers(1, len(entries) + 1)]
            return [entries[i] for i in picked]

        either = [k - layers * int(random.integers(2)) for k in range(layers)]
        pairs = [("weights", k) for k in either]
        pairs += [("biases", k) for k in either if self.plain.biases[k] is not None]
        if form in ("last", "weights", "biases"):
            return str(form)
        if form == "mask":
            return self.plain.keep(some(pairs))
        return {
            "none": lambda: None,
            "layers": lambda: some(either),
            "pairs": lambda: some(pairs),
            "mixed": lambda: some(either) + some(pairs),
            "empty": lambda: [],
        }[form]()

    def draw(self, *shape):
        return self.random.standard_normal(shape).astype(self.dtype).astype(float)

    def draw_H(self):
        """(H as it is given, H (N, m, m)); of either sign"""
        eye = np.broadcast_to(np.eye(self.m), (self.N, self.m, self.m))
        form = self.random.choice(["none", "samples", "matrices"])
        if form == "none":
            return None, eye
        if form == "samples":
            h = self.draw(self.N)
            return self.given(h), h[:, None, None] * eye
        H = self.draw(self.N, self.m, self.m)
        H = H + H.swapaxes(1, 2)
        return self.given(H), H

    def given(self, array):
        """An array with an axis of samples as a verb takes it."""
        return array[0].astype(self.dtype) if self.single else array.astype(self.dtype)

    def __str__(self):
        return (
            f"{self.net!r}, N = {'single' if self.single else self.N}, wrt = {self.wrt!r}, "
            f"H {None if self.H is None else self.H.shape}, threads = {self.threads}"
        )


class Check:
    """Compares every verb of a draw; `samples` are the axes that a single sample does not have."""

    def __init__(self, draw):
        self.draw = draw
        self.net, self.wrt = draw.net, draw.wrt
        self.X = draw.given(draw.X)
        self.X2 = draw.X2[0] if draw.other_is_single else draw.X2
        self.options = {"wrt": draw.wrt, "threads": draw.threads}
        self.whole = draw.net.jacobian(self.X, threads=draw.threads)
        self.J, self.other = self.whole.restrict(draw.wrt), draw.net.jacobian(self.X2, wrt=draw.wrt)
        self.made = draw.net.jacobian(self.X, wrt=draw.wrt, threads=draw.threads)

    def run(self):
        for part in (
            self.factors,
            self.products,
            self.curvature,
            self.kernels,
            self.covariances,
            self.dropped,
            self.second_derivatives,
        ):
            part()

    def equal(self, name, results, formula, *arrays, samples=(), others=(), symmetric=False):
        """Each result is formula(*arrays). An axis of `others` is lost if X2 is a single sample."""
        exact = formula(*arrays)
        terms = formula(*[absolute(a) for a in arrays])
        lost = (samples if self.draw.single else ()) + (others if self.draw.other_is_single else ())
        exact = exact.squeeze(lost)
        for i, result in enumerate(results):
            try:
                assert isinstance(result, (np.ndarray, np.generic))  # one number: either
                assert result.dtype == self.draw.dtype
                most = terms.max(initial=0)
                assert_close(result, exact, TOLERANCE[self.draw.dtype], most)
                if symmetric:
                    assert_symmetric(result)
            except AssertionError as error:
                raise AssertionError(f"{name}, way {i}: {error}") from None

    def poisoned(self, call, shape):
        """call(out) of a NaN-filled out, which it must return."""
        out = np.full(shape, np.nan, self.draw.dtype)
        assert call(out) is out
        return out

    def factors(self):
        """y, dy/dx, rows, and the factors that they are made of."""
        d, net, X = self.draw, self.net, self.X
        y, dx, J = net.linearize(X)
        lead = () if d.single else (d.N,)
        self.equal(
            "y",
            [
                net(X, threads=d.threads),
                y,
                J.outputs,
                self.made.outputs,
                self.poisoned(lambda out: net(X, out=out), (*lead, d.m)),
            ],
            lambda y: y,
            d.y,
            samples=(0,),
        )
        shape = (*lead, d.m, d.plain.sizes[0])
        self.equal(
            "dy/dx",
            [
                net.input_jacobian(X, threads=d.threads),
                dx,
                J.input_jacobian(),
                self.whole.input_jacobian(),
                self.poisoned(lambda out: net.input_jacobian(X, out=out), shape),
                self.poisoned(lambda out: self.whole.input_jacobian(out=out), shape),
            ],
            lambda dx: dx,
            d.dx,
            samples=(0,),
        )
        for made in (self.J, self.made):
            assert made.shape == (*lead, d.m, d.P)
        self.equal("all rows", [J.to_dense()], lambda D: D, d.all_rows, samples=(0,))
        shape = (*lead, d.m, d.P)
        self.equal(
            "rows",
            [
                net.jacobian_dense(X, **self.options),
                self.J.to_dense(),
                self.made.to_dense(threads=d.threads),
                self.poisoned(lambda out: net.jacobian_dense(X, out=out, **self.options), shape),
                self.poisoned(lambda out: self.J.to_dense(out=out), shape),
            ],
            lambda D: D,
            d.D,
            samples=(0,),
        )
        for k, (h, delta) in enumerate(zip(d.inputs, d.deltas, strict=True)):
            self.equal(f"inputs[{k}]", [self.whole.inputs[k]], lambda h: h, h, samples=(0,))
            self.equal(f"deltas[{k}]", [self.whole.deltas[k]], lambda d: d, delta, samples=(0,))

    def dropped(self):
        """Layers of which nothing is kept are None, and dy/dx needs the first one's delta."""
        kept, layer = self.draw.plain.keep(self.wrt), self.draw.plain.columns()[0]
        for J in (self.J, self.made):
            for k in range(len(self.draw.plain.weights)):
                wanted = kept[layer == k].any()
                assert (J.deltas[k] is not None) == wanted
                assert (J.inputs[k] is not None) == wanted
            if kept[layer == 0].any():
                np.testing.assert_array_equal(J.input_jacobian(), self.whole.input_jacobian())
            else:
                with pytest.raises(ValueError):
                    J.input_jacobian()

    def products(self):
        d, net, X = self.draw, self.net, self.X
        v, V, u, U = d.draw(d.P), d.draw(d.P, 3), d.draw(d.N, d.m), d.draw(d.N, d.m, 3)
        u_given, U_given = d.given(u), d.given(U)
        J, operator, flat = self.J, self.J.as_linear_operator(), u.reshape(-1)
        lead = () if d.single else (d.N,)
        self.equal(
            "J v",
            [
                net.jvp(X, v, **self.options),
                self.poisoned(lambda out: net.jvp(X, v, out=out, **self.options), (*lead, d.m)),
                J @ v,
                J.matvec(v),
                self.made.matvec(v, threads=d.threads),
                operator.matvec(v).reshape(*lead, d.m),
            ],
            plain.matvec,
            d.D,
            v,
            samples=(0,),
        )
        self.equal("J V", [J @ V, self.made.matvec(V)], plain.matvec, d.D, V, samples=(0,))
        self.equal(
            "J^T u",
            [
                net.vjp(X, u_given, **self.options),
                self.poisoned(lambda out: net.vjp(X, u_given, out=out, **self.options), (d.P,)),
                J.T @ u_given,
                J.rmatvec(u_given),
                self.made.rmatvec(u_given, threads=d.threads),
                operator.rmatvec(flat),
            ],
            plain.rmatvec,
            d.D,
            u,
        )
        self.equal("J^T U", [J.T @ U_given, self.made.rmatvec(U_given)], plain.rmatvec, d.D, U)

    def curvature(self):
        d, net, X, J, H = self.draw, self.net, self.X, self.J, self.draw.H
        self.equal(
            "diagonal of J^T H J",
            [
                net.ggn_diagonal(X, H, **self.options),
                self.poisoned(lambda out: net.ggn_diagonal(X, H, out=out, **self.options), (d.P,)),
                J.ggn_diagonal(H),
                self.made.ggn_diagonal(H),
            ],
            plain.ggn_diagonal,
            d.D,
            d.full_H,
        )
        if d.P**2 <= MATRIX:
            R = d.draw(d.N, d.m)
            G, g = net.normal_equations(X, d.given(R), H, **self.options)
            self.equal(
                "J^T H J",
                [
                    G,
                    net.ggn(X, H, **self.options),
                    self.poisoned(lambda out: net.ggn(X, H, out=out, **self.options), (d.P, d.P)),
                    J.ggn(H),
                    self.made.ggn(H),
                ],
                plain.ggn,
                d.D,
                d.full_H,
                symmetric=True,
            )
            self.equal("J^T H R", [g], plain.ggn_vector, d.D, d.full_H, R)
        calls = (
            lambda: net.kfac(X, H, **self.options),
            lambda: J.kfac(H),
            lambda: self.made.kfac(H),
        )
        kept = d.plain.whole_layers(self.wrt)
        if kept is None:  # parts of layers: test_kfac.py
            return
        ways = [list(call()) for call in calls]
        for pairs in ways:
            assert len(pairs) == len(kept)
        for i, k in enumerate(kept):
            A, B = [[pairs[i][side] for pairs in ways] for side in (0, 1)]

            def factor(h, bias=d.plain.biases[k] is not None):
                return plain.input_factor(h, bias)

            self.equal(f"A of layer {k}", A, factor, d.inputs[k], symmetric=True)
            self.equal(f"B of layer {k}", B, plain.ggn, d.deltas[k], d.full_H, symmetric=True)

    def kernels(self):
        d, net, X, J = self.draw, self.net, self.X, self.J
        lead = () if d.single else (d.N,)
        lead2 = () if d.other_is_single else (len(d.X2),)
        self.equal(
            "row norms",
            [
                net.row_norms_squared(X, **self.options),
                self.poisoned(
                    lambda out: net.row_norms_squared(X, out=out, **self.options), (*lead, d.m)
                ),
                J.row_norms_squared(),
                self.made.row_norms_squared(),
            ],
            plain.row_norms_squared,
            d.D,
            samples=(0,),
        )
        self.equal("gram diagonal", [J.gram_diagonal()], plain.gram_diagonal, d.D, samples=(0,))
        shape = (*lead, d.m, *lead2, d.m)
        two = {"samples": (0,), "others": (2,)}
        self.equal(
            "gram of two",
            [
                net.gram(X, self.X2, **self.options),
                self.poisoned(lambda out: net.gram(X, self.X2, out=out, **self.options), shape),
                J.gram(self.other),
                self.poisoned(lambda out: J.gram(self.other, out=out), shape),
            ],
            plain.gram,
            d.D,
            d.D2,
            **two,
        )
        turned = {"samples": (2,), "others": (0,)}
        self.equal("gram, turned", [self.other.gram(J)], plain.gram, d.D2, d.D, **turned)
        rest = {"samples": (1,), "others": (2,)}
        per_output = plain.gram_per_output
        self.equal("per output", [J.gram_per_output(self.other)], per_output, d.D, d.D2, **rest)
        rest = {"samples": (0,), "others": (1,)}
        self.equal("trace", [J.gram_trace(self.other)], plain.gram_trace, d.D, d.D2, **rest)
        if (d.N * d.m) ** 2 > MATRIX:
            return
        shape = (*lead, d.m, *lead, d.m)
        self.equal(
            "gram",
            [
                net.gram(X, **self.options),
                self.poisoned(lambda out: net.gram(X, out=out, **self.options), shape),
                J.gram(),
                self.made.gram(threads=d.threads),
                self.poisoned(lambda out: J.gram(out=out), shape),
            ],
            plain.gram,
            d.D,
            d.D,
            samples=(0, 2),
            symmetric=True,
        )
        self.equal("per output", [J.gram_per_output()], per_output, d.D, d.D, samples=(1, 2))
        self.equal("trace", [J.gram_trace()], plain.gram_trace, d.D, d.D, samples=(0, 1))

    def covariances(self):
        """Of a scalar, a diagonal, a low rank, Kronecker pairs and a dense matrix."""
        d = self.draw
        U = d.draw(d.P, 2 if d.P != 2 else 3)
        forms = {"scalar": np.array(0.3), "diagonal": d.draw(d.P), "low rank": U}
        forms["no column"] = U[:, :0] if d.P else U
        if d.P**2 <= MATRIX:
            Sigma = U @ d.draw(U.shape[1], d.P)
            forms["dense"] = (Sigma + Sigma.T).astype(d.dtype).astype(float)
        kept, parts = d.plain.whole_layers(self.wrt), ()
        if kept:
            layers = [(d.plain.weights[k], d.plain.biases[k] is not None) for k in kept]
            parts = [(*W.shape[::-1], bias) for W, bias in layers]
            pairs = [(d.draw(n_in + b, n_in + b), d.draw(n, n)) for n_in, n, b in parts]
            forms["pairs"] = [(A + A.T, B + B.T) for A, B in pairs]
        for name, Sigma in forms.items():
            self.covariance(name, Sigma, parts)

    def covariance(self, name, Sigma, parts):
        d, net, X, J = self.draw, self.net, self.X, self.J
        given = float(Sigma) if name == "scalar" else Sigma
        lead = () if d.single else (d.N,)
        self.equal(
            f"covariance, {name}",
            [
                net.covariance(X, given, **self.options),
                self.poisoned(
                    lambda out: net.covariance(X, given, out=out, **self.options),
                    (*lead, d.m, d.m),
                ),
                J.covariance(given),
                self.made.covariance(given),
            ],
            lambda D, Sigma: plain.covariance(D, Sigma, parts),
            d.D,
            Sigma,
            samples=(0,),
        )
        if (d.N * d.m) ** 2 <= MATRIX / 10:
            self.equal(
                f"covariance, {name}, full",
                [J.covariance(given, full=True)],
                lambda D, Sigma: plain.full_covariance(D, Sigma, parts),
                d.D,
                Sigma,
                samples=(0, 2),
                symmetric=True,
            )

    def second_derivatives(self):
        d, net, X = self.draw, self.net, self.X
        n_0, lead = d.plain.sizes[0], () if d.single else (d.N,)
        if d.N * max(d.plain.sizes) * (d.P + n_0) * n_0 > SECOND:
            return
        u, v = d.draw(d.N, d.m), d.draw(d.P)
        u_given, kept = d.given(u), d.plain.keep(self.wrt)
        threads = {"threads": d.threads}
        H, terms = (second.input_hessian(d.plain, d.X, size) for size in (np.array, abs))
        H_u, terms_u = second.weighted(u, H), second.weighted(abs(u), terms)
        mixed = net.mixed_hessian(X, u_given, **self.options)
        for name, results, exact, most in (
            (
                "dy/dx dx",
                [
                    net.input_hessian(X, **threads),
                    self.poisoned(
                        lambda out: net.input_hessian(X, out=out), (*lead, d.m, n_0, n_0)
                    ),
                ],
                H,
                terms,
            ),
            (
                "dy/dx dx by u",
                [
                    net.input_hessian(X, u_given, **threads),
                    self.poisoned(
                        lambda out: net.input_hessian(X, u_given, out=out), (*lead, n_0, n_0)
                    ),
                ],
                H_u,
                terms_u,
            ),
            (
                "dy/dtheta dx",
                [mixed.to_dense(), self.poisoned(lambda out: mixed.to_dense(out), mixed.shape)],
                second.mixed_hessian(d.plain, d.X, u, kept),
                second.mixed_hessian(d.plain, d.X, u, kept, abs),
            ),
        ):
            # as if they were plain arrays: the terms are known already
            self.close(name, results, exact[0] if d.single else exact, most)
        self.close(
            "Hessian of theta, times v",
            [
                net.hvp(X, u_given, v, **self.options),
                self.poisoned(lambda out: net.hvp(X, u_given, v, out=out, **self.options), (d.P,)),
            ],
            second.hvp(d.plain, d.X, u, v, kept),
            second.hvp(d.plain, d.X, u, v, kept, abs),
        )

    def close(self, name, results, exact, terms):
        """As `equal`, of numbers that are at hand."""
        for i, result in enumerate(results):
            try:
                assert result.dtype == self.draw.dtype
                assert_close(result, exact, TOLERANCE[self.draw.dtype], terms.max(initial=0))
            except AssertionError as error:
                raise AssertionError(f"{name}, way {i}: {error}") from None


def assert_symmetric(result):
    """To the last bit, of the two halves of its axes."""
    side = int(np.prod(result.shape[: result.ndim // 2]))
    flat = result.reshape(side, side)
    assert (flat == flat.T).all(), "not symmetric"


def check(seed):
    """Whether this net has samples to try."""
    try:
        draw = Draw(seed)
    except AtKink:
        return False
    try:
        Check(draw).run()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {draw}: {error}") from error
    return True


@pytest.mark.parametrize("seed", range(150))
def test_random_net(seed):
    assert check(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 11_000, 250))
def test_ten_thousand_random_nets(first):
    assert sum(check(seed) for seed in range(first, first + 250)) >= 245


@pytest.mark.nightly
def test_random_nets_of_this_run():
    """Other nets each time; DELTANET_SEED repeats a run."""
    first = int(os.environ.get("DELTANET_SEED") or time.time_ns() // 10**6)
    print(f"DELTANET_SEED={first}")
    assert sum(check(seed) for seed in range(first, first + 1000)) >= 990


@pytest.mark.parametrize("biased", [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
@pytest.mark.parametrize("name", [*HIDDEN, *plain.COUPLED], ids=str)
def test_the_oracle_against_a_complex_step(name, scaled, biased):
    """They share no formula: here is a chain of slopes, there a step of one parameter after the other."""
    inner = "tanh" if name in plain.COUPLED else name
    case = Case((3, 5, 4), [inner, name], scaled, biased=biased)
    net = PlainNet(case.weights, case.biases, case.activations, case.scalings)
    X = case.inputs(6)
    y, D, dx, _, _ = net.differentiate(X)
    assert_close(y, case.evaluate(X)[0].real, 1e-14)
    assert_close(D, case.jacobian(X), 1e-13)
    assert_close(dx, case.input_jacobian(X), 1e-13)


if __name__ == "__main__":
    for number in sys.argv[1:]:
        print(Draw(int(number)))
        check(int(number))
