/* The loops of one type at one level; included by loops_levels.h alone. */

DN_TARGET static void DN_NAME(outer)(DN_REAL *DN_RESTRICT out, const DN_REAL *DN_RESTRICT d,
                                     const DN_REAL *DN_RESTRICT g, ptrdiff_t n_out, ptrdiff_t n_in) {
    for (ptrdiff_t j = 0; j < n_out; j++, out += n_in)
        for (ptrdiff_t i = 0; i < n_in; i++)
            out[i] = d[j] * g[i];
}

/* Each entry is a dot product, summed in four interleaved parts: that much the compiler vectorises. */
DN_TARGET static void DN_NAME(dots)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT A,
                                    const DN_REAL *DN_RESTRICT B, ptrdiff_t M, ptrdiff_t N,
                                    ptrdiff_t K) {
    for (ptrdiff_t i = 0; i < M; i++, A += K) {
        const DN_REAL *b = B;
        for (ptrdiff_t j = 0; j < N; j++, b += K) {
            DN_REAL s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            ptrdiff_t k = 0;
            for (; k + 4 <= K; k += 4) {
                s0 += A[k] * b[k];
                s1 += A[k + 1] * b[k + 1];
                s2 += A[k + 2] * b[k + 2];
                s3 += A[k + 3] * b[k + 3];
            }
            for (; k < K; k++)
                s0 += A[k] * b[k];
            C[i * N + j] += (s0 + s2) + (s1 + s3);
        }
    }
}

/* Each row is a linear combination of the rows of B, taken four at a time. */
DN_TARGET static void DN_NAME(combine)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT A,
                                       const DN_REAL *DN_RESTRICT B, ptrdiff_t M, ptrdiff_t N,
                                       ptrdiff_t K) {
    for (ptrdiff_t i = 0; i < M; i++, C += N, A += K) {
        const DN_REAL *b = B;
        ptrdiff_t k = 0;
        for (; k + 4 <= K; k += 4, b += 4 * N)
            for (ptrdiff_t j = 0; j < N; j++)
                C[j] += (A[k] * b[j] + A[k + 1] * b[N + j])
                      + (A[k + 2] * b[2 * N + j] + A[k + 3] * b[3 * N + j]);
        for (; k < K; k++, b += N)
            for (ptrdiff_t j = 0; j < N; j++)
                C[j] += A[k] * b[j];
    }
}

DN_TARGET static void DN_NAME(fold)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT A,
                                    const DN_REAL *DN_RESTRICT b, ptrdiff_t N) {
    for (ptrdiff_t i = 0; i < N; i++)
        C[i] += A[i] * b[i];
}
