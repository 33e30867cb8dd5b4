import pytest
import torch

from looped import LoopedTransformer, Size, make_task
from looped.records.files import seal, unseal
from looped.records.model_files import (
    DESCRIPTION,
    WEIGHTS,
    DamagedModelError,
    load_model,
    save_model,
)

SIZE = Size(n_layer=1, n_head=1, n_embd=4, n_mlp=4, learning_rate=0.1 + 0.2)
FACTS = {"b": 3, "task": {"name": "linear", "n_dims": 2}, "held_out/nmse": 1 / 3}


def new_model(**changes):
    return LoopedTransformer(**{"size": SIZE, "n_dims": 2, "n_points": 5} | changes)


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", new_model(), FACTS)
    return tmp_path / "model"


@pytest.mark.parametrize("prompt", ["joint", "interleaved"])
def test_a_model_comes_back_to_the_bit(tmp_path, prompt):
    model = new_model(prompt=prompt)
    save_model(tmp_path, model, FACTS)
    again, facts = load_model(tmp_path)
    assert facts == FACTS
    assert again.config == model.config
    assert not again.training
    xs, ys = make_task("linear", n_dims=2).batch(7, 0, batch_size=3, n_points=5)
    assert torch.equal(again(xs, ys, 4), model(xs, ys, 4))
    assert sorted(path.name for path in tmp_path.iterdir()) == [DESCRIPTION, WEIGHTS]


def test_loading_draws_no_random_numbers(folder):
    before = torch.get_rng_state()
    load_model(folder)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone", "a folder"])
def test_a_tampered_file_is_refused_in_one_line_that_names_it(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes({"cut": content[:middle], "flip": flipped, "empty": b""}[damage])
    with pytest.raises(DamagedModelError) as caught:
        load_model(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_single_bit_of_the_weights_counts(folder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    for place in range(0, len(content), 97):
        content[place] ^= 1
        (folder / WEIGHTS).write_bytes(content)
        with pytest.raises(DamagedModelError, match="checksum"):
            load_model(folder)
        content[place] ^= 1


def test_weights_of_another_shape_are_refused(folder):
    content = unseal((folder / DESCRIPTION).read_bytes())
    content["architecture"]["n_points"] = 6
    (folder / DESCRIPTION).write_bytes(seal(content))
    with pytest.raises(DamagedModelError, match="size mismatch") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"n_points": 1}, {"prompt": "none"}, {"size": {}}, {"more": 1}, {"size": None}]
)
def test_an_impossible_architecture_is_refused(folder, change):
    content = unseal((folder / DESCRIPTION).read_bytes())
    content["architecture"] |= change
    (folder / DESCRIPTION).write_bytes(seal(content))
    with pytest.raises(DamagedModelError, match=DESCRIPTION):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"size": {"n_layer": 10**7}}, "n_layer must be at most 1,000"),
        ({"size": {"n_layer": 999}}, "it must hold .* weights"),
        ({"size": {"n_mlp": 10**12}}, r"n_mlp must be below 2\*\*31"),
        ({"size": {"n_embd": 10**30, "n_head": 10**30}}, r"must be below 2\*\*31"),
        ({"size": {"n_mlp": 10**7}}, "it must hold .* weights"),
        ({"size": {"n_mlp": 2 * 10**9}}, "number of weights must be at most 1,000,000,000"),
        ({"n_points": 10**9}, "tokens of a prompt must be at most 10,000"),
        ({"n_dims": 10**12}, r"n_dims must be below 2\*\*31"),
    ],
)
def test_nothing_is_allocated_for_a_model_that_is_too_large(folder, monkeypatch, change, rule):
    """A checksum is no signature: anybody can write one."""
    content = unseal((folder / DESCRIPTION).read_bytes())
    architecture = content["architecture"]
    architecture["size"] |= change.get("size", {})
    architecture |= {name: value for name, value in change.items() if name != "size"}
    (folder / DESCRIPTION).write_bytes(seal(content))
    monkeypatch.setattr(LoopedTransformer, "from_config", lambda *_: pytest.fail("allocated"))
    with pytest.raises(DamagedModelError, match=rule) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_an_operator_raises_a_limit(tmp_path, monkeypatch):
    size = Size(n_layer=3, n_head=1, n_embd=4, n_mlp=4, learning_rate=0.1)
    save_model(tmp_path, new_model(size=size), FACTS)
    monkeypatch.setenv("LOOPED_MAX_LAYERS", "2")
    with pytest.raises(DamagedModelError, match=r"at most 2 here \(LOOPED_MAX_LAYERS raises it\)"):
        load_model(tmp_path)
    monkeypatch.setenv("LOOPED_MAX_LAYERS", "3")
    assert load_model(tmp_path)[0].config.size.n_layer == 3
    monkeypatch.setenv("LOOPED_MAX_LAYERS", "many")
    with pytest.raises(DamagedModelError, match="LOOPED_MAX_LAYERS must be a whole number"):
        load_model(tmp_path)


def test_a_file_that_is_larger_than_its_model_is_not_read(folder):
    with (folder / WEIGHTS).open("ab") as file:
        file.truncate(2**40)  # a file with a hole takes no room
    with pytest.raises(DamagedModelError, match="at most"):
        load_model(folder)
    with (folder / DESCRIPTION).open("ab") as file:
        file.truncate(2**40)
    with pytest.raises(DamagedModelError, match=DESCRIPTION):
        load_model(folder)


def test_a_description_that_is_nested_too_deeply_is_refused(folder):
    (folder / DESCRIPTION).write_bytes(b"[" * 100_000)
    with pytest.raises(DamagedModelError, match=DESCRIPTION):
        load_model(folder)
