/* loops_body.h for one type at the baseline and with AVX2; included by loops.h alone. */
#define DN_LEVEL 0
#define DN_TARGET
#include "loops_body.h"
#undef DN_LEVEL
#undef DN_TARGET
#define DN_LEVEL 1
#define DN_TARGET DN_LEVEL1
#include "loops_body.h"
#undef DN_LEVEL
#undef DN_TARGET
