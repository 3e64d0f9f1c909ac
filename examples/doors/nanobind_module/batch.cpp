// deltanet from nanobind: fills y (N, m) and jx = dy/dx (N, m, n_0) at X (N, n_0), of a float64 net.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <deltanet.h>
#include <vector>

namespace nb = nanobind;
using Input = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <size_t axes> using Output = nb::ndarray<double, nb::ndim<axes>, nb::c_contig, nb::device::cpu>;

void linearize(nb::object object, Input X, Output<2> y, Output<3> jx) {
    const dn_api *api = dn_import();
    const dn_net *net = api ? dn_net_from_object(object.ptr()) : nullptr;
    if (!net) throw nb::python_error();
    size_t N = X.shape(0), n_0 = api->num_inputs(net), m = api->num_outputs(net);
    if (X.shape(1) != n_0 || y.shape(0) != N || y.shape(1) != m || jx.shape(0) != N || jx.shape(1) != m ||
        jx.shape(2) != n_0)
        throw nb::value_error("X, y and jx must have shapes (N, n_0), (N, m) and (N, m, n_0)");
    std::vector<char> work(api->work_size(net, N, DN_Y | DN_JX));
    int status = api->eval(net, nullptr, X.data(), N, y.data(), jx.data(), nullptr, work.data());
    if (status != DN_OK) throw nb::value_error(api->strerror(status));
}

NB_MODULE(batch, module) { module.def("linearize", &linearize); }
