/* An integrand for SciPy's quad and nquad: an output of a net, without Python between.
 *
 * SciPy gives the point x (n_0,) and the pointer that came with the function.
 *     cc -O2 -shared -fPIC -I INCLUDE integrand.c -o integrand.so     (INCLUDE: deltanet.get_include())
 */
#include <deltanet.h>
#include <math.h>

struct context {
    int (*eval)(const dn_net *, const double *, const double *, ptrdiff_t, double *, double *, double *, void *);
    const dn_net *net;
    ptrdiff_t output; /* the one to integrate */
    double *y;        /* (m,) */
    void *work;
};

double integrand(int n, double *x, void *user_data)
{
    const struct context *at = (const struct context *)user_data;
    (void)n;
    return at->eval(at->net, NULL, x, 1, at->y, NULL, NULL, at->work) == DN_OK ? at->y[at->output] : NAN;
}
