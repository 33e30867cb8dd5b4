"""Every command that a page writes would be read by what it calls, options and values included."""

import re

import documented_commands
import pytest
from page_blocks import LANGUAGES, PAGES, blocks_of, commands_of, name_of, prose_of, words_of

PARAMETERS = {
    name for entry in documented_commands.ENTRY_POINTS.values() for name in entry["parameters"]
}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_is_one(page, as_users_run_it):
    problems = []
    for words in commands_of(page):
        try:
            documented_commands.check(words)
        except documented_commands.UnknownCommandError as error:
            problems.append(f"{' '.join(words)}: {error}")
    assert problems == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_names_its_language_and_every_parameter_is_one(page):
    assert {block.language for block in blocks_of(page)} <= set(LANGUAGES)
    assert re.findall(r"\n\n    \S.*", prose_of(page)) == []
    assert set(re.findall(r"-P (\w+)=", prose_of(page))) <= PARAMETERS


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("mlflow run . -e trian", "no entry point trian"),
        ("mlflow run . -e train -P stpes=5", "no parameter stpes"),
        ("mlflow run . -e train -P size=huge", "size must be one of"),
        ("mlflow run . -e train --env-manger local", "No such option"),
        ("mlflow run . -e grid -P bs=1,1.0", "must differ"),
        ("mlflow run . -e evaluate_tables", "give run_id or model"),
        ("mlflow models serve -m a --prot 5001", "No such option"),
        ("mlflow uj", "no command uj"),
        ("python -m entrypoints.train --b ten", "whole number"),
        ("python -m entrypoints.benchmarks.speed", "no module"),
        ("python tests/helpers/mutation/mutants.py --mutant 3", "has no"),
        ("make studdy", "the Makefile has no studdy"),
        ("make train SISE=tiny", "the Makefile has no SISE=tiny"),
        ("looopd train", "no program"),
    ],
)
def test_what_is_no_command_is_noticed(line, problem):
    (words,) = words_of(line)
    with pytest.raises(documented_commands.UnknownCommandError, match=re.escape(problem)):
        documented_commands.check(words)
