/* The two products of a first layer whose inputs lie in rows, as X has them: inputs_body.h for each type and width of
 * vectors.
 *
 *   dn_input_product   C (N, n in whole packs; rows ldc apart) := start + X W^T    X (N, K; rows ldx apart), W in packs
 *   dn_input_sums      C (n, K; rows ldc apart) := D X, or C + D X    D (n, N; rows ldd apart), X as above; with
 *                      `squared` of the squares of X
 *
 * A pack is [start; W^T] of as many rows of W (n, K) as the vectors of a tile hold, dn_pack_bytes() of each; zeros are
 * behind the last row. Rows of X are readable to the end of their last 32 bytes. A number of C is one chain of fused
 * multiply-adds, as in tile.h and with the same bits. X is long: what comes next of it is fetched from memory while six
 * rows are at work. AVX2 with FMA, or AVX-512, as tile.h.
 */
#ifndef DN_INPUTS_H
#define DN_INPUTS_H

#include <stddef.h>
#include <string.h>

#include "simd.h"

static inline ptrdiff_t dn_pack_bytes(int simd) { return simd >= 2 ? 256 : 64; }

#define DN_INPUT_FORMS(FORM, type, real)                                                           \
    FORM(input_product, type,                                                                      \
         (int simd, real *C, ptrdiff_t ldc, const real *X, ptrdiff_t ldx, const real *packs,       \
          ptrdiff_t N, ptrdiff_t n, ptrdiff_t K),                                                  \
         (C, ldc, X, ldx, packs, N, n, K))                                                         \
    FORM(input_sums, type,                                                                         \
         (int simd, real *C, ptrdiff_t ldc, const real *D, ptrdiff_t ldd, const real *X,           \
          ptrdiff_t ldx, ptrdiff_t N, ptrdiff_t n, ptrdiff_t K, int squared, int add),             \
         (C, ldc, D, ldd, X, ldx, N, n, K, squared, add))

#if DN_LEVELS

#include <immintrin.h>

#define DN_INPUT_ROWS 6 /* by as many vectors as a tile of tile.h */
#define DN_INPUT_VECTORS (DN_BITS / 128)

#define DN_TARGET DN_LEVEL1
#define DN_BODY "inputs_body.h"
#include "both_types.h"
#undef DN_TARGET

#define DN_TARGET DN_LEVEL2
#define DN_BITS 512
#define DN_BODY "inputs_body.h"
#include "both_types.h"
#undef DN_TARGET

DN_INPUT_FORMS(DN_WIDEST, f64, double)
DN_INPUT_FORMS(DN_WIDEST, f32, float)

#else

DN_INPUT_FORMS(DN_NOWHERE, f64, double)
DN_INPUT_FORMS(DN_NOWHERE, f32, float)

#endif

#endif
