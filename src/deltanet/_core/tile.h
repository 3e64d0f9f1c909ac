/* C = A B in register tiles, for operands that lie as a block of samples has them: tile_body.h for each type.
 *
 *   dn_product       C (M, N) := start + A B, or C + A B    A_ik = A[i ai + k ak] (M, K), B (K, N; rows ldb apart),
 *                    start (M,) or NULL; the same A for `sets` of B and C, which lie bset and cset apart
 *   dn_fold_product  C (M, N) := H * (A B), or C + H * (A B)    row i with row (first + i) / repeat of H (rows ldh
 *                    apart)
 *
 * A number of C is one chain of fused multiply-adds over k = 0 .. K-1: its bits depend neither on its place
 * in C nor on the sizes, the blocks or the threads. A is read by broadcasts, B by rows of whole vectors: both are read
 * where they lie. Rows of B and H must be readable to the end of their last vector.
 * AVX2 with FMA; dn_has_tiles() is 0 where there is none, and the products go to BLAS (product.pxd).
 */
#ifndef DN_TILE_H
#define DN_TILE_H

#include <stddef.h>
#include <string.h>

#include "simd.h"

#if DN_LEVELS

#include <immintrin.h>

static inline int dn_has_tiles(int simd) { return simd >= 1; }

#define DN_PACKED 1024
#define DN_TILE_ROWS 6 /* by two vectors: 12 sums, 2 rows of B and a broadcast fill the 16 registers */

#define DN_BODY "tile_body.h"
#include "both_types.h"

#else

static inline int dn_has_tiles(int simd) { (void)simd; return 0; }

#define DN_NO_TILES(type, real)                                                                    \
    static inline void dn_product_##type(                                                          \
        real *C, ptrdiff_t ldc, ptrdiff_t cset, const real *A, ptrdiff_t ai, ptrdiff_t ak,         \
        const real *B, ptrdiff_t ldb, ptrdiff_t bset, ptrdiff_t sets, ptrdiff_t M, ptrdiff_t N,    \
        ptrdiff_t K, const real *start, int add) {                                                 \
        (void)C, (void)ldc, (void)cset, (void)A, (void)ai, (void)ak, (void)B, (void)ldb;           \
        (void)bset, (void)sets, (void)M, (void)N, (void)K, (void)start, (void)add;                 \
    }                                                                                              \
    static inline void dn_fold_product_##type(                                                     \
        real *C, ptrdiff_t ldc, const real *A, ptrdiff_t ai, ptrdiff_t ak, const real *B,          \
        ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const real *H, ptrdiff_t ldh,        \
        ptrdiff_t repeat, ptrdiff_t first, int add) {                                              \
        (void)C, (void)ldc, (void)A, (void)ai, (void)ak, (void)B, (void)ldb, (void)M, (void)N;     \
        (void)K, (void)H, (void)ldh, (void)repeat, (void)first, (void)add;                         \
    }

DN_NO_TILES(f64, double)
DN_NO_TILES(f32, float)

#endif

#endif
