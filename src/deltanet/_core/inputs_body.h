/* The products of one type and width of vectors; included by inputs.h alone. */

#define DN_T_(name, type, bits) dn_##name##_##type##_##bits
#define DN_T_OF(name, type, bits) DN_T_(name, type, bits)
#define DN_T(name) DN_T_OF(name, DN_TYPE, DN_BITS)

/* sum += a b^T: column k of six rows a by some vectors b. */
DN_TARGET static inline __attribute__((always_inline)) void
DN_T(add_products)(int vectors, DN_VEC (*sum)[DN_INPUT_VECTORS], const DN_REAL *const *a, ptrdiff_t k, const DN_VEC *b)
{
#pragma GCC unroll 6
    for (int i = 0; i < DN_INPUT_ROWS; i++) {
        DN_VEC one = DN_OP(set1)(a[i][k]);
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            sum[i][j] = DN_OP(fmadd)(one, b[j], sum[i][j]);
    }
}

DN_TARGET static inline __attribute__((always_inline)) void
DN_T(put_sums)(int vectors, DN_REAL *const *c, DN_VEC (*sum)[DN_INPUT_VECTORS])
{
#pragma GCC unroll 6
    for (int i = 0; i < DN_INPUT_ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            DN_OP(storeu)(c[i] + j * DN_WIDTH, sum[i][j]);
}

/* Six rows of X by `vectors` vectors of a pack; for each k, `step` bytes from `ahead` on are fetched. */
DN_TARGET static inline __attribute__((always_inline)) void
DN_T(pack_tile)(int vectors, DN_REAL *const *c, const DN_REAL *const *x, const DN_REAL *pack, ptrdiff_t K,
                const char *ahead, ptrdiff_t step)
{
    DN_VEC sum[DN_INPUT_ROWS][DN_INPUT_VECTORS], b[DN_INPUT_VECTORS];
#pragma GCC unroll 6
    for (int i = 0; i < DN_INPUT_ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            sum[i][j] = DN_OP(loadu)(pack + j * DN_WIDTH);
    for (ptrdiff_t k = 0; k < K; k++, ahead += step) {
        pack += DN_INPUT_VECTORS * DN_WIDTH;
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            b[j] = DN_OP(loadu)(pack + j * DN_WIDTH);
        _mm_prefetch(ahead, _MM_HINT_T0);
        DN_T(add_products)(vectors, sum, x, k, b);
    }
    DN_T(put_sums)(vectors, c, sum);
}

/* See inputs.h. The last row stands again in the place of rows behind it, here and below. */
DN_TARGET static void DN_T(input_product)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *X, ptrdiff_t ldx,
                                          const DN_REAL *packs, ptrdiff_t N, ptrdiff_t n, ptrdiff_t K)
{
    const ptrdiff_t width = DN_INPUT_VECTORS * DN_WIDTH, count = (n + width - 1) / width;
    const ptrdiff_t step = (DN_INPUT_ROWS * (ptrdiff_t)sizeof *X + count - 1) / count;
    for (ptrdiff_t s = 0; s < N; s += DN_INPUT_ROWS) {
        const DN_REAL *x[DN_INPUT_ROWS], *pack = packs;
        const char *ahead = (const char *)(X + (s + DN_INPUT_ROWS) * ldx);
        DN_REAL *c[DN_INPUT_ROWS];
        for (int i = 0; i < DN_INPUT_ROWS; i++) {
            ptrdiff_t row = s + i < N ? s + i : N - 1;
            x[i] = X + row * ldx, c[i] = C + row * ldc;
        }
        for (ptrdiff_t left = n; left > 0; left -= width, pack += (K + 1) * width, ahead += K * step) {
#if DN_INPUT_VECTORS > 2
            if (left > 3 * DN_WIDTH)
                DN_T(pack_tile)(4, c, x, pack, K, ahead, step);
            else if (left > 2 * DN_WIDTH)
                DN_T(pack_tile)(3, c, x, pack, K, ahead, step);
            else
#endif
            if (left > DN_WIDTH)
                DN_T(pack_tile)(2, c, x, pack, K, ahead, step);
            else
                DN_T(pack_tile)(1, c, x, pack, K, ahead, step);
            for (int i = 0; i < DN_INPUT_ROWS; i++)
                c[i] += width;
        }
    }
}

/* Six rows of D by `vectors` vectors of the rows of X. Of row `due` and each `every`-th behind it, what comes next is
 * fetched: all strips of six share that. */
DN_TARGET static inline __attribute__((always_inline)) void
DN_T(sums_tile)(int vectors, int squared, ptrdiff_t due, ptrdiff_t every, DN_REAL *const *c, const DN_REAL *const *d,
                const DN_REAL *X, ptrdiff_t ldx, ptrdiff_t N, int add)
{
    DN_VEC sum[DN_INPUT_ROWS][DN_INPUT_VECTORS], b[DN_INPUT_VECTORS];
#pragma GCC unroll 6
    for (int i = 0; i < DN_INPUT_ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            sum[i][j] = add ? DN_OP(loadu)(c[i] + j * DN_WIDTH) : DN_OP(setzero)();
    if (vectors > 1)
        for (int i = 0; i < DN_INPUT_ROWS; i++)
            _mm_prefetch((const char *)(c[i] + vectors * DN_WIDTH), _MM_HINT_T0);
    for (ptrdiff_t s = 0; s < N; s++, X += ldx) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            b[j] = DN_OP(loadu)(X + j * DN_WIDTH);
            if (squared)
                b[j] = DN_OP(mul)(b[j], b[j]);
        }
        if (s == due) {
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                _mm_prefetch((const char *)(X + (vectors + j) * DN_WIDTH), _MM_HINT_T0);
            due += every;
        }
        DN_T(add_products)(vectors, sum, d, s, b);
    }
    DN_T(put_sums)(vectors, c, sum);
}

/* Some columns of C, all its rows: X is read from the nearest caches. `columns` less than a
 * vector go by way of a buffer, as C ends there. */
#define DN_SUMS(vectors, squared)                                                                                    \
    DN_TARGET static __attribute__((noinline)) void DN_T(sums##vectors##squared)(                                    \
        DN_REAL *C, ptrdiff_t ldc, const DN_REAL *D, ptrdiff_t ldd, const DN_REAL *X, ptrdiff_t ldx, ptrdiff_t N,    \
        ptrdiff_t n, ptrdiff_t columns, int add)                                                                     \
    {                                                                                                                \
        for (ptrdiff_t j = 0; j < n; j += DN_INPUT_ROWS) {                                                           \
            const DN_REAL *d[DN_INPUT_ROWS];                                                                         \
            DN_REAL *c[DN_INPUT_ROWS], *at[DN_INPUT_ROWS], buffer[DN_INPUT_ROWS][DN_WIDTH] = {{0}};                  \
            for (int i = 0; i < DN_INPUT_ROWS; i++) {                                                                \
                ptrdiff_t row = j + i < n ? j + i : n - 1;                                                           \
                d[i] = D + row * ldd, c[i] = at[i] = C + row * ldc;                                                  \
                if (columns < DN_WIDTH) {                                                                            \
                    at[i] = buffer[i];                                                                               \
                    memcpy(at[i], c[i], columns * sizeof *C);                                                        \
                }                                                                                                    \
            }                                                                                                        \
            DN_T(sums_tile)(vectors, squared, j / DN_INPUT_ROWS, (n + DN_INPUT_ROWS - 1) / DN_INPUT_ROWS, at, d, X,  \
                            ldx, N, add);                                                                            \
            for (int i = 0; columns < DN_WIDTH && i < DN_INPUT_ROWS; i++)                                            \
                memcpy(c[i], at[i], columns * sizeof *C);                                                            \
        }                                                                                                            \
    }

DN_SUMS(1, 0)
DN_SUMS(1, 1)
DN_SUMS(2, 0)
DN_SUMS(2, 1)
#if DN_INPUT_VECTORS > 2
DN_SUMS(4, 0)
DN_SUMS(4, 1)
#endif
#undef DN_SUMS

/* See inputs.h. What is left of AVX-512's vectors goes to those of AVX2. */
DN_TARGET static void DN_T(input_sums)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *D, ptrdiff_t ldd, const DN_REAL *X,
                                       ptrdiff_t ldx, ptrdiff_t N, ptrdiff_t n, ptrdiff_t K, int squared, int add)
{
    ptrdiff_t k = 0;
#define DN_SUMS(vectors, columns)                                                                                    \
    (squared ? DN_T(sums##vectors##1) : DN_T(sums##vectors##0))(C + k, ldc, D, ldd, X + k, ldx, N, n, columns, add)
#if DN_INPUT_VECTORS > 2
    for (; k + 4 * DN_WIDTH <= K; k += 4 * DN_WIDTH)
        DN_SUMS(4, 4 * DN_WIDTH);
#endif
    for (; k + 2 * DN_WIDTH <= K; k += 2 * DN_WIDTH)
        DN_SUMS(2, 2 * DN_WIDTH);
    for (; k + DN_WIDTH <= K; k += DN_WIDTH)
        DN_SUMS(1, DN_WIDTH);
    if (k == K)
        return;
#if DN_BITS > 256
    DN_T_OF(input_sums, DN_TYPE, 256)(C + k, ldc, D, ldd, X + k, ldx, N, n, K - k, squared, add);
#else
    DN_SUMS(1, K - k);
#endif
#undef DN_SUMS
}

#undef DN_T
#undef DN_T_OF
#undef DN_T_
