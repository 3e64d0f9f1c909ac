/* The activations of one type: included in vecmath.h with `real`, DN_BITS, F(name) = dn_name_f64 and M(name), the name
 * of a function of libm, then of the other type. `net.export_c` writes those that a net needs into its file. */
#include "vecmath_bits.h"
#if DN_BITS == 64
#include "vecmath64.h"
#else
#include "vecmath32.h"
#endif
#include "vecmath_body.h"
#include "vecmath_kinked.h"
#include "vecmath_smooth.h"
#include "vecmath_gates.h"
#include "vecmath_circular.h"
#undef real
#undef DN_BITS
#undef F
#undef M
