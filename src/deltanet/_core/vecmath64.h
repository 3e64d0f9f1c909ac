/* The constants of vecmath_body.h for double, written by bench/fit_vecmath.py. */

static const real F(round) = 0x1.80000000004ffp+52;
static const real F(round_large) = 0x1.80000000002ffp+52;
static const real F(up) = 0x1p+256;
static const real F(down) = 0x1p-256;
static const real F(sqrt_down) = 0x1p-128;
static const real F(huge) = 0x1p+1000;
static const real F(last_softsign) = 0x1.7e43c8800759cp+996;
static const real F(last_gaussian) = 0x1.c333333333333p+4;
static const real F(last_tanh) = 0x1.8ep+8;
static const real F(last_lecun_tanh) = 0x1.2a8p+9;
static const real F(last_sigmoid) = 0x1.8e8p+9;
static const real F(last_exponential) = 0x1.8e8p+9;
static const real F(last_large) = 0x1.63p+9;
static const real F(last_silu) = 0x1.8d8p+9;
static const real F(last_gelu_tanh) = 0x1.6p+4;
static const real F(last_gelu) = 0x1.3f33333333333p+5;

/* degree 9 on [-0.3467, 0.3467], error 2^-55.63 */
DN_INLINE real F(E)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.af76a4e09803fp-26, even = 0x1.28a2a6a7a9241p-22;
    DN_TERMS(-0x1.71ddea0cfe7a6p-19, 0x1.a019a69079ec5p-16)
    DN_TERMS(-0x1.a01a01b5d32e6p-13, 0x1.6c16c17f3136fp-10)
    DN_TERMS(-0x1.111111110e6e9p-7, 0x1.555555555211dp-5)
    DN_TERMS(-0x1.555555555555cp-3, 0x1.0000000000005p-1)
    return F(fma)(fused, odd, x, even);
}

/* k = 1.0: -k / ln 2; ln(2) / k; c0, c1, ..., on [0.0, 0.1202], error 2^-60.01 */
static const real F(table_1)[] = {
    -0x1.71547652b82fep+0, 0x1.62e42fefa4p-1, -0x1.8432a1b0e2634p-43, 0x1p+1,
    0x1.555555555553ep-3, -0x1.6c16c16bec1bcp-9, 0x1.1566aaf30bbd4p-14, -0x1.bbd41dc63a768p-20,
    0x1.6377184256421p-25,
};

/* k = 2.0: -k / ln 2; ln(2) / k; c0, c1, ..., on [0.0, 0.03005], error 2^-59.99 */
static const real F(table_2)[] = {
    -0x1.71547652b82fep+1, 0x1.62e42fefa4p-2, -0x1.8432a1b0e2634p-44, 0x1p+0,
    0x1.555555555553fp-2, -0x1.6c16c16bec7a9p-6, 0x1.1566aaf41443ap-9, -0x1.bbd4202108ec1p-13,
    0x1.63780a22e151ap-16,
};

/* k = 1.3333: -k / ln 2; ln(2) / k; c0, c1, ..., on [0.0, 0.067613], error 2^-60.0 */
static const real F(table_4_3)[] = {
    -0x1.ec709dc3a03fdp+0, 0x1.0a2b23f3bap-1, 0x1.6e6d035dab1adp-42, 0x1.8p+0,
    0x1.c71c71c71c6fep-3, -0x1.af83440e2175ep-8, 0x1.243dce6f0763dp-12, -0x1.9f9eb8c4ed07cp-17,
    0x1.27e34fb68637dp-21,
};

/* degree 9 on [0.0, 0.44444], error 2^-59.36 */
DN_INLINE real F(L)(int fused, real x)
{
    real x2 = x * x, odd = 0x1.5c2b5da69b77bp-24, even = 0x1.560981d3b1113p-23;
    DN_TERMS(0x1.efc2b3fcaeb05p-21, 0x1.10693ddd54b57p-18)
    DN_TERMS(0x1.3b1dbc127d4d1p-16, 0x1.745cb5a3996c2p-14)
    DN_TERMS(0x1.c71c740ee32afp-12, 0x1.24924920ad39p-9)
    DN_TERMS(0x1.99999999a022bp-7, 0x1.5555555555537p-4)
    return F(fma)(fused, odd, x, even);
}

static const F(dd) F(silu_r) = {-0x1.474973c84120bp+0, -0x1.f8d74bc9ac154p-54};
static const F(dd) F(silu_c) = {0x1.1d25cf210482ep-2, -0x1.ca2d0d94faaecp-60};
static const F(dd) F(gelu_tanh_r) = {-0x1.81429f9e97e4dp-1, 0x1.4f523ed77dbdcp-55};
static const F(dd) F(gelu_tanh_c) = {0x1.2af64e9c485eep-2, -0x1.3ca470b477afcp-57};
static const F(dd) F(gelu_tanh_a) = {0x1.9884533d43651p+0, -0x1.cbc0d30ebfd15p-54};
static const F(dd) F(gelu_tanh_b) = {0x1.2444f2a4d8b4bp-4, -0x1.6c843a29d1c7p-61};
static const F(dd) F(gelu_tanh_a_br2) = {0x1.a2dc0b014e208p+0, -0x1.2af8a15dd1a6dp-55};
static const real F(gelu_tanh_2br2) = 0x1.4af6f881576eap-4;
static const F(dd) F(gelu_tanh_2_a) = {0x1.40d931ff62706p+0, -0x1.a6a0d6f814637p-54};
static const real F(gelu_tanh_aa) = 0x1.45f306dc9c883p+1;
static const real F(gelu_tanh_6ab) = 0x1.5dcbb7f919cfcp-1;
static const real F(gelu_tanh_9bb) = 0x1.7763079d1768dp-5;
static const F(dd) F(gelu_z0) = {0x1.80ead197f00b4p-1, -0x1.13e74c58cada8p-56};
static const real F(gelu_N0) = 0x1.a690814b3c5fbp-1;
static const real F(gelu_c) = 0x1.9884533d43651p-2;
static const real F(gelu_cz0) = 0x1.331e9a233c13ap-2;

/* degree 27 on [-0.3759, 0.93448], error 2^-56.59 */
DN_INLINE real F(P)(int fused, real x)
{
    real x2 = x * x, odd = 0x1.101ac59143a85p-11, even = -0x1.cc3ba633566b2p-9;
    DN_TERMS(0x1.417e4b5c6e4b8p-7, -0x1.cd93e8176602fp-7)
    DN_TERMS(0x1.392325babe2f6p-7, 0x1.08072143c5d64p-11)
    DN_TERMS(-0x1.7ee5745300b99p-8, 0x1.c4493931654a4p-9)
    DN_TERMS(0x1.91599b8073a4fp-12, -0x1.303e41a36b8d7p-10)
    DN_TERMS(0x1.b389aa8b10224p-12, 0x1.f7d9b3c95a69p-13)
    DN_TERMS(-0x1.797e0eeb7ec11p-14, -0x1.5c2fac1622b49p-13)
    DN_TERMS(-0x1.8430afefd1bdfp-12, -0x1.ffa73f5c64237p-12)
    DN_TERMS(-0x1.8cbf853d97a65p-13, 0x1.88db41999a517p-11)
    DN_TERMS(0x1.1391aabf7284p-9, 0x1.5a602e4d8624cp-9)
    DN_TERMS(0x1.796e80da4f92ap-14, -0x1.cf9be93ddf739p-8)
    DN_TERMS(-0x1.df75b227ca545p-7, -0x1.c133e43ee10cep-8)
    DN_TERMS(0x1.26d82587a842dp-5, 0x1.5e0ff2fbf33a2p-4)
    DN_TERMS(-0x1.23d6cee5541e8p-5, -0x1.f3ed1ef3c41abp-2)
    return F(fma)(fused, odd, x, even);
}

static const real F(lecun) = 0x1.b74538ef34d6ap+0;
static const real F(lecun_slope) = 0x1.24d8d09f788f1p+2;
static const real F(selu_lambda) = 0x1.0cfabd6a91132p+0;
static const real F(selu_alpha) = 0x1.c212cc640f031p+0;

static const F(dd) F(mish_r) = {-0x1.31432c0d12d84p+0, -0x1.bf319154da21p-55};
static const F(dd) F(mish_c) = {0x1.36c4202fc3eccp-2, 0x1.6d73a02f8d922p-56};

static const real F(tanhshrink_d1) = 0x1.cd1fbc25f87eap-2;
static const real F(tanhshrink_d2) = 0x1.2b04b63e07ae3p-6;
static const real F(last_tanhshrink) = 0x1.cp+0;

/* degree 8 on [0.0, 3.0625], error 2^-60.33 */
DN_INLINE real F(T)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.d901426f0b3a6p-48, even = F(fma)(fused, 0x1.8f59adef52d25p-54, x2, 0x1.d517b868ba07dp-42);
    DN_TERMS(-0x1.cfb38da2b8eecp-36, 0x1.d67c56c8091c7p-30)
    DN_TERMS(-0x1.fbd1958fa5d85p-24, 0x1.42a9bf1b6ae0ep-17)
    DN_TERMS(0x1.12cb62eca4c5dp-6, 0x1.5555555555555p-2)
    return F(fma)(fused, odd, x, even);
}

static const real F(sqrt_2) = 0x1.6a09e667f3bcdp+0;
static const real F(erf_slope) = 0x1.20dd750429b6dp+0;
static const real F(last_erf_small) = 0x1p-1;

/* degree 8 on [0.0, 0.25], error 2^-57.82 */
DN_INLINE real F(erf_small)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.f222979795cd3p-17, even = F(fma)(fused, 0x1.8b392807430f3p-20, x2, 0x1.f98d9593705c1p-14);
    DN_TERMS(-0x1.c02d4ea483383p-11, 0x1.565bcbf5e9437p-8)
    DN_TERMS(-0x1.b82ce30f1f0acp-6, 0x1.ce2f21a03d68fp-4)
    DN_TERMS(-0x1.812746b0379b3p-2, 0x1.06eba8214db68p-3)
    return F(fma)(fused, odd, x, even);
}

static const real F(atan_low) = 0x1.a827999fcef32p-2;
static const real F(atan_high) = 0x1.3504f333f9de6p+1;
static const F(dd) F(quarter_turn) = {0x1.921fb54442d18p-1, 0x1.1a62633145c07p-55};
static const F(dd) F(half_turn) = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54};

/* degree 10 on [0.0, 0.17257], error 2^-59.28 */
DN_INLINE real F(A)(int fused, real x)
{
    real x2 = x * x, odd = 0x1.37eeadc513ecbp-5, even = F(fma)(fused, -0x1.258337d0cee3p-6, x2, -0x1.9ce2b624396d4p-5);
    DN_TERMS(0x1.df146714d3f8fp-5, -0x1.10ec325721f37p-4)
    DN_TERMS(0x1.3b11273b1a707p-4, -0x1.745cf9e34dcacp-4)
    DN_TERMS(0x1.c71c70f1d6275p-4, -0x1.24924922d4836p-3)
    DN_TERMS(0x1.99999999960afp-3, -0x1.5555555555542p-2)
    return F(fma)(fused, odd, x, even);
}

/* degree 5 on [0.0, 0.61842], error 2^-57.97 */
DN_INLINE real F(S)(int fused, real x)
{
    real x2 = x * x, odd = 0x1.5d91f4bb7ed54p-33, even = -0x1.ae5e634b8ba07p-26;
    DN_TERMS(0x1.71de35750ca67p-19, -0x1.a01a019c102bep-13)
    DN_TERMS(0x1.111111110f882p-7, -0x1.5555555555549p-3)
    return F(fma)(fused, odd, x, even);
}

/* degree 5 on [0.0, 0.61842], error 2^-64.0 */
DN_INLINE real F(Q)(int fused, real x)
{
    real x2 = x * x, odd = -0x1.8fbb08839a6b1p-37, even = 0x1.1eea06a4325c6p-29;
    DN_TERMS(-0x1.27e4f8364b0e6p-22, 0x1.a01a019cf821cp-16)
    DN_TERMS(-0x1.6c16c16c154cbp-10, 0x1.555555555554ep-5)
    return F(fma)(fused, odd, x, even);
}

static const double F(half_pi)[] = {
    0x1.45f306dc9c883p-1, 0x1.921fb54400000p+0, 0x1.0b4611a600000p-34,
    0x1.3198a2e000000p-69, 0x1.b839a252049c1p-104,
};
static const real F(last_sin) = 0x1p+20;
