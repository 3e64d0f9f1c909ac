/* The loops of a lone sample with AVX2, of one type; included by loops_body.h alone.
 *
 * Registers hold the sums, a mask the last numbers of a row: nothing is read or written beyond an array. How a number
 * is summed depends on the length of the sum alone.
 */

/* The first n lanes */
DN_TARGET static inline __m256i DN_NAME(mask)(ptrdiff_t n)
{
#if DN_WIDTH == 4
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
#else
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#endif
}

/* The sum of each of DN_WIDTH vectors, side by side */
DN_TARGET static inline __attribute__((always_inline)) DN_VEC DN_NAME(sums)(const DN_VEC *v)
{
#if DN_WIDTH == 4
    return dn_sums_f64(v);
#else
    return _mm256_set_m128(dn_sums_f32(v + 4), dn_sums_f32(v));
#endif
}

/* c := start + A b: eight rows side by side, each in a vector whose lanes are added last. start may be c. */
DN_TARGET static void DN_NAME(dots)(DN_REAL *c, const DN_REAL *A, const DN_REAL *b, const DN_REAL *start, ptrdiff_t M,
                                    ptrdiff_t K)
{
    const ptrdiff_t whole = K / DN_WIDTH * DN_WIDTH;
    const __m256i rest = DN_NAME(mask)(K - whole);
    const DN_VEC last = whole < K ? DN_OP(maskload)(b + whole, rest) : DN_OP(setzero)();
    for (ptrdiff_t i = 0; i < M; i += 8) {
        const ptrdiff_t rows = M - i < 8 ? M - i : 8;
        const DN_REAL *a[8];
        DN_VEC sum[8];
#pragma GCC unroll 8
        for (int r = 0; r < 8; r++) {
            a[r] = A + (i + (r < rows ? r : rows - 1)) * K;
            sum[r] = DN_OP(setzero)();
        }
        for (ptrdiff_t k = 0; k < whole; k += DN_WIDTH) {
            const DN_VEC bk = DN_OP(loadu)(b + k);
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++)
                sum[r] = DN_OP(fmadd)(DN_OP(loadu)(a[r] + k), bk, sum[r]);
        }
        if (whole < K)
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++)
                sum[r] = DN_OP(fmadd)(DN_OP(maskload)(a[r] + whole, rest), last, sum[r]);
#pragma GCC unroll 2
        for (int r = 0; r < 8; r += DN_WIDTH) {
            const __m256i kept = DN_NAME(mask)(rows - r);
            DN_VEC s = DN_NAME(sums)(sum + r);
            if (start)
                s = DN_OP(add)(DN_OP(maskload)(start + i + r, kept), s);
            DN_OP(maskstore)(c + i + r, kept, s);
        }
    }
}

/* `rows` rows by `vectors` vectors of C, the last of them as far as `kept` says; the first two are constants */
DN_TARGET static inline __attribute__((always_inline)) void
DN_NAME(patch)(int rows, int vectors, DN_REAL *C, const DN_REAL *A, const DN_REAL *B, ptrdiff_t N, ptrdiff_t K,
               int masked, __m256i kept)
{
    DN_VEC sum[3][8];
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++)
            sum[i][j] = DN_OP(setzero)();
    for (ptrdiff_t k = 0; k < K; k++, B += N) {
        DN_VEC a[3];
#pragma GCC unroll 3
        for (int i = 0; i < rows; i++)
            a[i] = DN_OP(set1)(A[i * K + k]);
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++) {
            const DN_VEC b = masked ? DN_OP(maskload)(B, kept) : DN_OP(loadu)(B + j * DN_WIDTH);
#pragma GCC unroll 3
            for (int i = 0; i < rows; i++)
                sum[i][j] = DN_OP(fmadd)(a[i], b, sum[i][j]);
        }
    }
#pragma GCC unroll 3
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++)
            if (masked)
                DN_OP(maskstore)(C + i * N, kept, sum[i][j]);
            else
                DN_OP(storeu)(C + i * N + j * DN_WIDTH, sum[i][j]);
}

/* C := A B, of `rows` rows: as many columns at a time as there are registers for sums */
#define DN_STRIP(rows, most)                                                                                          \
    DN_TARGET static void DN_NAME(strip##rows)(DN_REAL *C, const DN_REAL *A, const DN_REAL *B, ptrdiff_t N,           \
                                               ptrdiff_t K)                                                           \
    {                                                                                                                 \
        const __m256i none = _mm256_setzero_si256();                                                                  \
        ptrdiff_t j = 0;                                                                                              \
        for (; j + most * DN_WIDTH <= N; j += most * DN_WIDTH)                                                        \
            DN_NAME(patch)(rows, most, C + j, A, B + j, N, K, 0, none);                                               \
        for (; j + 2 * DN_WIDTH <= N; j += 2 * DN_WIDTH)                                                              \
            DN_NAME(patch)(rows, 2, C + j, A, B + j, N, K, 0, none);                                                  \
        for (; j + DN_WIDTH <= N; j += DN_WIDTH)                                                                      \
            DN_NAME(patch)(rows, 1, C + j, A, B + j, N, K, 0, none);                                                  \
        if (j < N)                                                                                                    \
            DN_NAME(patch)(rows, 1, C + j, A, B + j, N, K, 1, DN_NAME(mask)(N - j));                                  \
    }

DN_STRIP(3, 4)
DN_STRIP(2, 4)
DN_STRIP(1, 8)
#undef DN_STRIP

DN_TARGET static void DN_NAME(combine)(DN_REAL *C, const DN_REAL *A, const DN_REAL *B, ptrdiff_t M, ptrdiff_t N,
                                       ptrdiff_t K)
{
    for (; M >= 3 && M != 4; M -= 3, C += 3 * N, A += 3 * K)
        DN_NAME(strip3)(C, A, B, N, K);
    for (; M >= 2; M -= 2, C += 2 * N, A += 2 * K)
        DN_NAME(strip2)(C, A, B, N, K);
    if (M)
        DN_NAME(strip1)(C, A, B, N, K);
}

/* Rows of out := d (x) g that g fits into registers for: `vectors` whole ones, and one more that ends the row and
 * overlaps them, if `more`. Both are constants. */
DN_TARGET static inline __attribute__((always_inline)) void
DN_NAME(short_rows)(int vectors, int more, DN_REAL *DN_RESTRICT out, const DN_REAL *DN_RESTRICT d,
                    const DN_REAL *DN_RESTRICT g, ptrdiff_t n_out, ptrdiff_t n_in)
{
    DN_VEC kept[9];
#pragma GCC unroll 9
    for (int v = 0; v < vectors + more; v++)
        kept[v] = DN_OP(loadu)(v < vectors ? g + v * DN_WIDTH : g + n_in - DN_WIDTH);
    for (ptrdiff_t j = 0; j < n_out; j++, out += n_in) {
        const DN_VEC dj = DN_OP(set1)(d[j]);
#pragma GCC unroll 9
        for (int v = 0; v < vectors + more; v++)
            DN_OP(storeu)(v < vectors ? out + v * DN_WIDTH : out + n_in - DN_WIDTH, DN_OP(mul)(dj, kept[v]));
    }
}

/* The same for longer rows. One begins with a vector that may overlap the next: those behind it are aligned, as a
 * store that crosses cache lines costs two. */
DN_TARGET static void DN_NAME(long_rows)(DN_REAL *DN_RESTRICT out, const DN_REAL *DN_RESTRICT d,
                                         const DN_REAL *DN_RESTRICT g, ptrdiff_t n_out, ptrdiff_t n_in)
{
    for (ptrdiff_t j = 0; j < n_out; j++, out += n_in) {
        const DN_VEC dj = DN_OP(set1)(d[j]);
        ptrdiff_t i = (ptrdiff_t)((32 - (uintptr_t)out % 32) / sizeof *out);
        DN_OP(storeu)(out, DN_OP(mul)(dj, DN_OP(loadu)(g)));
        for (; i + 2 * DN_WIDTH <= n_in; i += 2 * DN_WIDTH) {
            DN_OP(storeu)(out + i, DN_OP(mul)(dj, DN_OP(loadu)(g + i)));
            DN_OP(storeu)(out + i + DN_WIDTH, DN_OP(mul)(dj, DN_OP(loadu)(g + i + DN_WIDTH)));
        }
        for (; i + DN_WIDTH <= n_in; i += DN_WIDTH)
            DN_OP(storeu)(out + i, DN_OP(mul)(dj, DN_OP(loadu)(g + i)));
        if (i < n_in)
            DN_OP(storeu)(out + n_in - DN_WIDTH, DN_OP(mul)(dj, DN_OP(loadu)(g + n_in - DN_WIDTH)));
    }
}

#define DN_SHORT(vectors)                                                                                             \
    case vectors:                                                                                                     \
        if (n_in % DN_WIDTH)                                                                                          \
            DN_NAME(short_rows)(vectors, 1, out, d, g, n_out, n_in);                                                  \
        else                                                                                                          \
            DN_NAME(short_rows)(vectors, 0, out, d, g, n_out, n_in);                                                  \
        break;

DN_TARGET static void DN_NAME(outer)(DN_REAL *DN_RESTRICT out, const DN_REAL *DN_RESTRICT d,
                                     const DN_REAL *DN_RESTRICT g, ptrdiff_t n_out, ptrdiff_t n_in)
{
    switch (n_in / DN_WIDTH) {
    case 0:
        if (n_in == 1) /* a loop that is worth vectors */
            for (ptrdiff_t j = 0; j < n_out; j++)
                out[j] = d[j] * g[0];
        else
            for (ptrdiff_t j = 0; j < n_out; j++, out += n_in)
                for (ptrdiff_t i = 0; i < n_in; i++)
                    out[i] = d[j] * g[i];
        break;
    DN_SHORT(1)
    DN_SHORT(2)
    DN_SHORT(3)
    DN_SHORT(4)
    DN_SHORT(5)
    DN_SHORT(6)
    DN_SHORT(7)
    DN_SHORT(8)
    default:
        DN_NAME(long_rows)(out, d, g, n_out, n_in);
    }
}
#undef DN_SHORT
