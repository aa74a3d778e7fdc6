"""The results of a cell's stages → what the conditions of known issues ask of it, however far its build came."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from oolong.engine.stage import StageResult
from oolong.errors import BadOutput
from oolong.host.files import text_of
from oolong.kbuild import config as kconfig
from oolong.verdict.known_issues import Facts

# where facts are read from, as (stage, artifact): the first that is there
RELEASE = (("compile", "release"),)
CONFIG = (("compile", "config"), ("configure", "config"))


def read_of(stage: str) -> tuple[str, ...]:
    """The artifacts of a stage that facts may be read from; verify them first."""
    return tuple(artifact for owner, artifact in (*RELEASE, *CONFIG) if owner == stage)


def facts_of(axes: Mapping[str, str], results: Sequence[StageResult]) -> Facts:
    """`axes` are the values of the cell's axes by name; the release and .config are read from what stages left."""
    release = _text(results, RELEASE)
    config = _text(results, CONFIG)
    return Facts(
        axes=axes,
        release=None if release is None else release.strip(),
        config=None if config is None else kconfig.parse(config, where=".config"),
    )


def _text(results: Sequence[StageResult], places: Sequence[tuple[str, str]]) -> str | None:
    """The text of the first of some artifacts that is there."""
    for stage, artifact in places:
        for result in results:
            if result.stage == stage and artifact in result.artifacts:
                # the stage that reads it fails for what is no text
                with suppress(BadOutput):
                    return text_of(result.folder, result.artifacts[artifact].path)
    return None
