/* A C program with a net in its loop: Python loads the net, and takes no part in the simulation.
 *
 *     simulate ../../pendulum/pendulum.npz 1000000
 *
 * The net gives the pendulum's angle and speed a step later, from its angle, its speed and a torque.
 */
#include "start_python.h"

#include <deltanet.h>
#include <math.h>
#include <stdlib.h>

/* y (2,) after so many steps and jx (2, 3) of the last one. Everything that it calls is C: no lock, no allocation */
static int simulate(const dn_api *api, const dn_net *net, long steps, double *y, double *jx, void *work)
{
    double x[3] = {1, 0, 0}; /* angle, speed, torque */
    for (long t = 0; t < steps; t++) {
        int status;
        x[2] = 0.2 * cos(0.1 * (double)t);
        status = api->eval(net, NULL, x, 1, y, jx, NULL, work);
        if (status != DN_OK)
            return status;
        x[0] = y[0];
        x[1] = y[1];
    }
    return DN_OK;
}

/* With the interpreter's lock, except for the simulation. 0, or -1 with a Python error set */
static int run(PyObject *object, long steps)
{
    const dn_api *api = dn_import();
    const dn_net *net = api ? dn_net_from_object(object) : NULL;
    double y[2], jx[6];
    void *work;
    int status;
    if (!net)
        return -1;
    if (api->num_inputs(net) != 3 || api->num_outputs(net) != 2) {
        PyErr_SetString(PyExc_ValueError, "the net must have 3 inputs and 2 outputs");
        return -1;
    }
    work = malloc(api->work_size(net, 1, DN_Y | DN_JX));
    if (!work) {
        PyErr_NoMemory();
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    status = simulate(api, net, steps, y, jx, work);
    Py_END_ALLOW_THREADS
    free(work);
    if (status != DN_OK) {
        PyErr_SetString(PyExc_ValueError, api->strerror(status));
        return -1;
    }
    printf("%.17g %.17g\n", y[0], y[1]);
    printf("%.17g %.17g %.17g %.17g %.17g %.17g\n", jx[0], jx[1], jx[2], jx[3], jx[4], jx[5]);
    return 0;
}

int main(int argc, char **argv)
{
    long steps = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    PyObject *net;
    int failed;
    if (steps < 1) {
        fprintf(stderr, "usage: %s NET STEPS\n", argv[0]);
        return 2;
    }
    if (start_python())
        return 1;
    net = load_net(argv[1]);
    failed = !net || run(net, steps);
    if (failed)
        PyErr_Print();
    Py_XDECREF(net); /* the net ends here, and no pointer to it is used any more */
    return Py_FinalizeEx() || failed;
}
