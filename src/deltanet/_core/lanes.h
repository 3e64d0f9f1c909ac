/* Symmetric sums over the units of a layer, a sample in each lane: lanes_body.h for each type.
 *
 *   dn_bend_f64    C_ijs := C_ijs + sum_n c_ns A_nis A_njs,  j <= i     C (m, m, B), A (n, m, B), c (n, B)
 *
 * What is above the diagonal is not to be read. Each number is summed over n in order. B is whole vectors, or 1.
 */
#ifndef DN_LANES_H
#define DN_LANES_H

#include <stddef.h>

#include "simd.h"

#define DN_JOIN_LANES_(name, type) dn_##name##_##type
#define DN_JOIN_LANES(name, type) DN_JOIN_LANES_(name, type)
#define DN_L(name) DN_JOIN_LANES(name, DN_TYPE)

#if DN_LEVELS
#include <immintrin.h>
#endif

#define DN_BODY "lanes_body.h"
#include "both_types.h"

#endif
