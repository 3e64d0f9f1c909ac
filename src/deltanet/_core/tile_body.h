/* The tiles of one type; included by tile.h alone. */

#define DN_T_(name, type) dn_##name##_##type
#define DN_T(name, type) DN_T_(name, type)

/* `rows` rows by `vectors` vectors of C; both are constants where this is inlined. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(tile, DN_TYPE)(int rows, int vectors, DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,
                    const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t K, const DN_REAL *start, const DN_REAL *H, int add)
{
    DN_VEC sum[DN_TILE_ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = add     ? DN_OP(loadu)(C + i * ldc + j * DN_WIDTH)
                        : start ? DN_OP(set1)(start[i])
                                : DN_OP(setzero)();
    for (ptrdiff_t k = 0; k < K; k++, A += ak, B += ldb) {
        DN_VEC b0 = DN_OP(loadu)(B), b1 = vectors > 1 ? DN_OP(loadu)(B + DN_WIDTH) : b0;
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            DN_VEC a = DN_OP(set1)(A[i * ai]);
            sum[i][0] = DN_OP(fmadd)(a, b0, sum[i][0]);
            if (vectors > 1)
                sum[i][1] = DN_OP(fmadd)(a, b1, sum[i][1]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            DN_OP(storeu)(C + i * ldc + j * DN_WIDTH,
                          H ? DN_OP(fmadd)(DN_OP(loadu)(H + i * ldc + j * DN_WIDTH), sum[i][j],
                                           DN_OP(loadu)(C + i * ldc + j * DN_WIDTH))
                            : sum[i][j]);
}

/* Some rows of C, all its columns: whole tiles, one that is a vector wide, and the last columns by way of a buffer,
 * as C ends there. `rows` is a constant where this is inlined. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(strip, DN_TYPE)(int rows, DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,
                     const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t N, ptrdiff_t K, const DN_REAL *start, const DN_REAL *H, int add)
{
    ptrdiff_t j = 0;
    for (; j + 2 * DN_WIDTH <= N; j += 2 * DN_WIDTH)
        DN_T(tile, DN_TYPE)(rows, 2, C + j, ldc, A, ai, ak, B + j, ldb, K, start, H ? H + j : NULL, add);
    for (; j + DN_WIDTH <= N; j += DN_WIDTH)
        DN_T(tile, DN_TYPE)(rows, 1, C + j, ldc, A, ai, ak, B + j, ldb, K, start, H ? H + j : NULL, add);
    if (j < N) {
        DN_REAL buffer[DN_TILE_ROWS * DN_WIDTH];
        for (int i = 0; add && i < rows; i++)
            memcpy(buffer + i * DN_WIDTH, C + i * ldc + j, (N - j) * sizeof *C);
        DN_T(tile, DN_TYPE)(rows, 1, buffer, DN_WIDTH, A, ai, ak, B + j, ldb, K, start, NULL, add);
        for (int i = 0; i < rows; i++)
            memcpy(C + i * ldc + j, buffer + i * DN_WIDTH, (N - j) * sizeof *C);
    }
}

/* `sets` products with one A: C and B of each lie `cset` and `bset` behind the one before. */
#define DN_STRIPS(count)                                                                           \
    DN_LEVEL1 static __attribute__((noinline)) void DN_T(strips##count, DN_TYPE)(                  \
        DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cset, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,   \
        const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t bset, ptrdiff_t sets, ptrdiff_t N, ptrdiff_t K, \
        const DN_REAL *start, const DN_REAL *H, int add)                                                             \
    {                                                                                              \
        for (ptrdiff_t o = 0; o < sets; o++)                                                       \
            DN_T(strip, DN_TYPE)(count, C + o * cset, ldc, A, ai, ak, B + o * bset, ldb, N, K,     \
                                 start, H, add);                                                   \
    }

DN_STRIPS(6)
DN_STRIPS(3)
DN_STRIPS(2)
DN_STRIPS(1)
#undef DN_STRIPS

/* C (M, N; rows ldc apart) := start + A B or, with `add`, C + A B or, with H, C + H * (A B), whole vectors;  A_ik = A[i ai + k ak], B (K, N; rows ldb apart);
 * the same A for `sets` of B and C. Rows of A that lie across memory are laid along it first, where they serve often. */
DN_LEVEL1 static void DN_T(product, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cset, const DN_REAL *A, ptrdiff_t ai,
                                             ptrdiff_t ak, const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t bset,
                                             ptrdiff_t sets, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K,
                                             const DN_REAL *start, const DN_REAL *H, int add)
{
    enum { PACKED = 1024 };
    DN_REAL packed[DN_TILE_ROWS * PACKED];
    int pack = ai == 1 && ak > 1 && K <= PACKED && sets * N >= 6 * DN_WIDTH;
    for (ptrdiff_t i = 0, rows; i < M; i += rows) {
        const DN_REAL *a = A + i * ai, *first = start ? start + i : NULL;
        ptrdiff_t step = ai, along = ak;
        DN_REAL *c = C + i * ldc;
        const DN_REAL *weight = H ? H + i * ldc : NULL;
        rows = M - i >= 6 ? 6 : M - i >= 3 ? 3 : M - i;
        if (pack) {
            if (rows == 6)
                for (ptrdiff_t k = 0; k < K; k++)
                    memcpy(packed + k * 6, a + k * ak, 6 * sizeof *a);
            else
                for (ptrdiff_t k = 0; k < K; k++)
                    for (ptrdiff_t r = 0; r < rows; r++)
                        packed[k * rows + r] = a[k * ak + r];
            a = packed, along = rows;
        }
        if (rows == 6)
            DN_T(strips6, DN_TYPE)(c, ldc, cset, a, step, along, B, ldb, bset, sets, N, K, first, weight, add);
        else if (rows == 3)
            DN_T(strips3, DN_TYPE)(c, ldc, cset, a, step, along, B, ldb, bset, sets, N, K, first, weight, add);
        else if (rows == 2)
            DN_T(strips2, DN_TYPE)(c, ldc, cset, a, step, along, B, ldb, bset, sets, N, K, first, weight, add);
        else
            DN_T(strips1, DN_TYPE)(c, ldc, cset, a, step, along, B, ldb, bset, sets, N, K, first, weight, add);
    }
}

#undef DN_T
#undef DN_T_
