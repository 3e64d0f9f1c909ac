/* What the functions of an exported net are made of (c_file.py). Counts are constants wherever one of these is called,
 * so that loops unroll and sums stay in registers.
 */

/* A product: out[o, i] = sum_k A[o, k] B[k, i], added to what is there, or times slope[i] if it is given */
typedef struct {
    real *out;
    int out_row;
    const real *A;
    int a_row, a_step;
    const real *B;
    int b_row;
    const real *slope;
    int add, inner;
} F(sums);

/* Its rows from o and columns from i on: some rows of some vectors, at most 12 */
DN_INLINE void F(tile)(F(sums) p, int o, int i, int rows, int vectors)
{
    const F(vec) zero = {0};
    F(vec) sum[12], b[8];
    real *out = p.out + o * p.out_row + i;
    const real *A = p.A + o * p.a_row, *B = p.B + i;
    int r, c, k;
    DN_UNROLL for (r = 0; r < rows; r++)
        DN_UNROLL for (c = 0; c < vectors; c++) {
            sum[r * vectors + c] = zero;
            if (p.add) memcpy(&sum[r * vectors + c], out + r * p.out_row + c * DN_LANES, sizeof zero);
        }
    for (k = 0; k < p.inner; k++) {
        DN_UNROLL for (c = 0; c < vectors; c++) memcpy(&b[c], B + k * p.b_row + c * DN_LANES, sizeof zero);
        DN_UNROLL for (r = 0; r < rows; r++)
            DN_UNROLL for (c = 0; c < vectors; c++)
                sum[r * vectors + c] = A[r * p.a_row + k * p.a_step] * b[c] + sum[r * vectors + c];
    }
    DN_UNROLL for (c = 0; c < vectors; c++) {
        if (p.slope) memcpy(&b[c], p.slope + i + c * DN_LANES, sizeof zero);
        DN_UNROLL for (r = 0; r < rows; r++) {
            if (p.slope) sum[r * vectors + c] *= b[c];
            memcpy(out + r * p.out_row + c * DN_LANES, &sum[r * vectors + c], sizeof zero);
        }
    }
}

/* The same of columns that do not fill a vector */
DN_INLINE void F(narrow)(F(sums) p, int o, int rows, int columns)
{
    real sum[6 * DN_LANES];
    int r, c, k;
    DN_UNROLL for (r = 0; r < rows; r++)
        DN_UNROLL for (c = 0; c < columns; c++) sum[r * columns + c] = 0;
    for (k = 0; k < p.inner; k++)
        DN_UNROLL for (r = 0; r < rows; r++)
            DN_UNROLL for (c = 0; c < columns; c++)
                sum[r * columns + c] = p.A[(o + r) * p.a_row + k * p.a_step] * p.B[k * p.b_row + c] + sum[r * columns + c];
    for (r = 0; r < rows; r++)
        for (c = 0; c < columns; c++)
            p.out[(o + r) * p.out_row + c] = p.slope ? sum[r * columns + c] * p.slope[c] : sum[r * columns + c];
}

/* All columns of at most six rows; the last vector overlaps the one before, which `add` does not bear */
DN_INLINE void F(panel)(F(sums) p, int o, int rows, int columns)
{
    const int most = rows == 1 ? 8 : 12 / rows, rest = columns / DN_LANES % most;
    int i = 0;
    if (columns < DN_LANES) {
        F(narrow)(p, o, rows, columns);
        return;
    }
    for (; i + most * DN_LANES <= columns; i += most * DN_LANES) F(tile)(p, o, i, rows, most);
    if (rest) F(tile)(p, o, i, rows, rest ? rest : 1);
    if (columns % DN_LANES) F(tile)(p, o, columns - DN_LANES, rows, 1);
}

DN_INLINE void F(product)(real *out, int out_row, const real *A, int a_row, int a_step, const real *B, int b_row,
                          const real *slope, int add, int inner, int rows, int columns)
{
    const F(sums) p = {out, out_row, A, a_row, a_step, B, b_row, slope, add, inner};
    const int some = rows <= 6 ? rows : rows % 6 == 0 ? 6 : rows % 5 == 0 ? 5 : 4;
    int o = 0;
    for (; o + some <= rows; o += some) F(panel)(p, o, some, columns);
    if (rows % some) F(panel)(p, o, rows % some ? rows % some : 1, columns);
}

/* v[j] = W[j] . h + b[j] of a few rows j, with a vector of partial sums each */
DN_INLINE void F(dots)(real *v, const real *W, const real *b, const real *h, int n_in, int rows)
{
    const F(vec) zero = {0};
    F(vec) sum[8], x, w;
    real parts[8 * DN_LANES], total[8];
    const int whole = n_in / DN_LANES * DN_LANES;
    int i, j, k;
    DN_UNROLL for (j = 0; j < rows; j++) sum[j] = zero;
    for (i = 0; i < whole; i += DN_LANES) {
        memcpy(&x, h + i, sizeof x);
        DN_UNROLL for (j = 0; j < rows; j++) {
            memcpy(&w, W + j * n_in + i, sizeof w);
            sum[j] = w * x + sum[j];
        }
    }
    DN_UNROLL for (j = 0; j < rows; j++) {
        memcpy(parts + j * DN_LANES, &sum[j], sizeof zero);
        total[j] = b ? b[j] : 0;
    }
    for (i = whole; i < n_in; i++)
        DN_UNROLL for (j = 0; j < rows; j++) total[j] = W[j * n_in + i] * h[i] + total[j];
    DN_UNROLL for (k = 0; k < DN_LANES; k++)
        DN_UNROLL for (j = 0; j < rows; j++) total[j] += parts[j * DN_LANES + k];
    DN_UNROLL for (j = 0; j < rows; j++) v[j] = total[j];
}

/* v = W h + b, and zeros behind it to whole 32 bytes */
DN_INLINE void F(affine)(real *v, const real *W, const real *b, const real *h, int n_in, int n)
{
    int j = 0;
    for (; j + 8 <= n; j += 8) F(dots)(v + j, W + j * n_in, b ? b + j : b, h, n_in, 8);
    if (n % 8) F(dots)(v + j, W + j * n_in, b ? b + j : b, h, n_in, n % 8);
    for (j = n; j % (int)(32 / sizeof(real)); j++) v[j] = 0;
}

/* J[o, j, i] = delta[o, j] h[i], and behind them the rows' delta for a bias, of rows o that are J_row apart */
DN_INLINE void F(outer)(real *DN_RESTRICT J, ptrdiff_t J_row, const real *delta, int row, const real *h, int rows, int n,
                        int n_in, int bias)
{
    int i, j, o;
    for (o = 0; o < rows; o++, J += J_row) {
        for (j = 0; j < n; j++)
            for (i = 0; i < n_in; i++) J[j * n_in + i] = delta[o * row + j] * h[i];
        if (bias)
            for (j = 0; j < n; j++) J[n * n_in + j] = delta[o * row + j];
    }
}

/* p = exp(h) / sum_j exp(h_j); h becomes p, or log p. The largest term of the sum is 1 and the rest is summed apart */
DN_INLINE void F(softmax)(real *h, real *p, int log, int m)
{
    double most, term, rest = 0;
    int j, top = 0;
    for (j = 0; j < m; j++)
        if (!(h[j] <= h[top])) top = j;
    most = h[top];
    for (j = 0; j < m; j++) {
        term = exp(h[j] - most);
        p[j] = (real)term;
        if (j != top) rest += p[j];
    }
    for (j = 0; j < m; j++) {
        h[j] = (real)(h[j] - most - log1p(rest));
        p[j] = (real)(p[j] / (1 + rest));
        if (!log) h[j] = p[j];
    }
}

/* sin v, cos v, -sin v of any v, by libm */
DN_INLINE F(triple) F(far_sin)(real v)
{
    double s = v - v, c = s;
    if (s == 0) s = sin((double)v), c = cos((double)v);
    F(triple) result = {(real)s, (real)c, (real)-s};
    return result;
}

/* cos v, -sin v, -cos v */
DN_INLINE F(triple) F(far_cos)(real v)
{
    F(triple) s = F(far_sin)(v), result = {s.slope, -s.f, -s.slope};
    return result;
}

/* T = diag(c) A, rows of so many columns */
DN_INLINE void F(scaled)(real *T, const real *c, const real *A, int n, int columns)
{
    int i, j;
    for (j = 0; j < n; j++)
        for (i = 0; i < columns; i++) T[j * columns + i] = c[j] * A[j * columns + i];
}

/* A = W, with zeros behind its rows */
DN_INLINE void F(widened)(real *A, const real *W, int n, int n_in, int columns)
{
    int i, j;
    for (j = 0; j < n; j++) {
        for (i = 0; i < n_in; i++) A[j * columns + i] = W[j * n_in + i];
        for (; i < columns; i++) A[j * columns + i] = 0;
    }
}

/* q = dy/dh becomes delta = q fprime, and f'' becomes curve = q f'' */
DN_INLINE void F(bend)(real *q, real *curve, const real *fprime, int n)
{
    int j;
    for (j = 0; j < n; j++) {
        curve[j] *= q[j];
        q[j] *= fprime[j];
    }
}

/* u of the probabilities p becomes delta, and p becomes curve: for M = diag(curve) - c (curve p^T + p curve^T) */
DN_INLINE void F(coupled)(real *u, real *curve, const real *p, int log, int m)
{
    real sum = 0;
    int j;
    for (j = 0; j < m; j++) sum += log ? u[j] : u[j] * p[j];
    for (j = 0; j < m; j++) {
        u[j] = log ? u[j] - p[j] * sum : p[j] * (u[j] - sum);
        if (curve) curve[j] = log ? -sum * p[j] : u[j];
    }
}

/* H -= c (a b^T + b a^T) */
DN_INLINE void F(coupled_part)(real *H, const real *a, const real *b, real c, int n, int columns)
{
    int i, j;
    for (i = 0; i < n; i++)
        for (j = 0; j < n; j++) H[i * columns + j] -= c * (a[i] * b[j] + b[i] * a[j]);
}

/* The lower half of H (n, columns) and its mirror image, into C (n, n), over the scales of both inputs if there are some */
DN_INLINE void F(symmetric)(real *C, const real *H, const real *scale, int n, int columns)
{
    int i, j;
    for (i = 0; i < n; i++)
        for (j = 0; j <= i; j++)
            C[j * n + i] = C[i * n + j] = scale ? H[i * columns + j] / (scale[i] * scale[j]) : H[i * columns + j];
}

/* J[j, i] = ddelta[j] h[i] + delta[j] dh[i], and behind them ddelta for a bias */
DN_INLINE void F(outer_sum)(real *DN_RESTRICT J, const real *ddelta, const real *h, const real *delta, const real *dh, int n,
                            int n_in, int bias)
{
    int i, j;
    for (j = 0; j < n; j++)
        for (i = 0; i < n_in; i++) J[j * n_in + i] = ddelta[j] * h[i] + delta[j] * dh[i];
    for (j = 0; bias && j < n; j++) J[n * n_in + j] = ddelta[j];
}

/* r = M v of the probabilities p: M = diag(g) - c (g p^T + p g^T) */
DN_INLINE void F(coupled_times)(real *r, const real *v, const real *g, const real *p, real c, int m)
{
    real gv = 0, pv = 0;
    int j;
    for (j = 0; j < m; j++) gv += g[j] * v[j], pv += p[j] * v[j];
    for (j = 0; j < m; j++) r[j] = g[j] * v[j] - c * (g[j] * pv + p[j] * gv);
}
