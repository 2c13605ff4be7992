"""What a training made comes whole, harmless and in one layout, or not at all."""

import io
import json
import tarfile

import pytest
import torch
from replicate_service import KEY, Fault, lora_files, zipped

import ftsdk
from ftsdk.errors import ArtifactError, JobNotReady
from ftsdk_replicate.api import is_replicate_address

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
def fetch_archive(service, spec, tmp_path):
    """Fetches the weights of a new training, which are in the given archive."""

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
def test_any_archive(fetch_archive, kind):
    """Zip or tar, at any depth: recognized by the bytes, and the same artifact comes out."""
    artifact = fetch_archive(PACKED[kind])

    assert ("adapter", "meta-llama/Llama-2-7b-hf") == (artifact.kind, artifact.base_model)
    assert FILES["adapter_model.safetensors"] == (artifact.path / "adapter_model.safetensors").read_bytes()
    assert not (artifact.path / "training_args.bin").exists()


@pytest.mark.parametrize("byte", [0, 1, 7, 100, 200])
def test_a_cut_at_any_byte(service, fetch_archive, byte):
    """The download continues behind the last good byte."""
    service.cuts = [byte, byte + 30]

    assert fetch_archive().kind == "adapter"


BAD = {
    "a page": (b"<!doctype html><p>expired", "page for browsers"),
    "bare tensors": (FILES["adapter_model.safetensors"], "bare tensor file"),
    "no model": (zipped({"notes.txt": b"hi"}), "neither an adapter nor a model"),
    "a way out": (zipped({"../evil": b"x"}), "leaves the folder"),
    "a half": (PACKED["zip"][:-40], "damaged"),
    "a half tar": (PACKED["tar"][:900], "damaged"),
    "nonsense": (b"\x00" * 2000, "neither an adapter"),
    "no JSON": (zipped({**FILES, "adapter_config.json": b"{"}), "no JSON"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_refused(fetch_archive, tmp_path, kind):
    """Nothing is left in the target."""
    archive, message = BAD[kind]
    with pytest.raises(ArtifactError, match=message):
        fetch_archive(archive)

    assert not (tmp_path / "out").exists()


def test_a_bomb(fetch_archive):
    """What grows far beyond its size is not unpacked."""
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.safetensors", bytes(80 * 2**20))
    with pytest.raises(ArtifactError, match="more than its size suggests"):
        fetch_archive(packed.getvalue())


def test_a_link_in_a_zip(fetch_archive):
    """Links are no files."""
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("config.json")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ArtifactError, match="link or no plain file"):
        fetch_archive(packed.getvalue())


def pickled(value):
    packed = io.BytesIO()
    torch.save(value, packed)
    return zipped({"adapter_config.json": FILES["adapter_config.json"], "adapter_model.bin": packed.getvalue()})


TENSORS = {"base_model.model.lora_A.weight": torch.ones(2, 3)}


def test_a_pickle_is_refused(fetch_archive):
    """Older trainers made them; the error has the next step."""
    with pytest.raises(ArtifactError, match="FTSDK_CONVERT_PICKLE=1"):
        fetch_archive(pickled(TENSORS))


def test_a_pickle_is_converted_when_asked(fetch_archive, monkeypatch):
    """In a process of its own, and the tensors are the same."""
    from safetensors.torch import load_file

    monkeypatch.setenv("FTSDK_CONVERT_PICKLE", "1")
    artifact = fetch_archive(pickled(TENSORS))

    tensors = load_file(artifact.path / "adapter_model.safetensors")
    assert torch.equal(TENSORS["base_model.model.lora_A.weight"], tensors["base_model.model.lora_A.weight"])


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_runs_code_is_not_converted(fetch_archive, monkeypatch):
    """Asked or not, nothing of it runs."""
    monkeypatch.setenv("FTSDK_CONVERT_PICKLE", "1")
    with pytest.raises(ArtifactError, match="cannot be read as tensors alone"):
        fetch_archive(pickled({"w": Evil()}))


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
    """A success without weights is an error."""
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    service.changes = {"output": output, "data_removed": output is None}

    with pytest.raises(ArtifactError, match="deleted the output" if output is None else "weights"):
        ftsdk.fetch(job, tmp_path / "out")


def test_the_token_is_given_only_when_asked_for(service, fetch_archive):
    """Outputs are fetched without it; where their host requires it, and is Replicate's, it is sent."""
    service.needs_token = True
    fetch_archive()

    tokens = [r.headers.get("Authorization") for r in service.requests if r.path.startswith("/delivery/")]
    assert [None, f"Bearer {KEY}"] == tokens


def test_expired_weights(service, spec, tmp_path):
    """A deleted output is no network trouble."""
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    service.fail("GET", "/delivery/.*", Fault("status", 404, body={"detail": "gone"}), times=9)

    with pytest.raises(ArtifactError, match="not available any more"):
        ftsdk.fetch(job, tmp_path / "out")


def test_not_before_the_end(service, spec, tmp_path):
    """A training that runs has no weights."""
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

    assert HOSTS[address] is is_replicate_address(address)


def test_a_redirect_to_third_parties_loses_the_token(service, spec, tmp_path):
    """An output that leads elsewhere is followed without it."""
    service.needs_token = True
    away = service.url.replace("127.0.0.1", "localhost") + "/delivery/y.zip"
    job = ftsdk.submit(spec())
    job.wait(timeout=10)
    moved = Fault("status", 302, {"Location": away})
    service.fail("GET", "/delivery/tr.*", moved, times=9)

    with pytest.raises(ArtifactError):
        ftsdk.fetch(job, tmp_path / "out")
    tokens = [r.headers.get("Authorization") for r in service.requests if r.path == "/delivery/y.zip"]
    assert tokens
    assert {None} == set(tokens)


def test_the_manifest_names_the_origin(service, fetch_archive):
    """It has the trainer, its version, its inputs, and its metrics."""
    artifact = fetch_archive()
    plan = artifact.manifest.plan

    assert "acme/modern" == plan["trainer"]
    assert 0.4 == artifact.manifest.metrics["loss"]
    assert f"me/tuned:{'a' * 64}" == plan["made"]
    assert "prompt" in json.dumps(service.contents)
