"""The process of one run of a sweep, as `run_one` starts it: its RunSpec on stdin, what came of it on stdout."""

import json
import sys

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # notebooks have no IRIs; its grammar takes a second

from lerpnb.runs.spec import RunSpec  # noqa: E402
from lerpnb.runs.sweeps.worker import attempt, failed  # noqa: E402

if __name__ == "__main__":
    try:
        answer = attempt(RunSpec(**json.load(sys.stdin)))
    except (KeyboardInterrupt, SystemExit):  # while it waited for another's lock
        answer = failed("", "", "stopped")
    print(json.dumps(answer), flush=True)
