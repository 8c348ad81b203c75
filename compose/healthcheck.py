#!/app/venv/bin/python -IS
"""Whether the service of this container can do its work: `healthcheck PORT PATH [LINE]...`, exit code 0 or 1.

It can when the answer has the status 200 and contains one of the lines, if any are given. Quick: it runs every few
seconds.
"""

import socket
import sys

port, path, *wanted = sys.argv[1:]
try:
    with socket.create_connection(("127.0.0.1", int(port)), 3) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
except OSError as problem:
    sys.exit(f"no answer at port {port}: {problem}")
lines = answer.splitlines()
ready = lines and b" 200 " in lines[0] and (not wanted or any(line.encode() in lines for line in wanted))
sys.exit(None if ready else f"not ready: {path} of port {port} says {lines[0].decode() if lines else 'nothing'}")
