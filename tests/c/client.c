/* An extension module as a user writes one: what dn_import and dn_net_from_object give it. */
#include <Python.h>
#include <deltanet.h>

#define FUNCTIONS(X)                                                                                                 \
    X(work_size) X(num_inputs) X(num_outputs) X(num_params) X(num_layers) X(is_double) X(layer) X(strerror)          \
    X(eval) X(factors) X(vjp) X(jvp) X(hess) X(mixed) X(hvp)                                                         \
    X(eval_f) X(factors_f) X(vjp_f) X(jvp_f) X(hess_f) X(mixed_f) X(hvp_f)

static PyObject *table(PyObject *self, PyObject *none)
{
    const dn_api *api = dn_import();
    (void)self, (void)none;
    if (!api)
        return NULL;
#define FORMAT(name) ",s:n"
#define PAIR(name) , #name, (Py_ssize_t)api->name
    return Py_BuildValue("(iin{" FUNCTIONS(FORMAT) "})", api->major, api->minor,
                         (Py_ssize_t)api->size FUNCTIONS(PAIR));
}

static PyObject *address(PyObject *self, PyObject *object)
{
    const dn_net *net = dn_net_from_object(object);
    (void)self;
    return net ? PyLong_FromVoidPtr((void *)net) : NULL;
}

static PyObject *layers(PyObject *self, PyObject *object)
{
    const dn_api *api = dn_import();
    const dn_net *net = dn_net_from_object(object);
    dn_layer_info at;
    PyObject *list;
    (void)self;
    if (!api || !net || !(list = PyList_New(0)))
        return NULL;
    for (ptrdiff_t k = 0; api->layer(net, k, &at) == DN_OK; k++) {
        PyObject *row = Py_BuildValue("(nnnnsdd)", at.n_in, at.n_out, at.weight_offset, at.bias_offset, at.activation,
                                      at.alpha, at.beta);
        if (!row || PyList_Append(list, row))
            return NULL;
        Py_DECREF(row);
    }
    return list;
}

static PyObject *check_work(PyObject *self, PyObject *args)
{
    PyObject *object;
    Py_ssize_t N, work, bytes;
    int wanted;
    const dn_net *net;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oninn", &object, &N, &wanted, &work, &bytes))
        return NULL;
    net = object == Py_None ? NULL : dn_net_from_object(object);
    return PyLong_FromLong(dn_check_work(dn_import(), net, N, wanted, (void *)work, (size_t)bytes));
}

static PyMethodDef METHODS[] = {
    {"table", table, METH_NOARGS, "(major, minor, size, {name: address})"},
    {"address", address, METH_O, "Of the net in an object."},
    {"layers", layers, METH_O, "What the table says of each."},
    {"check_work", check_work, METH_VARARGS, "net or None, N, wanted, work, bytes: a status."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "dn_client", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_dn_client(void) { return PyModule_Create(&MODULE); }
