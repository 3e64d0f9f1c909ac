"""The C interface: the table of include/deltanet.h, and how Python hands it and its nets over (symbols: net.pxd).

Each function here checks its arguments and calls the kernels of lone and second for one sample after the other.
"""

from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from cython cimport floating
from libc.stdint cimport uintptr_t

from deltanet._core.activation cimport activation_name
from deltanet._core.engine cimport Engine
from deltanet._core.lone cimport Handle, Lone, evaluate, factors, jvp, open_work, vjp
from deltanet._core.net cimport Layer, Net, Team
from deltanet._core.rows cimport Layout
from deltanet._core.second cimport (
    HVP, HXX, MIXED, SECOND_POINTERS, Bends, hvp_block, input_hessian_block, lay_out_second, mixed_hessian_block,
)

from deltanet cimport (
    DN_API_MAJOR, DN_API_MINOR, DN_EINVAL, DN_ETYPE, DN_EUNSUPPORTED, DN_HVP, DN_HXX, DN_MIXED, DN_OK, dn_api,
    dn_layer_info, dn_net,
)

cdef const char* NET_CAPSULE = "deltanet.dn_net"
cdef dn_api TABLE


cdef inline const Handle* handle(const dn_net* net) noexcept nogil:
    return <const Handle*> net


cdef inline int refused(const dn_net* net, bint is_double, Py_ssize_t N, const void* x,
                        const void* work) noexcept nogil:
    """The status of what every function is given."""
    if net == NULL or N < 0 or (N > 0 and (x == NULL or work == NULL)):
        return DN_EINVAL
    if handle(net).is_double != is_double:
        return DN_ETYPE
    return DN_EUNSUPPORTED if handle(net).registered else DN_OK


cdef inline bint overlap(const void* a, Py_ssize_t a_bytes, const void* b, Py_ssize_t b_bytes) noexcept nogil:
    return a != NULL and b != NULL and <const char*> a < <const char*> b + b_bytes and (
        <const char*> b < <const char*> a + a_bytes)


cdef size_t work_size(const dn_net* net, Py_ssize_t N, int wanted) noexcept nogil:
    cdef const Net* table
    cdef Py_ssize_t itemsize, pointers, nbytes
    cdef Bends at
    if net == NULL:
        return 0
    table, itemsize = handle(net).net, sizeof(double) if handle(net).is_double else sizeof(float)
    nbytes = handle(net).work_bytes
    pointers = SECOND_POINTERS * (table.L + 1) * <Py_ssize_t> sizeof(void*) + 63
    if wanted & DN_HXX:
        nbytes = max(nbytes, pointers + lay_out_second(&at, NULL, NULL, table, itemsize, HXX, 1, 1, 1))
    if wanted & DN_MIXED:
        nbytes = max(nbytes, pointers + lay_out_second(&at, NULL, NULL, table, itemsize, MIXED, 1, 1, 1))
    if wanted & DN_HVP:
        nbytes = max(nbytes, pointers + lay_out_second(&at, NULL, NULL, table, itemsize, HVP, 1, 1, 1))
    return nbytes


cdef inline void open_second(Bends* at, const Net* net, Py_ssize_t itemsize, int wanted, void* work) noexcept nogil:
    cdef void** pointers = <void**> (<char*> work + -<uintptr_t> work % 64)
    cdef char* numbers = <char*> (pointers + SECOND_POINTERS * (net.L + 1))
    lay_out_second(at, pointers, numbers + -<uintptr_t> numbers % 64, net, itemsize, wanted, 1, 1, 1)


cdef inline const floating* parameters(const Handle* net, const floating* theta) noexcept nogil:
    return theta if theta != NULL else <const floating*> net.theta


cdef inline int eval_any(const dn_net* net, const floating* theta, const floating* x, Py_ssize_t N, floating* y,
                         floating* jx, floating* jtheta, void* work) noexcept nogil:
    cdef int status = refused(net, floating is double, N, x, work)
    cdef const Handle* at = handle(net)
    cdef const Net* table
    cdef Lone lone
    cdef Py_ssize_t s, row
    if status != DN_OK or N == 0:
        return status
    table, row = at.net, N * at.net.n_0 * sizeof(floating)
    if overlap(x, row, y, N * table.m * sizeof(floating)) or overlap(x, row, jx, table.m * row) or (
            overlap(x, row, jtheta, N * table.m * table.P * sizeof(floating))):
        return DN_EINVAL
    open_work(&lone, table, sizeof(floating), work)
    for s in range(N):
        evaluate(&lone, x + s * table.n_0, y + s * table.m if y != NULL else NULL,
                 jx + s * table.m * table.n_0 if jx != NULL else NULL,
                 jtheta + s * table.m * table.P if jtheta != NULL else NULL, parameters(at, theta),
                 <const floating*> at.affine, table, at.context, NULL)
    return DN_OK


cdef inline int factors_any(const dn_net* net, const floating* theta, const floating* x, Py_ssize_t N, floating* y,
                            floating** delta, floating** h, void* work) noexcept nogil:
    cdef int status = refused(net, floating is double, N, x, work)
    cdef const Handle* at = handle(net)
    cdef const Net* table
    cdef Lone lone
    cdef Py_ssize_t s, k
    if status == DN_OK and (delta == NULL or h == NULL):
        return DN_EINVAL
    if status != DN_OK or N == 0:
        return status
    table = at.net
    for k in range(table.L):
        if delta[k] == NULL or h[k] == NULL or overlap(
                x, N * table.n_0 * sizeof(floating), h[k], N * table.layer[k + 1].n_in * sizeof(floating)) or overlap(
                x, N * table.n_0 * sizeof(floating), delta[k],
                N * table.m * table.layer[k + 1].n_out * sizeof(floating)):
            return DN_EINVAL
    if overlap(x, N * table.n_0 * sizeof(floating), y, N * table.m * sizeof(floating)):
        return DN_EINVAL
    open_work(&lone, table, sizeof(floating), work)
    for s in range(N):
        for k in range(1, table.L + 1):
            lone.h[k - 1] = h[k - 1] + s * table.layer[k].n_in
            lone.delta[k] = delta[k - 1] + s * table.m * table.layer[k].n_out
        factors(&lone, x + s * table.n_0, y + s * table.m if y != NULL else NULL, parameters(at, theta),
                <const floating*> at.affine, table, at.context, NULL)
    return DN_OK


cdef inline int vjp_any(const dn_net* net, const floating* theta, const floating* x, Py_ssize_t N, const floating* u,
                        floating* grad_theta, floating* grad_x, void* work) noexcept nogil:
    cdef int status = refused(net, floating is double, N, x, work)
    cdef const Handle* at = handle(net)
    cdef const Net* table
    cdef Lone lone
    cdef Py_ssize_t s, row
    if status == DN_OK and N > 0 and u == NULL:
        return DN_EINVAL
    if status != DN_OK:
        return status
    table, row = at.net, N * at.net.n_0 * sizeof(floating)
    if overlap(x, row, grad_x, row) or overlap(x, row, grad_theta, table.P * sizeof(floating)):
        return DN_EINVAL
    if N == 0:
        cleared(grad_theta, table.P)
        return DN_OK
    open_work(&lone, table, sizeof(floating), work)
    for s in range(N):
        vjp(&lone, x + s * table.n_0, u + s * table.m, grad_theta, grad_x + s * table.n_0 if grad_x != NULL else NULL,
            s > 0, parameters(at, theta), <const floating*> at.affine, table, at.context)
    return DN_OK


cdef inline void cleared(floating* sums, Py_ssize_t P) noexcept nogil:
    cdef Py_ssize_t i
    if sums != NULL:
        for i in range(P):
            sums[i] = 0


cdef inline int jvp_any(const dn_net* net, const floating* theta, const floating* x, Py_ssize_t N,
                        const floating* v_theta, const floating* v_x, floating* yv, void* work) noexcept nogil:
    cdef int status = refused(net, floating is double, N, x, work)
    cdef const Handle* at = handle(net)
    cdef const Net* table
    cdef Lone lone
    cdef Py_ssize_t s
    if status == DN_OK and N > 0 and (yv == NULL or overlap(
            x, N * at.net.n_0 * sizeof(floating), yv, N * at.net.m * sizeof(floating))):
        return DN_EINVAL
    if status != DN_OK or N == 0:
        return status
    table = at.net
    open_work(&lone, table, sizeof(floating), work)
    for s in range(N):
        jvp(&lone, x + s * table.n_0, v_theta, v_x + s * table.n_0 if v_x != NULL else NULL, yv + s * table.m,
            parameters(at, theta), <const floating*> at.affine, table, at.context)
    return DN_OK


cdef inline int second_any(int wanted, const dn_net* net, const floating* theta, const floating* x, const floating* u,
                           floating* out, void* work) noexcept nogil:
    """HXX or MIXED of one sample."""
    cdef int status = refused(net, floating is double, 1, x, work)
    cdef const Handle* at = handle(net)
    cdef const Net* table
    cdef Bends bends
    if status != DN_OK:
        return status
    table = at.net
    if u == NULL or out == NULL or overlap(
            x, table.n_0 * sizeof(floating), out,
            (table.n_0 if wanted == HXX else table.P) * table.n_0 * sizeof(floating)):
        return DN_EINVAL
    open_second(&bends, table, sizeof(floating), wanted, work)
    if wanted == HXX:
        input_hessian_block(out, &bends, x, u, parameters(at, theta), <const floating*> at.affine, table, 1, 1, 1,
                            at.context, NULL)
    else:
        mixed_hessian_block(NULL, NULL, NULL, NULL, out, 0, &bends, x, u, parameters(at, theta),
                            <const floating*> at.affine, table, at.column, at.bias_column, 1, 1, 1, at.context, NULL)
    return DN_OK


cdef inline int hvp_any(const dn_net* net, const floating* theta, const floating* x, Py_ssize_t N, const floating* u,
                        const floating* v_theta, floating* hv, void* work) noexcept nogil:
    cdef int status = refused(net, floating is double, N, x, work)
    cdef const Handle* at = handle(net)
    cdef const Net* table
    cdef Bends bends
    cdef Team alone = Team(0, 1, NULL)
    cdef Layout layout
    cdef Py_ssize_t s
    if status != DN_OK:
        return status
    table = at.net
    if hv == NULL or (N > 0 and (u == NULL or v_theta == NULL)) or overlap(
            x, N * table.n_0 * sizeof(floating), hv, table.P * sizeof(floating)):
        return DN_EINVAL
    if N == 0:
        cleared(hv, table.P)
        return DN_OK
    open_second(&bends, table, sizeof(floating), HVP, work)
    for s in range(N):
        layout = Layout(1, 1, 1, 0, 0, 0, 0, False, s > 0, at.context, &alone)
        hvp_block(hv, &bends, x + s * table.n_0, u + s * table.m, v_theta, parameters(at, theta),
                  <const floating*> at.affine, table, 1, at.column, at.bias_column, &layout, NULL)
    return DN_OK


# The functions of the table, of each type

cdef int eval_d(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, double* y,
                double* jx, double* jtheta, void* work) noexcept nogil:
    return eval_any(net, theta, x, N, y, jx, jtheta, work)


cdef int factors_d(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, double* y,
                   double** delta, double** h, void* work) noexcept nogil:
    return factors_any(net, theta, x, N, y, delta, h, work)


cdef int vjp_d(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, const double* u,
               double* grad_theta, double* grad_x, void* work) noexcept nogil:
    return vjp_any(net, theta, x, N, u, grad_theta, grad_x, work)


cdef int jvp_d(const dn_net* net, const double* theta, const double* x, Py_ssize_t N,
               const double* v_theta, const double* v_x, double* yv, void* work) noexcept nogil:
    return jvp_any(net, theta, x, N, v_theta, v_x, yv, work)


cdef int hess_d(const dn_net* net, const double* theta, const double* x, const double* u, double* hxx,
                void* work) noexcept nogil:
    return second_any(HXX, net, theta, x, u, hxx, work)


cdef int mixed_d(const dn_net* net, const double* theta, const double* x, const double* u,
                 double* hthetax, void* work) noexcept nogil:
    return second_any(MIXED, net, theta, x, u, hthetax, work)


cdef int hvp_d(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, const double* u,
               const double* v_theta, double* hv, void* work) noexcept nogil:
    return hvp_any(net, theta, x, N, u, v_theta, hv, work)


cdef int eval_f(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, float* y,
                float* jx, float* jtheta, void* work) noexcept nogil:
    return eval_any(net, theta, x, N, y, jx, jtheta, work)


cdef int factors_f(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, float* y,
                   float** delta, float** h, void* work) noexcept nogil:
    return factors_any(net, theta, x, N, y, delta, h, work)


cdef int vjp_f(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, const float* u,
               float* grad_theta, float* grad_x, void* work) noexcept nogil:
    return vjp_any(net, theta, x, N, u, grad_theta, grad_x, work)


cdef int jvp_f(const dn_net* net, const float* theta, const float* x, Py_ssize_t N,
               const float* v_theta, const float* v_x, float* yv, void* work) noexcept nogil:
    return jvp_any(net, theta, x, N, v_theta, v_x, yv, work)


cdef int hess_f(const dn_net* net, const float* theta, const float* x, const float* u, float* hxx,
                void* work) noexcept nogil:
    return second_any(HXX, net, theta, x, u, hxx, work)


cdef int mixed_f(const dn_net* net, const float* theta, const float* x, const float* u,
                 float* hthetax, void* work) noexcept nogil:
    return second_any(MIXED, net, theta, x, u, hthetax, work)


cdef int hvp_f(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, const float* u,
               const float* v_theta, float* hv, void* work) noexcept nogil:
    return hvp_any(net, theta, x, N, u, v_theta, hv, work)


cdef Py_ssize_t num_inputs(const dn_net* net) noexcept nogil:
    return handle(net).net.n_0


cdef Py_ssize_t num_outputs(const dn_net* net) noexcept nogil:
    return handle(net).net.m


cdef Py_ssize_t num_params(const dn_net* net) noexcept nogil:
    return handle(net).net.P


cdef Py_ssize_t num_layers(const dn_net* net) noexcept nogil:
    return handle(net).net.L


cdef int is_double(const dn_net* net) noexcept nogil:
    return handle(net).is_double


cdef int layer(const dn_net* net, Py_ssize_t k, dn_layer_info* info) noexcept nogil:
    cdef const Layer* row
    if net == NULL or info == NULL or k < 0 or k >= handle(net).net.L:
        return DN_EINVAL
    row = &handle(net).net.layer[k + 1]
    info.n_in, info.n_out, info.weight_offset, info.bias_offset = row.n_in, row.n_out, row.offset, row.bias_offset
    info.activation, info.alpha, info.beta = activation_name(row.activation), row.alpha, row.beta
    return DN_OK


cdef const char* strerror(int status) noexcept nogil:
    if status == DN_OK:
        return "no error"
    if status == DN_EINVAL:
        return "a pointer is NULL that must not be, N or a layer's number is out of range, or a result overlaps x"
    if status == DN_ETYPE:
        return "the net has another type of numbers than this function: eval is for doubles, eval_f for floats"
    if status == DN_EUNSUPPORTED:
        return "an activation of the net is computed by Python functions"
    return "no status of deltanet"


TABLE.major, TABLE.minor, TABLE.size = DN_API_MAJOR, DN_API_MINOR, sizeof(dn_api)
TABLE.work_size, TABLE.layer, TABLE.strerror = work_size, layer, strerror
TABLE.num_inputs, TABLE.num_outputs, TABLE.num_params = num_inputs, num_outputs, num_params
TABLE.num_layers, TABLE.is_double = num_layers, is_double
TABLE.eval, TABLE.factors, TABLE.vjp, TABLE.jvp = eval_d, factors_d, vjp_d, jvp_d
TABLE.hess, TABLE.mixed, TABLE.hvp = hess_d, mixed_d, hvp_d
TABLE.eval_f, TABLE.factors_f, TABLE.vjp_f, TABLE.jvp_f = eval_f, factors_f, vjp_f, jvp_f
TABLE.hess_f, TABLE.mixed_f, TABLE.hvp_f = hess_f, mixed_f, hvp_f

API = PyCapsule_New(&TABLE, "deltanet._C_API", NULL)
FUNCTIONS = {
    "work_size": <uintptr_t> TABLE.work_size, "layer": <uintptr_t> TABLE.layer, "strerror": <uintptr_t> TABLE.strerror,
    "num_inputs": <uintptr_t> TABLE.num_inputs, "num_outputs": <uintptr_t> TABLE.num_outputs,
    "num_params": <uintptr_t> TABLE.num_params, "num_layers": <uintptr_t> TABLE.num_layers,
    "is_double": <uintptr_t> TABLE.is_double,
    "eval": <uintptr_t> TABLE.eval, "factors": <uintptr_t> TABLE.factors, "vjp": <uintptr_t> TABLE.vjp,
    "jvp": <uintptr_t> TABLE.jvp, "hess": <uintptr_t> TABLE.hess, "mixed": <uintptr_t> TABLE.mixed,
    "hvp": <uintptr_t> TABLE.hvp,
    "eval_f": <uintptr_t> TABLE.eval_f, "factors_f": <uintptr_t> TABLE.factors_f, "vjp_f": <uintptr_t> TABLE.vjp_f,
    "jvp_f": <uintptr_t> TABLE.jvp_f, "hess_f": <uintptr_t> TABLE.hess_f, "mixed_f": <uintptr_t> TABLE.mixed_f,
    "hvp_f": <uintptr_t> TABLE.hvp_f,
}  # the address of each


cdef void let_go(object capsule) noexcept:
    """The net lived as long as its capsule, at least."""
    Py_DECREF(<object> PyCapsule_GetContext(capsule))


def address(Engine engine):
    """Where the dn_net is; it lives as long as the engine."""
    return <uintptr_t> &engine.handle


def capsule(Engine engine):
    """The same in a capsule, which keeps the engine alive."""
    net = PyCapsule_New(&engine.handle, NET_CAPSULE, let_go)
    PyCapsule_SetContext(net, <void*> engine)
    Py_INCREF(engine)
    return net
