"""The contract with MLflow: every tag, metric and parameter by its name, once. Imports nothing.

Journals hold the same names, and what reads runs asks for them: a name that changes here is
another name in the store, and runs made before have the old one.
"""


class Tag:
    """Tags of our runs, experiments and registered versions."""

    KIND = "looped.kind"
    """What a run is of; one of ``Kind``."""
    FOLDER = "looped.folder"
    HOST = "looped.host"
    MACHINE = "looped.machine"
    """The same, told from others of that name; runs from before have none."""
    REASON = "looped.reason"
    """Why a run ended, in a line."""
    PROGRAM = "looped.program"
    """Trainings of one value ran as one program, so that their seconds and memory are shared."""
    FIRST_STEPS = "looped.first_steps"
    """Of a training that went on where a shorter one ended: how many steps it did not train."""
    FIRST_STEPS_OF = "looped.first_steps_of"
    """The folder of that shorter one."""
    SUPERSEDED_BY = "superseded_by"
    """The later run that holds the whole history of the same journal."""
    LOGGED_TO = "looped.logged_to"
    """Of a run that ``mlflow run`` made in another experiment: the run that its command made."""
    IMPORTED = "looped.imported"
    """Of an experiment: when it was last told of a run that had ended before."""

    SIZE = "size"
    B = "b"
    SEED = "seed"
    TASK = "task"
    RECIPE = "recipe"
    IDENTITY = "identity"
    GRID = "grid"
    """Identity of the grid that a training belongs to, or that a run is of."""
    CLAIM_RULES = "looped.claim_rules"
    """Of a grid: digests of the rules that its runs will be judged by, from before its first."""
    COMMIT = "git.commit"
    DIRTY = "git.dirty"
    SOURCES = "looped.sources"
    """Digest of the package's own sources: what was trained with, committed or not."""

    PLATEAU = "plateau"
    DIVERGED = "diverged"
    """Whether its error ended far above the variance of y; of failed trainings too."""
    CONVERGENCE = "convergence"
    """Whether its error still fell when it ended; one of ``Convergence``."""
    UNCONVERGED = "unconverged"
    """``true`` where it is learning, for queries; without ``CONVERGENCE`` by an old rule."""
    ESCAPE_STEP = "escape_step"
    EVALUATED_TO = "evaluation.b_max"
    EVALUATED_ON = "evaluation.prompts"
    DYNAMICS = "dynamics"
    """What most prompts' states do beyond b; one of ``behaviour.KINDS``, or ``mixed``."""

    BASELINE = "baseline"
    BASELINES = "baselines"
    """What decides a baseline's scores: task, examples, loops, prompts."""

    FORM = "form"
    WEIGHTS = "weights"
    """Of a law or report: whose E it is of; one of ``Weights``, ``last`` where there is none."""
    STATUS = "status"
    ERROR = "error"
    """Of a registered model: its held-out error."""
    RUN = "run"
    CELL = "cell"
    """Of the summary of a cell: what its trainings have in common, all but the seed."""
    TRAININGS = "looped.trainings"
    """Of the summary of a cell: a digest of what it was made from."""

    # MLflow's own
    NAME = "mlflow.runName"
    NOTE = "mlflow.note.content"
    PARENT = "mlflow.parentRunId"
    ENTRY_POINT = "mlflow.project.entryPoint"
    USER = "mlflow.user"
    SOURCE = "mlflow.source.name"
    SOURCE_TYPE = "mlflow.source.type"
    SOURCE_COMMIT = "mlflow.source.git.commit"
    DATA_CONTEXT = "mlflow.data.context"
    EXPERIMENT_KIND = "mlflow.experimentKind"
    VIEW = "mlflow.sharedViewState."
    """Of an experiment: begins the names of the tags that hold its saved views."""


class Kind:
    """Values of ``Tag.KIND``."""

    TRAINING = "training"
    GRID = "grid"
    CELL = "cell"
    """A summary of the seeds of a (size, b); no training, and made anew when they change."""
    BASELINE = "baseline"
    FIT = "fit"
    REPORT = "report"
    BENCHMARK = "benchmark"


class Convergence:
    """Values of ``Tag.CONVERGENCE``."""

    LEARNING = "learning"
    SETTLED = "settled"
    CANNOT_TELL = "cannot tell"


class Weights:
    """Whose evaluation E is taken from, and which weights of a model are loaded."""

    LAST = "last"
    """After the last step."""
    TAIL = "tail"
    """Their mean over the last tenth of the steps."""


class Metric:
    """Metrics; those that end with a slash begin the names of a family."""

    TRAIN = "train/"
    LOSS = "train/loss"
    QUERY_ERROR = "train/query_error"
    GRAD_NORM = "train/grad_norm"
    LEARNING_RATE = "train/learning_rate"
    STEPS_PER_S = "speed/steps_per_s"
    TOKENS_PER_S = "speed/tokens_per_s"
    PEAK_MIB = "memory/peak_mib"

    B = "b"
    """Beside the parameter of that name, which the UI would sort as text."""
    N_PARAMS = "n_params"

    FINAL = "final/"
    BEST = "best/"
    LATE_SLOPE = "final/late_slope"
    LATE_SLOPE_SE = "final/late_slope_se"
    ESCAPE_STEP = "escape_step"
    NMSE = "held_out/nmse"
    NMSE_SE = "held_out/nmse_se"
    BITS = "held_out/bits"
    TAIL_NMSE = "held_out/tail_nmse"
    """Of the mean of the weights over the last tenth of the steps, on the same prompts."""
    TAIL_NMSE_SE = "held_out/tail_nmse_se"
    TAIL_BITS = "held_out/tail_bits"
    PROMPTS = "held_out/prompts"
    PROMPTS_KEPT = "held_out/prompts_kept"
    """Those whose own errors are in the artifact evaluation/prompts.safetensors."""

    LOOPS = "loops/"
    """Curves over evaluated loops: their step is the loop."""
    TAIL = "tail_"
    """Begins the names of those curves of the mean of the last tenth's weights."""
    EXAMPLES_NMSE = "examples/nmse"
    """Over in-context examples: its step is their number."""
    EXTRAPOLATION = "extrapolation/"
    EVALUATED_ON = "extrapolation/prompts"
    DYNAMICS = "dynamics/"
    """What states do beyond b: shares of prompts with their intervals, the spectral radius."""
    TABLES = "tables/"
    OWN = "own/"
    """Metrics of the user's own over loops, by the short name of their function."""

    CELL = "cell/"
    CELL_NMSE = "cell/nmse"
    """The mean over seeds after each loop; ``_lower`` and ``_upper`` end the names of its band."""
    CELL_NMSE_AT_B = "cell/nmse_at_b"
    GRID = "grid/"

    FIT = "fit/"
    LAW = "law/"
    JOINT = "joint/"
    FORMS = "forms/"
    EXCHANGE = "exchange/"
    WORTHWHILE = "worthwhile/"
    DOUBLING = "doubling/"
    """Bits that a doubling of the FLOPs buys."""
    REPORT = "report/"
    CLAIMS = "claims/"
    HYPOTHESES = "hypotheses/"
    BENCHMARK = "benchmark/"


class Param:
    """Parameters; those that end with a dot begin the names of a family."""

    RESOLVED = "resolved."
    """Every setting of a training with nothing left automatic."""
    SIZE, B, SEED, TASK = "size", "b", "seed", "task"
    """What a person compares; ``mlflow run`` logs them by itself, spelt as they were given."""
    N_PARAMS = "model.n_params"
    N_PARAMS_WITHOUT_POSITIONS = "model.n_params_without_positions"
    FLOPS_PER_STEP = "model.flops_per_step"
    GRID = "grid."
    FIT = "fit."
    LAW = "law."
    REPORT = "report."
    BENCHMARK = "benchmark."
    ABOUT = "about."


class Variable:
    """Environment variables of MLflow's: where a process belongs, how long it tries."""

    RUN_ID = "MLFLOW_RUN_ID"
    """The run that ``mlflow run`` made for the process that it started."""
    EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
    EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
    TRACKING_URI = "MLFLOW_TRACKING_URI"
    RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    """In seconds, of one call to a server."""
    FILES = "MLFLOW_ALLOW_FILE_STORE"
    """Whether runs may be kept as files, which MLflow has given up."""
