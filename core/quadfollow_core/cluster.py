"""Work spread over a Ray cluster that is there already, by the interface of :mod:`concurrent.futures`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from quadfollow_core.errors import Unavailable

Given = ParamSpec("Given")
Value = TypeVar("Value")
INSTALL = 'pip install "quadfollow[scale]"'
PATIENCE = 5.0
"""Seconds for the cluster's head to take a connection; Ray itself would try for minutes."""


class ClusterPool(Executor):
    """Runs calls as tasks of Ray, each on as many cores and GPUs as it is told; use it as a context manager.

    Ray begins a task anew whose machine has died, three times at most. Functions are found by name, so every machine of
    the cluster has quadfollow installed; files that they read or write are at the same paths there.

    Args:
        address: of the cluster's head, ``HOST:6379``; ``auto`` for the one that this machine belongs to.
        cpus: cores reserved for each call.
        gpus: GPUs reserved for each call; 0.5 puts two on one.
        environment: variables that the calls' processes are started with.

    Raises:
        Unavailable: Ray is not installed here, or no cluster answers there.
    """

    def __init__(
        self, address: str, *, cpus: float = 1, gpus: float = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise Unavailable(f"a cluster needs Ray: {INSTALL}") from error
        self._ray: Any = ray
        self._cost = {"num_cpus": cpus, "num_gpus": gpus}
        self._begun: list[Any] = []
        try:
            _require_listener(address)
            ray.init(address=address, runtime_env={"env_vars": dict(environment or {})}, log_to_driver=False)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            raise Unavailable(f"no Ray cluster answers at {address!r}: {error}") from error

    def submit(
        self, function: Callable[Given, Value], /, *arguments: Given.args, **named: Given.kwargs
    ) -> Future[Value]:
        """Have something called somewhere in the cluster, as soon as there is room."""
        task = self._ray.remote(function).options(**self._cost).remote(*arguments, **named)
        self._begun.append(task)
        outcome: Future[Value] = task.future()
        return outcome

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, once all calls have ended or, if told so, without those that have not."""
        if cancel_futures:
            for task in self._begun:
                self._ray.cancel(task)
        elif wait and self._begun:
            self._ray.wait(self._begun, num_returns=len(self._begun))
        self._begun.clear()
        self._ray.shutdown()


def _require_listener(address: str) -> None:
    """Connect once to the cluster's head, where the address names one.

    Raises:
        OSError: nobody listens there.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.removeprefix("ray://"), int(port)), PATIENCE).close()
