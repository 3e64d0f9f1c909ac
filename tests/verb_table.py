"""The verbs as tables, for tests that do the same with each of them."""

import numpy as np

import deltanet as dn


def without(net, layers):
    """The same net, of which these layers have no bias."""
    biases = [None if k in layers else b for k, b in enumerate(net.biases)]
    scalings = net.input_shift, net.input_scale, net.output_shift, net.output_scale
    return dn.MLP.from_layers(net.weights, biases, net.activations, *scalings, dtype=net.dtype)


class Arguments:
    """What the verbs of a net are given at some samples. An array of the net's dtype each, C-contiguous."""

    def __init__(self, net, X, wrt=None, seed=0):
        random = np.random.default_rng(seed)
        self.X, self.wrt = np.ascontiguousarray(X, net.dtype), wrt
        self.lead, m = self.X.shape[:-1], net.sizes[-1]
        parts = net.jacobian(self.X[..., :1, :] if self.lead else self.X, wrt=wrt)
        P = parts.shape[-1]

        def draw(*shape):
            return random.standard_normal(shape).astype(net.dtype)

        self.X2 = draw(5, net.sizes[0])
        self.v, self.V = draw(P), draw(P, 3)
        self.u, self.U = draw(*self.lead, m), draw(*self.lead, m, 3)
        self.R, self.h, H = draw(*self.lead, m), draw(*self.lead), draw(*self.lead, m, m)
        self.H = H + H.swapaxes(-1, -2)
        self.sigma, self.factor = draw(P), draw(P, 7)
        self.P, self.draw = P, draw
        self.pairs = parts.kfac()
        halves = [[draw(len(C), len(C)) for C in pair] for pair in self.pairs]
        squares = [[half @ half.T for half in pair] for pair in halves]
        self.damped = dn.KFAC(squares).damped(0.5)

    @property
    def Sigma(self):
        if "dense" not in vars(self):
            half = self.draw(self.P, self.P)
            self.dense = half + half.T
        return self.dense

    @Sigma.setter
    def Sigma(self, value):
        self.dense = value


# name -> (net, arguments, options) -> result. All of these take threads=.
SAMPLEWISE = {  # a row of the result for each sample of X
    "call": lambda net, a, **o: net(a.X, **o),
    "jacobian_dense": lambda net, a, **o: net.jacobian_dense(a.X, wrt=a.wrt, **o),
    "input_jacobian": lambda net, a, **o: net.input_jacobian(a.X, **o),
    "jvp": lambda net, a, **o: net.jvp(a.X, a.v, wrt=a.wrt, **o),
    "row_norms_squared": lambda net, a, **o: net.row_norms_squared(a.X, wrt=a.wrt, **o),
    "gram of two": lambda net, a, **o: net.gram(a.X, a.X2, wrt=a.wrt, **o),
    "covariance, scalar": lambda net, a, **o: net.covariance(a.X, 0.3, wrt=a.wrt, **o),
    "covariance, diagonal": lambda net, a, **o: net.covariance(a.X, a.sigma, wrt=a.wrt, **o),
    "covariance, low rank": lambda net, a, **o: net.covariance(a.X, a.factor, wrt=a.wrt, **o),
    "covariance, pairs": lambda net, a, **o: net.covariance(a.X, a.pairs, wrt=a.wrt, **o),
    "covariance, damped": lambda net, a, **o: net.covariance(a.X, a.damped, wrt=a.wrt, **o),
    "covariance, dense": lambda net, a, **o: net.covariance(a.X, a.Sigma, wrt=a.wrt, **o),
    "input_hessian": lambda net, a, **o: net.input_hessian(a.X, **o),
    "input_hessian, u": lambda net, a, **o: net.input_hessian(a.X, a.u, **o),
}
GRAM = {"gram": lambda net, a, **o: net.gram(a.X, wrt=a.wrt, **o)}
SUMS = {
    "vjp": lambda net, a, **o: net.vjp(a.X, a.u, wrt=a.wrt, **o),
    "ggn": lambda net, a, **o: net.ggn(a.X, wrt=a.wrt, **o),
    "ggn, h": lambda net, a, **o: net.ggn(a.X, a.h, wrt=a.wrt, **o),
    "ggn, H": lambda net, a, **o: net.ggn(a.X, a.H, wrt=a.wrt, **o),
    "ggn_diagonal": lambda net, a, **o: net.ggn_diagonal(a.X, wrt=a.wrt, **o),
    "ggn_diagonal, h": lambda net, a, **o: net.ggn_diagonal(a.X, a.h, wrt=a.wrt, **o),
    "ggn_diagonal, H": lambda net, a, **o: net.ggn_diagonal(a.X, a.H, wrt=a.wrt, **o),
    "hvp": lambda net, a, **o: net.hvp(a.X, a.u, a.v, wrt=a.wrt, **o),
}
WITH_OUT = SAMPLEWISE | GRAM | SUMS
SEVERAL = {  # of more than one array, without out=
    "kfac": lambda net, a, **o: net.kfac(a.X, wrt=a.wrt, **o),
    "kfac, h": lambda net, a, **o: net.kfac(a.X, a.h, wrt=a.wrt, **o),
    "kfac, H": lambda net, a, **o: net.kfac(a.X, a.H, wrt=a.wrt, **o),
    "normal_equations": lambda net, a, **o: net.normal_equations(a.X, a.R, wrt=a.wrt, **o),
    "normal_equations, h": lambda net, a, **o: net.normal_equations(a.X, a.R, a.h, wrt=a.wrt, **o),
    "normal_equations, H": lambda net, a, **o: net.normal_equations(a.X, a.R, a.H, wrt=a.wrt, **o),
    "jacobian": lambda net, a, **o: factors(net.jacobian(a.X, wrt=a.wrt, **o)),
    "linearize": lambda net, a, **o: linearized(*net.linearize(a.X, **o)),
    "mixed_hessian": lambda net, a, **o: mixed_factors(net.mixed_hessian(a.X, a.u, wrt=a.wrt, **o)),
}
FUSED = WITH_OUT | SEVERAL

# name -> (J, J of X2, arguments, options) -> result
KEPT = {
    "to_dense": lambda J, J2, a, **o: J.to_dense(**o),
    "input_jacobian": lambda J, J2, a, **o: J.input_jacobian(**o),
    "matvec": lambda J, J2, a, **o: J.matvec(a.v, **o),
    "matvec, columns": lambda J, J2, a, **o: J.matvec(a.V, **o),
    "rmatvec": lambda J, J2, a, **o: J.rmatvec(a.u, **o),
    "rmatvec, columns": lambda J, J2, a, **o: J.rmatvec(a.U, **o),
    "gram": lambda J, J2, a, **o: J.gram(**o),
    "gram of two": lambda J, J2, a, **o: J.gram(J2, **o),
    "gram_diagonal": lambda J, J2, a, **o: J.gram_diagonal(**o),
    "gram_per_output": lambda J, J2, a, **o: J.gram_per_output(**o),
    "gram_per_output of two": lambda J, J2, a, **o: J.gram_per_output(J2, **o),
    "gram_trace": lambda J, J2, a, **o: J.gram_trace(**o),
    "gram_trace of two": lambda J, J2, a, **o: J.gram_trace(J2, **o),
    "row_norms_squared": lambda J, J2, a, **o: J.row_norms_squared(**o),
    "ggn": lambda J, J2, a, **o: J.ggn(**o),
    "ggn, h": lambda J, J2, a, **o: J.ggn(a.h, **o),
    "ggn, H": lambda J, J2, a, **o: J.ggn(a.H, **o),
    "ggn_diagonal": lambda J, J2, a, **o: J.ggn_diagonal(**o),
    "ggn_diagonal, h": lambda J, J2, a, **o: J.ggn_diagonal(a.h, **o),
    "ggn_diagonal, H": lambda J, J2, a, **o: J.ggn_diagonal(a.H, **o),
    "kfac": lambda J, J2, a, **o: J.kfac(**o),
    "kfac, h": lambda J, J2, a, **o: J.kfac(a.h, **o),
    "kfac, H": lambda J, J2, a, **o: J.kfac(a.H, **o),
    "covariance, scalar": lambda J, J2, a, **o: J.covariance(0.3, **o),
    "covariance, diagonal": lambda J, J2, a, **o: J.covariance(a.sigma, **o),
    "covariance, low rank": lambda J, J2, a, **o: J.covariance(a.factor, **o),
    "covariance, pairs": lambda J, J2, a, **o: J.covariance(a.pairs, **o),
    "covariance, damped": lambda J, J2, a, **o: J.covariance(a.damped, **o),
    "covariance, dense": lambda J, J2, a, **o: J.covariance(a.Sigma, **o),
    "full covariance, diagonal": lambda J, J2, a, **o: J.covariance(a.sigma, full=True, **o),
    "full covariance, low rank": lambda J, J2, a, **o: J.covariance(a.factor, full=True, **o),
    "full covariance, pairs": lambda J, J2, a, **o: J.covariance(a.pairs, full=True, **o),
    "full covariance, damped": lambda J, J2, a, **o: J.covariance(a.damped, full=True, **o),
}
EVERY_TWO_INPUTS = (
    "input_hessian",
    "input_hessian, u",
    "mixed_hessian",
)  # n_0 numbers a unit or more
EVERY_TWO_SAMPLES = (  # results of (N m)^2 numbers
    "gram",
    "gram_per_output",
    "gram_trace",
    "full covariance, diagonal",
    "full covariance, low rank",
    "full covariance, pairs",
    "full covariance, damped",
)
EVERY_TWO_PARAMETERS = tuple(  # results or arguments of P^2 numbers
    name
    for name in FUSED | KEPT
    if name.startswith(("ggn,", "normal_equations")) or name in ("ggn", "covariance, dense")
)


def factors(J):
    """The arrays that a Jacobian holds."""
    return [J.outputs, *(a for a in (*J.deltas, *J.inputs) if a is not None)]


def mixed_factors(mixed):
    """The arrays that a MixedHessian holds."""
    groups = mixed.deltas, mixed.deltas_dx, mixed.inputs, mixed.inputs_dx
    return [a for group in groups for a in group if a is not None]


def linearized(y, dx, J):
    return [y, dx, *factors(J)]


def arrays(result):
    """The arrays of a result of any verb, in one list."""
    if isinstance(result, (np.ndarray, np.generic)):
        return [result]
    return [array for part in result for array in arrays(part)]


def misaligned(a):
    room = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    room[...] = a
    return room


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


FORMS = {  # the same numbers in other memory
    "list": lambda a: a.tolist(),
    "Fortran": lambda a: np.asfortranarray(a) if a.ndim else a,
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "read-only": read_only,
    "misaligned": misaligned,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "long double": lambda a: a.astype(np.longdouble),
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
}
