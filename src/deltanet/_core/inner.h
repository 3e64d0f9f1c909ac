/* C = A B^T in register tiles, for rows that lie along the samples of a block: inner_body.h for each type.
 *
 *   dn_inner       C (M, N) := A B^T or C + A B^T    A (M, K), B (N, K), rows K apart, K whole vectors
 *
 * A number of C is as many chains of fused multiply-adds as a vector has lanes, added in pairs at the end: its bits
 * depend neither on its place in C nor on the threads. AVX2 with FMA, as tile.h.
 */
#ifndef DN_INNER_H
#define DN_INNER_H

#include <stddef.h>

#include "simd.h"
#include "sums.h"

#if DN_LEVELS

#include <immintrin.h>

#define DN_INNER_ROWS 3 /* by 4: 12 sums, the rows of A and one of B fill the 16 registers */

#define DN_BODY "inner_body.h"
#include "both_types.h"

#else

#define DN_NO_INNER(type, real)                                                                    \
    static inline void dn_inner_##type(real *C, ptrdiff_t ldc, const real *A, const real *B,       \
                                       ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, int add) {           \
        (void)C, (void)ldc, (void)A, (void)B, (void)M, (void)N, (void)K, (void)add;                \
    }

DN_NO_INNER(f64, double)
DN_NO_INNER(f32, float)

#endif

#endif
