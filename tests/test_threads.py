"""Products that want one thread leave the process's threads as they were."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import OpenBLASController, threadpool_info, threadpool_limits

from soundstream.runtime.quantizer import Quantizer
from soundstream.system.threads import single_blas_thread


@pytest.fixture
def two_threads():
    """A process whose BLAS has two threads, whatever the environment says, and no thread that alone may change that."""
    with threadpool_limits(2, user_api="blas"):
        OpenBLASController.clear_controlling_thread()
        yield


def blas_threads():
    """Threads of NumPy's own library; others may have come into the process since the first limit was set."""
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas" and "numpy" in one["filepath"]}


def test_one_thread_inside_and_as_many_as_before_outside(two_threads):
    with single_blas_thread():
        assert blas_threads() == {1}
        with single_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_an_error_inside_restores_them_too(two_threads):
    with pytest.raises(ValueError, match="inside"), single_blas_thread():
        raise ValueError("inside")
    assert blas_threads() == {2}


def test_many_threads_that_encode_at_once_leave_as_many_as_before(two_threads):
    quantizer = Quantizer(np.random.default_rng(0).standard_normal((4, 64, 16)).astype(np.float32))
    latents = np.random.default_rng(1).standard_normal((16, 40)).astype(np.float32)
    expected = quantizer.encode(latents, 4, 2)
    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: quantizer.encode(latents, 4, 2), range(32)))
        assert blas_threads() == {2}
        assert all((codes == expected).all() for codes in found)


def test_the_last_out_may_be_another_thread_than_the_first_in(two_threads):
    first, second = single_blas_thread(), single_blas_thread()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        one.submit(first.__enter__).result()
        other.submit(second.__enter__).result()
        one.submit(first.__exit__, None, None, None).result()
        assert blas_threads() == {1}
        other.submit(second.__exit__, None, None, None).result()
        assert blas_threads() == {2}


def test_a_thread_of_the_host_may_set_its_number_afterwards(two_threads):
    with single_blas_thread():
        pass
    with ThreadPoolExecutor(1) as pool:
        pool.submit(threadpool_limits, 1, user_api="blas").result()
        assert blas_threads() == {1}
