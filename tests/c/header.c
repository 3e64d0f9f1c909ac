/* Each name of deltanet.h, for compilers that warn of all they can: C99 and C++11, alone and after Python.h. */
#ifdef AFTER_PYTHON
#include <Python.h>
#endif
#include <deltanet.h>
#include <deltanet.h> /* a second time is none */

int use(const dn_api *api, const dn_net *net, double **f64, float **f32, void *work);
int use(const dn_api *api, const dn_net *net, double **f64, float **f32, void *work)
{
    const int all = DN_Y | DN_JX | DN_JTHETA | DN_FACTORS | DN_VJP | DN_JVP | DN_HXX | DN_MIXED | DN_HVP;
    const ptrdiff_t N = api->num_inputs(net) + api->num_outputs(net) + api->num_params(net) + api->num_layers(net);
    dn_layer_info info;
    int status = dn_check_work(api, net, N, all, work, api->work_size(net, N, all));
    if (api->major != DN_API_MAJOR || api->minor < DN_API_MINOR || api->size < sizeof(dn_api) || !api->is_double(net))
        return DN_EINVAL;
    status |= api->layer(net, 0, &info);
    if (info.n_in < 0 || info.n_out < 0 || info.weight_offset < 0 || info.bias_offset < 0 || !info.activation[0])
        return DN_EUNSUPPORTED + (int)(info.alpha + info.beta);
    status |= api->eval(net, NULL, f64[0], N, f64[1], f64[2], f64[3], work);
    status |= api->factors(net, f64[0], f64[1], N, f64[2], f64, f64, work);
    status |= api->vjp(net, f64[0], f64[1], N, f64[2], f64[3], f64[4], work);
    status |= api->jvp(net, f64[0], f64[1], N, f64[2], f64[3], f64[4], work);
    status |= api->hess(net, f64[0], f64[1], f64[2], f64[3], work);
    status |= api->mixed(net, f64[0], f64[1], f64[2], f64[3], work);
    status |= api->hvp(net, f64[0], f64[1], N, f64[2], f64[3], f64[4], work);
    status |= api->eval_f(net, NULL, f32[0], N, f32[1], f32[2], f32[3], work);
    status |= api->factors_f(net, f32[0], f32[1], N, f32[2], f32, f32, work);
    status |= api->vjp_f(net, f32[0], f32[1], N, f32[2], f32[3], f32[4], work);
    status |= api->jvp_f(net, f32[0], f32[1], N, f32[2], f32[3], f32[4], work);
    status |= api->hess_f(net, f32[0], f32[1], f32[2], f32[3], work);
    status |= api->mixed_f(net, f32[0], f32[1], f32[2], f32[3], work);
    status |= api->hvp_f(net, f32[0], f32[1], N, f32[2], f32[3], f32[4], work);
    return status == DN_ETYPE ? DN_ETYPE : api->strerror(status)[0] ? status : DN_OK;
}
