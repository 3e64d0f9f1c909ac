// deltanet from pybind11: y (N, m) and dy/dx (N, m, n_0) at X (N, n_0), of a float64 net.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <deltanet.h>
#include <vector>

namespace py = pybind11;
using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::tuple linearize(py::object object, Array X) {
    const dn_api *api = dn_import();
    const dn_net *net = api ? dn_net_from_object(object.ptr()) : nullptr;
    if (!net) throw py::error_already_set();
    py::ssize_t n_0 = api->num_inputs(net), m = api->num_outputs(net);
    if (X.ndim() != 2 || X.shape(1) != n_0) throw py::value_error("X must have shape (N, n_0)");
    Array y({X.shape(0), m}), jx({X.shape(0), m, n_0});
    std::vector<char> work(api->work_size(net, X.shape(0), DN_Y | DN_JX));
    int status = api->eval(net, nullptr, X.data(), X.shape(0), y.mutable_data(), jx.mutable_data(), nullptr,
                           work.data());
    if (status != DN_OK) throw py::value_error(api->strerror(status));
    return py::make_tuple(y, jx);
}

PYBIND11_MODULE(batch, module) { module.def("linearize", &linearize); }
