/* What depends on the bits of a type: see vecmath_body.h. `word` is the unsigned integer of its size. */

#if DN_BITS == 64
#define word uint64_t
#define DN_TAIL 0x7ffffff
#define DN_FRACTION 52
#else
#define word uint32_t
#define DN_TAIL 0xfff
#define DN_FRACTION 23
#endif

typedef struct { real hi, lo; } F(dd); /* hi + lo, a number in twice the precision */

/* a b + c, in one rounding where fused */
DN_INLINE real F(fma)(int fused, real a, real b, real c) { return fused ? M(DN_FMA)(a, b, c) : a * b + c; }

DN_INLINE real F(abs)(real v) { return M(fabs)(v); }

DN_INLINE real F(copysign)(real v, real sign) { return M(copysign)(v, sign); }

/* The leading half of the bits: the product of two heads is exact */
DN_INLINE real F(head)(real v)
{
    word b;
    memcpy(&b, &v, sizeof b);
    b &= ~(word)DN_TAIL;
    memcpy(&v, &b, sizeof v);
    return v;
}

/* The last bits become the sign and the exponent */
DN_INLINE real F(to_exponent)(real v)
{
    word b;
    memcpy(&b, &v, sizeof b);
    b <<= DN_FRACTION;
    memcpy(&v, &b, sizeof v);
    return v;
}

#undef word
#undef DN_TAIL
#undef DN_FRACTION
