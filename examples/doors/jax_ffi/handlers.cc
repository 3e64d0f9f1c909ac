// deltanet in JAX programs on the CPU: handlers of XLA's foreign functions, which deltanet_jax.py calls.
//
//     c++ -std=c++17 -O2 -shared -fPIC -I DELTANET -I JAX handlers.cc -o handlers.so
//
// with deltanet.get_include() and jax.ffi.include_dir(). There is nothing to link: the functions of deltanet come as
// addresses, and so does the net.
//
// theta is (..., P) and x (..., k, n_0): k samples for each theta, k = 1 of a lone sample. vmap puts axes in front.
#include <deltanet.h>
#include <xla/ffi/api/ffi.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ffi = xla::ffi;

template <ffi::DataType T> using In = ffi::Buffer<T>;
template <ffi::DataType T> using Out = ffi::ResultBuffer<T>;

struct Deltanet { // the attributes of a call
    int64_t net, function, work_size;
};
XLA_FFI_REGISTER_STRUCT_ATTR_DECODING(Deltanet, ffi::StructMember<int64_t>("net"),
                                      ffi::StructMember<int64_t>("function"), ffi::StructMember<int64_t>("work_size"));

// call(function, net, i, k, work) for each theta i. The work area belongs to the thread that XLA calls from
template <typename Function, typename Theta, typename X, typename Call>
static ffi::Error each_theta(Deltanet with, int wanted, const Theta &theta, const X &x, Call call) {
    static thread_local std::vector<char> work;
    const auto *net = reinterpret_cast<const dn_net *>(with.net);
    const auto work_size = reinterpret_cast<decltype(dn_api::work_size)>(with.work_size);
    const ptrdiff_t thetas = theta.element_count() / theta.dimensions().back();
    const ptrdiff_t samples = x.element_count() / x.dimensions().back();
    const ptrdiff_t k = thetas ? samples / thetas : 0;
    work.resize(std::max(work.size(), work_size(net, k, wanted)));
    for (ptrdiff_t i = 0; i < thetas; i++)
        if (int status = call(reinterpret_cast<Function>(with.function), net, i, k, work.data()))
            return ffi::Error::InvalidArgument("deltanet returned the status " + std::to_string(status));
    return ffi::Error::Success();
}

template <ffi::DataType T, typename R = ffi::NativeType<T>>
static ffi::Error eval(Deltanet with, In<T> theta, In<T> x, Out<T> y) {
    using Function = int (*)(const dn_net *, const R *, const R *, ptrdiff_t, R *, R *, R *, void *);
    const ptrdiff_t P = theta.dimensions().back(), n_0 = x.dimensions().back(), m = y->dimensions().back();
    return each_theta<Function>(with, DN_Y, theta, x, [&](Function f, auto net, auto i, auto k, void *work) {
        return f(net, theta.typed_data() + i * P, x.typed_data() + i * k * n_0, k, y->typed_data() + i * k * m,
                 nullptr, nullptr, work);
    });
}

template <ffi::DataType T, typename R = ffi::NativeType<T>>
static ffi::Error jvp(Deltanet with, In<T> theta, In<T> x, In<T> v_theta, In<T> v_x, Out<T> yv) {
    using Function = int (*)(const dn_net *, const R *, const R *, ptrdiff_t, const R *, const R *, R *, void *);
    const ptrdiff_t P = theta.dimensions().back(), n_0 = x.dimensions().back(), m = yv->dimensions().back();
    return each_theta<Function>(with, DN_JVP, theta, x, [&](Function f, auto net, auto i, auto k, void *work) {
        return f(net, theta.typed_data() + i * P, x.typed_data() + i * k * n_0, k, v_theta.typed_data() + i * P,
                 v_x.typed_data() + i * k * n_0, yv->typed_data() + i * k * m, work);
    });
}

template <ffi::DataType T, typename R = ffi::NativeType<T>>
static ffi::Error vjp(Deltanet with, In<T> theta, In<T> x, In<T> u, Out<T> grad_theta, Out<T> grad_x) {
    using Function = int (*)(const dn_net *, const R *, const R *, ptrdiff_t, const R *, R *, R *, void *);
    const ptrdiff_t P = theta.dimensions().back(), n_0 = x.dimensions().back(), m = u.dimensions().back();
    return each_theta<Function>(with, DN_VJP, theta, x, [&](Function f, auto net, auto i, auto k, void *work) {
        return f(net, theta.typed_data() + i * P, x.typed_data() + i * k * n_0, k, u.typed_data() + i * k * m,
                 grad_theta->typed_data() + i * P, grad_x->typed_data() + i * k * n_0, work);
    });
}

// eval and eval_f, ...: their names in deltanet.h
#define HANDLERS(suffix, T)                                                                                      \
    XLA_FFI_DEFINE_HANDLER_SYMBOL(handle_eval##suffix, eval<T>,                                                  \
                                  ffi::Ffi::Bind().Attrs<Deltanet>().Arg<In<T>>().Arg<In<T>>().Ret<In<T>>());    \
    XLA_FFI_DEFINE_HANDLER_SYMBOL(handle_jvp##suffix, jvp<T>,                                                    \
                                  ffi::Ffi::Bind().Attrs<Deltanet>().Arg<In<T>>().Arg<In<T>>().Arg<In<T>>()      \
                                      .Arg<In<T>>().Ret<In<T>>());                                               \
    XLA_FFI_DEFINE_HANDLER_SYMBOL(handle_vjp##suffix, vjp<T>,                                                    \
                                  ffi::Ffi::Bind().Attrs<Deltanet>().Arg<In<T>>().Arg<In<T>>().Arg<In<T>>()      \
                                      .Ret<In<T>>().Ret<In<T>>());
HANDLERS(, ffi::F64)
HANDLERS(_f, ffi::F32)
