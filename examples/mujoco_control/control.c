/* A network as MuJoCo's control callback: it is called in every step, without Python and its lock.
 *
 * mujoco_control.py compiles this file; nothing of deltanet or MuJoCo is linked. Any number of threads may step
 * simulations of their own at once: the net is constant, and each call has its work area on its own stack.
 */
#include <Python.h>
#include <deltanet.h>
#include <math.h>
#include <mujoco/mujoco.h>

#define WORK_BYTES 65536

static const dn_api *api;
static const dn_net *net;

/* The net of a deltanet.MLP, which must outlive its use here; 0, or -1 with a Python error set */
int use(PyObject *object)
{
    const dn_net *given;
    if (!(api = dn_import()) || !(given = dn_net_from_object(object)))
        return -1;
    if (!api->is_double(given) || api->num_inputs(given) != 5 || api->num_outputs(given) != 1 ||
        api->work_size(given, 1, DN_Y) > WORK_BYTES) {
        PyErr_SetString(PyExc_ValueError, "the net must be of float64, 5 inputs, 1 output and moderate widths");
        return -1;
    }
    net = given;
    return 0;
}

/* u = net(position, cos angle, sin angle, velocity, angular velocity) */
void control(const mjModel *model, mjData *data)
{
    _Alignas(64) char work[WORK_BYTES];
    double angle = data->qpos[1];
    double x[5] = {data->qpos[0], cos(angle), sin(angle), data->qvel[0], data->qvel[1]};
    (void)model;
    api->eval(net, NULL, x, 1, data->ctrl, NULL, NULL, work);
}
