/* The constants of vecmath_body.h for float, written by bench/fit_vecmath.py. */

static const real F(round) = 0x1.80015ep+23f;
static const real F(round_large) = 0x1.80009ep+23f;
static const real F(up) = 0x1p+48f;
static const real F(down) = 0x1p-48f;
static const real F(sqrt_down) = 0x1p-24f;
static const real F(huge) = 0x1p+120f;
static const real F(last_softsign) = 0x1.93e594p+99f;
static const real F(last_gaussian) = 0x1.4cccccp+3f;
static const real F(last_tanh) = 0x1.acp+5f;
static const real F(last_lecun_tanh) = 0x1.4p+6f;
static const real F(last_sigmoid) = 0x1.acp+6f;
static const real F(last_exponential) = 0x1.d8p+6f;
static const real F(last_large) = 0x1.64p+6f;
static const real F(last_silu) = 0x1.cp+6f;
static const real F(last_gelu_tanh) = 0x1.6p+3f;
static const real F(last_gelu) = 0x1.d33334p+3f;

/* degree 5 on [-0.3467, 0.3467], error 2^-31.97 */
DN_INLINE real F(E)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.a1a172p-13f, even = 0x1.6d7472p-10f;
    DN_TERMS(-0x1.11109p-7f, 0x1.5554aep-5f)
    DN_TERMS(-0x1.555556p-3f, 0x1p-1f)
    return F(fma)(fused, odd, x, even);
}

/* k = 1.0: -k / ln 2; ln(2) / k; c0, c1, ..., on [0.0, 0.1202], error 2^-28.75 */
static const real F(table_1)[] = {
    -0x1.715476p+0f, 0x1.62e4p-1f, 0x1.7f7d1cp-20f, 0x1p+1f,
    0x1.55551ep-3f, -0x1.6aa4eap-9f,
};

/* k = 2.0: -k / ln 2; ln(2) / k; c0, c1, ..., on [0.0, 0.03005], error 2^-28.75 */
static const real F(table_2)[] = {
    -0x1.715476p+1f, 0x1.62e4p-2f, 0x1.7f7d1cp-21f, 0x1p+0f,
    0x1.55551ep-2f, -0x1.6aa52ep-6f,
};

/* k = 1.3333: -k / ln 2; ln(2) / k; c0, c1, ..., on [0.0, 0.067613], error 2^-28.75 */
static const real F(table_4_3)[] = {
    -0x1.ec709ep+0f, 0x1.0a2cp-1f, -0x1.b8188ap-18f, 0x1.8p+0f,
    0x1.c71c28p-3f, -0x1.adcd0ap-8f,
};

/* degree 3 on [0.0, 0.44444], error 2^-27.7 */
DN_INLINE real F(L)(int fused, real x)
{
    real x2 = x * x, odd = 0x1.1ee03ep-11f, even = 0x1.1ebb9cp-9f;
    DN_TERMS(0x1.99d216p-7f, 0x1.555502p-4f)
    return F(fma)(fused, odd, x, even);
}

static const F(dd) F(silu_r) = {-0x1.474974p+0f, 0x1.bdf6fap-27f};
static const F(dd) F(silu_c) = {0x1.1d25dp-2f, -0x1.bdf6fap-27f};
static const F(dd) F(gelu_tanh_r) = {-0x1.8142ap-1f, 0x1.85a06cp-27f};
static const F(dd) F(gelu_tanh_c) = {0x1.2af64ep-2f, 0x1.3890bep-27f};
static const F(dd) F(gelu_tanh_a) = {0x1.988454p+0f, -0x1.857936p-25f};
static const F(dd) F(gelu_tanh_b) = {0x1.2444f2p-4f, 0x1.49b16ap-29f};
static const F(dd) F(gelu_tanh_a_br2) = {0x1.a2dc0cp+0f, -0x1.fd63cp-25f};
static const real F(gelu_tanh_2br2) = 0x1.4af6f8p-4f;
static const F(dd) F(gelu_tanh_2_a) = {0x1.40d932p+0f, -0x1.3b1f4ep-33f};
static const real F(gelu_tanh_aa) = 0x1.45f306p+1f;
static const real F(gelu_tanh_6ab) = 0x1.5dcbb8p-1f;
static const real F(gelu_tanh_9bb) = 0x1.776308p-5f;
static const F(dd) F(gelu_z0) = {0x1.80ead2p-1f, -0x1.a03fd4p-27f};
static const real F(gelu_N0) = 0x1.a69082p-1f;
static const real F(gelu_c) = 0x1.988454p-2f;
static const real F(gelu_cz0) = 0x1.331e9ap-2f;

/* degree 11 on [-0.3759, 0.83522], error 2^-30.11 */
DN_INLINE real F(P)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.a89db8p-10f, even = 0x1.181bcp-11f;
    DN_TERMS(0x1.c48c92p-9f, 0x1.2a5044p-9f)
    DN_TERMS(-0x1.de1f02p-13f, -0x1.c774bcp-8f)
    DN_TERMS(-0x1.de813cp-7f, -0x1.c20e28p-8f)
    DN_TERMS(0x1.26d5aep-5f, 0x1.5e106cp-4f)
    DN_TERMS(-0x1.23d6c4p-5f, -0x1.f3ed2p-2f)
    return F(fma)(fused, odd, x, even);
}

static const real F(lecun) = 0x1.b74538p+0f;
static const real F(lecun_slope) = 0x1.24d8dp+2f;
static const real F(selu_lambda) = 0x1.0cfabep+0f;
static const real F(selu_alpha) = 0x1.c212ccp+0f;

static const F(dd) F(mish_r) = {-0x1.31432cp+0f, -0x1.a25b08p-29f};
static const F(dd) F(mish_c) = {0x1.36c42p-2f, 0x1.7e1f66p-29f};

static const real F(tanhshrink_d1) = 0x1.cd1fbcp-2f;
static const real F(tanhshrink_d2) = 0x1.2b04b6p-6f;
static const real F(last_tanhshrink) = 0x1.cp+0f;

/* degree 3 on [0.0, 3.0625], error 2^-28.35 */
DN_INLINE real F(T)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.d20732p-24f, even = 0x1.420f7cp-17f;
    DN_TERMS(0x1.12cb6ep-6f, 0x1.555556p-2f)
    return F(fma)(fused, odd, x, even);
}

static const real F(sqrt_2) = 0x1.6a09e6p+0f;
static const real F(erf_slope) = 0x1.20dd76p+0f;
static const real F(last_erf_small) = 0x1p-1f;

/* degree 4 on [0.0, 0.25], error 2^-29.46 */
DN_INLINE real F(erf_small)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.b663c4p-6f, even = F(fma)(fused, 0x1.3532bep-8f, x2, 0x1.ce24f8p-4f);
    DN_TERMS(-0x1.812732p-2f, 0x1.06eba8p-3f)
    return F(fma)(fused, odd, x, even);
}

static const real F(atan_low) = 0x1.a8279ap-2f;
static const real F(atan_high) = 0x1.3504f4p+1f;
static const F(dd) F(quarter_turn) = {0x1.921fb6p-1f, -0x1.777a5cp-26f};
static const F(dd) F(half_turn) = {0x1.921fb6p+0f, -0x1.777a5cp-25f};

/* degree 4 on [0.0, 0.17257], error 2^-30.41 */
DN_INLINE real F(A)(int fused, real x)
{
    real x2 = x * x, odd = 0x1.b1fdacp-4f, even = F(fma)(fused, -0x1.f216d4p-5f, x2, -0x1.23b72p-3f);
    DN_TERMS(0x1.9991cp-3f, -0x1.55554ap-2f)
    return F(fma)(fused, odd, x, even);
}

/* degree 2 on [0.0, 0.61842], error 2^-28.03 */
DN_INLINE real F(S)(int fused, real x)
{
    real x2 = x * x, odd = 0x1.11075ap-7f, even = F(fma)(fused, -0x1.994be2p-13f, x2, -0x1.555546p-3f);
    return F(fma)(fused, odd, x, even);
}

/* degree 2 on [0.0, 0.61842], error 2^-33.24 */
DN_INLINE real F(Q)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.6c0c9p-10f, even = F(fma)(fused, 0x1.9a02d2p-16f, x2, 0x1.55554ap-5f);
    return F(fma)(fused, odd, x, even);
}

static const double F(half_pi)[] = {
    0x1.45f306dc9c883p-1, 0x1.921fb54400000p+0, 0x1.0b4611a626331p-34,
};
static const real F(last_sin) = 0x1p+17f;
