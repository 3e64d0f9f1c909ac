"""deltanet from Cython: y and dy/dx in a loop that no interpreter takes part in."""

import numpy as np

from deltanet cimport DN_JX, DN_OK, DN_Y, dn_api, dn_import, dn_net, dn_net_from_object


def linearize(object net, const double[:, ::1] X):
    """y (N, m) and dy/dx (N, m, n_0) at X (N, n_0), of a float64 net."""
    cdef const dn_api* api = dn_import()
    cdef const dn_net* handle = dn_net_from_object(net)
    cdef Py_ssize_t s, N = X.shape[0], n_0 = api.num_inputs(handle), m = api.num_outputs(handle)
    cdef double[:, ::1] y = np.empty((N, m))
    cdef double[:, :, ::1] jx = np.empty((N, m, n_0))
    cdef unsigned char[::1] work = np.empty(api.work_size(handle, 1, DN_Y | DN_JX), np.uint8)
    cdef int status = DN_OK
    if X.shape[1] != n_0:
        raise ValueError(f"X must have shape (N, {n_0}); got ({N}, {X.shape[1]})")
    with nogil:
        for s in range(N):
            status = api.eval(handle, NULL, &X[s, 0], 1, &y[s, 0], &jx[s, 0, 0], NULL, &work[0])
            if status != DN_OK:
                break
    if status != DN_OK:
        raise ValueError(api.strerror(status).decode())
    return np.asarray(y), np.asarray(jx)
