"""What can be wrong with a run's folder, each kind with the reason that is to be named."""

import json
import os
import shutil
from dataclasses import replace

from looped import TrainConfig
from looped.records.model_files import save_model
from looped.training import resolve
from looped.training.loop import seeded_model

TINY = resolve.resolve(
    TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=23, log_every=5,
                device="cpu")
)  # fmt: skip
GOOD = replace(TINY, seed=7)
DEEP = "[" * 100_000 + "]" * 100_000


def rewrite(name, text):
    return lambda folder: (folder / name).write_text(text)


def change_config(**settings):
    def damage(folder):
        content = json.loads((folder / "config.json").read_text())
        content["config"] |= settings
        (folder / "config.json").write_text(json.dumps(content))

    return damage


def change_records(kind, change):
    """Change every record of a kind; None drops it."""

    def damage(folder):
        path = folder / "journal.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        changed = [change(dict(r)) if r["kind"] == kind else r for r in records]
        assert changed != records
        path.write_text("".join(json.dumps(r) + "\n" for r in changed if r is not None))

    return damage


def give(kind, **content):
    return change_records(kind, lambda record: record | content)


def give_within(kind, part, **content):
    return change_records(kind, lambda record: record | {part: record[part] | content})


def without(kind, name):
    return change_records(kind, lambda record: {k: v for k, v in record.items() if k != name})


def branch(record):
    return record | {"kind": "branch"}


def flip_a_bit(folder):
    path = folder / "journal.jsonl"
    content = bytearray(path.read_bytes())
    content[content.index(b"metrics") - 1] ^= 1  # its quotation mark
    path.write_bytes(content)


def append(line):
    def damage(folder):
        with (folder / "journal.jsonl").open("ab") as file:
            file.write(line)

    return damage


def link(name, target):
    """Put a link to something of the victim's in the place of a file or folder."""

    def damage(folder):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(folder.parents[1] / "victim" / target)

    return damage


def link_the_folder(folder):
    folder.rename(folder.parents[1] / "victim" / folder.name)
    folder.symlink_to(folder.parents[1] / "victim" / folder.name)


def link_hard(folder):
    (folder / "lock").unlink()
    os.link(folder.parents[1] / "victim" / "secret", folder / "lock")


def make_pipe(name):
    def damage(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return damage


def make_folder(name):
    def damage(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def put_in_evaluation(folder):
    (folder / "evaluation").mkdir(exist_ok=True)
    (folder / "evaluation" / "page.html").write_text("<script>")


def cut_weights(folder):
    path = folder / "model" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def take_another_model(folder):
    save_model(folder / "model", seeded_model(TINY), {"b": 2, "identity": "of another"})


def tag(name):
    return give_within("outcome", "tags", **{name: "x"})


KINDS = {
    "config missing": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "config empty": (rewrite("config.json", ""), "config.json"),
    "config cut": (rewrite("config.json", '{"config": {"si'), "config.json"),
    "config nested": (rewrite("config.json", DEEP), "nested too deeply"),
    "config a list": (rewrite("config.json", "[]"), "config.json"),
    "config without settings": (rewrite("config.json", "{}"), "config.json"),
    "config large": (rewrite("config.json", " " * 2**20 + "{}"), "at most 1,048,576 bytes"),
    "config newer": (change_config(depth=3), "settings must be ones that this version knows"),
    "config text for a number": (change_config(b="2"), "b must be a setting of its kind"),
    "config truth for a number": (change_config(steps=True), "steps must be a setting"),
    "config of another training": (change_config(seed=8), "its folder must be named"),
    "config a folder": (make_folder("config.json"), "config.json"),
    "config a link": (link("config.json", "secret"), "got a link"),
    "journal flipped": (flip_a_bit, "the line at byte"),
    "journal of other text": (append(b"hello\n"), "the line at byte"),
    "journal no text": (append(b"\xff\xfe\n"), "the line at byte"),
    "journal a list": (append(b"[]\n"), "a record must be a JSON object"),
    "journal a number": (append(b"7\n"), "a record must be a JSON object"),
    "journal nested": (append(DEEP.encode() + b"\n"), "nested too deeply"),
    "journal a link": (link("journal.jsonl", "secret"), "got a link"),
    "journal a pipe": (make_pipe("journal.jsonl"), "got a pipe"),
    "journal a folder": (make_folder("journal.jsonl"), "must be a file"),
    "record without kind": (without("start", "kind"), "kind must be one of"),
    "record of a newer kind": (change_records("start", branch), "kind must be one of"),
    "record without time": (without("metrics", "time"), "time must be a whole number"),
    "time before 1970": (give("metrics", time=-5), "time must be a whole number"),
    "time beyond all": (give("metrics", time=10**30), "time must be a whole number"),
    "time a text": (give("end", time="now"), "time must be a whole number"),
    "step missing": (without("metrics", "step"), "step must be a whole number"),
    "values missing": (without("metrics", "values"), "values must be a JSON object"),
    "metric of another": (give_within("metrics", "values", evil=1.0), "a metric must be one of"),
    "metric badly named": (give_within("metrics", "values", **{"train/a b": 1.0}), "a metric must"),
    "metric a text": (give_within("metrics", "values", **{"train/loss": "1"}), "a finite number"),
    "metric no number": (give_within("metrics", "values", **{"train/loss": float("nan")}), "NaN"),
    "metric beyond floats": (give_within("metrics", "values", **{"train/loss": 10**400}), "finite"),
    "no outcome": (change_records("outcome", lambda _: None), "has no outcome"),
    "outcome empty": (give("outcome", values={}), "must hold its error"),
    "outcome too good": (give_within("outcome", "values", **{"held_out/nmse": -1.0}), "negative"),
    "end of an unknown status": (give("end", status="DONE"), "status must be one of"),
    "end RUNNING": (give("end", status="RUNNING"), "status must be one of"),
    "end without reason": (without("end", "reason"), "reason must be a text"),
    "tag runName": (tag("mlflow.runName"), "a tag must be one of ours"),
    "tag kind": (tag("looped.kind"), "a tag must be one of ours"),
    "tag parent": (tag("mlflow.parentRunId"), "a tag must be one of ours"),
    "tag superseded": (tag("superseded_by"), "a tag must be one of ours"),
    "evaluation without curves": (give("evaluation", loops={}), "must hold every curve"),
    "evaluation too short": (give_within("evaluation", "loops", nmse_se=[0.1]), "must be of 4"),
    "evaluation of all prompts": (give("evaluation", n_prompts=10**12), "n_prompts must be"),
    "evaluation a link": (link("evaluation", ""), "got a link"),
    "evaluation with a page": (put_in_evaluation, "must hold tables, figures and prompts.saf"),
    "evaluation keeps too much": (give("evaluation", kept_prompts=10**9), "kept_prompts must be"),
    "lock a link": (link("lock", "secret"), "got a link"),
    "lock a link to nothing": (link("lock", "nothing"), "got a link"),
    "lock a pipe": (make_pipe("lock"), "got a pipe"),
    "lock another's file": (link_hard, "the only name of its file"),
    "origin a link": (link("origin.json", "secret"), "got a link"),
    "checkpoints a link": (link("checkpoints", ""), "got a link"),
    "folder a link": (link_the_folder, "got a link"),
    "weights cut": (cut_weights, "weights.safetensors must hold"),
    "model of another training": (take_another_model, "must be of this training"),
}  # fmt: skip
