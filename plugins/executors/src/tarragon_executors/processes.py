"""The executor processes: worker processes on this machine, made before any work, ended with their parent.

Each worker has a pipe, and in this process a thread that hands it one call at a time. That is all of it: a pool of
the standard library cannot be stopped while work is under way, and loses its workers when its parent is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import threading
import traceback
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tarragon.api import Interrupted, PluginError, TarragonError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

T = TypeVar("T")

#: Kept waiting while a worker is forked.
_DEFERRED = (signal.SIGINT, signal.SIGTERM)
#: Told to a worker: closing the pipe is not enough, for workers that were forked later hold its other end too.
_END = b""


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Connection[Any, Any]


class _Task(NamedTuple):
    future: Future[Any]
    call: bytes


class Processes:
    """Worker processes, forked where the system can do that. Work, arguments and answers are pickled.

    When a worker dies, its call and all that follow fail with a TarragonError: what it had made is in doubt.
    All workers stand on this machine, so that every call is near every other.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._failure: TarragonError | None = None
        self._is_closed = False
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        # All forks come before the first thread: a lock that a thread holds would stay locked in the child.
        self._workers = [_started(method) for _ in range(width)]
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"worker-{number}", daemon=True)
            for number, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[..., T], /, *args: Any, near: Future[Any] | None = None) -> Future[T]:
        if self._is_closed:
            raise RuntimeError("the executor is closed")
        future: Future[T] = Future()
        self._tasks.put(_Task(future, pickle.dumps((work, args))))
        return future

    def close(self, *, cancel: bool = False) -> None:
        if cancel:
            self._drop()
        if self._is_closed:
            return
        self._is_closed = True
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            with suppress(RuntimeError):  # a signal came while it was being started
                thread.join()
        for worker in self._workers:
            with suppress(OSError):  # it is dead already
                worker.pipe.send_bytes(_END)
        for worker in self._workers:
            worker.pipe.close()
            _ended(worker.process)

    def _drop(self) -> None:
        """Fail what has begun, cancel what has not."""
        self._failure = self._failure or Interrupted("the work was cancelled")
        try:
            while task := self._tasks.get_nowait():
                task.future.cancel()
                task.future.set_running_or_notify_cancel()
        except queue.Empty:
            pass
        for worker in self._workers:
            worker.process.terminate()

    def _serve(self, worker: _Worker) -> None:
        while task := self._tasks.get():
            if not task.future.set_running_or_notify_cancel():
                continue
            if self._failure is None:
                self._do(task, worker)
            else:
                task.future.set_exception(self._failure)

    def _do(self, task: _Task, worker: _Worker) -> None:
        try:
            worker.pipe.send_bytes(task.call)
            answer = worker.pipe.recv_bytes()
        except (EOFError, OSError) as err:
            worker.process.join(1)
            self._failure = self._failure or _death(worker.process.exitcode)
            self._failure.__cause__ = err
            task.future.set_exception(self._failure)
            return
        try:
            is_done, value = pickle.loads(answer)  # noqa: S301 - from our own child, over a pipe of ours
        except Exception as err:  # noqa: BLE001 - a class may do anything when it is unpickled
            is_done, value = False, PluginError(f"the answer of a worker cannot be read: {err!r}")
        if is_done:
            task.future.set_result(value)
        else:
            task.future.set_exception(value)


def _started(method: str) -> _Worker:
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), name="tarragon-worker", daemon=True)
    # A signal in the middle of a fork would be answered by the child, with a handler that is its parent's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()  # so that its end is seen when it dies
    return _Worker(process, ours)


def _ended(process: BaseProcess) -> None:
    for stop in (process.terminate, process.kill):
        process.join(0.5)
        if process.exitcode is not None:
            return
        stop()
    process.join()


def _death(exitcode: int | None) -> TarragonError:
    how = f"signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"exit status {exitcode}"
    return TarragonError(
        f"a worker process died ({how})", hint="if memory ran out, choose a lower --concurrency or a smaller --volsize"
    )


def _work(pipe: Connection[Any, Any]) -> None:
    """A worker's life. Interrupts from the keyboard go to every process of a terminal: the parent decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _DEFERRED)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            call = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        if call == _END:
            return
        pipe.send_bytes(_answer(call))


def _answer(call: bytes) -> bytes:
    try:
        work, args = pickle.loads(call)  # noqa: S301 - from our own parent, over a pipe of its making
        return pickle.dumps((True, work(*args)))
    except Exception as err:  # noqa: BLE001 - whatever the work raises is its future's, as in concurrent.futures
        # Pickling loses where an error came from, and its cause.
        err.add_note("in a worker process:\n" + "".join(traceback.format_exception(err)))
        return _pickled_error(err)


def _pickled_error(err: Exception) -> bytes:
    try:
        return pickle.dumps((False, err))
    except Exception:  # noqa: BLE001 - an error may hold anything
        return pickle.dumps((False, PluginError(f"{type(err).__name__} in a worker: {err}")))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
