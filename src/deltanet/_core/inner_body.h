/* The tiles of one type; included by inner.h alone. */

#define DN_T_(name, type) dn_##name##_##type
#define DN_T(name, type) DN_T_(name, type)

/* `rows` rows by up to four columns of C; `rows` is a constant where this is inlined. */
DN_LEVEL1 static inline __attribute__((always_inline)) void
DN_T(inner_tile, DN_TYPE)(int rows, DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, const DN_REAL *B, ptrdiff_t columns,
                          ptrdiff_t K, int add)
{
    DN_VEC sum[DN_INNER_ROWS][4];
    const DN_REAL *b[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        b[j] = B + (j < columns ? j : columns - 1) * K;
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[i][j] = DN_OP(setzero)();
    for (ptrdiff_t k = 0; k < K; k += DN_WIDTH) {
        DN_VEC a[DN_INNER_ROWS];
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++)
            a[i] = DN_OP(loadu)(A + i * K + k);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            DN_VEC row = DN_OP(loadu)(b[j] + k);
#pragma GCC unroll 3
            for (int i = 0; i < rows; i++)
                sum[i][j] = DN_OP(fmadd)(a[i], row, sum[i][j]);
        }
    }
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++) {
        DN_FOUR sums = DN_T(sums, DN_TYPE)(sum[i]);
        DN_REAL buffer[4], *c = C + i * ldc;
        if (columns == 4) {
            DN_FOUR_OP(storeu)(c, add ? DN_FOUR_OP(add)(DN_FOUR_OP(loadu)(c), sums) : sums);
            continue;
        }
        DN_FOUR_OP(storeu)(buffer, sums);
        for (int j = 0; j < columns; j++)
            c[j] = add ? c[j] + buffer[j] : buffer[j];
    }
}

DN_LEVEL1 static void DN_T(inner, DN_TYPE)(DN_REAL *C, ptrdiff_t ldc, const DN_REAL *A, const DN_REAL *B, ptrdiff_t M,
                                           ptrdiff_t N, ptrdiff_t K, int add)
{
    for (ptrdiff_t i = 0, rows; i < M; i += rows, A += rows * K, C += rows * ldc) {
        rows = M - i >= DN_INNER_ROWS ? DN_INNER_ROWS : 1;
        for (ptrdiff_t j = 0; j < N; j += 4) {
            ptrdiff_t columns = N - j < 4 ? N - j : 4;
            if (rows == DN_INNER_ROWS)
                DN_T(inner_tile, DN_TYPE)(DN_INNER_ROWS, C + j, ldc, A, B + j * K, columns, K, add);
            else
                DN_T(inner_tile, DN_TYPE)(1, C + j, ldc, A, B + j * K, columns, K, add);
        }
    }
}

#undef DN_T
#undef DN_T_
