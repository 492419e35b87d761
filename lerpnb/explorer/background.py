"""Background jobs: work in steps beside the kernel. The newest job wins; those of several explorers take turns."""

import threading
from collections.abc import Callable, Iterator

ONE_AT_A_TIME = threading.Lock()  # two passes side by side on the same cores would both be slower


def in_turn(steps: Iterator) -> Iterator:
    """The steps of a job that the caller waits for, each taken when no other job is at work.

    >>> list(in_turn(iter([1, 2])))
    [1, 2]
    """
    end = object()
    while True:
        with ONE_AT_A_TIME:
            step = next(steps, end)
        if step is end:
            return
        yield step


class BackgroundJob:
    """Runs a job, which is an iterator of steps, in a thread; a newer job stops an older one before its next step.

    A thread, and not a task on the kernel's loop, which a task would hold for a whole step.

    >>> job = BackgroundJob(print)
    >>> job.start(iter([1, 2, 3]))
    >>> job.wait()
    >>> job.working
    False
    """

    def __init__(self, on_error: Callable[[Exception], None]):
        self._on_error = on_error
        self._newest: threading.Thread | None = None
        self._error: Exception | None = None

    @property
    def working(self) -> bool:
        return self._newest is not None and self._newest.is_alive()

    def start(self, steps: Iterator) -> None:
        self._error = None
        self._newest = threading.Thread(target=self._run, args=(steps,), name="lerpnb-explorer", daemon=True)
        self._newest.start()

    def stop(self) -> None:
        """Stop the present job; a step that has begun ends."""
        self._newest = None

    def wait(self) -> None:
        """Wait until the newest job has ended; raises what ended it."""
        while (thread := self._newest) is not None and thread.is_alive():
            thread.join(0.1)
        if self._error is not None:
            raise self._error

    def _run(self, steps: Iterator) -> None:
        try:
            while self._newest is threading.current_thread():
                with ONE_AT_A_TIME:
                    if self._newest is threading.current_thread() and next(steps, self) is self:
                        return
        except Exception as error:
            if self._newest is threading.current_thread():
                self._error = error
                self._on_error(error)
