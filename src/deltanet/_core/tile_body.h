/* The tiles of one type; included by tile.h alone. */

#define DN_T_(name, type) dn_##name##_##type
#define DN_T(name, type) DN_T_(name, type)

/* `rows` rows by `vectors` vectors of C; both are constants where this is inlined. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(tile, DN_TYPE)(int rows, int vectors, DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,
                    const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t K, const DN_REAL *start, const DN_REAL *const *H, int add)
{
    DN_VEC sum[DN_TILE_ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = add && !H ? DN_OP(loadu)(C + i * ldc + j * DN_WIDTH)
                        : start   ? DN_OP(set1)(start[i])
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
        for (int j = 0; j < vectors; j++) {
            if (H && add)
                sum[i][j] = DN_OP(fmadd)(DN_OP(loadu)(H[i] + j * DN_WIDTH), sum[i][j],
                                         DN_OP(loadu)(C + i * ldc + j * DN_WIDTH));
            else if (H)
                sum[i][j] = DN_OP(mul)(DN_OP(loadu)(H[i] + j * DN_WIDTH), sum[i][j]);
            DN_OP(storeu)(C + i * ldc + j * DN_WIDTH, sum[i][j]);
        }
}

/* Some rows of C, all its columns: whole tiles, one that is a vector wide, and the last columns by way of a buffer,
 * as C ends there. `rows` is a constant where this is inlined. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(strip, DN_TYPE)(int rows, DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,
                     const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t N, ptrdiff_t K, const DN_REAL *start, const DN_REAL **H,
                     int add)
{
    ptrdiff_t j = 0;
    for (; j + 2 * DN_WIDTH <= N; j += 2 * DN_WIDTH) {
        DN_T(tile, DN_TYPE)(rows, 2, C + j, ldc, A, ai, ak, B + j, ldb, K, start, H, add);
        for (int i = 0; H && i < rows; i++)
            H[i] += 2 * DN_WIDTH;
    }
    for (; j + DN_WIDTH <= N; j += DN_WIDTH) {
        DN_T(tile, DN_TYPE)(rows, 1, C + j, ldc, A, ai, ak, B + j, ldb, K, start, H, add);
        for (int i = 0; H && i < rows; i++)
            H[i] += DN_WIDTH;
    }
    if (j < N) {
        DN_REAL buffer[DN_TILE_ROWS * DN_WIDTH];
        for (int i = 0; add && i < rows; i++)
            memcpy(buffer + i * DN_WIDTH, C + i * ldc + j, (N - j) * sizeof *C);
        DN_T(tile, DN_TYPE)(rows, 1, buffer, DN_WIDTH, A, ai, ak, B + j, ldb, K, start, H, add);
        for (int i = 0; i < rows; i++)
            memcpy(C + i * ldc + j, buffer + i * DN_WIDTH, (N - j) * sizeof *C);
    }
}

/* `sets` products with one A: C and B of each lie `cset` and `bset` behind the one before. */
#define DN_STRIPS(count)                                                                           \
    DN_LEVEL1 static __attribute__((noinline)) void DN_T(strips##count, DN_TYPE)(                  \
        DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cset, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,   \
        const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t bset, ptrdiff_t sets, ptrdiff_t N, ptrdiff_t K, \
        const DN_REAL *start, int add)                                                             \
    {                                                                                              \
        for (ptrdiff_t o = 0; o < sets; o++)                                                       \
            DN_T(strip, DN_TYPE)(count, C + o * cset, ldc, A, ai, ak, B + o * bset, ldb, N, K,     \
                                 start, NULL, add);                                                \
    }                                                                                              \
    DN_LEVEL1 static __attribute__((noinline)) void DN_T(folded##count, DN_TYPE)(                  \
        DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak, const DN_REAL *B, \
        ptrdiff_t ldb, ptrdiff_t N, ptrdiff_t K, const DN_REAL **H, int add)                       \
    {                                                                                              \
        DN_T(strip, DN_TYPE)(count, C, ldc, A, ai, ak, B, ldb, N, K, NULL, H, add);                \
    }

DN_STRIPS(6)
DN_STRIPS(3)
DN_STRIPS(2)
DN_STRIPS(1)
#undef DN_STRIPS

static inline ptrdiff_t DN_T(rows_of, DN_TYPE)(ptrdiff_t left) { return left >= 6 ? 6 : left >= 3 ? 3 : left; }

/* `rows` rows of A that lie across memory, along it: (K, rows) */
static inline void DN_T(pack, DN_TYPE)(DN_REAL *packed, const DN_REAL *A, ptrdiff_t ak, ptrdiff_t rows, ptrdiff_t K)
{
    if (rows == 6)
        for (ptrdiff_t k = 0; k < K; k++)
            memcpy(packed + k * 6, A + k * ak, 6 * sizeof *A);
    else
        for (ptrdiff_t k = 0; k < K; k++)
            for (ptrdiff_t r = 0; r < rows; r++)
                packed[k * rows + r] = A[k * ak + r];
}

/* See tile.h. Rows of A that lie across memory are laid along it first, where they serve often. */
DN_LEVEL1 static void DN_T(product, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cset, const DN_REAL *A, ptrdiff_t ai,
                                             ptrdiff_t ak, const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t bset,
                                             ptrdiff_t sets, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K,
                                             const DN_REAL *start, int add)
{
    DN_REAL packed[DN_TILE_ROWS * DN_PACKED];
    int pack = ai == 1 && ak > 1 && K <= DN_PACKED && sets * N >= 6 * DN_WIDTH;
    for (ptrdiff_t i = 0, rows; i < M; i += rows) {
        const DN_REAL *a = A + i * ai, *first = start ? start + i : NULL;
        ptrdiff_t along = ak;
        DN_REAL *c = C + i * ldc;
        rows = DN_T(rows_of, DN_TYPE)(M - i);
        if (pack) {
            DN_T(pack, DN_TYPE)(packed, a, ak, rows, K);
            a = packed, along = rows;
        }
        if (rows == 6)
            DN_T(strips6, DN_TYPE)(c, ldc, cset, a, ai, along, B, ldb, bset, sets, N, K, first, add);
        else if (rows == 3)
            DN_T(strips3, DN_TYPE)(c, ldc, cset, a, ai, along, B, ldb, bset, sets, N, K, first, add);
        else if (rows == 2)
            DN_T(strips2, DN_TYPE)(c, ldc, cset, a, ai, along, B, ldb, bset, sets, N, K, first, add);
        else
            DN_T(strips1, DN_TYPE)(c, ldc, cset, a, ai, along, B, ldb, bset, sets, N, K, first, add);
    }
}

DN_LEVEL1 static void DN_T(fold_product, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai,
                                                  ptrdiff_t ak, const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t M,
                                                  ptrdiff_t N, ptrdiff_t K, const DN_REAL *H, ptrdiff_t ldh,
                                                  ptrdiff_t repeat, ptrdiff_t first, int add)
{
    DN_REAL packed[DN_TILE_ROWS * DN_PACKED];
    for (ptrdiff_t i = 0, rows; i < M; i += rows) {
        const DN_REAL *a = A + i * ai, *weights[DN_TILE_ROWS];
        ptrdiff_t along = ak;
        DN_REAL *c = C + i * ldc;
        rows = DN_T(rows_of, DN_TYPE)(M - i);
        for (ptrdiff_t r = 0; r < rows; r++)
            weights[r] = H + (first + i + r) / repeat * ldh;
        if (ai == 1 && K <= DN_PACKED) {
            DN_T(pack, DN_TYPE)(packed, a, ak, rows, K);
            a = packed, along = rows;
        }
        if (rows == 6)
            DN_T(folded6, DN_TYPE)(c, ldc, a, ai, along, B, ldb, N, K, weights, add);
        else if (rows == 3)
            DN_T(folded3, DN_TYPE)(c, ldc, a, ai, along, B, ldb, N, K, weights, add);
        else if (rows == 2)
            DN_T(folded2, DN_TYPE)(c, ldc, a, ai, along, B, ldb, N, K, weights, add);
        else
            DN_T(folded1, DN_TYPE)(c, ldc, a, ai, along, B, ldb, N, K, weights, add);
    }
}

#undef DN_T
#undef DN_T_
