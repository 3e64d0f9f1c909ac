/* Atomic counters, and where the threads of a team wait for each other. */
#ifndef DN_BARRIER_H
#define DN_BARRIER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(_WIN32)
#include <windows.h>
#else
#include <sched.h>
#include <time.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#define dn_load(p) _InterlockedOr((volatile long *)(p), 0)
#define dn_store(p, v) ((void)_InterlockedExchange((volatile long *)(p), (v)))
#define dn_swap(p, old, v) (_InterlockedCompareExchange((volatile long *)(p), (v), (old)) == (old))
#define dn_add(p, v) _InterlockedExchangeAdd((volatile long *)(p), (v))
#else
#define dn_load(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define dn_store(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define dn_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
static inline int dn_swap(volatile long *p, long old, long value) {
    return __atomic_compare_exchange_n(p, &old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define dn_pause() _mm_pause()
#else
#define dn_pause() ((void)0)
#endif

static inline int64_t dn_now(void) {
#if defined(_WIN32)
    LARGE_INTEGER count, rate;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&rate);
    return (int64_t)((double)count.QuadPart * 1e9 / (double)rate.QuadPart);
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#endif
}

typedef struct { volatile long arrived, round; } dn_barrier;

static inline void dn_yield(void) {
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

enum { DN_PATIENT_TURNS = 1024 }; /* tens of microseconds */

/* One turn of a wait: a pause, and in a long wait now and then the core for somebody else. Not in a short one: a thread
 * that spins without ever giving the core back, as those of NumPy's BLAS do, would keep it for milliseconds. */
static inline void dn_wait(long *turns) {
    dn_pause();
    if (++*turns > DN_PATIENT_TURNS && *turns % 64 == 0)
        dn_yield();
}

static inline void dn_meet(dn_barrier *barrier, int size) {
    long round = dn_load(&barrier->round), turns = 0;
    if (dn_add(&barrier->arrived, 1) == size - 1) {
        dn_store(&barrier->arrived, 0);
        dn_store(&barrier->round, round + 1);
        return;
    }
    while (dn_load(&barrier->round) == round)
        dn_wait(&turns);
}

#endif
