"""Run one job inside a container at Hugging Face: ``python3 container.py``, from the folder that holds it.

The script needs nothing but the standard library. It reads ``task.json`` beside it, creates an environment where the
image lacks one, runs the task's command in a folder of its own, prints the job's events and output, and uploads the
results to the job's repository as one commit at the very end. It runs twice: under the image's Python, and then under
the Python that has the packages, one of which is the Hub's client.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

if TYPE_CHECKING:
    from typing import Self

LOG_PREFIX = "::ftsdk:: "
"""Begins a line of the log that is an event, as JSON."""
RESULT = "result"
"""The folder of the repository that the results are in."""
OUTCOME = "outcome.json"
LOG = "worker.log"
ARTIFACT = "artifact"
MOUNT = "/ftsdk/"
"""Where a plan says that the job's files are; the script replaces it by the folder that it is in itself."""
TASK = "task.json"
WORK_FILES = "desk"
"""The folder beside the script whose files are copied into the command's folder; stored jobs have this name."""

_HERE = Path(__file__).resolve().parent
_GRACE_SECONDS = 120.0
_LOG_LINES = 50_000
_RETRY_SECONDS = 600.0
_OUTPUT_SECONDS = 10.0
_POLL_SECONDS = 0.5
_APP_PORT = 7860  # of a Space's health check

Answer = TypeVar("Answer")


# AutoTrain's image has Python 3.10, which lacks typing.Self and typing.NotRequired.
@dataclass(frozen=True, kw_only=True)
class ContainerTask:
    """What the container shall do: ``task.json``. The backends add what they need to read the results.

    The names are the keys of the file. They never change: Jobs of earlier versions are still to be read.
    """

    repo: str
    """The model repository that receives the results."""
    code: str | None
    """The zip file with the packages that the command needs. None: it brings its own."""
    check: str
    """Python code that exits with 0 where the image has all packages."""
    python: str
    """The Python version of the environment to create, such as ``3.12``."""
    lock: str
    """The requirements file of that environment."""
    command: Sequence[str]
    """The arguments of the Python that does the work."""
    placed: Sequence[str]
    """Files in which paths below :data:`MOUNT` are replaced."""
    events: str
    """The command's file of events, one JSON object per line; empty: it has none."""
    heartbeat: str
    """The command's file of progress; empty: it has none."""
    outcome: str
    """The file that the command reports its outcome in."""
    product: str
    """The folder of the artifact."""
    keep: Sequence[str]
    """Files that are uploaded beside the artifact."""
    seconds: float
    """The longest time that the command may run."""
    pause: bool
    """Whether the Space is paused at the end."""
    leave: Sequence[str]
    """Patterns of files in the artifact's folder that are not uploaded."""

    @classmethod
    def from_json(cls, text: str | bytes) -> "Self":
        """Read a task; keys of other versions are passed over.

        Raises:
            KeyError: A key is missing: another tool wrote the file.
        """
        values = json.loads(text)
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def to_json(self) -> str:
        """The text of ``task.json``."""
        return json.dumps(asdict(self), indent=2)


class _State(TypedDict):
    state: str


class JobOutcome(_State, total=False):
    """How the job ended: ``outcome.json``. The command's own report passes through as it is, with all of its keys."""

    reason: str | None
    message: str
    hint: str
    kind: str
    """The reason, by the runner of a foreign engine."""
    versions: Mapping[str, str]
    """The packages that trained, by the same."""


def main(arguments: Sequence[str]) -> int:
    """Run the job; 0 only if it succeeded and the results were uploaded."""
    task = ContainerTask.from_json((_HERE / TASK).read_text("utf-8"))
    if arguments:
        return work(task, Path(arguments[0]))
    with _health_server(), _pausing_space(task):
        workspace = Path(tempfile.mkdtemp(prefix="ftsdk-"))
        python = prepare(task, workspace)
        environment = {**os.environ, **_python_path(task, workspace), "FTSDK_HOME": str(workspace / "home")}
        return subprocess.run([python, __file__, str(workspace)], env=environment, check=False).returncode


# 1. An environment that has the packages.


def prepare(task: ContainerTask, workspace: Path) -> str:
    """The image's own Python where it has all packages; else that of a new environment, from the lock file."""
    if task.code:
        with zipfile.ZipFile(_HERE / task.code) as code:
            code.extractall(workspace / "code")
    check, environment = [sys.executable, "-c", task.check], {**os.environ, **_python_path(task, workspace)}
    if subprocess.run(check, env=environment, check=False, stderr=subprocess.DEVNULL).returncode == 0:
        return sys.executable
    print_event("log", message="installing what the image lacks")
    return install(task, workspace / "venv")


def install(task: ContainerTask, folder: Path) -> str:
    """Create an environment with uv, which downloads the right Python; pip installs a missing uv."""
    lock, python = str(_HERE / task.lock), str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv is None:
        # An environment of its own: distributions forbid pip to change the system's Python (PEP 668).
        tools = folder.with_name("tools")
        subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
        subprocess.run([str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"], check=True)
        uv = str(tools / "bin" / "uv")
    pip = [uv, "pip", "install", "--python", python]
    subprocess.run([uv, "venv", "--quiet", "--python", task.python, str(folder)], check=True)
    # PyTorch first and with its dependencies: the CUDA libraries of its build, which no lock file can name for every
    # machine. All else is in the lock file; resolving would add packages that the engine never needs.
    if "\ntorch==" in Path(lock).read_text("utf-8"):
        subprocess.run([*pip, "--constraint", lock, "torch"], check=True)
    subprocess.run([*pip, "--no-deps", "-r", lock], check=True)
    return python


def _python_path(task: ContainerTask, workspace: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(workspace / "code")} if task.code else {}


# 2. The work.


def work(task: ContainerTask, workspace: Path) -> int:
    """Run the command, then upload the results; only once, also where a Space is restarted."""
    from huggingface_hub import HfApi

    hub = HfApi()
    # A changed secret restarts a Space, which would train, and cost, a second time.
    if retry_for_minutes(lambda: hub.file_exists(task.repo, f"{RESULT}/{OUTCOME}")):
        print_line("this job is done already")
        return 0
    folder = workspace / "job"
    shutil.copytree(_HERE / WORK_FILES, folder)
    for name in task.placed:
        text = (folder / name).read_text("utf-8")
        (folder / name).write_text(text.replace(f'"{MOUNT}', f'"{_HERE.parent}/'), "utf-8")
    status = run(task, folder)
    result = workspace / RESULT
    outcome = collect(task, folder, result, status)
    print_event("log", message="uploading the results")
    # One commit, and the last step of all: a client that sees the outcome sees the complete artifact.
    retry_for_minutes(
        lambda: hub.upload_folder(
            repo_id=task.repo, folder_path=result, path_in_repo=RESULT, commit_message=f"ftsdk: {outcome['state']}"
        )
    )
    return int(outcome["state"] != "succeeded")


def run(task: ContainerTask, folder: Path) -> int | None:
    """Run the command to its end, or until its time is over.

    Returns:
        Its exit status; None where its time was over.
    """
    token = os.environ.get("HF_TOKEN") or ""
    timed_out = threading.Event()
    # A session of its own: signals to its group reach the command's children, too, and never this process.
    process = subprocess.Popen(
        [sys.executable, *task.command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    # A request to stop goes to the command, which saves a checkpoint; this process must live on to upload the results.
    signal.signal(signal.SIGTERM, lambda *_: _signal_group(process, signal.SIGTERM))
    # The task's own deadline comes before Hugging Face's, which would leave no time to upload anything.
    deadline = threading.Timer(task.seconds, _stop, [process, timed_out])
    deadline.daemon = True
    deadline.start()
    reports = threading.Thread(target=_forward_reports, args=(folder, task, process), daemon=True)
    reports.start()
    output = threading.Thread(target=_forward_output, args=(process, token), daemon=True)
    output.start()
    process.wait()
    deadline.cancel()
    reports.join()
    # A bounded wait: a child that left the session may hold the pipe open for ever, so that it never ends.
    output.join(_OUTPUT_SECONDS)
    # What is left of the group would still write into the artifact that is uploaded next.
    _signal_group(process, signal.SIGKILL)
    return None if timed_out.is_set() else process.returncode


def _forward_output(process: "subprocess.Popen[str]", token: str) -> None:
    """Print what the command prints, without the token."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            clean = (line.replace(token, "[secret]") if token else line).rstrip("\n")
            # A user's own code may print our prefix; a space before it makes it a plain line.
            print_line(f" {clean}" if clean.startswith(LOG_PREFIX) else clean)


def collect(task: ContainerTask, folder: Path, result: Path, status: int | None) -> JobOutcome:
    """Copy what is uploaded into one folder, with the job's outcome.

    Args:
        task: What was to be done.
        folder: The command's folder.
        result: The folder to create.
        status: The command's exit status; None where its time was over.
    """
    result.mkdir()
    path = folder / task.outcome
    outcome: JobOutcome = {
        "state": "failed",
        "reason": "worker_lost",
        "message": f"its process ended with {status}",
    }
    if path.is_file():
        outcome = json.loads(path.read_text("utf-8"))
    # A success that was complete before the deadline struck counts: it has been paid for.
    if status is None and outcome["state"] != "succeeded":
        outcome = {"state": "failed", "reason": "timeout", "message": "its time was over"}
    for name in task.keep:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, result / name)
    if outcome["state"] == "succeeded":
        shutil.copytree(folder / task.product, result / ARTIFACT, ignore=shutil.ignore_patterns(*task.leave))
    # Hugging Face keeps logs for about a month; this copy stays.
    (result / LOG).write_text("\n".join(_printed_lines) + "\n", "utf-8")
    (result / OUTCOME).write_text(json.dumps(outcome, indent=2), "utf-8")
    return outcome


def retry_for_minutes(call: Callable[[], Answer]) -> Answer:
    """Call the Hub until it answers: the results have been paid for, and most of its errors pass.

    Raises:
        Exception: The last error, some minutes after the first call.
    """
    end, pause = time.monotonic() + _RETRY_SECONDS, 1.0
    while True:
        try:
            return call()
        except Exception as error:
            if time.monotonic() + pause > end:
                raise
            print_line(f"the Hub failed ({type(error).__name__}); trying again")
        time.sleep(pause)
        pause = min(2 * pause, 60.0)


# 3. The log.

# Two threads print: output and reports. Without the lock, a line of one could end inside a line of the other, and the
# client could parse neither.
_output_lock = threading.Lock()
_printed_lines: deque[str] = deque(maxlen=_LOG_LINES)


def print_line(line: str) -> None:
    """Print one line, and keep it for the copy of the log that is uploaded."""
    with _output_lock:
        _printed_lines.append(line)
        print(line, flush=True)


def print_event(kind: str, **details: object) -> None:
    """Print an event of this script's own."""
    print_line(LOG_PREFIX + json.dumps({"kind": kind, "time": time.time(), **details}))


def _forward_reports(folder: Path, task: ContainerTask, process: "subprocess.Popen[str]") -> None:
    """Print the job's events and its progress, up to the end of its process."""
    offset, progress = 0, ""
    while True:
        # Asked before the files are read: what the process wrote last is read once more after its end.
        ended = process.poll() is not None
        offset = _forward_events(folder / task.events, offset)
        progress = _forward_progress(folder / task.heartbeat, progress)
        if ended:
            return
        time.sleep(_POLL_SECONDS)


def _forward_events(events: Path, offset: int) -> int:
    """Print the complete lines behind an offset; returns the offset behind them."""
    if not events.is_file():
        return offset
    with events.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break  # still being written
            offset += len(line)
            print_line(LOG_PREFIX + line.decode("utf-8").rstrip("\n"))
    return offset


def _forward_progress(heartbeat: Path, last: str) -> str:
    """Print the job's progress where it has changed; returns it."""
    if not heartbeat.is_file():
        return last
    report = json.loads(heartbeat.read_text("utf-8"))
    progress = json.dumps({name: report.get(name) for name in ("stage", "step", "total_steps", "eta_seconds")})
    if progress != last:
        print_line(f'{LOG_PREFIX}{{"kind": "progress", {progress[1:]}')
    return progress


# 4. The end.


def _stop(process: "subprocess.Popen[str]", timed_out: threading.Event) -> None:
    """End the command at its deadline: SIGTERM first, so that it can save a checkpoint, then SIGKILL."""
    timed_out.set()
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)


def _signal_group(process: "subprocess.Popen[str]", number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@contextmanager
def _pausing_space(task: ContainerTask) -> Iterator[None]:
    """Pause the Space that this runs in at the end, whatever happens: it costs money while it runs."""
    try:
        yield
    finally:
        space = os.environ.get("SPACE_ID")
        if space and task.pause:
            _pause(space)


def _pause(space: str) -> None:
    # By the REST interface: the environment that has the client may have failed to install.
    address = f"{os.environ.get('HF_ENDPOINT') or 'https://huggingface.co'}/api/spaces/{space}/pause"
    headers = {"Authorization": f"Bearer {os.environ.get('HF_TOKEN')}"}
    request = urllib.request.Request(address, method="POST", headers=headers)  # noqa: S310 - the user's Hub
    retry_for_minutes(lambda: urllib.request.urlopen(request, timeout=30).close())  # noqa: S310 - same


class HealthHandler(BaseHTTPRequestHandler):
    """Answers every request with 200."""

    def do_GET(self) -> None:
        """Answer a health check."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ftsdk is training\n")

    def log_message(self, *_: object) -> None:
        """Print nothing: the log is the job's."""


@contextmanager
def _health_server() -> Iterator[None]:
    """Answer the health checks of a Space.

    Hugging Face ends a Space that serves nothing on its port: to it, a Space is an application with a page. A Job is
    not asked.
    """
    if not os.environ.get("SPACE_ID"):
        yield
        return
    port = int(os.environ.get("PORT") or _APP_PORT)
    with HTTPServer(("0.0.0.0", port), HealthHandler) as server:  # noqa: S104 - see above
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
