/* DN_BODY, a file's name, for double and then for float; DN_VEC and the like are those of AVX2. No guard: included as
 * often as there are bodies. */
#define DN_TYPE f64
#define DN_REAL double
#define DN_VEC __m256d
#define DN_WIDTH 4
#define DN_OP(name) _mm256_##name##_pd
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
#define DN_VEC __m256
#define DN_WIDTH 8
#define DN_OP(name) _mm256_##name##_ps
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
#undef DN_BODY
