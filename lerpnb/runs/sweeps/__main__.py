"""The process of one run of a sweep, as `run_one` starts it: its RunSpec on stdin, what came of it on stdout."""

import json
import sys

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # notebooks have no IRIs; its grammar takes a second

from lerpnb.errors import RunError  # noqa: E402
from lerpnb.runs.spec import RunSpec  # noqa: E402
from lerpnb.runs.sweeps.worker import attempt, failed  # noqa: E402

if __name__ == "__main__":
    spec = RunSpec(**json.load(sys.stdin))
    try:
        answer = attempt(spec)
    except RunError as error:  # of its lock, which the disk refuses
        answer = failed(spec.name, " ".join(str(error).splitlines()))
    except (KeyboardInterrupt, SystemExit):  # while it waited for another's lock
        answer = failed(spec.name, "", "stopped")
    print(json.dumps(answer), flush=True)
