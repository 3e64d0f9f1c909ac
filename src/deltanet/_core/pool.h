/* Threads that wait for work: a call runs `run(job, rank, size)` on the calling thread and on some of these.
 *
 * A worker takes its task by an atomic exchange and the caller takes back what was not begun, so a thread that
 * never gets its turn is not missed. An idle worker spins for SPIN_NS before it sleeps: waking it costs up to
 * 60 us, half of a whole call. It does not yield meanwhile: see dn_wait. It never holds Python's lock. One call has
 * the pool at a time; another one that comes meanwhile runs on its own thread alone. Threads and locks are CPython's, as
 * every platform has them.
 */
#ifndef DN_POOL_H
#define DN_POOL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <Python.h>
#include <pythread.h>
#include <stdint.h>
#include <stdlib.h>

#include "barrier.h"

enum {
    DN_MAX_WORKERS = 255,
    DN_SPIN_NS = 200000,  /* a worker without a task, before it sleeps */
    DN_GATHER_NS = 100000 /* a caller that needs its team at once, before it goes without the missing */
};

typedef void (*dn_run)(void *job, int rank, int size);

enum { DN_IDLE, DN_POSTED, DN_RUNNING };

typedef struct {
    volatile long task, asleep;
    PyThread_type_lock bell;
    long thread_id;
    int rank;
    char padding[64]; /* no two workers on a cache line */
} dn_worker;

static struct {
    volatile long busy;
    int size, core;
    dn_worker *workers[DN_MAX_WORKERS];
    dn_run run;
    void *job;
    volatile long team; /* size of a gathered team; 0: still gathering */
} dn_pool = {0, 0, -1, {0}, 0, 0, 0};

static void dn_sleep(dn_worker *self) {
    dn_store(&self->asleep, 1);
    if (dn_load(&self->task) == DN_POSTED && dn_swap(&self->asleep, 1, 0))
        return;
    PyThread_acquire_lock(self->bell, WAIT_LOCK); /* until the bell is rung */
}

static void dn_work(void *argument) {
    dn_worker *self = argument;
#if defined(__linux__)
    dn_store(&self->thread_id, (long)syscall(SYS_gettid));
#endif
    for (;;) {
        int64_t start = dn_now();
        long turns = 0;
        while (dn_load(&self->task) != DN_POSTED) {
            dn_pause();
            if (++turns % 64 == 0 && dn_now() - start > DN_SPIN_NS)
                dn_sleep(self);
        }
        if (!dn_swap(&self->task, DN_POSTED, DN_RUNNING))
            continue;
        long size = 0;
        turns = 0;
        while ((size = dn_load(&dn_pool.team)) == 0)
            dn_wait(&turns);
        dn_pool.run(dn_pool.job, self->rank, (int)size);
        dn_store(&self->task, DN_IDLE);
    }
}

/* Keep the workers off the core that this thread runs on (Linux). In a virtual machine the kernel takes an idle
 * core for one that the host has taken away, and wakes a thread beside its waker: there it would wait until the
 * work is done. */
static void dn_part(void) {
#if defined(__linux__)
    int core = sched_getcpu();
    cpu_set_t others;
    if (core < 0 || core == dn_pool.core || sched_getaffinity(0, sizeof others, &others))
        return;
    CPU_CLR(core, &others);
    if (!CPU_COUNT(&others))
        return;
    dn_pool.core = core;
    for (int i = 0; i < dn_pool.size; i++) {
        long id = dn_load(&dn_pool.workers[i]->thread_id);
        if (id)
            sched_setaffinity((pid_t)id, sizeof others, &others);
        else
            dn_pool.core = -1; /* not started yet: again next time */
    }
#endif
}

/* Workers for `size` threads in all, as far as the system starts them. */
static void dn_grow(int size) {
    while (dn_pool.size < size - 1 && dn_pool.size < DN_MAX_WORKERS) {
        dn_worker *worker = calloc(1, sizeof *worker);
        if (!worker)
            return;
        worker->bell = PyThread_allocate_lock();
        if (!worker->bell) {
            free(worker);
            return;
        }
        PyThread_acquire_lock(worker->bell, WAIT_LOCK);
        if (PyThread_start_new_thread(dn_work, worker) == PYTHREAD_INVALID_THREAD_ID) {
            PyThread_free_lock(worker->bell);
            free(worker);
            return;
        }
        dn_pool.workers[dn_pool.size++] = worker;
        dn_pool.core = -1;
    }
}

/* run(job, rank, size) with rank 0 here and the rest on workers. `together`: all of them at the same time, for they
 * will wait for each other; fewer where some do not come. Else whoever comes, and size is what was asked for. */
static void dn_pool_run(dn_run run, void *job, int size, int together) {
    if (size <= 1 || !dn_swap(&dn_pool.busy, 0, 1)) {
        run(job, 0, 1);
        return;
    }
    dn_grow(size);
    if (size > dn_pool.size + 1)
        size = dn_pool.size + 1;
    dn_part();
    dn_pool.run = run;
    dn_pool.job = job;
    dn_store(&dn_pool.team, together ? 0 : size);
    for (int i = 0; i < size - 1; i++) {
        dn_worker *worker = dn_pool.workers[i];
        worker->rank = i + 1;
        dn_store(&worker->task, DN_POSTED);
        if (dn_swap(&worker->asleep, 1, 0))
            PyThread_release_lock(worker->bell);
    }
    if (together) {
        int64_t start = dn_now();
        int here = 0;
        long turns = 0;
        for (int i = 0; i < size - 1; i++) { /* ranks 1, 2, ... to those that have begun */
            dn_worker *worker = dn_pool.workers[i];
            while (dn_load(&worker->task) == DN_POSTED && dn_now() - start < DN_GATHER_NS)
                dn_wait(&turns);
            if (!dn_swap(&worker->task, DN_POSTED, DN_IDLE))
                worker->rank = ++here;
        }
        size = here + 1;
        dn_store(&dn_pool.team, size);
    }
    run(job, 0, size);
    for (int i = 0; i < dn_pool.size; i++) {
        long turns = 0;
        if (!dn_swap(&dn_pool.workers[i]->task, DN_POSTED, DN_IDLE))
            while (dn_load(&dn_pool.workers[i]->task) != DN_IDLE)
                dn_wait(&turns);
    }
    dn_store(&dn_pool.busy, 0);
}

/* In a forked child no worker lives, and whatever they held is gone with them. */
static void dn_pool_forget(void) {
    dn_pool.size = 0;
    dn_pool.core = -1;
    dn_store(&dn_pool.busy, 0);
}

#endif
