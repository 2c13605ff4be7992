"""A local service with the Hub's REST interface for its real client, which really runs Jobs and Spaces.

Repositories with commits, LFS, resolve and tree; users and tokens; Jobs whose commands run in processes of this
machine, with their repository as a folder; Docker Spaces that do the same with what their Dockerfile copies.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import http_service
from http_service import Answer, Fault, Request, StandIn, routes

__all__ = ["KEY", "ME", "READ_KEY", "Container", "Fault", "Service", "end_job", "serving"]

KEY = "hf_TestTokenThatMustComeOutNowhere0000"
READ_KEY = "hf_TestTokenThatMayOnlyRead000000000000"
ME, ORG = "me", "acme"
_LFS = (".safetensors", ".png", ".zip")
_PLURAL = {"models": "model", "datasets": "dataset", "spaces": "space"}

HARDWARE = [
    ("cpu-basic", "CPU Basic", None, "16 GB", 167),
    ("t4-small", "Nvidia T4 - small", ("1", "16 GB"), "15 GB", 6667),
    ("l4x1", "1x Nvidia L4", ("1", "24 GB"), "30 GB", 13333),
    ("a10g-large", "Nvidia A10G - large", ("1", "24 GB"), "46 GB", 25000),
    ("l4x4", "4x Nvidia L4", ("4", "96 GB"), "186 GB", 63333),
    ("a100-large", "Nvidia A100 - large", ("1", "80 GB"), "142 GB", 41667),
]
"""Name, title, cards and their memory, main memory, millionths of a dollar for a minute."""

Files = dict[str, bytes]


@dataclass
class Repo:
    """One repository: its commits, each with its complete tree."""

    kind: str
    name: str
    private: bool = False
    gated: bool = False
    commits: list[tuple[str, Files, str]] = field(default_factory=list)
    created: float = field(default_factory=time.time)
    names: dict[str, str] = field(default_factory=dict)
    """From a branch or a tag to its commit, beside ``main``."""

    def at(self, revision: str) -> tuple[str, Files] | None:
        """A commit and its tree."""
        if not self.commits:
            return ("0" * 40, {}) if revision in ("main", "0" * 40) else None
        if revision == "main":
            return self.commits[-1][:2]
        commit = self.names.get(revision, revision)
        return next(((sha, tree) for sha, tree, _ in self.commits if sha == commit), None)

    def commit(self, changes: Files, message: str, deleted: tuple[str, ...] = ()) -> str:
        """One more commit."""
        tree = {**(self.commits[-1][1] if self.commits else {}), **changes}
        for name in deleted:
            tree.pop(name, None)
        text = repr((self.name, len(self.commits), message, time.time_ns()))
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.commits.append((sha, tree, message))
        return sha


@dataclass
class Container:
    """A Job, or what runs in a Space."""

    id: str
    owner: str
    request: dict[str, Any]
    folder: Path
    stage: str = "SCHEDULING"
    message: str | None = None
    times: dict[str, float] = field(default_factory=lambda: {"created": time.time()})
    log: list[tuple[float, str]] = field(default_factory=list)
    process: "subprocess.Popen[str] | None" = None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.stage not in ("SCHEDULING", "RUNNING")

    def write_log(self, line: str) -> None:
        """Add a line to its log."""
        self.log.append((time.time(), line))

    def kill(self) -> None:
        """End its process with all of its children."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def describe(self) -> dict[str, Any]:
        """The Job as the service describes it."""
        running = self.times.get("ended", time.time()) - self.times["started"] if "started" in self.times else None
        return {
            "id": self.id,
            "createdAt": _iso(self.times["created"]),
            "startedAt": _iso(self.times.get("started")),
            "finishedAt": _iso(self.times.get("ended")),
            "dockerImage": self.request.get("dockerImage"),
            "command": self.request["command"],
            "environment": self.request.get("environment") or {},
            "secrets": dict.fromkeys(self.request.get("secrets") or {}, "***"),
            "flavor": self.request.get("flavor"),
            "labels": self.request.get("labels") or {},
            "volumes": self.request.get("volumes") or [],
            "status": {"stage": self.stage, "message": self.message},
            "durations": {"runningSecs": None if running is None else int(running)},
            "owner": {"id": "0" * 24, "name": self.owner, "type": "user"},
        }


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


class Service(StandIn):
    """The Hub."""

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.jobs: list[Container] = []
        self.spaces: dict[str, Container] = {}
        self.credit = True
        self.lag = 0.0
        """Seconds until a Job shows up in the list."""
        self.run: Callable[[Service, Container], None] = run_really
        """What a Job does."""
        self.run_space: Callable[[Service, Container], None] = run_space
        """What a Space does."""
        self.images: dict[str, Path] = {}
        """From a Docker image to the folder of its programs on this machine; others have those of the tests."""
        self.schedule_seconds = 0.05
        self.plain_json = False
        """Whether logs contain characters without escapes."""
        self.folder = Path(tempfile.mkdtemp(prefix="hub-"))
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    # Repositories

    def add(self, name: str, files: Files | Path, *, kind: str = "model", **flags: bool) -> Repo:
        """A repository with files in it."""
        repo = self.repos[kind, name] = Repo(kind, name, **flags)
        if isinstance(files, Path):
            files = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
        repo.commit(files, "initial")
        return repo

    def tree(self, name: str, kind: str = "model") -> Files:
        """The newest files of a repository."""
        head = self.repos[kind, name].at("main")
        assert head is not None
        return head[1]

    def refusal(self, request: Request) -> Answer | None:
        """Writing needs a token with that right; everybody may read public repositories."""
        key = request.headers.get("Authorization", request.headers.get("authorization", "")).removeprefix("Bearer ")
        if key and key not in (KEY, READ_KEY):
            return _error(401, "Invalid credentials in Authorization header")
        if request.path == "/api/whoami-v2" and not key:
            return _error(401, "Invalid username or password.")
        writes = request.method not in {"GET", "HEAD"} and "paths-info" not in request.path
        if writes and key != KEY and not request.path.startswith("/lfs/"):
            return _error(403 if key else 401, "you must use a write token")
        return None

    def whoami(self, request: Request) -> Answer:
        role = "read" if READ_KEY in request.headers.get("Authorization", "") + str(request.headers) else "write"
        orgs = [{"name": ORG, "type": "org"}]
        return 200, {"name": ME, "type": "user", "orgs": orgs, "auth": {"accessToken": {"role": role}}}, {}

    def create_repo(self, request: Request) -> Answer:
        body = request.body
        name = f"{body.get('organization') or ME}/{body['name']}"
        kind = body.get("type") or "model"
        if kind == "space" and not self.credit:
            return _error(402, "Payment required: add credit to run this Space")
        if (kind, name) in self.repos:
            return _error(409, "You already created this repo", {"url": f"{self.url}/{name}"})
        private = body.get("visibility") == "private" or bool(body.get("private"))
        self.repos[kind, name] = Repo(kind, name, private=private)
        if kind == "space":
            folder = self.folder / f"space-{next(self._numbers)}"
            self.spaces[name] = Container(name, ME, body, folder, stage="NO_APP_FILE")
        return 200, {"url": f"{self.url}/{name}"}, {}

    def repo_info(self, request: Request, plural: str, name: str, revision: str | None) -> Answer:
        repo = self._repo(plural, name, request)
        if isinstance(repo, tuple):
            return repo
        head = repo.at(unquote(revision or "main"))
        if head is None:
            return _error(404, "Invalid rev id", code="RevisionNotFound")
        sha, tree = head
        info = {"id": name, "sha": sha, "private": repo.private, "gated": "manual" if repo.gated else False}
        siblings = [{"rfilename": file} for file in sorted(tree)]
        return 200, {**info, "siblings": siblings, "createdAt": _iso(repo.created), "tags": [], "downloads": 0}, {}

    def preupload(self, request: Request, plural: str, name: str, _: str) -> Answer:
        if isinstance(repo := self._repo(plural, name, request), tuple):
            return repo
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LFS) else "regular",
                "shouldIgnore": False,
                "oid": _oid(file["path"], tree[file["path"]]) if file["path"] in (tree := self._tree(repo)) else None,
            }
            for file in request.body["files"]
        ]
        return 200, {"files": files, "commitOid": repo.commits[-1][0] if repo.commits else None}, {}

    def lfs_batch(self, request: Request, *_: str) -> Answer:
        objects = [
            {**blob, "actions": {"upload": {"href": f"{self.url}/lfs/{blob['oid']}", "header": {}}}}
            if blob["oid"] not in self.lfs
            else blob
            for blob in request.body["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"}

    def lfs_put(self, request: Request, oid: str) -> Answer:
        if hashlib.sha256(request.raw).hexdigest() != oid:
            return _error(422, "the hash does not match")
        self.lfs[oid] = request.raw
        return 200, {}, {}

    def commit(self, request: Request, plural: str, name: str, _: str) -> Answer:
        if isinstance(repo := self._repo(plural, name, request), tuple):
            return repo
        changes: Files = {}
        deleted: list[str] = []
        message = ""
        for line in request.raw.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                changes[value["path"]] = self.lfs[value["oid"]]
            elif entry["key"] == "deletedFile":
                deleted.append(value["path"])
        with self._lock:
            sha = repo.commit(changes, message, tuple(deleted))
        if repo.kind == "space" and "Dockerfile" in self._tree(repo):
            self._build(name)
        return 200, {"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{name}/commit/{sha}"}, {}

    def resolve(self, request: Request, prefix: str | None, name: str, revision: str, path: str) -> Answer:
        plural = (prefix or "models/").rstrip("/")
        if isinstance(repo := self._repo(plural, name, request), tuple):
            return repo
        if repo.gated:
            return _error(403, f"Access to model {name} is restricted", code="GatedRepo")
        head = repo.at(unquote(revision))
        if head is None:
            return _error(404, "Invalid rev id", code="RevisionNotFound")
        sha, tree = head
        path = unquote(path)
        headers = {"X-Repo-Commit": sha}
        if path not in tree:
            return 404, {"error": "Entry not found"}, {**headers, "X-Error-Code": "EntryNotFound"}
        headers |= {"ETag": f'"{_oid(path, tree[path])}"', "Content-Type": "application/octet-stream"}
        content = tree[path]
        byte_range = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", request.headers.get("range", "")))
        if byte_range:
            start, end = int(byte_range[1]), int(byte_range[2] or len(content) - 1)
            part = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
            return 206, content[start : end + 1], {**headers, **part, "X-Download": "1"}
        return 200, content, {**headers, "X-Download": "1"}

    def list_tree(self, request: Request, plural: str, name: str, revision: str, path: str | None) -> Answer:
        if isinstance(repo := self._repo(plural, name, request), tuple):
            return repo
        head = repo.at(unquote(revision))
        if head is None:
            return _error(404, "Invalid rev id", code="RevisionNotFound")
        prefix = f"{unquote(path)}/" if path else ""
        entries = [
            {
                "type": "file",
                "path": file,
                "size": len(content),
                "oid": _git_oid(content),
                **({"lfs": _lfs_info(file, content)} if file.endswith(_LFS) else {}),
            }
            for file, content in sorted(head[1].items())
            if file.startswith(prefix)
        ]
        return 200, entries, {}

    def _repo(self, plural: str, name: str, request: Request) -> Repo | Answer:
        repo = self.repos.get((_PLURAL[plural], name))
        signed = "Bearer hf_" in str(request.headers)
        if repo is None or (repo.private and not signed):
            return _error(404 if signed else 401, "Repository not found", code="RepoNotFound")
        return repo

    def _tree(self, repo: Repo) -> Files:
        head = repo.at("main")
        return head[1] if head else {}

    # Jobs

    def hardware(self, _: Request) -> Answer:
        return 200, [_machine(*hardware) for hardware in HARDWARE], {}

    def run_job(self, request: Request, owner: str) -> Answer:
        if not self.credit:
            return _error(402, "Pre-paid credit balance is insufficient")
        with self._lock:
            number = next(self._numbers)
            job = Container(f"{number:024x}", owner, request.body, self.folder / f"job-{number}")
            self.jobs.append(job)
        threading.Thread(target=self._live, args=(job,), daemon=True).start()
        return 200, job.describe(), {}

    def list_jobs(self, request: Request, owner: str) -> Answer:
        label, _, value = request.query.get("label", "").partition("=")
        jobs = [
            job.describe()
            for job in self.jobs
            if job.owner == owner
            and job.times["created"] + self.lag <= time.time()
            and (not label or (job.request.get("labels") or {}).get(label) == value)
        ]
        return 200, jobs, {}

    def inspect_job(self, _: Request, owner: str, job_id: str) -> Answer:
        job = self._job(owner, job_id)
        return (200, job.describe(), {}) if job else _error(404, "Job not found")

    def cancel_job(self, _: Request, owner: str, job_id: str) -> Answer:
        job = self._job(owner, job_id)
        if job is None:
            return _error(404, "Job not found")
        if job.done:
            return _error(400, "Job is already finished")
        end_job(job, "CANCELED", None)
        job.kill()
        return 200, {}, {}

    def job_logs(self, request: Request, owner: str, job_id: str) -> Answer:
        job = self._job(owner, job_id)
        if job is None:
            return _error(404, "Job not found")
        return 200, self._sse(job, request), {"Content-Type": "text/event-stream"}

    def _job(self, owner: str, job_id: str) -> Container | None:
        return next((job for job in self.jobs if (job.owner, job.id) == (owner, job_id)), None)

    def _sse(self, job: Container, request: Request) -> Iterator[bytes]:
        """All lines so far, then each new one, with keep-alives in between; ends with the Job."""
        tail = request.query.get("tail")
        place = max(len(job.log) - int(tail), 0) if tail else 0
        while True:
            ended = job.done  # before the lines are read: those that it printed last are sent, too
            for moment, line in job.log[place:]:
                place += 1
                entry = json.dumps({"timestamp": _iso(moment), "data": line}, ensure_ascii=not self.plain_json)
                yield f"data: {entry}\n\n".encode()
            if ended or self.stopping.wait(0.1):
                return

    def _live(self, job: Container) -> None:
        self.stopping.wait(self.schedule_seconds)
        if job.done:
            return
        job.stage = "RUNNING"
        job.times["started"] = time.time()
        job.write_log("===== Job started at 2026-11-25 =====")
        self.run(self, job)

    # Spaces

    def runtime(self, _: Request, name: str) -> Answer:
        space = self.spaces.get(name)
        if space is None:
            return _error(404, "Repository not found", code="RepoNotFound")
        hardware = {"current": space.request.get("hardware"), "requested": space.request.get("hardware")}
        return 200, {"stage": space.stage, "hardware": hardware, "errorMessage": space.message}, {}

    def pause(self, _: Request, name: str) -> Answer:
        space = self.spaces.get(name)
        if space is None:
            return _error(404, "Repository not found", code="RepoNotFound")
        space.stage = "PAUSED"
        threading.Timer(0.05, space.kill).start()
        return 200, {"stage": "PAUSED"}, {}

    def restart(self, _: Request, name: str) -> Answer:
        self.spaces[name].stage = "NO_APP_FILE"
        self._build(name)
        return 200, {"stage": "BUILDING"}, {}

    def space_logs(self, request: Request, name: str) -> Answer:
        return 200, self._sse(self.spaces[name], request), {"Content-Type": "text/event-stream"}

    def _build(self, name: str) -> None:
        space = self.spaces[name]
        if space.stage == "NO_APP_FILE":
            space.stage = "BUILDING"
            threading.Thread(target=self.run_space, args=(self, space), daemon=True).start()

    def close(self) -> None:
        """End all Jobs and Spaces."""
        for container in (*self.jobs, *self.spaces.values()):
            container.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    routes = routes(
        [
            ("GET", "/api/whoami-v2", whoami),
            ("POST", "/api/repos/create", create_repo),
            ("POST", "/api/validate-yaml", lambda *_: (200, {"errors": [], "warnings": []}, {})),
            ("POST", r"/api/(models|datasets|spaces)/(.+)/preupload/([^/]+)", preupload),
            ("POST", r"/api/(models|datasets|spaces)/(.+)/commit/([^/]+)", commit),
            ("GET", r"/api/(models|datasets|spaces)/(.+)/tree/([^/]+)(?:/(.+))?", list_tree),
            ("POST", r"/(?:datasets/|spaces/)?(.+)\.git/info/lfs/objects/batch", lfs_batch),
            ("PUT", r"/lfs/([0-9a-f]+)", lfs_put),
            ("GET", r"/api/jobs/hardware", hardware),
            ("POST", r"/api/jobs/([^/]+)", run_job),
            ("GET", r"/api/jobs/([^/]+)", list_jobs),
            ("GET", r"/api/jobs/([^/]+)/([^/]+)", inspect_job),
            ("POST", r"/api/jobs/([^/]+)/([^/]+)/cancel", cancel_job),
            ("GET", r"/api/jobs/([^/]+)/([^/]+)/logs", job_logs),
            ("GET", r"/api/spaces/(.+)/runtime", runtime),
            ("POST", r"/api/spaces/(.+)/pause", pause),
            ("POST", r"/api/spaces/(.+)/restart", restart),
            ("GET", r"/api/spaces/(.+)/logs/run", space_logs),
            ("GET", r"/api/(models|datasets|spaces)/([^/]+(?:/[^/]+)?)(?:/revision/(.+))?", repo_info),
            ("GET", r"/(datasets/|spaces/)?([^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)", resolve),
            ("HEAD", r"/(datasets/|spaces/)?([^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)", resolve),
        ]
    )


def run_really(service: Service, job: Container) -> None:
    """Run a Job's command in a process, with its repository as a folder in the place of the mounted one."""
    volume = job.request["volumes"][0]
    head = service.repos["model", volume["source"]].at(volume["revision"])
    assert head is not None
    _write_tree(job.folder / "mount", head[1])
    command = [word.replace(volume["mountPath"], str(job.folder / "mount")) for word in job.request["command"]]
    environment = {**(job.request.get("environment") or {}), **(job.request.get("secrets") or {}), "JOB_ID": job.id}
    seconds = job.request.get("timeoutSeconds", 1800)
    code = _run(service, job, command, environment, seconds=seconds, image=job.request["dockerImage"])
    if job.done:
        return
    if code is None:
        end_job(job, "ERROR", "Job timeout")
    elif code == 0:
        end_job(job, "COMPLETED", None)
    else:
        end_job(job, "ERROR", f"Job failed with exit code: {code}. Reason: Error")


def run_space(service: Service, space: Container) -> None:
    """Follow a Space's Dockerfile: copy a folder, run a command; the Space runs until it is paused."""
    tree = service.tree(space.id, "space")
    dockerfile = tree["Dockerfile"].decode()
    source, target = re.findall(r"^COPY --chown=1000 (\S+) (\S+)$", dockerfile, re.MULTILINE)[0]
    root = space.folder / "root"
    copied = {name.removeprefix(source): content for name, content in tree.items() if name.startswith(f"{source}/")}
    _write_tree(root, {f"{target}{name}".lstrip("/"): content for name, content in copied.items()})
    words = json.loads(re.findall(r"^CMD (\[.+\])$", dockerfile, re.MULTILINE)[0])
    command = [word.replace("/ftsdk", str(root / "ftsdk")) for word in words]
    environment = {entry["key"]: entry["value"] for entry in (*space.request["secrets"], *space.request["variables"])}
    space.stage = "RUNNING"
    space.times["started"] = time.time()
    image = re.findall(r"^FROM (\S+)$", dockerfile, re.MULTILINE)[0]
    _run(service, space, command, {**environment, "SPACE_ID": space.id, "PORT": "0"}, seconds=600, image=image)
    if space.stage != "PAUSED":
        space.stage, space.message = "RUNTIME_ERROR", "Exit code: 1. Reason: the application has ended"


def _run(
    service: Service, job: Container, command: list[str], environment: dict[str, str], *, seconds: float, image: str
) -> int | None:
    """The exit status; None after a timeout."""
    home = job.folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    programs = service.images.get(image, Path(sysconfig.get_path("scripts")))
    base = {
        "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(home),
        "TMPDIR": str(home),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    job.process = subprocess.Popen(
        command,
        cwd=home,
        env={**base, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    timed_out = threading.Event()
    timer = threading.Timer(seconds, lambda: (timed_out.set(), job.kill()))
    timer.start()
    assert job.process.stdout is not None
    with job.process.stdout as lines:
        for line in lines:
            job.write_log(line)
    job.process.wait()
    timer.cancel()
    return None if timed_out.is_set() else job.process.returncode


def end_job(job: Container, stage: str, message: str | None) -> None:
    """End a Job."""
    job.times["ended"] = time.time()
    job.stage, job.message = stage, message


def _write_tree(folder: Path, tree: Files) -> None:
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _machine(name: str, title: str, cards: tuple[str, str] | None, ram: str, price: int) -> dict[str, Any]:
    card = cards and {"type": "gpu", "model": title, "quantity": cards[0], "vram": cards[1], "manufacturer": "Nvidia"}
    costs = {"unitCostMicroUSD": price, "unitCostUSD": price / 1e6, "unitLabel": "minute"}
    return {"name": name, "prettyName": title, "cpu": "4 vCPU", "ram": ram, "accelerator": card, **costs}


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def _lfs_info(path: str, content: bytes) -> dict[str, Any]:
    return {"oid": _oid(path, content), "size": len(content), "pointerSize": 134}


def _oid(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if path.endswith(_LFS) else _git_oid(content)


def _error(status: int, message: str, body: dict[str, Any] | None = None, *, code: str = "") -> Answer:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return status, {"error": message, **(body or {})}, headers


@contextlib.contextmanager
def serving() -> Iterator[Service]:
    """The service on a free port of this machine, until the block ends."""
    with http_service.serving(Service()) as service:
        try:
            yield service
        finally:
            service.close()
