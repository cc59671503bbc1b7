"""Behaves like a run of a collection, without training: ``played_run.py FOLDER PARTS.json``, with its part by the folder's name.

A part may hold ``seconds`` to work, ``file`` to wait for, ``megabytes`` to use, ``fail`` with the text of an error, ``stubborn`` to mind
no signal, ``signal`` to die by.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

folder, parts = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
part = parts.get(folder.name, parts.get("all", {}))
state = folder / "run.json"


def say(status):
    state.write_text(json.dumps({"status": status, "scores": {"valid/bps": 0.5}, "cuda": os.environ.get("CUDA_VISIBLE_DEVICES")}), encoding="utf-8")


def stop(number, frame):
    if not part.get("stubborn"):
        say("interrupted")
        os._exit(130)


signal.signal(signal.SIGTERM, stop)
with (folder / "began.txt").open("a", encoding="utf-8") as file:
    file.write(f"{time.monotonic()} {os.getpid()} {'again' if state.exists() else 'anew'}\n")
say("running")
print("at work", flush=True)
kept = bytearray(part.get("megabytes", 0) * 1_000_000)
time.sleep(part.get("seconds", 0))
while "file" in part and not Path(part["file"]).exists():
    time.sleep(0.02)
if "signal" in part:
    os.kill(os.getpid(), part["signal"])
if "fail" in part:
    print(f"error: {part['fail']}", flush=True)
    sys.exit(2)
say("finished")
(folder / "ended.txt").write_text(str(time.monotonic()), encoding="utf-8")
