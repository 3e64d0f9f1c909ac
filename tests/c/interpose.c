/* Preloaded, counts what takes memory or a lock. glibc only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t), __libc_free(void *);

static volatile int counting;
static long seen;

static void note(void)
{
    if (counting)
        __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t n) { return note(), __libc_malloc(n); }
void *calloc(size_t n, size_t each) { return note(), __libc_calloc(n, each); }
void *realloc(void *p, size_t n) { return note(), __libc_realloc(p, n); }
void *memalign(size_t side, size_t n) { return note(), __libc_memalign(side, n); }
void *aligned_alloc(size_t side, size_t n) { return note(), __libc_memalign(side, n); }
void free(void *p) { note(), __libc_free(p); }

int posix_memalign(void **p, size_t side, size_t n)
{
    note();
    *p = __libc_memalign(side, n);
    return *p ? 0 : 12;
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*next)(pthread_mutex_t *);
    note();
    if (!next)
        next = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
    return next(mutex);
}

/* Begin at zero, or stop; how many there were */
long count(int begin)
{
    counting = begin;
    if (begin)
        seen = 0;
    return seen;
}

/* One of each, for the count to be seen to count */
void some(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    void *volatile p = malloc(8);
    free(p);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
}
