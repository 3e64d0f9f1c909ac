"""What a net may be called in C, and in CasADi."""

from __future__ import annotations

import re

KEYWORDS = frozenset(
    # C99, C11 and C++17
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const "
    "const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern "
    "false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or "
    "or_eq private protected public register reinterpret_cast restrict return short signed sizeof static "
    "static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename "
    "union unsigned using virtual void volatile wchar_t while xor xor_eq".split()
)
LIBRARY = frozenset(
    # of the headers that a file includes, and what every program has
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma "
    "fmax fmin fmod frexp hypot ilogb j0 j1 jn ldexp lgamma llrint llround log log10 log1p log2 logb lrint lround "
    "main malloc memchr memcmp memcpy memmove memset modf nan nearbyint nextafter nexttoward pow printf puts "
    "remainder remquo rint round scalbln scalbn sin sinh sqrt strcat strchr strcmp strcpy strlen strncmp strncpy "
    "strstr strtok tan tanh tgamma trunc y0 y1 yn abort abs atoi atof calloc exit free labs qsort rand realloc srand "
    "system time clock remove rename signal raise".split()
)
CASADI = frozenset(("null", "jac", "hess"))


def check(name: str) -> str:
    """The name of a net in C, or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {name!r}")
    reason = None
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or "__" in name:
        reason = "must begin with a letter, with letters, digits and single underscores behind it"
    elif name.endswith("_"):
        reason = (
            "must not end with an underscore: a second one follows in the names of its functions"
        )
    elif name in KEYWORDS:
        reason = "must not be a keyword of C or C++"
    elif name in LIBRARY:
        reason = "must not be a function of the C library"
    elif name in CASADI:
        reason = "must not be a word of CasADi's"
    elif len(name) > 200:
        reason = "must have at most 200 characters"
    if reason:
        raise ValueError(f"name {reason}, got {name!r}; give another by name=")
    return name
