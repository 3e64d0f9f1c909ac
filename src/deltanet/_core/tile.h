/* C = A B in register tiles, for operands that lie as a block of samples has them: tile_body.h for each type and width
 * of vectors.
 *
 *   dn_product       C (M, N) := start + A B, or C + A B    A_ik = A[i ai + k ak] (M, K), B (K, N; rows ldb apart),
 *                    start (M,) or NULL; the same A for `sets` of B and C, which lie bset and cset apart
 *   dn_fold_product  C (M, N) := H * (A B), or C + H * (A B)    row i with row (first + i) / repeat of H (rows ldh
 *                    apart)
 *
 * A number of C is one chain of fused multiply-adds over k = 0 .. K-1: its bits depend neither on its place
 * in C nor on the sizes, the blocks, the threads or the width of the vectors. A is read by broadcasts, B by rows of
 * vectors: both are read where they lie. Rows of B and H must be readable to the end of their last 32 bytes.
 * AVX2 with FMA, or AVX-512; dn_has_tiles() is 0 where there is none, and the products go to BLAS (product.pxd).
 */
#ifndef DN_TILE_H
#define DN_TILE_H

#include <stddef.h>
#include <string.h>

#include "simd.h"

#define DN_TILE_FORMS(FORM, type, real)                                                            \
    FORM(product, type,                                                                            \
         (int simd, real *C, ptrdiff_t ldc, ptrdiff_t cset, const real *A, ptrdiff_t ai,           \
          ptrdiff_t ak, const real *B, ptrdiff_t ldb, ptrdiff_t bset, ptrdiff_t sets, ptrdiff_t M, \
          ptrdiff_t N, ptrdiff_t K, const real *start, int add),                                   \
         (C, ldc, cset, A, ai, ak, B, ldb, bset, sets, M, N, K, start, add))                       \
    FORM(fold_product, type,                                                                       \
         (int simd, real *C, ptrdiff_t ldc, const real *A, ptrdiff_t ai, ptrdiff_t ak,             \
          const real *B, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const real *H,      \
          ptrdiff_t ldh, ptrdiff_t repeat, ptrdiff_t first, int add),                              \
         (C, ldc, A, ai, ak, B, ldb, M, N, K, H, ldh, repeat, first, add))

#if DN_LEVELS

#include <immintrin.h>

static inline int dn_has_tiles(int simd) { return simd >= 1; }

#define DN_PACKED 1024
#define DN_PANEL_BYTES (256 * 1024) /* of columns of B that serve all rows of A: they stay in the second cache */
#define DN_TILE_ROWS 6
#define DN_TILE_VECTORS (DN_BITS / 128) /* 12 sums of 16 registers, or 24 of 32; the rest: rows of B and a broadcast */

#define DN_TARGET DN_LEVEL1
#define DN_BODY "tile_body.h"
#include "both_types.h"
#undef DN_TARGET

#define DN_TARGET DN_LEVEL2
#define DN_BITS 512
#define DN_BODY "tile_body.h"
#include "both_types.h"
#undef DN_TARGET

DN_TILE_FORMS(DN_WIDEST, f64, double)
DN_TILE_FORMS(DN_WIDEST, f32, float)

#else

static inline int dn_has_tiles(int simd) { (void)simd; return 0; }

DN_TILE_FORMS(DN_NOWHERE, f64, double)
DN_TILE_FORMS(DN_NOWHERE, f32, float)

#endif

#endif
