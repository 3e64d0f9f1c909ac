/* The tiles of one type; included by tile.h alone. */

#define DN_T_(name, type) dn_##name##_##type
#define DN_T(name, type) DN_T_(name, type)

/* `rows` rows by `vectors` vectors of C; both are constants where this is inlined. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(tile, DN_TYPE)(int rows, int vectors, DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,
                    const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t K, const DN_REAL *start, int add)
{
    DN_VEC sum[12][2];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = add     ? DN_OP(loadu)(C + i * ldc + j * DN_WIDTH)
                        : start ? DN_OP(set1)(start[i])
                                : DN_OP(setzero)();
    for (ptrdiff_t k = 0; k < K; k++, A += ak, B += ldb) {
        DN_VEC b0 = DN_OP(loadu)(B), b1 = vectors > 1 ? DN_OP(loadu)(B + DN_WIDTH) : b0;
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            DN_VEC a = DN_OP(set1)(A[i * ai]);
            sum[i][0] = DN_OP(fmadd)(a, b0, sum[i][0]);
            if (vectors > 1)
                sum[i][1] = DN_OP(fmadd)(a, b1, sum[i][1]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            DN_OP(storeu)(C + i * ldc + j * DN_WIDTH, sum[i][j]);
}

/* A panel of C: M rows by some vectors. */
#define DN_PANEL(vectors, most)                                                                    \
    do {                                                                                           \
        ptrdiff_t i = 0;                                                                           \
        for (; i + most <= M; i += most)                                                           \
            DN_T(tile, DN_TYPE)(most, vectors, C + i * ldc, ldc, A + i * ai, ai, ak, B, ldb, K,    \
                                start ? start + i : NULL, add);                                    \
        for (; i + 3 <= M; i += 3)                                                                 \
            DN_T(tile, DN_TYPE)(3, vectors, C + i * ldc, ldc, A + i * ai, ai, ak, B, ldb, K,       \
                                start ? start + i : NULL, add);                                    \
        if (i + 2 == M)                                                                            \
            DN_T(tile, DN_TYPE)(2, vectors, C + i * ldc, ldc, A + i * ai, ai, ak, B, ldb, K,       \
                                start ? start + i : NULL, add);                                    \
        if (i + 1 == M)                                                                            \
            DN_T(tile, DN_TYPE)(1, vectors, C + i * ldc, ldc, A + i * ai, ai, ak, B, ldb, K,       \
                                start ? start + i : NULL, add);                                    \
    } while (0)

DN_LEVEL1 static __attribute__((noinline)) void
DN_T(wide_panel, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak, const DN_REAL *B,
                          ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t K, const DN_REAL *start, int add)
{
    DN_PANEL(2, 6);
}

DN_LEVEL1 static __attribute__((noinline)) void
DN_T(narrow_panel, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak, const DN_REAL *B,
                            ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t K, const DN_REAL *start, int add)
{
    DN_PANEL(1, 12);
}

#undef DN_PANEL

/* The last columns of C, fewer than a vector: by way of a buffer, as C ends there. */
DN_LEVEL1 static __attribute__((noinline)) void
DN_T(ragged_panel, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak, const DN_REAL *B,
                            ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DN_REAL *start, int add)
{
    DN_REAL buffer[12 * DN_WIDTH];
    for (ptrdiff_t i = 0, rows; i < M; i += rows) {
        rows = M - i < 12 ? M - i : 12;
        for (ptrdiff_t r = 0; add && r < rows; r++)
            memcpy(buffer + r * DN_WIDTH, C + (i + r) * ldc, N * sizeof *C);
        DN_T(narrow_panel, DN_TYPE)(buffer, DN_WIDTH, A + i * ai, ai, ak, B, ldb, rows, K, start ? start + i : NULL, add);
        for (ptrdiff_t r = 0; r < rows; r++)
            memcpy(C + (i + r) * ldc, buffer + r * DN_WIDTH, N * sizeof *C);
    }
}

/* C (M, N; rows ldc apart) := start + A B or, with `add`, C + A B;  A_ik = A[i ai + k ak], B (K, N; rows ldb apart) */
static inline void DN_T(product, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,
                                          const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K,
                                          const DN_REAL *start, int add)
{
    ptrdiff_t j = 0;
    for (; j + 2 * DN_WIDTH <= N; j += 2 * DN_WIDTH)
        DN_T(wide_panel, DN_TYPE)(C + j, ldc, A, ai, ak, B + j, ldb, M, K, start, add);
    for (; j + DN_WIDTH <= N; j += DN_WIDTH)
        DN_T(narrow_panel, DN_TYPE)(C + j, ldc, A, ai, ak, B + j, ldb, M, K, start, add);
    if (j < N)
        DN_T(ragged_panel, DN_TYPE)(C + j, ldc, A, ai, ak, B + j, ldb, M, N - j, K, start, add);
}

#undef DN_T
#undef DN_T_
