"""A Python that has the libraries loaded already, for tests that run many commands.

Most of a short command is the import of torch and its like. Here it is paid once: every
command runs in a fork of a server, with the arguments, environment, folder, input and
output of the one who asked, and ends as it would have ended:

    python warm_python.py SOCKET torch    serves
    FOLDER/python SCRIPT ...              asks: it stands in for Python, see `start`

What the server does not know, such as ``python -c``, is left to a new Python.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

import numpy as np

# What OpenMMLab's packages import of others, but not these themselves: they fill
# registries, and a command has to import all that it needs of them.
LIBRARIES = (
    *('torch.distributed.run', 'torch.distributed.optim', 'torch._dynamo'),
    *('torchvision', 'scipy.optimize', 'scipy.stats', 'sklearn.gaussian_process'),
    *('matplotlib.pyplot', 'cv2', 'pycocotools.mask', 'numba', 'shapely', 'skimage'),
    *('quick_layout', 'quick_figures'),  # beside this file
)
ENDED: list[int] = []  # the exit code of a command that has ended well
CLIENT = """\
#!{python} -IS
import json, os, signal, socket, sys

plain = sys.argv[1:] if sys.argv[1:2] != ['-u'] else sys.argv[2:]
if not plain or (plain[0].startswith('-') and plain[0] != '-m'):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    request = json.dumps(dict(argv=sys.argv, cwd=os.getcwd(), env=dict(os.environ)))
    content = request.encode()
    socket.send_fds(server, [len(content).to_bytes(8, 'big')], [0, 1, 2])
    server.sendall(content)
    answer = server.recv(8)
code = int.from_bytes(answer, 'big', signed=True)
if not answer:
    sys.exit(f'{{sys.argv}}: the server has gone')
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""

# Else its first line says which Python runs it.
OURS = """\
#!/bin/sh
exec {}/python -m mmdefect "$@"
"""


@contextmanager
def start(folder: Path, libraries: Sequence[str] = LIBRARIES) -> Iterator[Path]:
    """Start a server.

    Args:
        folder: An empty one, for its socket and what stands in for Python.
        libraries: What to import ahead, those of it that are installed.

    Yields:
        Folder of what stands in for Python, ``python`` and ``python3``, and of an
        ``mmdefect`` that it runs: to be the first of ``PATH``.

    Raises:
        RuntimeError: It did not start.
    """
    address, programs = folder / 'socket', folder / 'bin'
    programs.mkdir()
    client = CLIENT.format(python=sys.executable, address=str(address))
    names = {'python': client, 'python3': client, 'mmdefect': OURS.format(programs)}
    for name, text in names.items():
        program = programs / name
        program.write_text(text)
        program.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    command = [sys.executable, __file__, str(address), *libraries]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as server:
        try:
            if server.stdout.readline() != b'ready\n':
                raise RuntimeError(f'{address}: this server did not start')
            yield programs
        finally:
            server.terminate()


def main(address: str, *libraries: str) -> None:
    """Serve; the fork that has run a command returns, and ends as a Python does."""
    atexit.register(leave)  # first, hence called last
    for name in libraries:
        with suppress(ImportError):  # some come with one build of OpenMMLab only
            import_module(name)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print('ready', flush=True)
        while True:
            connection, _ = listener.accept()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not os.fork():
                break
            connection.close()
    with connection:
        head, files, *_ = socket.recv_fds(connection, 8, 3)
        with connection.makefile('rb') as stream:
            request = json.loads(stream.read(int.from_bytes(head, 'big')))
        command = os.fork()
        if command:
            attend(connection, command)
    run(request, files)


def attend(connection: socket.socket, command: int) -> None:
    """Pass signals on to a command, and how it ended to the one who asked; exit."""

    def listen() -> None:
        with suppress(ProcessLookupError):
            while order := connection.recv(1):
                os.kill(command, order[0])
            os.kill(command, signal.SIGKILL)  # nobody asks any more

    threading.Thread(target=listen, daemon=True).start()
    _, status = os.waitpid(command, 0)
    code = os.waitstatus_to_exitcode(status)
    with suppress(OSError):
        connection.sendall(code.to_bytes(8, 'big', signed=True))
    os._exit(0)


def run(request: dict, files: list[int]) -> None:
    """Run a script or a module as if this process were a Python of its own."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # The old one may think that it is still a file, which can be sought in.
    sys.stderr = open(2, 'w', buffering=1, errors=sys.stderr.errors, closefd=False)  # noqa: SIM115
    os.chdir(request['cwd'])
    os.environ.clear()
    os.environ.update(request['env'])
    # A command is short, and MMEngine asks for it with every dataset.
    gc.collect = lambda *_, **__: 0
    np.random.seed()  # a fork would draw what the others draw
    sys.executable, *words = request['argv']
    if words[0] == '-u':
        del words[0]
        sys.stdout.reconfigure(write_through=True)
    path = os.environ.get('PYTHONPATH')
    module = words[0] == '-m'
    sys.argv = words[module:]
    first = str(Path.cwd()) if module else str(Path(words[0]).resolve().parent)
    sys.path[:1] = [first, *(path.split(os.pathsep) if path else ())]
    try:
        if module:
            runpy.run_module(words[1], run_name='__main__', alter_sys=True)
        else:
            runpy.run_path(words[0], run_name='__main__')
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            ENDED.append(stop.code or 0)
        raise
    ENDED.append(0)


def leave() -> None:
    """End without taking all libraries down, which takes most of a second."""
    if ENDED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ENDED[0])


if __name__ == '__main__':
    main(*sys.argv[1:])
