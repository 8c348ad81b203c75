"""A ledger whose process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from backend_demo.domain.verdict import Entry
from backend_demo.simulator.ledger import read


def lines(path: Path) -> list[Entry]:
    return list(read(path))


def test_a_ledger_is_whole_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    program = (
        "import sys, itertools\n"
        "from pathlib import Path\n"
        "from backend_demo.domain.reading import Reading\n"
        "from backend_demo.simulator.ledger import Ledger\n"
        "with Ledger(Path(sys.argv[1])) as ledger:\n"
        "    for n in itertools.count():\n"
        "        ledger.write('sent', [Reading(1, float(100 * n + i), 21.5) for i in range(100)])\n"
        "        print(n, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = -1
    for line in child.stdout:
        told = int(line)
        if told == 50:
            child.send_signal(signal.SIGKILL)
    child.wait(10)
    times = [entry.timestamp for entry in lines(path)]
    assert times == [float(n) for n in range(len(times))]
    assert len(times) >= 100 * (told + 1)
