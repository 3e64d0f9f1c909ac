/* The two products of a first layer whose inputs lie in rows, as X has them: inputs_body.h for each type.
 *
 *   dn_input_product   C (N, n in whole packs; rows ldc apart) := start + X W^T    X (N, K; rows ldx apart), W in packs
 *   dn_input_sums      C (n, K; rows ldc apart) := D X, or C + D X                 D (n, N; rows ldd apart), X as above;
 *                      with `squared` of the squares of X
 *
 * A pack is [start; W^T] of as many rows of W (n, K) as two vectors hold, (K + 1, two vectors); zeros are behind the
 * last row. Rows of X are readable to the end of their last vector. A number of C is one chain of fused multiply-adds, as
 * in tile.h and with the same bits. X is long: what comes next of it is fetched from memory while six rows are at work.
 * AVX2 with FMA, as tile.h.
 */
#ifndef DN_INPUTS_H
#define DN_INPUTS_H

#include <stddef.h>
#include <string.h>

#include "simd.h"

#if DN_LEVELS

#include <immintrin.h>

#define DN_INPUT_ROWS 6 /* by two vectors, as a tile of tile.h */

#define DN_BODY "inputs_body.h"
#include "both_types.h"

#else

#define DN_NO_INPUTS(type, real)                                                                   \
    static inline void dn_input_product_##type(real *C, ptrdiff_t ldc, const real *X,              \
                                               ptrdiff_t ldx, const real *packs, ptrdiff_t N,      \
                                               ptrdiff_t n, ptrdiff_t K) {                         \
        (void)C, (void)ldc, (void)X, (void)ldx, (void)packs, (void)N, (void)n, (void)K;            \
    }                                                                                              \
    static inline void dn_input_sums_##type(real *C, ptrdiff_t ldc, const real *D, ptrdiff_t ldd,  \
                                            const real *X, ptrdiff_t ldx, ptrdiff_t N,             \
                                            ptrdiff_t n, ptrdiff_t K, int squared, int add) {      \
        (void)C, (void)ldc, (void)D, (void)ldd, (void)X, (void)ldx, (void)N, (void)n, (void)K;     \
        (void)squared, (void)add;                                                                  \
    }

DN_NO_INPUTS(f64, double)
DN_NO_INPUTS(f32, float)

#endif

#endif
