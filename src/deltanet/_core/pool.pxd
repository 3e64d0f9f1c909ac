# The threads that share a call: pool.h.

from deltanet._core.net cimport Team

cdef extern from "barrier.h" nogil:
    ctypedef struct dn_barrier:
        long arrived, round
    void dn_meet(dn_barrier* barrier, int size) noexcept
    long dn_add(long* counter, long amount) noexcept
    long dn_load(long* counter) noexcept


cdef inline void meet(const Team* team) noexcept nogil:
    """Wait until every thread of the team is here."""
    if team.size > 1:
        dn_meet(<dn_barrier*> team.barrier, team.size)
