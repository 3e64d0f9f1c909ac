/* DN_BODY, a file's name, for double and then for float; DN_VEC and the like are those of vectors of DN_BITS bits, 256
 * (AVX2) unless it is said. No guard: included as often as there are bodies. */
#ifndef DN_BITS
#define DN_BITS 256
#endif
#define DN_VEC_(bits, letter) __m##bits##letter
#define DN_VEC_OF(bits, letter) DN_VEC_(bits, letter)
#define DN_OP_(bits, name, letter) _mm##bits##_##name##_p##letter
#define DN_OP_OF(bits, name, letter) DN_OP_(bits, name, letter)

#define DN_TYPE f64
#define DN_REAL double
#define DN_VEC DN_VEC_OF(DN_BITS, d)
#define DN_WIDTH (DN_BITS / 64)
#define DN_OP(name) DN_OP_OF(DN_BITS, name, d)
#define DN_FOUR __m256d
#define DN_FOUR_OP(name) _mm256_##name##_pd
#include DN_BODY
#undef DN_TYPE
#undef DN_REAL
#undef DN_VEC
#undef DN_WIDTH
#undef DN_OP
#undef DN_FOUR
#undef DN_FOUR_OP

#define DN_TYPE f32
#define DN_REAL float
#define DN_VEC DN_VEC_OF(DN_BITS, )
#define DN_WIDTH (DN_BITS / 32)
#define DN_OP(name) DN_OP_OF(DN_BITS, name, s)
#define DN_FOUR __m128
#define DN_FOUR_OP(name) _mm_##name##_ps
#include DN_BODY
#undef DN_TYPE
#undef DN_REAL
#undef DN_VEC
#undef DN_WIDTH
#undef DN_OP
#undef DN_FOUR
#undef DN_FOUR_OP

#undef DN_VEC_
#undef DN_VEC_OF
#undef DN_OP_
#undef DN_OP_OF
#undef DN_BITS
#undef DN_BODY
