/* deltanet.h: the derivatives of a multi-layer perceptron from C, without Python between.
 *
 * C99 and C++11. There is nothing to link: the functions stand in a table, which a program fetches once.
 *
 *   #include <Python.h>
 *   #include <deltanet.h>                  (deltanet.get_include() says where it is)
 *
 *   const dn_api *api = dn_import();       (with the interpreter's lock; NULL with a Python error set)
 *   const dn_net *net = dn_net_from_object(object_of_class_MLP);
 *   void *work = malloc(api->work_size(net, 1, DN_Y | DN_JX));
 *   api->eval(net, NULL, x, 1, y, jx, NULL, work);      (no lock is needed any more)
 *
 * Symbols. Layers k = 1 .. L of widths n_0 .. n_L; n_0 inputs, m = n_L outputs, P parameters, N samples.
 * theta (P,) holds W^(1) row by row, b^(1), ..., W^(L), b^(L); a layer without a bias has no b. All arrays are
 * contiguous, in C order, of doubles for the functions without an ending and of floats for those in _f.
 *
 * Every function here: no allocation, no lock, no system call, no Python object, no errno, the same work for every
 * input of a size. Infinity and NaN flow through. Of N samples one is computed after the other, so its bits do not
 * depend on the others; they are those that Python's calls of a lone sample give.
 *
 * Threads: a net is constant. Any number of threads may use it at once, each with a work area and results of its own.
 * Whoever writes theta, or the net's own parameters from Python, sees to it that no call is under way.
 *
 * Lifetime: a dn_net lives as long as the Python object that it came from. Keep a reference to that.
 *
 * Alignment: arrays need that of their numbers, the work area none; 64 bytes are best.
 *
 * What is not checked: that arrays have the sizes given below, that the work area is large enough (dn_check_work
 * says it), and that results overlap neither theta, the work area nor each other. A result that overlaps x is told.
 */
#ifndef DELTANET_H
#define DELTANET_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DN_API_MAJOR 1 /* another one: the table is not what this header says */
#define DN_API_MINOR 0 /* grows with the table, at its end */

enum { /* what a call returns */
    DN_OK = 0,
    DN_EINVAL = 1,      /* a pointer that must not be NULL, N < 0, x overlapped by a result, too small a work area */
    DN_ETYPE = 2,       /* a net of doubles given to a function of floats, or the other way round */
    DN_EUNSUPPORTED = 3 /* an activation that Python functions compute */
};

enum { /* what a work area is for, or'd together */
    DN_Y = 1,
    DN_JX = 2,
    DN_JTHETA = 4,
    DN_FACTORS = 8,
    DN_VJP = 16,
    DN_JVP = 32,
    DN_HXX = 64,
    DN_MIXED = 128,
    DN_HVP = 256
};

typedef struct dn_net dn_net;

typedef struct dn_layer_info {
    ptrdiff_t n_in, n_out;
    ptrdiff_t weight_offset;  /* W (n_out, n_in) is at theta + weight_offset; -1: the layer has no W */
    ptrdiff_t bias_offset;    /* b (n_out,); -1: no b */
    const char *activation;   /* its name; "" of one that Python functions compute */
    double alpha, beta;       /* its parameters, as far as it has some */
} dn_layer_info;

/* Pointers that a call may do without: theta (NULL: the parameters of the net), and the results that are not wanted.
 * Each returns one of the numbers above, and writes nothing unless that is DN_OK. */
#define DN_FUNCTIONS(real, suffix)                                                                                    \
    /* y (N, m), jx = dy/dx (N, m, n_0), jtheta = dy/dtheta (N, m, P) */                                              \
    int (*eval##suffix)(const dn_net *net, const real *theta, const real *x, ptrdiff_t N, real *y, real *jx,          \
                        real *jtheta, void *work);                                                                    \
    /* y (N, m), of each layer k = 0 .. L-1: delta[k] = dy/dv (N, m, n_out) and its input h[k] (N, n_in), with        \
     * dy/dW = delta (x) h and dy/db = delta */                                                                       \
    int (*factors##suffix)(const dn_net *net, const real *theta, const real *x, ptrdiff_t N, real *y,                 \
                           real **delta, real **h, void *work);                                                      \
    /* The gradients of sum_s u_s^T y_s, u (N, m): grad_theta (P,), a sum over the samples; grad_x (N, n_0) */        \
    int (*vjp##suffix)(const dn_net *net, const real *theta, const real *x, ptrdiff_t N, const real *u,               \
                       real *grad_theta, real *grad_x, void *work);                                                  \
    /* yv (N, m), y's derivative as theta moves along v_theta (P,) and x along v_x (N, n_0); NULL: it does not */     \
    int (*jvp##suffix)(const dn_net *net, const real *theta, const real *x, ptrdiff_t N, const real *v_theta,         \
                       const real *v_x, real *yv, void *work);                                                       \
    /* Of one sample, d2(u^T y)/dx dx (n_0, n_0), u (m,) */                                                           \
    int (*hess##suffix)(const dn_net *net, const real *theta, const real *x, const real *u, real *hxx, void *work);   \
    /* Of one sample, d2(u^T y)/dtheta dx (P, n_0) */                                                                 \
    int (*mixed##suffix)(const dn_net *net, const real *theta, const real *x, const real *u, real *hthetax,           \
                         void *work);                                                                                 \
    /* hv (P,): the Hessian of sum_s u_s^T y_s in theta, times v_theta (P,) */                                        \
    int (*hvp##suffix)(const dn_net *net, const real *theta, const real *x, ptrdiff_t N, const real *u,               \
                       const real *v_theta, real *hv, void *work);

typedef struct dn_api {
    int major, minor;
    size_t size; /* of this table in bytes: it only grows, at its end */
    /* Bytes of a work area for N samples; 0 of a net that is NULL */
    size_t (*work_size)(const dn_net *net, ptrdiff_t N, int wanted);
    ptrdiff_t (*num_inputs)(const dn_net *net);  /* n_0; these need a net */
    ptrdiff_t (*num_outputs)(const dn_net *net); /* m */
    ptrdiff_t (*num_params)(const dn_net *net);  /* P */
    ptrdiff_t (*num_layers)(const dn_net *net);  /* L */
    int (*is_double)(const dn_net *net);         /* 1: of doubles, 0: of floats */
    int (*layer)(const dn_net *net, ptrdiff_t k, dn_layer_info *info); /* k = 0 .. L-1 */
    const char *(*strerror)(int status);
    DN_FUNCTIONS(double, )
    DN_FUNCTIONS(float, _f)
} dn_api;

#undef DN_FUNCTIONS

/* DN_EINVAL if a work area of so many bytes is too small for these calls: for a debug build, before them */
static inline int dn_check_work(const dn_api *api, const dn_net *net, ptrdiff_t N, int wanted, const void *work,
                                size_t bytes)
{
    return net && work && N >= 0 && bytes >= api->work_size(net, N, wanted) ? DN_OK : DN_EINVAL;
}

#ifdef Py_PYTHON_H /* Python.h came first */

/* The table; NULL with an ImportError set where deltanet is not installed, or another one than this header's */
static inline const dn_api *dn_import(void)
{
    const dn_api *api = (const dn_api *)PyCapsule_Import("deltanet._C_API", 0);
    if (api && (api->major != DN_API_MAJOR || api->size < sizeof(dn_api))) {
        PyErr_Format(PyExc_ImportError,
                     "this program was compiled with deltanet.h %d.%d; the installed deltanet has the C interface %d.%d: "
                     "compile it again, or install a deltanet of its time",
                     DN_API_MAJOR, DN_API_MINOR, api->major, api->minor);
        return NULL;
    }
    return api;
}

/* The net of a deltanet.MLP, which must outlive it; NULL with an error set if the object is none, or if one of its
 * activations is computed by Python functions */
static inline const dn_net *dn_net_from_object(PyObject *object)
{
    const dn_net *net;
    PyObject *capsule = PyObject_GetAttrString(object, "c_net");
    if (!capsule)
        return NULL;
    net = (const dn_net *)PyCapsule_GetPointer(capsule, "deltanet.dn_net");
    Py_DECREF(capsule);
    return net;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
