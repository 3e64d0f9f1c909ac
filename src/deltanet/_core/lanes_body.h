/* The symmetric sums of one type; included by lanes.h alone. */

/* One sample: C's rows are the vectors */
static void DN_L(bend_lone)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT A, const DN_REAL *c, ptrdiff_t n,
                            ptrdiff_t m)
{
    for (ptrdiff_t k = 0; k < n; k++, A += m)
        for (ptrdiff_t i = 0; i < m; i++) {
            const DN_REAL a = c[k] * A[i];
            for (ptrdiff_t j = 0; j <= i; j++)
                C[i * m + j] += a * A[j];
        }
}

static void DN_L(bend_any)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT A, const DN_REAL *c, ptrdiff_t n,
                           ptrdiff_t m, ptrdiff_t B)
{
    for (ptrdiff_t k = 0; k < n; k++, A += m * B, c += B)
        for (ptrdiff_t i = 0; i < m; i++)
            for (ptrdiff_t j = 0; j <= i; j++)
                for (ptrdiff_t s = 0; s < B; s++)
                    C[(i * m + j) * B + s] += c[s] * A[i * B + s] * A[j * B + s];
}

#if DN_LEVELS

/* `rows` by `columns` vectors of C; both are constants where this is inlined. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_L(bend_tile)(int rows, int columns, DN_REAL *C, ptrdiff_t ldc, const DN_REAL *Ai, const DN_REAL *Aj,
                const DN_REAL *c, ptrdiff_t n, ptrdiff_t m, ptrdiff_t B)
{
    DN_VEC sum[3][3];
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < columns; j++)
            sum[i][j] = DN_OP(loadu)(C + i * ldc + j * B);
    for (ptrdiff_t k = 0; k < n; k++, Ai += m * B, Aj += m * B, c += B) {
        DN_VEC weight = DN_OP(loadu)(c), a[3], b[3];
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++)
            a[i] = DN_OP(mul)(weight, DN_OP(loadu)(Ai + i * B));
#pragma GCC unroll 3
        for (int j = 0; j < columns; j++)
            b[j] = DN_OP(loadu)(Aj + j * B);
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
            for (int j = 0; j < columns; j++)
                sum[i][j] = DN_OP(fmadd)(a[i], b[j], sum[i][j]);
    }
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 3
        for (int j = 0; j < columns; j++)
            DN_OP(storeu)(C + i * ldc + j * B, sum[i][j]);
}

#define DN_BEND_CASE(rows, columns)                                                                                   \
    case 4 * (rows) + (columns):                                                                                      \
        DN_L(bend_tile)(rows, columns, C + (i * m + j) * B + s, m * B, A + i * B + s, A + j * B + s, c + s, n, m, B); \
        break;

DN_LEVEL1 static void DN_L(bend_vectors)(DN_REAL *C, const DN_REAL *A, const DN_REAL *c, ptrdiff_t n, ptrdiff_t m,
                                         ptrdiff_t B)
{
    for (ptrdiff_t s = 0; s < B; s += DN_WIDTH)
        for (ptrdiff_t i = 0; i < m; i += 3)
            for (ptrdiff_t j = 0; j <= i; j += 3)
                switch (4 * (m - i < 3 ? m - i : 3) + (m - j < 3 ? m - j : 3)) {
                    DN_BEND_CASE(3, 3)
                    DN_BEND_CASE(2, 3)
                    DN_BEND_CASE(1, 3)
                    DN_BEND_CASE(2, 2)
                    DN_BEND_CASE(1, 1)
                }
}

#undef DN_BEND_CASE

#endif

static inline void DN_L(bend)(int simd, DN_REAL *C, const DN_REAL *A, const DN_REAL *c, ptrdiff_t n, ptrdiff_t m,
                              ptrdiff_t B)
{
    if (B == 1)
        DN_L(bend_lone)(C, A, c, n, m);
#if DN_LEVELS
    else if (simd >= 1)
        DN_L(bend_vectors)(C, A, c, n, m, B);
#endif
    else
        DN_L(bend_any)(C, A, c, n, m, B);
    (void)simd;
}
