#!/app/venv/bin/python -IS
"""Whether the service of this container can do its work: `healthcheck SERVICE PORT`, exit code 0 or 1.

A service says so by a gauge at its metrics port, the gateway by /readyz. Quick: it runs every few seconds.
"""

import socket
import sys

service, port = sys.argv[1], int(sys.argv[2])
if service == "gateway":
    path, wanted = "/readyz", b" 200 "
else:
    path, wanted = "/metrics", f'\nbdemo_service_ready{{service="{service}"}} 1.0\n'.encode()
try:
    with socket.create_connection(("127.0.0.1", port), 3) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
except OSError as problem:
    sys.exit(f"{service} does not answer: {problem}")
sys.exit(None if wanted in answer else f"{service} is not ready")
