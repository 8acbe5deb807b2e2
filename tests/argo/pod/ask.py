"""Asks a warm Python to run a command in this process's place, and ends as the command does.

It imports nothing that it can do without: it is started for each Python of a pod.
"""

import _socket
import array
import marshal
import os
import sys

door = _socket.socket(fileno=int(os.environ.pop("POD_DOOR")))
answer, theirs = _socket.socketpair()
job = {
    "args": [sys.executable, *sys.argv[1:]],
    "cwd": os.getcwd(),
    "env": dict(os.environ),
    "session": False,
    "starts_warm": False,
}
fds = array.array("i", [0, 1, 2, theirs.fileno()])
door.sendmsg([marshal.dumps(job)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
door.close()
theirs.close()
said = b""
while got := answer.recv(64):
    said += got
code = os.waitstatus_to_exitcode(int(said.split()[1]))  # after its number
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
