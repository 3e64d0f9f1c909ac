/* The tiles of one type and width of vectors; included by tile.h alone. */

#define DN_T_(name, type, bits) dn_##name##_##type##_##bits
#define DN_T_OF(name, type, bits) DN_T_(name, type, bits)
#define DN_T(name) DN_T_OF(name, DN_TYPE, DN_BITS)

/* `rows` rows by `vectors` vectors of C; both are constants where this is inlined. Vectors of C and B lie cstep and
 * bstep apart. With H, each row of C has one of it, whose vectors lie as those of C. */
DN_TARGET static inline __attribute__((always_inline)) void
DN_T(tile)(int rows, int vectors, DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cstep, const DN_REAL *A, ptrdiff_t ai,
           ptrdiff_t ak, const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t bstep, ptrdiff_t K, const DN_REAL *start,
           const DN_REAL *const *H, ptrdiff_t column, int add)
{
    DN_VEC sum[DN_TILE_ROWS][DN_TILE_VECTORS];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            sum[i][j] = add && !H ? DN_OP(loadu)(C + i * ldc + j * cstep)
                        : start   ? DN_OP(set1)(start[i])
                                  : DN_OP(setzero)();
    for (ptrdiff_t k = 0; k < K; k++, A += ak, B += ldb) {
        DN_VEC b[DN_TILE_VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            b[j] = DN_OP(loadu)(B + j * bstep);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            DN_VEC a = DN_OP(set1)(A[i * ai]);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                sum[i][j] = DN_OP(fmadd)(a, b[j], sum[i][j]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            DN_REAL *c = C + i * ldc + j * cstep;
            if (H && add)
                sum[i][j] = DN_OP(fmadd)(DN_OP(loadu)(H[i] + column + j * cstep), sum[i][j], DN_OP(loadu)(c));
            else if (H)
                sum[i][j] = DN_OP(mul)(DN_OP(loadu)(H[i] + column + j * cstep), sum[i][j]);
            DN_OP(storeu)(c, sum[i][j]);
        }
}

#define DN_TILE(rows, vectors)                                                                                         \
    DN_T(tile)(rows, vectors, C + j * cstep, ldc, cstep, A, ai, ak, B + j * bstep, ldb, bstep, K, start, H, j * cstep, \
               add)

/* Some rows of C by whole vectors of its columns, in tiles; two share what is left, where one would be narrow. */
#define DN_STRIP(rows)                                                                                                 \
    DN_TARGET static __attribute__((noinline)) void DN_T(strip##rows)(                                                 \
        DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cstep, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak, const DN_REAL *B,    \
        ptrdiff_t ldb, ptrdiff_t bstep, ptrdiff_t vectors, ptrdiff_t K, const DN_REAL *start,                          \
        const DN_REAL *const *H, int add)                                                                              \
    {                                                                                                                  \
        for (ptrdiff_t j = 0, now; j < vectors; j += now) {                                                            \
            now = vectors - j > DN_TILE_VECTORS + 1 ? DN_TILE_VECTORS                                                  \
                  : vectors - j > DN_TILE_VECTORS   ? (vectors - j) / 2                                                \
                                                    : vectors - j;                                                     \
            if (DN_TILE_VECTORS > 3 && now == 4)                                                                       \
                DN_TILE(rows, DN_TILE_VECTORS);                                                                        \
            else if (DN_TILE_VECTORS > 2 && now == 3)                                                                  \
                DN_TILE(rows, DN_TILE_VECTORS > 2 ? 3 : 2);                                                            \
            else if (now == 2)                                                                                         \
                DN_TILE(rows, 2);                                                                                      \
            else                                                                                                       \
                DN_TILE(rows, 1);                                                                                      \
        }                                                                                                              \
    }

DN_STRIP(6)
DN_STRIP(4)
DN_STRIP(3)
DN_STRIP(2)
DN_STRIP(1)
#undef DN_STRIP
#undef DN_TILE

DN_TARGET static inline void
DN_T(strip)(ptrdiff_t rows, DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cstep, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,
            const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t bstep, ptrdiff_t vectors, ptrdiff_t K, const DN_REAL *start,
            const DN_REAL *const *H, int add)
{
    if (rows == 6)
        DN_T(strip6)(C, ldc, cstep, A, ai, ak, B, ldb, bstep, vectors, K, start, H, add);
    else if (rows == 4)
        DN_T(strip4)(C, ldc, cstep, A, ai, ak, B, ldb, bstep, vectors, K, start, H, add);
    else if (rows == 3)
        DN_T(strip3)(C, ldc, cstep, A, ai, ak, B, ldb, bstep, vectors, K, start, H, add);
    else if (rows == 2)
        DN_T(strip2)(C, ldc, cstep, A, ai, ak, B, ldb, bstep, vectors, K, start, H, add);
    else
        DN_T(strip1)(C, ldc, cstep, A, ai, ak, B, ldb, bstep, vectors, K, start, H, add);
}

/* Some rows of C, N columns: whole vectors, and the rest, which C ends in, by way of a buffer; of AVX-512 by vectors
 * of AVX2. */
DN_TARGET static inline void
DN_T(ragged)(ptrdiff_t rows, DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak, const DN_REAL *B,
             ptrdiff_t ldb, ptrdiff_t N, ptrdiff_t K, const DN_REAL *start, const DN_REAL **H, int add)
{
    ptrdiff_t vectors = N / DN_WIDTH, whole = vectors * DN_WIDTH;
    if (vectors > 0)
        DN_T(strip)(rows, C, ldc, DN_WIDTH, A, ai, ak, B, ldb, DN_WIDTH, vectors, K, start, H, add);
    if (whole == N)
        return;
    C += whole, B += whole, N -= whole;
    for (ptrdiff_t i = 0; H && i < rows; i++)
        H[i] += whole;
#if DN_BITS > 256
    DN_T_OF(ragged, DN_TYPE, 256)(rows, C, ldc, A, ai, ak, B, ldb, N, K, start, H, add);
#else
    DN_REAL buffer[DN_TILE_ROWS * DN_WIDTH];
    for (ptrdiff_t i = 0; add && i < rows; i++)
        memcpy(buffer + i * DN_WIDTH, C + i * ldc, N * sizeof *C);
    DN_T(strip)(rows, buffer, DN_WIDTH, DN_WIDTH, A, ai, ak, B, ldb, DN_WIDTH, 1, K, start, H, add);
    for (ptrdiff_t i = 0; i < rows; i++)
        memcpy(C + i * ldc, buffer + i * DN_WIDTH, N * sizeof *C);
#endif
}

static inline ptrdiff_t DN_T(rows_of)(ptrdiff_t left) { return left >= 6 ? 6 : left == 5 ? 3 : left; }

/* `rows` rows of A that lie across memory, along it: (K, rows) */
static inline void DN_T(pack)(DN_REAL *packed, const DN_REAL *A, ptrdiff_t ak, ptrdiff_t rows, ptrdiff_t K)
{
    if (rows == 6)
        for (ptrdiff_t k = 0; k < K; k++)
            memcpy(packed + k * 6, A + k * ak, 6 * sizeof *A);
    else
        for (ptrdiff_t k = 0; k < K; k++)
            for (ptrdiff_t r = 0; r < rows; r++)
                packed[k * rows + r] = A[k * ak + r];
}

/* Both products of tile.h. Rows of A that lie across memory are laid along it first, where they serve often. Of a large
 * B some columns serve all rows, then the next ones; of `sets` that are a vector wide, several make a tile. */
DN_TARGET static void DN_T(products)(DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cset, const DN_REAL *A, ptrdiff_t ai,
                                     ptrdiff_t ak, const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t bset, ptrdiff_t sets,
                                     ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DN_REAL *start, const DN_REAL *H,
                                     ptrdiff_t ldh, ptrdiff_t repeat, ptrdiff_t first, int add)
{
    DN_REAL packed[DN_TILE_ROWS * DN_PACKED];
    const ptrdiff_t tile = DN_TILE_VECTORS * DN_WIDTH, fitting = DN_PANEL_BYTES / (ptrdiff_t)sizeof *B / (K + 1);
    const ptrdiff_t panel = fitting > tile ? fitting / tile * tile : tile;
    const int pack = ai == 1 && ak > 1 && K <= DN_PACKED && sets * N >= 6 * DN_WIDTH;
    for (ptrdiff_t j = 0, columns; j < N; j += columns) {
        columns = N - j > 2 * panel ? panel : N - j;
        for (ptrdiff_t i = 0, rows; i < M; i += rows) {
            const DN_REAL *a = A + i * ai, *b = B + j, *from = start ? start + i : NULL, *weights[DN_TILE_ROWS];
            DN_REAL *c = C + i * ldc + j;
            ptrdiff_t along = ak;
            rows = DN_T(rows_of)(M - i);
            if (pack) {
                DN_T(pack)(packed, a, ak, rows, K);
                a = packed, along = rows;
            }
            if (sets > 1 && N == DN_WIDTH) {
                DN_T(strip)(rows, c, ldc, cset, a, ai, along, b, ldb, bset, sets, K, from, NULL, add);
                continue;
            }
            for (ptrdiff_t o = 0; o < sets; o++, c += cset, b += bset) {
                for (ptrdiff_t r = 0; H && r < rows; r++)
                    weights[r] = H + (first + i + r) / repeat * ldh + j;
                DN_T(ragged)(rows, c, ldc, a, ai, along, b, ldb, columns, K, from, H ? weights : NULL, add);
            }
        }
    }
}

DN_TARGET static void DN_T(product)(DN_REAL *C, ptrdiff_t ldc, ptrdiff_t cset, const DN_REAL *A, ptrdiff_t ai,
                                    ptrdiff_t ak, const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t bset, ptrdiff_t sets,
                                    ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const DN_REAL *start, int add)
{
    DN_T(products)(C, ldc, cset, A, ai, ak, B, ldb, bset, sets, M, N, K, start, NULL, 0, 1, 0, add);
}

DN_TARGET static void DN_T(fold_product)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, ptrdiff_t ai, ptrdiff_t ak,
                                         const DN_REAL *B, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K,
                                         const DN_REAL *H, ptrdiff_t ldh, ptrdiff_t repeat, ptrdiff_t first, int add)
{
    DN_T(products)(C, ldc, 0, A, ai, ak, B, ldb, 0, 1, M, N, K, NULL, H, ldh, repeat, first, add);
}

#undef DN_T
#undef DN_T_OF
#undef DN_T_
