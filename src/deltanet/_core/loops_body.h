/* The loops of one type at one level; included by loops_levels.h alone. */

DN_TARGET static void DN_NAME(fold_outer)(DN_REAL *DN_RESTRICT out, const DN_REAL *DN_RESTRICT d,
                                          const DN_REAL *DN_RESTRICT g, ptrdiff_t n_out, ptrdiff_t n_in) {
    for (ptrdiff_t j = 0; j < n_out; j++, out += n_in)
        for (ptrdiff_t i = 0; i < n_in; i++)
            out[i] += d[j] * g[i];
}

#if DN_LEVELS && DN_LEVEL == 1
#include "lone_body.h"
#else

DN_TARGET static void DN_NAME(outer)(DN_REAL *DN_RESTRICT out, const DN_REAL *DN_RESTRICT d,
                                     const DN_REAL *DN_RESTRICT g, ptrdiff_t n_out, ptrdiff_t n_in) {
    if (n_in == 1) { /* a loop that is worth vectors */
        for (ptrdiff_t j = 0; j < n_out; j++)
            out[j] = d[j] * g[0];
        return;
    }
    for (ptrdiff_t j = 0; j < n_out; j++, out += n_in)
        for (ptrdiff_t i = 0; i < n_in; i++)
            out[i] = d[j] * g[i];
}

/* Each number is a dot product, summed in four interleaved parts: that much the compiler keeps in a vector.
 * start may be c. */
DN_TARGET static void DN_NAME(dots)(DN_REAL *c, const DN_REAL *A, const DN_REAL *b, const DN_REAL *start,
                                    ptrdiff_t M, ptrdiff_t K) {
    for (ptrdiff_t i = 0; i < M; i++, A += K) {
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
        c[i] = (start ? start[i] : 0) + ((s0 + s2) + (s1 + s3));
    }
}

/* Each row is a linear combination of the rows of B, taken four at a time. */
DN_TARGET static void DN_NAME(combine)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT A,
                                       const DN_REAL *DN_RESTRICT B, ptrdiff_t M, ptrdiff_t N,
                                       ptrdiff_t K) {
    for (ptrdiff_t i = 0; i < M; i++, C += N, A += K) {
        const DN_REAL *b = B;
        ptrdiff_t k = 0;
        for (ptrdiff_t j = 0; j < N; j++)
            C[j] = 0;
        for (; k + 4 <= K; k += 4, b += 4 * N)
            for (ptrdiff_t j = 0; j < N; j++)
                C[j] += (A[k] * b[j] + A[k + 1] * b[N + j])
                      + (A[k + 2] * b[2 * N + j] + A[k + 3] * b[3 * N + j]);
        for (; k < K; k++, b += N)
            for (ptrdiff_t j = 0; j < N; j++)
                C[j] += A[k] * b[j];
    }
}

#endif

DN_TARGET static void DN_NAME(multiply)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT A, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++)
        C[i] *= A[i];
}

DN_TARGET static void DN_NAME(fold)(DN_REAL *DN_RESTRICT C, const DN_REAL *A, const DN_REAL *B, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++)
        C[i] += A[i] * B[i];
}

DN_TARGET static void DN_NAME(seed)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT w,
                                    const DN_REAL *DN_RESTRICT slope, const DN_REAL *DN_RESTRICT fprime,
                                    ptrdiff_t n, ptrdiff_t B) {
    if (B == 1) {
        for (ptrdiff_t j = 0; j < n; j++)
            C[j] = slope[0] * w[j] * fprime[j];
        return;
    }
    for (ptrdiff_t j = 0; j < n; j++, C += B, fprime += B)
        for (ptrdiff_t s = 0; s < B; s++)
            C[s] = slope[s] * w[j] * fprime[s];
}

DN_TARGET static void DN_NAME(fold_rows)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT a,
                                         const DN_REAL *DN_RESTRICT A, ptrdiff_t n, ptrdiff_t B) {
    for (ptrdiff_t j = 0; j < n; j++, C += B, A += B)
        for (ptrdiff_t s = 0; s < B; s++)
            C[s] += a[s] * A[s];
}

DN_TARGET static void DN_NAME(scale_rows)(DN_REAL *DN_RESTRICT C, const DN_REAL *DN_RESTRICT a,
                                          const DN_REAL *DN_RESTRICT A, ptrdiff_t n, ptrdiff_t B) {
    for (ptrdiff_t j = 0; j < n; j++, C += B, A += B)
        for (ptrdiff_t s = 0; s < B; s++)
            C[s] = a[s] * A[s];
}

DN_TARGET static void DN_NAME(row_sums)(DN_REAL *c, const DN_REAL *DN_RESTRICT A, ptrdiff_t n, ptrdiff_t N,
                                        ptrdiff_t B) {
    enum { PARTS = 64 / sizeof(DN_REAL) };
    for (ptrdiff_t j = 0; j < n; j++, A += B) {
        DN_REAL part[PARTS] = {0}, sum = 0;
        ptrdiff_t s = 0;
        for (; s + PARTS <= N; s += PARTS)
            for (int p = 0; p < PARTS; p++)
                part[p] += A[s + p];
        for (; s < N; s++)
            sum += A[s];
        for (int half = PARTS / 2; half > 0; half /= 2)
            for (int p = 0; p < half; p++)
                part[p] += part[p + half];
        c[j] += sum + part[0];
    }
}

/* Whole vectors, of which the next number overwrites what is too much. */
DN_TARGET static void DN_NAME(repeat)(DN_REAL *DN_RESTRICT out, const DN_REAL *DN_RESTRICT in, ptrdiff_t n,
                                      ptrdiff_t r) {
    enum { LANES = 32 / sizeof(DN_REAL) };
    for (ptrdiff_t i = 0; i < n; i++, out += r)
        for (ptrdiff_t o = 0; o < r; o += LANES)
            for (int p = 0; p < LANES; p++)
                out[o + p] = in[i];
}

/* Some lanes at a time, whose sums stay in registers. */
DN_TARGET static void DN_NAME(sum_rows)(DN_REAL *DN_RESTRICT c, const DN_REAL *A, const DN_REAL *D,
                                        ptrdiff_t n, ptrdiff_t B) {
    enum { LANES = 64 / sizeof(DN_REAL) };
    ptrdiff_t s = 0;
    for (; s + LANES <= B; s += LANES) {
        DN_REAL sum[LANES];
        for (int p = 0; p < LANES; p++)
            sum[p] = c[s + p];
        for (ptrdiff_t j = 0; j < n; j++)
            for (int p = 0; p < LANES; p++)
                sum[p] += A[j * B + s + p] * D[j * B + s + p];
        for (int p = 0; p < LANES; p++)
            c[s + p] = sum[p];
    }
    for (ptrdiff_t j = 0; j < n; j++)
        for (ptrdiff_t p = s; p < B; p++)
            c[p] += A[j * B + p] * D[j * B + p];
}

/* out (n, m; rows ldo apart) := in^T, in (m, n; rows ldi apart): by squares of a vector's width, which the
 * processor turns in its registers where it can (squares.h). Some rows of `in` at a time, two squares or a cache line
 * of `out`: more rows than a few, read side by side, are more than the processor fetches ahead. */
DN_TARGET static void DN_NAME(transpose)(DN_REAL *DN_RESTRICT out, ptrdiff_t ldo, const DN_REAL *DN_RESTRICT in,
                                         ptrdiff_t ldi, ptrdiff_t m, ptrdiff_t n) {
    enum { SIDE = 32 / sizeof(DN_REAL) };
    ptrdiff_t i, j, whole = n / SIDE * SIDE, rows;
    for (i = 0; i + SIDE <= m; i += rows) {
        rows = i + 2 * SIDE <= m ? 2 * SIDE : SIDE;
        for (j = 0; j < whole; j += SIDE)
            for (ptrdiff_t q = i; q < i + rows; q += SIDE)
                DN_NAME(turn)(out + j * ldo + q, ldo, in + q * ldi + j, ldi);
    }
    for (; i < m; i++)
        for (j = 0; j < whole; j++)
            out[j * ldo + i] = in[i * ldi + j];
    for (j = whole; j < n; j++) {
        for (i = 0; i + 4 <= m; i += 4) {
            out[j * ldo + i] = in[i * ldi + j];
            out[j * ldo + i + 1] = in[(i + 1) * ldi + j];
            out[j * ldo + i + 2] = in[(i + 2) * ldi + j];
            out[j * ldo + i + 3] = in[(i + 3) * ldi + j];
        }
        for (; i < m; i++)
            out[j * ldo + i] = in[i * ldi + j];
    }
}
