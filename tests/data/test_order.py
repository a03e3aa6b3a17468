"""The order of examples against its definition, one example at a time."""

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.data import Order
from jaxcnn.data.order import permutation


def one_by_one(count, batch_size, seed, t):
    found = []
    for j in range(t * batch_size, (t + 1) * batch_size):
        key = np.array([j // count, seed], np.uint64)
        found.append(np.random.Generator(np.random.Philox(key=key)).permutation(count)[j % count])
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**31 - 1), st.integers(0, 50))
def test_a_batch_is_its_definition(count, batch_size, seed, t):
    found = Order(count, batch_size, seed).indices(t)
    assert found.dtype == np.int32
    assert found.tolist() == one_by_one(count, batch_size, seed, t)


@pytest.mark.parametrize("batch_size", [1, 7, 10, 13, 64])
def test_every_epoch_visits_every_example_once(batch_size):
    order = Order(10, batch_size, seed=3)
    stream = np.concatenate([order.indices(t) for t in range(-(-50 // batch_size))])[:50]
    assert (np.sort(stream.reshape(5, 10)) == np.arange(10)).all()


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(permutation(20, seed, epoch)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_nothing_is_remembered():
    forth, back = Order(7, 4, 1), Order(7, 4, 1)
    late_first = [back.indices(t).tolist() for t in reversed(range(40))][::-1]
    assert [forth.indices(t).tolist() for t in range(40)] == late_first


def test_an_order_travels_to_other_processes():
    order = Order(7, 4, 1)
    order.indices(3)
    sent = cloudpickle.loads(cloudpickle.dumps(order))
    assert sent == order
    assert sent.indices(9).tolist() == order.indices(9).tolist()


@pytest.mark.parametrize("wrong", [{"count": 0}, {"batch_size": 0}, {"seed": -1}])
def test_impossible_numbers_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Order(**({"count": 5, "batch_size": 2, "seed": 0} | wrong))
    with pytest.raises(ValueError, match="t=-1"):
        Order(5, 2, 0).indices(-1)
