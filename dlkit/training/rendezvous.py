"""Workers wait for one another before TensorFlow connects them, since TensorFlow would wait silently and forever."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence

from dlkit.errors import DlkitError, LostWorkerError
from dlkit.log import logger
from dlkit.options import option

GREETING = b"dlkit worker\n"  # sent by a worker that still waits for others
# The preface that TensorFlow's gRPC server answers, and the type of the frame that it answers with.
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_SETTINGS_FRAME = 4
CONNECT_TIMEOUT = 3.0  # seconds for one connection
POLL_INTERVAL = 0.2  # seconds between two rounds


def wait_for_workers(addresses: Sequence[str], own: int, limit: float) -> None:
    """Wait until all other workers answer at their addresses.

    A worker that has reached all others continues; from then on TensorFlow's server answers at its address.

    Args:
        addresses: of all workers, as "host:port".
        own: the number of this process among them.
        limit: maximum time to wait, in seconds.

    Raises:
        DlkitError: this worker's port is taken.
        LostWorkerError: workers did not answer in time; the message names them, their addresses and the reasons.
    """
    missing = {number: address for number, address in enumerate(addresses) if number != own}
    with _greeting_peers(addresses[own], own):
        logger.warning(f"waiting for the workers at {', '.join(missing.values())}, for at most {limit:g} s")
        end = time.monotonic() + limit
        while True:
            failed = {number: _find_failure(address) for number, address in missing.items()}
            missing = {number: address for number, address in missing.items() if failed[number]}
            if not missing:
                return
            if time.monotonic() >= end:
                break
            time.sleep(POLL_INTERVAL)
    failures = "; ".join(f"worker {number} at {address} {failed[number]}" for number, address in missing.items())
    raise LostWorkerError(
        f"no answer within {limit:g} s: {failures}. Start all workers, correct their addresses (TF_CONFIG), or wait "
        f"longer ({option('worker_timeout')})."
    )


def _find_failure(address: str) -> str:
    """Return why a worker does not answer; empty if it does."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT) as connection:
            connection.sendall(HTTP2_PREFACE)
            answer = b""
            while len(answer) < len(HTTP2_PREFACE) and (more := connection.recv(64)):
                answer += more
                if answer.startswith(GREETING) or (len(answer) > 3 and answer[3] == HTTP2_SETTINGS_FRAME):
                    return ""
    except socket.gaierror:
        return "has a host name that cannot be resolved"
    except TimeoutError:
        return "does not respond"
    except ConnectionRefusedError:
        return "has not started"
    except OSError as error:
        return f"cannot be reached ({error.strerror or error})"
    return "is not a worker"


@contextlib.contextmanager
def _greeting_peers(address: str, own: int) -> Iterator[None]:
    """Greet whoever connects to this worker's port, while the context is open."""
    port = int(address.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(
            ("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both, backlog=128
        )
    except OSError as error:
        raise DlkitError(
            f"worker {own} cannot listen at {address}: {error.strerror or error}. Stop the process that uses the "
            "port, or change the port of this worker in every TF_CONFIG."
        ) from error
    server.settimeout(POLL_INTERVAL)
    done = threading.Event()
    greeter = threading.Thread(target=_greet, args=(server, done), daemon=True)
    greeter.start()
    try:
        yield
    finally:
        done.set()
        greeter.join()
        server.close()


def _greet(server: socket.socket, done: threading.Event) -> None:
    while not done.is_set():
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection:
                connection.settimeout(1.0)
                connection.sendall(GREETING)
                while connection.recv(64):  # until the other has closed: then the port is free at once
                    pass
