"""Workers meet before TensorFlow connects them, and refuse to train unless they agree."""

import socket
import threading
import time
from concurrent import futures

import numpy as np
import pytest

from dlkit import DlkitError
from dlkit.errors import LostWorkerError
from dlkit.lazy import tf
from dlkit.training.rendezvous import wait_for_workers
from dlkit.training.strategies import Distribution, resolve_strategy
from dlkit.training.workers import check_agreement


@pytest.fixture
def ports():
    """Three ports that nothing listens at."""
    sockets = [socket.socket() for _ in range(3)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def addresses(ports):
    return [f"127.0.0.1:{port}" for port in ports]


def in_threads(work, count):
    """What `work(number)` returned or raised, in a thread each."""
    with futures.ThreadPoolExecutor(count) as pool:
        return [done.exception() or done.result() for done in [pool.submit(work, number) for number in range(count)]]


def server_of_tensorflow(port):
    import grpc

    server = grpc.server(futures.ThreadPoolExecutor(1))
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    return server


def test_workers_that_start_one_after_another_meet_and_hand_over_to_tensorflow(ports, capsys):
    all_met = threading.Barrier(3)

    def work(number):
        time.sleep(0.4 * number)
        wait_for_workers(addresses(ports), number, 20.0)
        server = server_of_tensorflow(ports[number])  # the port is free again at once
        all_met.wait(20)
        server.stop(None)

    assert in_threads(work, 3) == [None] * 3
    printed = capsys.readouterr().err
    assert f"waiting for the workers at 127.0.0.1:{ports[1]}, 127.0.0.1:{ports[2]}, for at most 20 s" in printed


def silent():
    return socket.create_server(("127.0.0.1", 0))


def test_who_does_not_answer_is_named_with_its_address_and_how(ports):
    with silent() as server:
        known = [f"127.0.0.1:{port}" for port in (*ports[:2], server.getsockname()[1])]
        where = [*known[:2], "no.such.host.invalid:1", known[2]]
        begun = time.monotonic()
        with pytest.raises(LostWorkerError) as raised:
            wait_for_workers(where, 0, 1.0)
    assert time.monotonic() - begun < 10
    assert raised.value.exit_code == 75
    for said in (
        f"no answer within 1 s: worker 1 at {where[1]} has not started",
        "worker 2 at no.such.host.invalid:1 has a host name that cannot be resolved",
        f"worker 3 at {where[3]} does not respond",
        "`worker_timeout`",
    ):
        assert said in str(raised.value)


def test_a_taken_port_is_told_at_once_and_its_partner_ends_too(ports):
    def web():
        with server:
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    server = socket.create_server(("127.0.0.1", ports[0]))
    threading.Thread(target=web, daemon=True).start()
    with pytest.raises(DlkitError, match=rf"worker 0 cannot listen at 127.0.0.1:{ports[0]}: Address already in use"):
        wait_for_workers(addresses(ports[:2]), 0, 20.0)
    with pytest.raises(LostWorkerError, match=f"worker 0 at 127.0.0.1:{ports[0]} is not a worker"):
        wait_for_workers(addresses(ports[:2]), 1, 0.5)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_is_a_positive_number(limit):
    with pytest.raises(DlkitError, match="`worker_timeout` must be a positive number of seconds"):
        resolve_strategy("one", limit)


class Gathers:
    """A strategy of two workers, each a thread."""

    def __init__(self):
        self.both, self.given = threading.Barrier(2), {}

    def gather(self, own, axis):
        assert axis == 0
        self.given[threading.get_ident()] = own.numpy()
        self.both.wait(20)
        rows = [self.given[name] for name in sorted(self.given)]
        self.both.wait(20)
        return tf.constant(np.concatenate(rows))


def agreed(*facts):
    strategy = Gathers()
    return in_threads(lambda number: check_agreement(Distribution(strategy, "", number, 2), facts[number]), 2)


FACTS = {"learning_rate": 0.002, "validation data": "abc", "seed": 1}


def test_workers_that_agree_go_on():
    assert agreed(FACTS, dict(reversed(FACTS.items()))) == [None, None]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 0.2}, ["learning_rate: ", "0.002 in worker", "0.2 in worker"]),
        (
            {"validation data": "none", "seed": 2},
            ["validation data: ", "'abc' in worker", "'none' in worker", "seed: "],
        ),
        ({"new": "x" * 1000}, ["new: ", "None in worker"]),
    ],
)
def test_workers_that_do_not_agree_all_refuse_and_name_what_differs(changes, said):
    errors = agreed(FACTS, {**FACTS, **changes})
    for error in errors:
        assert isinstance(error, DlkitError)
        for part in said:
            assert part in str(error)
        assert "training data" not in str(error)
    assert str(errors[0]) == str(errors[1])
