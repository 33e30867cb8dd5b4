from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sizes

from looped import rules
from looped.config import TrainConfig
from looped.sizes import NUMBERS, SIZES, ModelConfig, Size
from looped.tasks.kinds import TASK_KINDS
from looped.tasks.task_config import TaskConfig

RECORDS = {"device": "cpu", "log_every": 7, "checkpoint_seconds": 3.0}
RECORDS |= {"kernels": "off", "checkpoint_loops": True, "average": "off"}
RECORDS |= {"b_draw_unit": "prompt"}  # where b is fixed it decides nothing
CELL = {"size": "small", "b": 4, "seed": 43, "task": "decision_tree", "n_dims": 6}
OPTIONS = {"noise_std": 0.5, "sparsity": 2, "tree_depth": 3, "n_hidden": 7, "hops": 5, "n_bits": 3}
RECIPE = {
    "prompt": "interleaved",
    "n_examples": 62,
    "steps": 7000,
    "batch_size": 32,
    "b_draw": "uniform",
    "tied": False,
    "learning_rate": 0.01,
    "learning_rate_factor": 0.5,
    "beta1": 0.8,
    "beta2": 0.99,
    "warmup": 0,
    "grad_clip": 2.0,
    "loop_window": 3,
    "loss_window": 0.5,
    "grad_window": 2.0,
    "init": "gpt2",
    "precision": "bf16",
}


def test_defaults_are_the_studys():
    config = TrainConfig()
    assert (config.batch_size, config.steps, config.n_examples) == (64, 7500, 63)
    assert {b: replace(config, b=b).windows for b in (1, 16)} == {1: (1, 1), 16: (16, 16)}
    assert {name: TrainConfig(size=name).rate for name in SIZES} == {
        name: size.learning_rate for name, size in SIZES.items()
    }
    assert TrainConfig(size="small", b=10, seed=451).name == "small-b10-s451"


WHOLE = "must be a whole number of at least"
POSITIVE = "must be a finite number above 0"
INVALID = [
    *((name, came, f"{name} {WHOLE} 1") for name in ("b", "batch_size", "log_every", "n_dims")
      for came in (0, -3, 2.0, True, "2", None)),
    *(("n_examples", came, f"n_examples {WHOLE} 1") for came in (0, -1, 7.5, True)),
    *((name, came, f"{name} {WHOLE} 0") for name in ("seed", "steps", "warmup")
      for came in (-1, 0.0, False, None)),
    ("seed", 2**31, "seed must be below 2**31"),
    *((name, came, f"{name} must lie in [0, 1)") for name in ("beta1", "beta2")
      for came in (-0.1, 1.0, float("nan"))),
    *((name, came, f"{name} {POSITIVE}")
      for name in ("learning_rate", "learning_rate_factor", "grad_clip")
      for came in (0.0, -1.0, float("inf"), float("nan"))),
    ("checkpoint_seconds", -1.0, "checkpoint_seconds must be at least 0"),
    *(("loop_window", came, f"loop_window {WHOLE} 1") for came in (0, -1, 2.0, True)),
    *((name, came, f"{name} {WHOLE} 1") for name in ("loss_window", "grad_window")
      for came in (0, -1)),
    *((name, came, f"{name} {WHOLE} 1, or a share of b between 0 and 1")
      for name in ("loss_window", "grad_window") for came in (0.0, -0.5, 2.5)),
    ("b_draw_unit", "seed", "b_draw_unit must be one of step, prompt"),
    ("size", "huge", f"size must be one of {', '.join(SIZES)}, or {NUMBERS} as 1x1x8x32"),
    ("task", "quadratic", f"task must be one of {', '.join(TASK_KINDS)}, or <file>.py:<Name>"),
    ("task_options", "scale=2",
     "task_options are of tasks of one's own, and must be auto for linear"),
    ("prompt", "split", "prompt must be one of joint, interleaved"),
    ("init", "zeros", "init must be one of lecun, gpt2, pytorch"),
    ("precision", "fp16", "precision must be one of auto, fp32, bf16"),
    ("device", "tpu", "device must be one of auto, cpu, cuda"),
]  # fmt: skip
INVALID_OPTIONS = [
    *(("noisy_linear", "noise_std", came, f"noise_std {POSITIVE}")
      for came in (0.0, float("nan"), None)),
    *(("sparse_linear", "sparsity", came, f"sparsity {WHOLE} 1") for came in (0, 1.0, True)),
    ("sparse_linear", "sparsity", 6, "sparsity must be at most n_dims=5"),
    *(("decision_tree", "tree_depth", came, f"tree_depth {WHOLE} 1") for came in (0, 2.0)),
    ("decision_tree", "tree_depth", 17, "tree_depth must be at most 16"),
    *(("relu_network", "n_hidden", came, f"n_hidden {WHOLE} 1") for came in (0, 2.0, False)),
    *(("pointer_chain", "hops", came, f"hops {WHOLE} 1") for came in (0, 2.0, False)),
    *(("parity", "n_bits", came, f"n_bits {WHOLE} 1") for came in (0, 2.0, False)),
    ("parity", "n_bits", 6, "n_bits must be at most n_dims=5"),
]  # fmt: skip


def message_of(make, *args, **options):
    with pytest.raises(ValueError, match="got") as refused:
        make(*args, **options)
    return str(refused.value)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("name", "came", "rule"), INVALID)
def test_errors_state_the_rule_then_what_came(name, came, rule):
    assert message_of(TrainConfig, **{name: came}) == f"{rule}, got {came}"


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(("task", "option", "came", "rule"), INVALID_OPTIONS)
def test_a_tasks_options_are_checked_where_it_is_the_task(task, option, came, rule):
    wrong = {option: came}
    assert message_of(TrainConfig, task=task, **wrong) == f"{rule}, got {came}"
    assert message_of(TaskConfig, task, 5, **wrong) == f"{rule}, got {came}"


@pytest.mark.parametrize("task", TASK_KINDS)
def test_sparsity_is_bounded_by_n_dims_for_sparse_linear_alone(task):
    if task == "sparse_linear":
        assert message_of(TrainConfig, task=task, n_dims=2).endswith("n_dims=2, got 3")
    elif task != "pointer_chain":
        assert TrainConfig(task=task, n_dims=2).task_config.n_dims == 2


@pytest.mark.parametrize("task", TASK_KINDS)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_task_has_its_own_options_only(task, option):
    content = TrainConfig(task=task).task_config.content
    assert (option in content) == (option in TASK_KINDS[task].setting_names)
    if option not in TASK_KINDS[task].setting_names:
        rule = f"task {task} has no {option}, got {OPTIONS[option]}"
        assert message_of(TaskConfig, **content, **{option: OPTIONS[option]}) == rule


@given(sizes(), st.sampled_from(["n_layer", "n_head", "n_embd", "n_mlp"]))
def test_a_size_is_checked(size, name):
    assert message_of(replace, size, **{name: 0}) == f"{name} {WHOLE} 1, got 0"
    assert message_of(replace, size, learning_rate=0.0) == f"learning_rate {POSITIVE}, got 0.0"
    assert message_of(Size, 1, 2, 5, 1, 0.1) == "n_embd must be a multiple of n_head=2, got 5"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_dims": 0}, f"n_dims {WHOLE} 1, got 0"),
        ({"n_points": 1}, f"n_points {WHOLE} 2, got 1"),
        ({"prompt": "split"}, "prompt must be one of joint, interleaved, got split"),
    ],
)
def test_a_models_shape_is_checked(wrong, message):
    assert message_of(replace, ModelConfig(SIZES["tiny"], 5, 64), **wrong) == message


def test_every_setting_is_in_one_class():
    classes = [*RECORDS, *CELL, *OPTIONS, *RECIPE, "task_options"]
    assert sorted(classes) == sorted(setting.name for setting in fields(TrainConfig))


@given(st.sets(st.sampled_from(sorted(RECORDS))), st.sampled_from(sorted(CELL | RECIPE)))
def test_what_decides_the_outcome_changes_the_identity_and_records_do_not(records, name):
    config = TrainConfig(**{record: RECORDS[record] for record in records})
    assert config.identity == TrainConfig().identity
    assert replace(config, **{name: (CELL | RECIPE)[name]}).identity != config.identity


@pytest.mark.parametrize("task", TASK_KINDS)
@pytest.mark.parametrize("option", OPTIONS)
def test_only_the_tasks_own_options_change_the_identity(task, option):
    config = TrainConfig(task=task)
    changed = replace(config, **{option: OPTIONS[option]})
    assert (changed.identity != config.identity) == (option in TASK_KINDS[task].setting_names)


@pytest.mark.usefixtures("as_users_run_it")
def test_whole_numbers_name_the_same_experiment_as_their_floats():
    numbers = {"task": "noisy_linear", "noise_std": 2, "grad_clip": 3, "beta1": 0}
    floats = {name: came if name == "task" else float(came) for name, came in numbers.items()}
    assert TrainConfig(**numbers).identity == TrainConfig(**floats).identity


@given(st.sampled_from(sorted(SIZES)), st.integers(1, 40))
def test_defaults_made_explicit_change_nothing(size, b):
    config = TrainConfig(size=size, b=b)
    rate, window = SIZES[size].learning_rate, b
    explicit = replace(config, learning_rate=rate, loop_window=window)
    assert (explicit.identity, explicit.recipe) == (config.identity, config.recipe)
    assert config.resolved("cpu", "auto") == replace(explicit, device="cpu")


@pytest.mark.parametrize("name", CELL | OPTIONS | RECORDS | RECIPE)
def test_cells_share_a_recipe_and_nothing_else_changes_it(name):
    changed = replace(TrainConfig(), **{name: (CELL | OPTIONS | RECORDS | RECIPE)[name]})
    assert (changed.recipe != TrainConfig().recipe) == (name in RECIPE)
    assert (changed.recipe_identity != TrainConfig().recipe_identity) == (name in RECIPE)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "small-b10-s42"),
        ({"prompt": "interleaved"}, "small-b10-s42-interleaved"),
        ({"task": "decision_tree"}, "small-b10-s42-decision_tree"),
    ],
)
def test_a_run_is_named_after_its_cell_and_what_is_no_default(changes, name):
    assert TrainConfig(size="small", b=10, **changes).name == name


@pytest.mark.parametrize(
    ("changes", "identity", "recipe", "resolved_identity", "resolved_recipe"),
    [
        ({}, "6f9c975ad8d1", "e02e72e48b4b", "1501ab72f6cf", "577c982c7fb0"),
        ({"size": "small", "b": 10, "seed": 451},
         "164dec22cbf8", "e02e72e48b4b", "1e5be4fc3a95", "577c982c7fb0"),
        ({"size": "medium", "b": 20, "task": "decision_tree", "prompt": "interleaved",
          "loop_window": 15},
         "36fed53983fe", "818d10b3557c", "79ce6bcb7747", "4afd479b4a1a"),
        ({"b": 5, "loop_window": 2, "learning_rate": 0.003, "n_dims": 2},
         "3471fe93ce93", "4aabc4dca812", "73cb5f971bd9", "0677003adc4c"),
    ],
)  # fmt: skip
def test_what_runs_were_once_logged_under_stays(
    changes, identity, recipe, resolved_identity, resolved_recipe
):
    config = TrainConfig(**changes)
    assert (config.identity, config.recipe_identity) == (identity, recipe)
    resolved = config.resolved("cpu", "fp32")
    assert (resolved.identity, resolved.recipe_identity) == (resolved_identity, resolved_recipe)


@given(st.sampled_from(sorted(SIZES)), st.sampled_from([0.1, 0.3, 0.5, 1.0, 2.0]))
def test_a_factor_is_a_rate_and_one_recipe_for_all_sizes(size, factor):
    config = TrainConfig(size=size, learning_rate_factor=factor)
    assert config.rate == pytest.approx(factor * SIZES[size].learning_rate, rel=1e-12)
    given_rate = TrainConfig(size=size, learning_rate=config.rate)
    assert given_rate.identity == config.identity  # so that it is not trained twice
    assert (config.identity == TrainConfig(size=size).identity) == (factor == 1)
    assert config.recipe_identity == TrainConfig(learning_rate_factor=factor).recipe_identity
    assert config.follows(given_rate.policy) and given_rate.follows(config.policy)
    resolved = config.resolved("cpu", "auto")
    assert (resolved.identity, resolved.recipe) == (config.identity, config.recipe)
    assert resolved.resolved("cpu", "auto") == resolved
    assert given_rate.under(config.policy) == config.under(config.policy)


def test_a_factor_beside_a_rate_that_is_not_so_many_times_the_sizes_own_is_refused():
    assert TrainConfig(size="small", learning_rate=1e-3, learning_rate_factor=2.0).rate == 1e-3
    rule = "learning_rate must be auto with a learning_rate_factor of 2"
    message = message_of(TrainConfig, size="small", learning_rate=3e-3, learning_rate_factor=2.0)
    assert message == f"{rule}, got 0.003"


def test_what_decides_nothing_gives_no_identity_of_its_own():
    for config in (TrainConfig(b=1), TrainConfig(b=3)):
        assert replace(config, b_draw_unit="prompt").identity == config.identity
    assert TrainConfig(b=1, tied=False).identity == TrainConfig(b=1).identity
    assert TrainConfig(b=2, tied=False).identity != TrainConfig(b=2).identity
    uniform = TrainConfig(b=2, b_draw="uniform")
    by_prompt = replace(uniform, b_draw_unit="prompt")
    assert by_prompt.identity != uniform.identity
    assert len(set(by_prompt.loops_of_step(0))) > 1
    assert by_prompt.name == "tiny-b2-s42-uniform-by_prompt"
    with pytest.raises(ValueError, match="so b_draw must be fixed, got uniform"):
        replace(uniform, tied=False)


@pytest.mark.parametrize(
    ("came", "line"),
    [
        (5, "5"),
        ("a\nb", "a\\nb"),
        ("x" * 401, "x" * 200 + "... (401 characters)"),
        (pytest.param(10**5000, "a number of thousands of digits", id="huge")),
    ],
)
def test_what_came_is_said_in_one_short_line(came, line):
    assert rules.one_line(came) == line
