# The C interface for Cython: the functions and types of include/deltanet.h, which says what they do.
#
#     from deltanet cimport DN_JX, DN_OK, DN_Y, dn_api, dn_import, dn_net, dn_net_from_object
#
# The compiler needs -I of deltanet.get_include(). There is nothing to link.

cdef extern from "deltanet.h" nogil:
    enum:
        DN_API_MAJOR
        DN_API_MINOR
        DN_OK
        DN_EINVAL
        DN_ETYPE
        DN_EUNSUPPORTED
        DN_Y
        DN_JX
        DN_JTHETA
        DN_FACTORS
        DN_VJP
        DN_JVP
        DN_HXX
        DN_MIXED
        DN_HVP

    ctypedef struct dn_net:
        pass

    ctypedef struct dn_layer_info:
        Py_ssize_t n_in, n_out, weight_offset, bias_offset
        const char* activation
        double alpha, beta

    ctypedef struct dn_api:
        int major, minor
        size_t size
        size_t (*work_size)(const dn_net* net, Py_ssize_t N, int wanted) noexcept nogil
        Py_ssize_t (*num_inputs)(const dn_net* net) noexcept nogil
        Py_ssize_t (*num_outputs)(const dn_net* net) noexcept nogil
        Py_ssize_t (*num_params)(const dn_net* net) noexcept nogil
        Py_ssize_t (*num_layers)(const dn_net* net) noexcept nogil
        int (*is_double)(const dn_net* net) noexcept nogil
        int (*layer)(const dn_net* net, Py_ssize_t k, dn_layer_info* info) noexcept nogil
        const char* (*strerror)(int status) noexcept nogil
        int (*eval)(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, double* y, double* jx,
                    double* jtheta, void* work) noexcept nogil
        int (*factors)(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, double* y,
                       double** delta, double** h, void* work) noexcept nogil
        int (*vjp)(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, const double* u,
                   double* grad_theta, double* grad_x, void* work) noexcept nogil
        int (*jvp)(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, const double* v_theta,
                   const double* v_x, double* yv, void* work) noexcept nogil
        int (*hess)(const dn_net* net, const double* theta, const double* x, const double* u, double* hxx,
                    void* work) noexcept nogil
        int (*mixed)(const dn_net* net, const double* theta, const double* x, const double* u, double* hthetax,
                     void* work) noexcept nogil
        int (*hvp)(const dn_net* net, const double* theta, const double* x, Py_ssize_t N, const double* u,
                   const double* v_theta, double* hv, void* work) noexcept nogil
        int (*eval_f)(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, float* y, float* jx,
                      float* jtheta, void* work) noexcept nogil
        int (*factors_f)(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, float* y, float** delta,
                         float** h, void* work) noexcept nogil
        int (*vjp_f)(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, const float* u,
                     float* grad_theta, float* grad_x, void* work) noexcept nogil
        int (*jvp_f)(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, const float* v_theta,
                     const float* v_x, float* yv, void* work) noexcept nogil
        int (*hess_f)(const dn_net* net, const float* theta, const float* x, const float* u, float* hxx,
                      void* work) noexcept nogil
        int (*mixed_f)(const dn_net* net, const float* theta, const float* x, const float* u, float* hthetax,
                       void* work) noexcept nogil
        int (*hvp_f)(const dn_net* net, const float* theta, const float* x, Py_ssize_t N, const float* u,
                     const float* v_theta, float* hv, void* work) noexcept nogil

    int dn_check_work(const dn_api* api, const dn_net* net, Py_ssize_t N, int wanted, const void* work,
                      size_t bytes) noexcept

cdef extern from "deltanet.h":
    const dn_api* dn_import() except NULL
    const dn_net* dn_net_from_object(object net) except NULL
