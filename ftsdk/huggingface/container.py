"""Do a job inside a container of Hugging Face's: ``python3 container.py``, from the folder that it lies in.

A script that needs nothing of ours: it finds ``task.json`` beside it, makes an environment where the image has none,
runs the task's command in a folder of its own, passes on what is printed and what happens, and sends what was made to
the job's repository as one commit, last of all. It is started twice: by the image's Python, and then by the Python
that has the packages, which the Hub's client is one of.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

MARK = "::ftsdk:: "
"""Begins a line of log that is a happening, as JSON."""
RESULT = "result"
"""The folder of the repository that what was made lies in."""
OUTCOME = "outcome.json"
LOG = "worker.log"
ARTIFACT = "artifact"
MOUNT = "/ftsdk/"
"""Where a plan says that the job's files lie; they are where this script is."""

_HERE = Path(__file__).resolve().parent
_GRACE_SECONDS = 120.0
_LOG_LINES = 50_000
_INSIST_SECONDS = 600.0
_LAST_WORDS_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_APP_PORT = 7860  # where a Space is asked whether it lives

Task = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Do the job; 0 only if something good was made and has been sent."""
    task: Task = json.loads((_HERE / "task.json").read_text("utf-8"))
    if arguments:
        return work(task, Path(arguments[0]))
    with _answering(), _pausing_the_space(task):
        desk = Path(tempfile.mkdtemp(prefix="ftsdk-"))
        python = prepare(task, desk)
        environment = {**os.environ, **_code(task, desk), "FTSDK_HOME": str(desk / "home")}
        return subprocess.run([python, __file__, str(desk)], env=environment, check=False).returncode


# 1. An environment that has the packages.


def prepare(task: Task, desk: Path) -> str:
    """The image's own Python, if it has what is needed; else that of a new environment, from the lock file."""
    if task["code"]:
        with zipfile.ZipFile(_HERE / task["code"]) as code:
            code.extractall(desk / "code")
    check, environment = [sys.executable, "-c", task["check"]], {**os.environ, **_code(task, desk)}
    if subprocess.run(check, env=environment, check=False, stderr=subprocess.DEVNULL).returncode == 0:
        return sys.executable
    tell("log", message="installing what the image lacks")
    return install(task, desk / "venv")


def install(task: Task, folder: Path) -> str:
    """Make an environment with uv, which brings the right Python along; the image's pip brings uv."""
    lock, python = str(_HERE / task["lock"]), str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv is None:
        tools = folder.with_name("tools")
        subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
        subprocess.run([str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"], check=True)
        uv = str(tools / "bin" / "uv")
    install = [uv, "pip", "install", "--python", python]
    subprocess.run([uv, "venv", "--quiet", "--python", task["python"], str(folder)], check=True)
    if "\ntorch==" in Path(lock).read_text("utf-8"):  # with CUDA's libraries; see ftsdk/kit/engines/house.py
        subprocess.run([*install, "--constraint", lock, "torch"], check=True)
    subprocess.run([*install, "--no-deps", "-r", lock], check=True)
    return python


def _code(task: Task, desk: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(desk / "code")} if task["code"] else {}


# 2. The work.


def work(task: Task, desk: Path) -> int:
    """Run the command, then send what it made; once, also where a Space is started again."""
    from huggingface_hub import HfApi

    hub = HfApi()
    if insistently(lambda: hub.file_exists(task["repo"], f"{RESULT}/{OUTCOME}")):
        say("this job has been done before")
        return 0
    folder = desk / "job"
    shutil.copytree(_HERE / "desk", folder)
    for name in task["placed"]:
        text = (folder / name).read_text("utf-8")
        (folder / name).write_text(text.replace(f'"{MOUNT}', f'"{_HERE.parent}/'), "utf-8")
    status = run(task, folder)
    result = desk / RESULT
    outcome = collect(task, folder, result, status)
    tell("log", message="sending what was made")
    insistently(
        lambda: hub.upload_folder(
            repo_id=task["repo"], folder_path=result, path_in_repo=RESULT, commit_message=f"ftsdk: {outcome['state']}"
        )
    )
    return int(outcome["state"] != "succeeded")


def run(task: Task, folder: Path) -> int | None:
    """Run the command to its end, or until its time is over (None); its exit status."""
    token = os.environ.get("HF_TOKEN") or ""
    over = threading.Event()
    process = subprocess.Popen(
        [sys.executable, *task["command"]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: _signal_group(process, signal.SIGTERM))
    deadline = threading.Timer(task["seconds"], _end, [process, over])
    deadline.daemon = True
    deadline.start()
    happenings = threading.Thread(target=_follow, args=(folder, task, process), daemon=True)
    happenings.start()
    words = threading.Thread(target=_pass_on_words, args=(process, token), daemon=True)
    words.start()
    process.wait()
    deadline.cancel()
    happenings.join()
    words.join(_LAST_WORDS_SECONDS)  # a child that was left behind may keep the pipe open for ever
    _signal_group(process, signal.SIGKILL)
    return None if over.is_set() else process.returncode


def _pass_on_words(process: "subprocess.Popen[str]", token: str) -> None:
    """Print what the command prints, without the token; what looks like a happening of ours is none."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            clean = (line.replace(token, "[secret]") if token else line).rstrip("\n")
            say(f" {clean}" if clean.startswith(MARK) else clean)


def collect(task: Task, folder: Path, result: Path, status: int | None) -> dict[str, Any]:
    """Lay what is worth keeping into one folder, and give how it ended."""
    result.mkdir()
    path = folder / task["outcome"]
    said = f"its process ended with {status}"
    outcome: dict[str, Any] = {"state": "failed", "reason": "worker_lost", "message": said}
    if path.is_file():
        outcome = json.loads(path.read_text("utf-8"))
    if status is None and outcome["state"] != "succeeded":
        outcome = {"state": "failed", "reason": "timeout", "message": "its time was over"}
    for name in task["keep"]:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, result / name)
    if outcome["state"] == "succeeded":
        shutil.copytree(folder / task["product"], result / ARTIFACT, ignore=shutil.ignore_patterns(*task["leave"]))
    (result / LOG).write_text("\n".join(_said) + "\n", "utf-8")
    (result / OUTCOME).write_text(json.dumps(outcome, indent=2), "utf-8")
    return outcome


def insistently(call: Callable[[], Any]) -> Any:
    """Try again for some minutes: what was made has been paid for, and an error of the Hub may pass."""
    end, pause = time.monotonic() + _INSIST_SECONDS, 1.0
    while True:
        try:
            return call()
        except Exception as error:
            if time.monotonic() + pause > end:
                raise
            say(f"the Hub failed ({type(error).__name__}); trying again")
        time.sleep(pause)
        pause = min(2 * pause, 60.0)


# 3. What is told.

_mouth = threading.Lock()
_said: deque[str] = deque(maxlen=_LOG_LINES)


def say(line: str) -> None:
    """Print one line, whole, and keep it for the log that is sent."""
    with _mouth:
        _said.append(line)
        print(line, flush=True)


def tell(kind: str, **fields: object) -> None:
    """Print a happening."""
    say(MARK + json.dumps({"kind": kind, "time": time.time(), **fields}))


def _follow(folder: Path, task: Task, process: "subprocess.Popen[str]") -> None:
    """Pass on what the job writes of its happenings and of its progress, up to the end of its process."""
    place, beat = 0, ""
    while True:
        ended = process.poll() is not None
        place = _pass_on(folder / task["events"], place)
        beat = _pass_on_beat(folder / task["heartbeat"], beat)
        if ended:
            return
        time.sleep(_LOOK_SECONDS)


def _pass_on(events: Path, place: int) -> int:
    """Print the whole lines behind a place, and give the place behind them."""
    if not events.is_file():
        return place
    with events.open("rb") as file:
        file.seek(place)
        for line in file:
            if not line.endswith(b"\n"):
                break
            place += len(line)
            say(MARK + line.decode("utf-8").rstrip("\n"))
    return place


def _pass_on_beat(heartbeat: Path, last: str) -> str:
    """Print how far the job has come, where that has changed."""
    if not heartbeat.is_file():
        return last
    told = json.loads(heartbeat.read_text("utf-8"))
    now = json.dumps({name: told.get(name) for name in ("stage", "step", "total_steps", "eta_seconds")})
    if now != last:
        say(f'{MARK}{{"kind": "progress", {now[1:]}')
    return now


# 4. The end.


def _end(process: "subprocess.Popen[str]", over: threading.Event) -> None:
    over.set()
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
def _pausing_the_space(task: Task) -> Iterator[None]:
    """Pause the Space that this is, whatever happens: it costs money while it runs."""
    try:
        yield
    finally:
        space = os.environ.get("SPACE_ID")
        if space and task["pause"]:
            _pause(space)


def _pause(space: str) -> None:
    """By the Hub's interface itself, for the environment may have failed to come about."""
    address = f"{os.environ.get('HF_ENDPOINT') or 'https://huggingface.co'}/api/spaces/{space}/pause"
    headers = {"Authorization": f"Bearer {os.environ.get('HF_TOKEN')}"}
    request = urllib.request.Request(address, method="POST", headers=headers)  # noqa: S310 - the user's Hub
    insistently(lambda: urllib.request.urlopen(request, timeout=30).close())  # noqa: S310 - same


class _Lives(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Say that there is somebody."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ftsdk is training\n")

    def log_message(self, *_: object) -> None:
        """Leave the log to the job."""


@contextmanager
def _answering() -> Iterator[None]:
    """Answer where a Space is asked whether it lives; one that does not answer is ended."""
    if not os.environ.get("SPACE_ID"):
        yield
        return
    with HTTPServer(("0.0.0.0", int(os.environ.get("PORT") or _APP_PORT)), _Lives) as server:  # noqa: S104 - see above
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
