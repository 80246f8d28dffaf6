"""The life of a model server: listen, load, warm up, be ready; on SIGTERM be not ready, drain, end."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from time import perf_counter

import uvicorn

from engine.artifacts import ArtifactError, load_artifact
from engine.estimators.base import BLAS
from engine.serving.app import ModelServer
from engine.serving.config import ServingConfig
from engine.serving.connection import patient_for
from engine.serving.model import ServedModel
from engine.serving.warm_up import WarmUp, WarmUpError, warm_up

log = logging.getLogger("aisle.serving")

STOPPED, BAD_ARTIFACT, NO_PORT, CPU_SPENT = 0, 3, 4, 5  # exit codes
IDLE_TIMEOUT_S = 15  # longer than the gateway's, so that the gateway closes first
FINISH_TIMEOUT_S = 5
LINGER_S = 0.3
CPU_SPENT_WORDS = "ended: it has used the %d seconds of processor time that it may"


class Server(uvicorn.Server):
    """uvicorn without its handling of signals: draining comes first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let requests that are on their way be answered, then close what is idle."""
        for each in self.servers:
            each.close()
        until = perf_counter() + LINGER_S
        while self.server_state.connections and perf_counter() < until:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def run(config: ServingConfig, key: bytes) -> int:
    """Serve until told to stop; return the exit code."""
    try:
        listener = bind(config.host, config.port)
    except OSError as error:
        log.error("not serving: cannot listen on %s:%d: %s", config.host, config.port, error.strerror)
        return NO_PORT
    app = ModelServer(config, key)
    settings = uvicorn.Config(
        app,
        loop="uvloop",
        http=patient_for(config.patience_s),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_TIMEOUT_S,
        timeout_graceful_shutdown=FINISH_TIMEOUT_S,
    )
    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        return runner.run(_serve(Server(settings), app, listener))


def bind(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def load(config: ServingConfig) -> tuple[ServedModel, WarmUp]:
    """Map the artifact, verify all of it by its digest, and warm it up.

    Raises ArtifactError or WarmUpError when it must not be served.
    """
    BLAS.limit(limits=config.threads, user_api="blas")
    artifact = load_artifact(config.artifact, config.digest, threads=config.threads)
    if artifact.algorithm != config.algorithm:
        raise ArtifactError(f"the artifact is of {artifact.algorithm}, not {config.algorithm}")
    model = ServedModel(artifact)
    return model, warm_up(model)


async def _serve(server: Server, app: ModelServer, listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, _drain, server, app)
    spent = asyncio.Event()
    loop.add_signal_handler(signal.SIGXCPU, _spend, server, app, spent)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    code = await _get_ready(server, app, listener)
    await serving
    if spent.is_set():
        log.error(CPU_SPENT_WORDS, app.config.rlimits.get("cpu_s", 0))
        return CPU_SPENT
    if code == STOPPED:
        log.info("stopped: release %d (%s)", app.config.release_number, app.config.release_id)
    return code


async def _get_ready(server: Server, app: ModelServer, listener: socket.socket) -> int:
    started = perf_counter()
    try:
        model, replayed = await asyncio.to_thread(load, app.config)
    except (ArtifactError, WarmUpError) as error:
        log.error("not serving: %s", error)
        server.should_exit = True
        return BAD_ARTIFACT
    except Exception as error:  # whatever it is, one line and an end are better than a server without a model
        log.error("not serving: the model cannot be loaded: %s: %s", type(error).__name__, error)
        server.should_exit = True
        return BAD_ARTIFACT
    gc.collect()
    gc.freeze()  # what was loaded stays: never walk it again
    gc.enable()
    app.start(model)
    host, port = listener.getsockname()[:2]
    log.info(
        "ready: http://%s:%d release %d (%s), %s version %d by %s; replayed %d users, %d items, all scores "
        "finite, in %.2f s of %.2f s",
        *(host, port, app.config.release_number, app.config.release_id, app.config.model),
        *(app.config.model_version, app.config.algorithm, replayed.users, replayed.items),
        *(replayed.seconds, perf_counter() - started),
    )
    return STOPPED


def _drain(server: Server, app: ModelServer) -> None:
    """Stop being ready at once, stop listening after a while; a second signal does not wait."""
    if app.is_loading:
        log.info("stopped before it was ready")
        logging.shutdown()
        os._exit(STOPPED)  # nobody is being served, and the thread that loads cannot be interrupted
    wait_s = app.config.drain_s if app.is_ready else 0.0
    app.drain()

    def stop() -> None:
        server.should_exit = True

    log.info("draining for %.1f s", wait_s)
    asyncio.get_running_loop().call_later(wait_s, stop)


def _spend(server: Server, app: ModelServer, spent: asyncio.Event) -> None:
    """End in good order once the processor time is used up; the system repeats itself every second."""
    if app.is_loading:
        log.error(CPU_SPENT_WORDS, app.config.rlimits.get("cpu_s", 0))
        logging.shutdown()
        os._exit(CPU_SPENT)
    if not spent.is_set():
        spent.set()
        _drain(server, app)
