/* Every function of the table, again and again: from threads, without a system call, with an eye on errno and on the
 * floating-point environment. Compiled for doubles, and with -DFLOATS for floats. */
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined __x86_64__ || defined __i386__
#include <xmmintrin.h>
#define CONTROL (_mm_getcsr() & ~0x3fu) /* all but the flags of what has happened */
#else
#define CONTROL 0u
#endif

#include <deltanet.h>

#ifdef FLOATS
typedef float real;
#define F(name) name##_f
#else
typedef double real;
#define F(name) name
#endif

enum { N = 3, ALL = DN_Y | DN_JX | DN_JTHETA | DN_FACTORS | DN_VJP | DN_JVP | DN_HXX | DN_MIXED | DN_HVP };

typedef struct workout { /* inputs, results one behind the other, a work area */
    const dn_api *api;
    const dn_net *net;
    real *x, *u, *v, *results, **delta, **h;
    void *work;
    size_t count;
} workout;

static size_t lay_out(workout *w)
{
    const ptrdiff_t n_0 = w->api->num_inputs(w->net), m = w->api->num_outputs(w->net), P = w->api->num_params(w->net);
    size_t at = (size_t)(2 * N * m + N * m * n_0 + N * m * P + P + N * n_0 + N * m + n_0 * n_0 + P * n_0 + P);
    for (ptrdiff_t k = 0; k < w->api->num_layers(w->net); k++) {
        dn_layer_info layer;
        w->api->layer(w->net, k, &layer);
        if (w->delta) {
            w->delta[k] = w->results + at;
            w->h[k] = w->delta[k] + N * m * layer.n_out;
        }
        at += (size_t)(N * m * layer.n_out + N * layer.n_in);
    }
    return at;
}

static int begin(workout *w, const dn_api *api, const dn_net *net, const real *x)
{
    const size_t layers = (size_t)api->num_layers(net), n_0 = (size_t)api->num_inputs(net);
    const size_t m = (size_t)api->num_outputs(net), P = (size_t)api->num_params(net), rest = N * m + P;
    memset(w, 0, sizeof *w);
    w->api = api, w->net = net, w->count = lay_out(w);
    w->x = malloc((N * n_0 + rest) * sizeof(real)), w->results = calloc(w->count, sizeof(real));
    w->delta = malloc(2 * layers * sizeof(real *)), w->work = malloc(api->work_size(net, N, ALL));
    if (!w->x || !w->results || !w->delta || !w->work)
        return -1;
    w->u = w->x + N * n_0, w->v = w->u + N * m, w->h = w->delta + layers;
    memcpy(w->x, x, N * n_0 * sizeof(real));
    for (size_t i = 0; i < rest; i++)
        w->u[i] = (real)(i % 7) - 3;
    lay_out(w);
    return 0;
}

static void end(workout *w) { free(w->x), free(w->results), free(w->delta), free(w->work); }

/* Each function once */
static int run(const workout *w)
{
    const dn_api *api = w->api;
    const ptrdiff_t n_0 = api->num_inputs(w->net), m = api->num_outputs(w->net), P = api->num_params(w->net);
    real *y = w->results, *yv = y + N * m, *jx = yv + N * m, *J = jx + N * m * n_0, *grad = J + N * m * P;
    real *grad_x = grad + P, *y2 = grad_x + N * n_0, *hxx = y2 + N * m, *mixed = hxx + n_0 * n_0, *hv = mixed + P * n_0;
    return api->F(eval)(w->net, NULL, w->x, N, y, jx, J, w->work)
         | api->F(factors)(w->net, NULL, w->x, N, y2, w->delta, w->h, w->work)
         | api->F(vjp)(w->net, NULL, w->x, N, w->u, grad, grad_x, w->work)
         | api->F(jvp)(w->net, NULL, w->x, N, w->v, w->x, yv, w->work)
         | api->F(hess)(w->net, NULL, w->x, w->u, hxx, w->work)
         | api->F(mixed)(w->net, NULL, w->x, w->u, mixed, w->work)
         | api->F(hvp)(w->net, NULL, w->x, N, w->u, w->v, hv, w->work);
}

typedef struct task {
    workout own;
    const workout *right;
    ptrdiff_t calls, wrong;
} task;

static void *work_through(void *argument)
{
    task *t = argument;
    for (ptrdiff_t i = 0; i < t->calls; i++) {
        memset(t->own.results, 0xff, t->own.count * sizeof(real));
        t->wrong += run(&t->own) != DN_OK || memcmp(t->own.results, t->right->results, t->own.count * sizeof(real));
    }
    return NULL;
}

/* How many of the calls of so many threads gave other bits than this one's; -1: no memory or no thread */
ptrdiff_t differing(const dn_api *api, const dn_net *net, const real *x, int threads, ptrdiff_t calls)
{
    task tasks[64];
    pthread_t handles[64];
    workout right;
    ptrdiff_t wrong = 0;
    int failed = begin(&right, api, net, x) || run(&right);
    for (int i = 0; i < threads && !failed; i++) {
        failed = begin(&tasks[i].own, api, net, x);
        tasks[i].right = &right, tasks[i].calls = calls, tasks[i].wrong = 0;
    }
    for (int i = 0; i < threads && !failed; i++)
        failed = pthread_create(&handles[i], NULL, work_through, &tasks[i]);
    if (failed)
        return -1;
    for (int i = 0; i < threads; i++) {
        pthread_join(handles[i], NULL);
        wrong += tasks[i].wrong;
        end(&tasks[i].own);
    }
    end(&right);
    return wrong;
}

/* 1: errno changed, 2: the rounding mode, 4: another control bit, 8: a status */
int changed(const dn_api *api, const dn_net *net, const real *x)
{
    const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    int result = 0;
    workout w;
    if (begin(&w, api, net, x))
        return -1;
    for (int i = 0; i < 4; i++) {
        fesetround(modes[i]);
        const unsigned before = CONTROL;
        errno = 77;
        result |= run(&w) ? 8 : 0;
        result |= (errno != 77) | (fegetround() != modes[i]) << 1 | (CONTROL != before) << 2;
    }
    fesetround(FE_TONEAREST);
    end(&w);
    return result;
}

/* Calls in a process of its own that the kernel kills at its first system call; its wait status. With `talk` it makes
 * one */
int sealed(const dn_api *api, const dn_net *net, const real *x, ptrdiff_t calls, int talk)
{
    workout w;
    int status = -1;
    if (begin(&w, api, net, x))
        return -1;
    const pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
            _exit(99);
        int failed = 0;
        for (ptrdiff_t i = 0; i < calls; i++)
            failed |= run(&w);
        if (talk)
            getppid();
        syscall(SYS_exit, failed);
    }
    waitpid(child, &status, 0);
    end(&w);
    return status;
}

/* What `count` (interpose.c) says of so many calls; -1: no memory */
long counted(const dn_api *api, const dn_net *net, const real *x, ptrdiff_t calls, long (*count)(int))
{
    workout w;
    if (begin(&w, api, net, x))
        return -1;
    count(1);
    for (ptrdiff_t i = 0; i < calls; i++)
        run(&w);
    const long seen = count(0);
    end(&w);
    return seen;
}
