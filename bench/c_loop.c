/* Calls of one sample in a loop, and the time of each of many calls. */
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <deltanet.h>

typedef int (*dn_eval)(const dn_net *, const double *, const double *, ptrdiff_t, double *, double *, double *, void *);
typedef int (*casadi_function)(const double **, double **, long long *, double *, int);

void eval_loop(dn_eval eval, const dn_net *net, const double *x, double *y, double *jx, double *jtheta, void *work,
               ptrdiff_t repeats)
{
    for (ptrdiff_t i = 0; i < repeats; i++)
        eval(net, NULL, x, 1, y, jx, jtheta, work);
}

void casadi_loop(casadi_function f, const double **arg, double **res, long long *iw, double *w, ptrdiff_t repeats)
{
    for (ptrdiff_t i = 0; i < repeats; i++)
        f(arg, res, iw, w, 0);
}

typedef void (*exported_eval)(const double *, double *, double *, double *, void *);
typedef void (*exported_hess)(const double *, const double *, double *, void *);

void exported_loop(exported_eval eval, const double *x, double *y, double *jx, double *jtheta, void *work,
                   ptrdiff_t repeats)
{
    for (ptrdiff_t i = 0; i < repeats; i++)
        eval(x, y, jx, jtheta, work);
}

void hess_loop(exported_hess hess, const double *x, const double *u, double *hxx, void *work, ptrdiff_t repeats)
{
    for (ptrdiff_t i = 0; i < repeats; i++)
        hess(x, u, hxx, work);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Nanoseconds of each call */
void eval_times(dn_eval eval, const dn_net *net, const double *x, double *y, double *jx, double *jtheta, void *work,
                int64_t *times, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        int64_t start = now();
        eval(net, NULL, x, 1, y, jx, jtheta, work);
        times[i] = now() - start;
    }
}

/* Nanoseconds of each look at the clock until so many have passed: what the machine itself does meanwhile */
void wait_times(int64_t wait, int64_t *times, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        int64_t start = now(), end = start;
        while (end - start < wait)
            end = now();
        times[i] = end - start;
    }
}
