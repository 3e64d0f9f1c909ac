/* A Python extension in C on deltanet.h: batch.linearize(net, X, y, jx) fills y (N, m) and jx (N, m, n_0).
 *
 * X, y and jx are contiguous arrays of float64, taken by the buffer protocol: NumPy's headers are not needed.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <deltanet.h>

static const dn_api *api; /* fetched when the module is imported */

/* y and jx at all samples of X, without the interpreter's lock. The status, with a Python error set unless DN_OK */
static int fill(const dn_net *net, const Py_buffer *X, Py_buffer *y, Py_buffer *jx)
{
    const Py_ssize_t n_0 = api->num_inputs(net), m = api->num_outputs(net), size = sizeof(double);
    const Py_ssize_t N = X->len / (n_0 * size);
    int status;
    void *work;
    if (X->len != N * n_0 * size || y->len != N * m * size || jx->len != N * m * n_0 * size) {
        PyErr_Format(PyExc_ValueError, "X, y and jx must have (N, %zd), (N, %zd) and (N, %zd, %zd) float64 numbers",
                     n_0, m, m, n_0);
        return DN_EINVAL;
    }
    work = PyMem_Malloc(api->work_size(net, N, DN_Y | DN_JX));
    if (!work) {
        PyErr_NoMemory();
        return DN_EINVAL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = api->eval(net, NULL, (const double *)X->buf, N, (double *)y->buf, (double *)jx->buf, NULL, work);
    Py_END_ALLOW_THREADS
    PyMem_Free(work);
    if (status != DN_OK)
        PyErr_SetString(PyExc_ValueError, api->strerror(status));
    return status;
}

static PyObject *linearize(PyObject *module, PyObject *args)
{
    PyObject *object; /* the caller's reference keeps the net alive */
    Py_buffer X, y, jx;
    const dn_net *net;
    int status = DN_EINVAL;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*w*w*", &object, &X, &y, &jx))
        return NULL;
    net = dn_net_from_object(object);
    if (net)
        status = fill(net, &X, &y, &jx);
    PyBuffer_Release(&X);
    PyBuffer_Release(&y);
    PyBuffer_Release(&jx);
    if (status != DN_OK)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"linearize", linearize, METH_VARARGS, "linearize(net, X, y, jx): fill y and jx = dy/dx at the samples X"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "batch", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_batch(void)
{
    api = dn_import();
    return api ? PyModule_Create(&module) : NULL;
}
