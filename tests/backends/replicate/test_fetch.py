"""What a training made comes whole, harmless and in one layout, or not at all."""

import io
import json
import tarfile

import pytest
import torch
from replicate_service import KEY, Fault, lora_files, zipped

import ftsdk
from ftsdk.errors import ArtifactError, JobNotReady
from ftsdk_replicate.api import is_theirs

pytestmark = pytest.mark.usefixtures("backend")


def tarred(files, mode="w"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def made(service, spec, tmp_path):
    """Fetches what a training made, with the archive that it is given."""

    def fetch(archive=None):
        if archive is not None:
            service.archive = lambda: archive
        job = ftsdk.submit(spec())
        job.wait(timeout=10)
        return ftsdk.fetch(job, tmp_path / "out")

    return fetch


FILES = lora_files()
DEEP = {f"runs/7/{name}": content for name, content in FILES.items()}
PACKED = {
    "zip": zipped(FILES),
    "tar": tarred(FILES),
    "tar.gz": tarred(FILES, "w:gz"),
    "deep": zipped(DEEP),
    "beside others": tarred({**DEEP, "log.txt": b"x", "runs/7/training_args.bin": b"\x80\x02pickle"}),
}


@pytest.mark.parametrize("kind", PACKED)
def test_any_archive(made, kind):
    """Zip or tar, at any depth: told apart by the bytes, and the same artifact comes out."""
    artifact = made(PACKED[kind])

    assert ("adapter", "meta-llama/Llama-2-7b-hf") == (artifact.kind, artifact.base_model)
    assert FILES["adapter_model.safetensors"] == (artifact.path / "adapter_model.safetensors").read_bytes()
    assert not (artifact.path / "training_args.bin").exists()


@pytest.mark.parametrize("byte", [0, 1, 7, 100, 200])
def test_a_cut_at_any_byte(service, made, byte):
    """The download goes on behind the last good byte."""
    service.cuts = [byte, byte + 30]

    assert made().kind == "adapter"


BAD = {
    "a page": (b"<!doctype html><p>expired", "page for browsers"),
    "bare tensors": (FILES["adapter_model.safetensors"], "bare tensors"),
    "no model": (zipped({"notes.txt": b"hi"}), "neither an adapter nor a model"),
    "a way out": (zipped({"../evil": b"x"}), "leaves the folder"),
    "a half": (PACKED["zip"][:-40], "damaged"),
    "a half tar": (PACKED["tar"][:900], "damaged"),
    "nonsense": (b"\x00" * 2000, "neither an adapter"),
    "no JSON": (zipped({**FILES, "adapter_config.json": b"{"}), "no JSON"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_refused(made, tmp_path, kind):
    """Nothing is left in the target."""
    archive, what = BAD[kind]
    with pytest.raises(ArtifactError, match=what):
        made(archive)

    assert not (tmp_path / "out").exists()


def test_a_bomb(made):
    """What swells far beyond its size is not unpacked."""
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.safetensors", bytes(80 * 2**20))
    with pytest.raises(ArtifactError, match="more than its size suggests"):
        made(packed.getvalue())


def test_a_link_in_a_zip(made):
    """Links are no files."""
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("config.json")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ArtifactError, match="link or no plain file"):
        made(packed.getvalue())


def pickled(value):
    packed = io.BytesIO()
    torch.save(value, packed)
    return zipped({"adapter_config.json": FILES["adapter_config.json"], "adapter_model.bin": packed.getvalue()})


TENSORS = {"base_model.model.lora_A.weight": torch.ones(2, 3)}


def test_a_pickle_is_refused(made):
    """Older trainers made them; the error says what can be done."""
    with pytest.raises(ArtifactError, match="FTSDK_CONVERT_PICKLE=1"):
        made(pickled(TENSORS))


def test_a_pickle_is_converted_when_asked(made, monkeypatch):
    """In a process of its own, and the tensors are the same."""
    from safetensors.torch import load_file

    monkeypatch.setenv("FTSDK_CONVERT_PICKLE", "1")
    artifact = made(pickled(TENSORS))

    found = load_file(artifact.path / "adapter_model.safetensors")
    assert torch.equal(TENSORS["base_model.model.lora_A.weight"], found["base_model.model.lora_A.weight"])


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_runs_code_is_not_converted(made, monkeypatch):
    """Asked or not, nothing of it runs."""
    monkeypatch.setenv("FTSDK_CONVERT_PICKLE", "1")
    with pytest.raises(ArtifactError, match="cannot be read as tensors alone"):
        made(pickled({"w": Evil()}))


OUTPUTS = {
    "bare address": lambda url: f"{url}/delivery/x.zip",
    "a list of one": lambda url: [f"{url}/delivery/x.zip"],
    "no version": lambda url: {"weights": f"{url}/delivery/x.zip"},
}


@pytest.mark.parametrize("shape", OUTPUTS)
def test_any_shape_of_output(service, spec, tmp_path, shape):
    """Trainers answer with an object, a list, or the address alone."""
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    service.changes = {"output": OUTPUTS[shape](service.url)}

    assert ftsdk.fetch(job, tmp_path / "out").kind == "adapter"


@pytest.mark.parametrize(
    "output", [None, {}, {"weights": None}, {"version": "v"}, [], "weights.zip", "http://x.example/w"]
)
def test_no_weights(service, spec, tmp_path, output):
    """A success without weights is told as such."""
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    service.changes = {"output": output, "data_removed": output is None}

    with pytest.raises(ArtifactError, match="removed the output" if output is None else "weights"):
        ftsdk.fetch(job, tmp_path / "out")


def test_the_token_is_given_only_when_asked_for(service, made):
    """Outputs are fetched without it; where their host wants it, and is Replicate's, it goes there."""
    service.needs_token = True
    made()

    asked = [r.headers.get("Authorization") for r in service.requests if r.path.startswith("/delivery/")]
    assert [None, f"Bearer {KEY}"] == asked


def test_expired_weights(service, spec, tmp_path):
    """A deleted output is no network trouble."""
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    service.fail("GET", "/delivery/.*", Fault("status", 404, body={"detail": "gone"}), times=9)

    with pytest.raises(ArtifactError, match="cannot be had any more"):
        ftsdk.fetch(job, tmp_path / "out")


def test_not_before_the_end(service, spec, tmp_path):
    """A training that runs has made nothing."""
    service.seconds = 30
    job = ftsdk.submit(spec())

    with pytest.raises(JobNotReady):
        ftsdk.fetch(job, tmp_path / "out")


HOSTS = {
    "https://replicate.delivery/x": True,
    "https://pbxt.replicate.delivery/x": True,
    "http://replicate.delivery/x": False,
    "https://replicate.delivery.evil.example/x": False,
    "https://evil.example/replicate.delivery": False,
    "https://api.replicate.com/v1": True,
    "https://api.replicate.com@evil.example/": False,
}


@pytest.mark.parametrize("address", HOSTS)
def test_whose_host_it_is(monkeypatch, address):
    """The token goes to Replicate's own hosts, over an encrypted connection."""
    monkeypatch.delenv("REPLICATE_BASE_URL")

    assert HOSTS[address] is is_theirs(address)


def test_a_redirect_to_strangers_loses_the_token(service, spec, tmp_path):
    """An output that leads elsewhere is followed without it."""
    service.needs_token = True
    away = service.url.replace("127.0.0.1", "localhost") + "/delivery/y.zip"
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    moved = Fault("status", 302, {"Location": away})
    service.fail("GET", "/delivery/tr.*", moved, times=9)

    with pytest.raises(ArtifactError):
        ftsdk.fetch(job, tmp_path / "out")
    asked = [r.headers.get("Authorization") for r in service.requests if r.path == "/delivery/y.zip"]
    assert asked
    assert {None} == set(asked)


def test_the_manifest_tells_where_it_comes_from(service, made):
    """The trainer, its version, what it was given, and what it measured."""
    artifact = made()
    told = artifact.manifest.plan

    assert "acme/modern" == told["trainer"]
    assert 0.4 == artifact.manifest.metrics["loss"]
    assert f"me/tuned:{'a' * 64}" == told["made"]
    assert "prompt" in json.dumps(service.contents)
