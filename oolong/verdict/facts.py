"""The results of a cell's stages → what the conditions of known issues ask of it, however far its build came."""

from collections.abc import Mapping, Sequence

from oolong.engine.stage import StageResult
from oolong.host.files import text_of
from oolong.kbuild import config as kconfig
from oolong.verdict.known_issues import Facts


def facts_of(axes: Mapping[str, str], results: Sequence[StageResult]) -> Facts:
    """`axes` are the values of the cell's axes by name; the release and .config are read from what stages left."""
    release = _text(results, ("compile", "release"))
    config = _text(results, ("compile", "config"), ("configure", "config"))
    return Facts(
        axes=axes,
        release=None if release is None else release.strip(),
        config=None if config is None else kconfig.parse(config, where=".config"),
    )


def _text(results: Sequence[StageResult], *places: tuple[str, str]) -> str | None:
    """The first of some artifacts, as (stage, artifact), that is there."""
    for stage, artifact in places:
        for result in results:
            if result.stage == stage and artifact in result.artifacts:
                return text_of(result.folder, result.artifacts[artifact].path)
    return None
