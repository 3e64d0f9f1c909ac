/* The products of one type; included by inputs.h alone. */

#define DN_T_(name, type) dn_##name##_##type
#define DN_T(name, type) DN_T_(name, type)

/* sum += a b^T: column k of six rows a by a vector b, or two. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(add_products, DN_TYPE)(int vectors, DN_VEC (*sum)[2], const DN_REAL *const *a, ptrdiff_t k, DN_VEC b0, DN_VEC b1)
{
#pragma GCC unroll 6
    for (int i = 0; i < DN_INPUT_ROWS; i++) {
        DN_VEC one = DN_OP(set1)(a[i][k]);
        sum[i][0] = DN_OP(fmadd)(one, b0, sum[i][0]);
        if (vectors > 1)
            sum[i][1] = DN_OP(fmadd)(one, b1, sum[i][1]);
    }
}

DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(put_sums, DN_TYPE)(int vectors, DN_REAL *const *c, DN_VEC (*sum)[2])
{
#pragma GCC unroll 6
    for (int i = 0; i < DN_INPUT_ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            DN_OP(storeu)(c[i] + j * DN_WIDTH, sum[i][j]);
}

/* Six rows of X by `vectors` vectors of a pack; for each k, `step` bytes from `ahead` on are fetched. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(pack_tile, DN_TYPE)(int vectors, DN_REAL *const *c, const DN_REAL *const *x, const DN_REAL *pack, ptrdiff_t K,
                         const char *ahead, ptrdiff_t step)
{
    DN_VEC sum[DN_INPUT_ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < DN_INPUT_ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = DN_OP(loadu)(pack + j * DN_WIDTH);
    for (ptrdiff_t k = 0; k < K; k++, ahead += step) {
        pack += 2 * DN_WIDTH;
        DN_VEC b0 = DN_OP(loadu)(pack), b1 = vectors > 1 ? DN_OP(loadu)(pack + DN_WIDTH) : b0;
        _mm_prefetch(ahead, _MM_HINT_T0);
        DN_T(add_products, DN_TYPE)(vectors, sum, x, k, b0, b1);
    }
    DN_T(put_sums, DN_TYPE)(vectors, c, sum);
}

/* See inputs.h. The last row stands again in the place of rows behind it, here and below. */
DN_LEVEL1 static void DN_T(input_product, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *X, ptrdiff_t ldx,
                                                   const DN_REAL *packs, ptrdiff_t N, ptrdiff_t n, ptrdiff_t K)
{
    const ptrdiff_t width = 2 * DN_WIDTH, count = (n + width - 1) / width;
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
            if (left > DN_WIDTH)
                DN_T(pack_tile, DN_TYPE)(2, c, x, pack, K, ahead, step);
            else
                DN_T(pack_tile, DN_TYPE)(1, c, x, pack, K, ahead, step);
            for (int i = 0; i < DN_INPUT_ROWS; i++)
                c[i] += width;
        }
    }
}

/* Six rows of D by `vectors` vectors of the rows of X; `first` says that what is behind these is to be fetched. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(sums_tile, DN_TYPE)(int vectors, int squared, int first, DN_REAL *const *c, const DN_REAL *const *d,
                         const DN_REAL *X, ptrdiff_t ldx, ptrdiff_t N, int add)
{
    DN_VEC sum[DN_INPUT_ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < DN_INPUT_ROWS; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = add ? DN_OP(loadu)(c[i] + j * DN_WIDTH) : DN_OP(setzero)();
    if (vectors > 1)
        for (int i = 0; i < DN_INPUT_ROWS; i++)
            _mm_prefetch((const char *)(c[i] + 2 * DN_WIDTH), _MM_HINT_T0);
    for (ptrdiff_t s = 0; s < N; s++, X += ldx) {
        DN_VEC b0 = DN_OP(loadu)(X), b1 = vectors > 1 ? DN_OP(loadu)(X + DN_WIDTH) : b0;
        if (first)
            _mm_prefetch((const char *)(X + 4 * DN_WIDTH - 1), _MM_HINT_T0);
        if (squared)
            b0 = DN_OP(mul)(b0, b0), b1 = DN_OP(mul)(b1, b1);
        DN_T(add_products, DN_TYPE)(vectors, sum, d, s, b0, b1);
    }
    DN_T(put_sums, DN_TYPE)(vectors, c, sum);
}

/* Some columns of C, all its rows: X is read from the nearest cache but for the first six. `columns` less than a
 * vector go by way of a buffer, as C ends there. */
#define DN_SUMS(name, vectors, squared)                                                                              \
    DN_LEVEL1 static __attribute__((noinline)) void DN_T(name, DN_TYPE)(                                             \
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
            if (j == 0)                                                                                              \
                DN_T(sums_tile, DN_TYPE)(vectors, squared, 1, at, d, X, ldx, N, add);                                \
            else                                                                                                     \
                DN_T(sums_tile, DN_TYPE)(vectors, squared, 0, at, d, X, ldx, N, add);                                \
            for (int i = 0; columns < DN_WIDTH && i < DN_INPUT_ROWS; i++)                                            \
                memcpy(c[i], at[i], columns * sizeof *C);                                                            \
        }                                                                                                            \
    }

DN_SUMS(sums2, 2, 0)
DN_SUMS(sums1, 1, 0)
DN_SUMS(squared_sums2, 2, 1)
DN_SUMS(squared_sums1, 1, 1)
#undef DN_SUMS

/* See inputs.h. */
DN_LEVEL1 static void DN_T(input_sums, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *D, ptrdiff_t ldd,
                                                const DN_REAL *X, ptrdiff_t ldx, ptrdiff_t N, ptrdiff_t n, ptrdiff_t K,
                                                int squared, int add)
{
    ptrdiff_t k = 0;
    for (; k + 2 * DN_WIDTH <= K; k += 2 * DN_WIDTH)
        if (squared)
            DN_T(squared_sums2, DN_TYPE)(C + k, ldc, D, ldd, X + k, ldx, N, n, 2 * DN_WIDTH, add);
        else
            DN_T(sums2, DN_TYPE)(C + k, ldc, D, ldd, X + k, ldx, N, n, 2 * DN_WIDTH, add);
    for (; k < K; k += DN_WIDTH) {
        ptrdiff_t left = K - k < DN_WIDTH ? K - k : DN_WIDTH;
        if (squared)
            DN_T(squared_sums1, DN_TYPE)(C + k, ldc, D, ldd, X + k, ldx, N, n, left, add);
        else
            DN_T(sums1, DN_TYPE)(C + k, ldc, D, ldd, X + k, ldx, N, n, left, add);
    }
}

#undef DN_T
#undef DN_T_
