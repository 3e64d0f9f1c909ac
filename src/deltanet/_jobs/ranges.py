"""How the rows of a job are cut. N and the count of numbers in a result alone decide, so that bits do too.

::

    rows of a range    at least LEAST_ROWS, and RANGE_WORK numbers of the result:
                       one number a row costs 0.25 ns, so a range takes some 60 ms or more
    ranges             at most MOST_RANGES, or MOST_OF_LARGE of a result of more than LARGE_NUMBERS
"""

from deltanet import _limits

LEAST_ROWS = 2**14
RANGE_WORK = 2**28  # rows times numbers
LARGE_NUMBERS = 2**20  # 8 MiB in double precision
MOST_RANGES, MOST_OF_LARGE = 4096, 16


def ranges(N: int, numbers: int) -> list[tuple[int, int]]:
    """[(start, stop)] of N rows, for a result of so many numbers.

    Examples
    --------
    >>> ranges(60_000, 10_000)
    [(0, 20000), (20000, 40000), (40000, 60000)]
    """
    rows = max(LEAST_ROWS, -(-RANGE_WORK // max(1, numbers)))
    most = MOST_OF_LARGE if numbers > LARGE_NUMBERS else MOST_RANGES
    count = min(-(-N // rows), most)
    return [(i * N // count, (i + 1) * N // count) for i in range(count)]


def piece_rows(width: int) -> int:
    """Rows that are read at once, of `width` numbers each."""
    return min(_limits.COPY_SAMPLES, max(1, _limits.PIECE_NUMBERS // max(1, width)))
