"""What a job made comes whole, checked and in one layout, or not at all."""

import io
import json
import tarfile

import pytest
import zstandard
from together_service import Fault, lora_archive, lora_files, tar_zst

import ftsdk
from ftsdk.artifact import Artifact
from ftsdk.errors import ArtifactError, JobNotReady, UnreachableError
from ftsdk.testing import weights

BODY = {
    "model": "Qwen/Qwen3-8B",
    "n_epochs": 3,
    "wandb_key": "canary",
    "training_type": {"type": "Lora", "lora_r": 8, "lora_alpha": 16},
    "training_method": {"method": "sft"},
}


@pytest.fixture
def job(service, backend):
    """A finished job."""
    service.seconds = 0.0
    return service.add_job({**BODY, "suffix": "x"})


def last_download_query(service):
    """The query of the last download, without the job."""
    [*_, last] = [request for request in service.requests if request.path == "/v1/finetune/download"]
    return {name: value for name, value in last.query.items() if name != "ft_id"}


def test_an_adapter(backend, job, tmp_path):
    """The adapter arrives byte by byte, sealed, with its origin and without keys."""
    artifact = backend.fetch(job["id"], tmp_path / "out")

    for name, content in lora_files(job).items():
        assert content == (tmp_path / "out" / name).read_bytes()
    assert ("adapter", "Qwen/Qwen3-8B", "sft") == (artifact.kind, artifact.base_model, artifact.manifest.method)
    assert 3 == artifact.manifest.plan["n_epochs"]
    assert "canary" not in (tmp_path / "out" / "ftsdk.json").read_text()


PARTS = {"": {"checkpoint": "adapter"}, ":merged": {"checkpoint": "merged"}, ":4": {"checkpoint_step": "4"}}


@pytest.mark.parametrize("part", PARTS)
def test_parts(backend, service, job, tmp_path, part):
    """An id may name the adapter, the merged model, or a checkpoint by its step."""
    artifact = backend.fetch(f"{job['id']}{part}", tmp_path / "out")

    assert (PARTS[part], f"together:{job['id']}{part}") == (last_download_query(service), artifact.manifest.job)


def test_a_checkpoint_through_the_client(service, job, tmp_path):
    """A checkpoint of any job of the account is fetched by its step, also of one that ftsdk has not created."""
    ftsdk.fetch(f"together:{job['id']}:4", tmp_path / "out")

    assert {"checkpoint_step": "4"} == last_download_query(service)


def test_a_whole_model(backend, service, tmp_path):
    """A job that trained every weight gives a model."""
    service.seconds = 0.0
    job = service.add_job({**BODY, "training_type": {"type": "Full"}, "suffix": "x"})

    assert "model" == backend.fetch(job["id"], tmp_path / "out").kind
    assert {"checkpoint": "model_output_path"} == last_download_query(service)


def test_a_job_that_is_not_done(backend, service, tmp_path):
    """Before its success there is nothing; after a cancellation there are checkpoints."""
    service.seconds = 30.0
    job = service.add_job({**BODY, "suffix": "x"})
    with pytest.raises(JobNotReady):
        backend.fetch(job["id"], tmp_path / "out")

    job["cancelled"] = job["created"]
    with pytest.raises(JobNotReady, match="checkpoint"):
        backend.fetch(job["id"], tmp_path / "out")
    assert "adapter" == backend.fetch(f"{job['id']}:4", tmp_path / "out").kind


def test_a_cut_at_any_byte(backend, service, job, tmp_path):
    """However often a download is cut, the bytes behind the cut are requested, and the artifact is complete."""
    size = len(lora_archive(job, "adapter"))
    service.cuts = [0, 1, 5, 0, 100, 7, size // 3, 1]

    artifact = backend.fetch(job["id"], tmp_path / "out")

    assert artifact == Artifact.open(tmp_path / "out")
    ranges = [r.headers.get("Range") for r in service.requests if r.path == "/v1/finetune/download"]
    assert ["bytes=1-", "bytes=6-"] == ranges[2:4]


def test_a_service_without_ranges(backend, service, job, tmp_path):
    """Where the rest alone cannot be had, the whole archive is downloaded again."""
    service.cuts = [50]
    archive = service.archive

    def changing(job, part):
        service.archive = archive
        return tar_zst({**lora_files(job), "README.md": b"an older version"})

    service.archive = changing
    backend.fetch(job["id"], tmp_path / "out")

    assert not (tmp_path / "out" / "README.md").exists()


def test_a_download_that_never_comes(backend, service, job, tmp_path):
    """After a bounded number of fruitless attempts in a row, the fetch ends, and leaves nothing behind."""
    service.fail("GET", "/v1/finetune/download", Fault("drop"), times=50)

    with pytest.raises(UnreachableError):
        backend.fetch(job["id"], tmp_path / "out")
    assert [] == list(tmp_path.iterdir())


def test_a_failing_start_is_tried_again(backend, service, job, tmp_path):
    """A download that begins with an error is asked for again."""
    service.fail("GET", "/v1/finetune/download", Fault("status", 503), Fault("status", 429), Fault("drop"))

    with pytest.raises(UnreachableError):
        backend.fetch(job["id"], tmp_path / "out")
    assert "adapter" == backend.fetch(job["id"], tmp_path / "out").kind


def test_what_there_is_not(backend, service, job, tmp_path):
    """A checkpoint or merged model that does not exist is an ArtifactError."""
    service.fail("GET", "/v1/finetune/download", Fault("status", 404, body={"message": "no merged checkpoint"}))

    with pytest.raises(ArtifactError, match="no merged checkpoint"):
        backend.fetch(f"{job['id']}:merged", tmp_path / "out")


def tar_of(*members):
    """An archive with members made by hand."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for entry, content in members:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return zstandard.ZstdCompressor().compress(packed.getvalue())


def member(name, kind=tarfile.REGTYPE, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def with_adapter(*members):
    """A good adapter, and something else."""
    job = {"training_type": BODY["training_type"], "model": "m"}
    return tar_of(*((member(name), content) for name, content in lora_files(job).items()), *members)


GOOD = lora_archive({"training_type": BODY["training_type"], "model": "m"}, "adapter")
TRUNCATED_WEIGHTS = weights.safetensors({"a": (2, 2)})[:-3]
HOSTILE = {
    "leaves the folder": with_adapter((member("../evil"), b"x")),
    "absolute path": with_adapter((member("/tmp/evil"), b"x")),
    "link": with_adapter((member("link", tarfile.SYMTYPE, "/etc/passwd"), b"")),
    "hard link": with_adapter((member("hard", tarfile.LNKTYPE, "adapter_config.json"), b"")),
    "device": with_adapter((member("null", tarfile.CHRTYPE), b"")),
    "pickle": with_adapter((member("training_args.bin"), b"x")),
    "a name twice": with_adapter((member("adapter_config.json"), b"{}")),
    "our manifest": with_adapter((member("odd name.txt"), b"{}")),
    "bomb": tar_of((member("adapter_model.safetensors"), bytes(70 * 2**20))),
    "no archive": b"<html>not found</html>",
    "empty": b"",
    "truncated": GOOD[: len(GOOD) // 2],
    "end is missing": GOOD[:-4],
    "flipped": GOOD[:60] + bytes([GOOD[60] ^ 255]) + GOOD[61:],
    "no weights": tar_zst({"adapter_config.json": b"{}"}),
    "config is no JSON": tar_zst({"adapter_config.json": b"{", "adapter_model.safetensors": b""}),
    "another rank": tar_zst({**lora_files({"training_type": {"lora_r": 4, "lora_alpha": 16}}), "README.md": b"x"}),
    "broken weights": tar_zst({"adapter_config.json": json.dumps({"r": 8, "lora_alpha": 16}).encode(),
                               "adapter_model.safetensors": TRUNCATED_WEIGHTS}),
}  # fmt: skip


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE)
def test_damaged_and_hostile_archives(backend, service, job, tmp_path, archive):
    """What is damaged or unsafe is refused, and nothing of it stays anywhere."""
    service.archive = lambda *_: archive

    with pytest.raises(ArtifactError):
        backend.fetch(job["id"], tmp_path / "out")
    assert [] == list(tmp_path.iterdir())


def test_a_folder_inside_the_archive(backend, service, job, tmp_path):
    """One folder around all files is left out: the layout is one."""
    service.archive = lambda *_: tar_zst({f"./ft-1/{name}": data for name, data in lora_files(job).items()})

    backend.fetch(job["id"], tmp_path / "out")

    assert (tmp_path / "out" / "adapter_config.json").is_file()


def test_no_metrics_is_no_reason(backend, service, job, tmp_path):
    """Weights are fetched also where the metrics cannot be had."""
    service.fail("GET", ".*/metrics", Fault("status", 500), times=9)

    assert {} == backend.fetch(job["id"], tmp_path / "out").manifest.metrics
