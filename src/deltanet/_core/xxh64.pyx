"""XXH64 of rows: whether data are those of before, at a small part of what it costs to compute with them.

After the specification of xxHash (Y. Collet): four sums take 8 bytes each of a stripe of 32; the end mixes
them with what is left over. It tells data that were changed, and is no defence against a forger.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    STRIPE = 32

cdef uint64_t P1 = 0x9E3779B185EBCA87u
cdef uint64_t P2 = 0xC2B2AE3D27D4EB4Fu
cdef uint64_t P3 = 0x165667B19E3779F9u
cdef uint64_t P4 = 0x85EBCA77C2B2AE63u
cdef uint64_t P5 = 0x27D4EB2F165667C5u


cdef inline uint64_t rotated(uint64_t x, int bits) noexcept nogil:
    return x << bits | x >> (64 - bits)


cdef inline uint64_t mixed(uint64_t lane, uint64_t word) noexcept nogil:
    return rotated(lane + word * P2, 31) * P1


cdef inline uint64_t word(const uint8_t *at, int nbytes) noexcept nogil:
    """Little-endian, on every machine."""
    cdef uint64_t found = 0
    cdef int k
    for k in range(nbytes):
        found |= <uint64_t> at[k] << (8 * k)
    return found


cdef void stripes(uint64_t *lanes, const uint8_t *at, size_t count) noexcept nogil:
    cdef uint64_t a = lanes[0], b = lanes[1], c = lanes[2], d = lanes[3]
    cdef const uint8_t *end = at + count * STRIPE
    while at != end:
        a = mixed(a, word(at, 8))
        b = mixed(b, word(at + 8, 8))
        c = mixed(c, word(at + 16, 8))
        d = mixed(d, word(at + 24, 8))
        at += STRIPE
    lanes[0], lanes[1], lanes[2], lanes[3] = a, b, c, d


cdef class Xxh64:
    """The hash of all that `update` was given, as hashlib has it."""

    cdef uint64_t lanes[4]
    cdef uint64_t count        # of bytes
    cdef uint8_t rest[STRIPE]  # the last count % STRIPE of them

    digest_size = 8

    def __cinit__(self):
        self.lanes[0], self.lanes[1], self.lanes[2], self.lanes[3] = P1 + P2, P2, 0, -P1

    def update(self, rows):
        """The bytes of an array follow; it is C-contiguous."""
        cdef const uint8_t[::1] bytes_ = rows.reshape(-1).view("u1")
        cdef size_t left = bytes_.shape[0], held = self.count % STRIPE, some
        if not left:
            return
        cdef const uint8_t *at = &bytes_[0]
        with nogil:
            self.count += left
            if held:
                some = min(left, STRIPE - held)
                memcpy(self.rest + held, at, some)
                at += some
                left -= some
                if held + some == STRIPE:
                    stripes(self.lanes, self.rest, 1)
            if held == 0 or held + some == STRIPE:
                stripes(self.lanes, at, left // STRIPE)
                memcpy(self.rest, at + left // STRIPE * STRIPE, left % STRIPE)

    def intdigest(self):
        """The hash as a number."""
        cdef uint64_t found
        cdef const uint8_t *at = self.rest
        cdef int left = self.count % STRIPE, k
        if self.count < STRIPE:
            found = P5
        else:
            found = rotated(self.lanes[0], 1) + rotated(self.lanes[1], 7)
            found += rotated(self.lanes[2], 12) + rotated(self.lanes[3], 18)
            for k in range(4):
                found = (found ^ mixed(0, self.lanes[k])) * P1 + P4
        found += self.count
        while left >= 8:
            found = rotated(found ^ mixed(0, word(at, 8)), 27) * P1 + P4
            at += 8
            left -= 8
        if left >= 4:
            found = rotated(found ^ word(at, 4) * P1, 23) * P2 + P3
            at += 4
            left -= 4
        while left:
            found = rotated(found ^ at[0] * P5, 11) * P1
            at += 1
            left -= 1
        found = (found ^ found >> 33) * P2
        found = (found ^ found >> 29) * P3
        return found ^ found >> 32

    def digest(self):
        """The hash as 8 bytes, the highest first."""
        return self.intdigest().to_bytes(self.digest_size, "big")
