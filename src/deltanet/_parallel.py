from deltanet.threads import _blas, get_num_threads, set_num_threads
def held_blas():
    return _blas
