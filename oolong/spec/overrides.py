"""`kernel=`, `config=` and `patches=` of the command line → the same matrix on someone's own tree and config."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from oolong.errors import BadInput, did_you_mean
from oolong.spec.model import DirSource, KernelConfig, Overrides, Spec
from oolong.spec.pipeline_yaml import MAKE_TARGET

LONGEST = 64


def from_command_line(
    spec: Spec, *, kernel: str | None = None, config: str | None = None, patches: str | None = None, folder: Path
) -> Spec:
    """The spec with the variables as they were typed, None for one that was not; paths are relative to `folder`.

    `config` is `BASE[,FRAGMENT…]`; BASE is a config of the pipeline, a make target or a file. `patches` is
    `FILE[,FILE…]`. `~` stands for the home folder.
    """
    if kernel == "":
        raise BadInput("must not be empty", where="kernel=")
    base, *fragments = _split("config", config) or [""]
    named = MAKE_TARGET.fullmatch(base) or base in (known.name for known in spec.configs)
    return with_overrides(
        spec,
        kernel=_path(kernel, folder) if kernel else None,
        config=(base if named else _path(base, folder)) if base else None,
        config_fragments=tuple(_path(name, folder) for name in fragments),
        patches=tuple(_path(name, folder) for name in _split("patches", patches)),
    )


def with_overrides(
    spec: Spec,
    *,
    kernel: Path | None = None,
    config: Path | str | None = None,
    config_fragments: tuple[Path, ...] = (),
    patches: tuple[Path, ...] = (),
) -> Spec:
    """The spec with every cell's kernel replaced by a tree, its config by a config of the pipeline, a file or a make
    target, each with fragments, or its kernel patched.

    Paths are absolute. The new names are those of the files, never one that pipeline.yaml uses.
    """
    return replace(
        spec,
        overrides=Overrides(
            kernel=_kernel(spec, kernel) if kernel else None,
            config=_config(spec, config, config_fragments) if config else None,
            patches=tuple(_existing("patches", path) for path in patches),
        ),
    )


def _kernel(spec: Spec, path: Path) -> DirSource:
    if not path.is_dir():
        what = "not a folder" if path.exists() else "no such folder"
        raise BadInput(what, where=f"kernel={path}", hint=_near(path))
    name = _unused(path.resolve().name, "tree", (source.name for source in spec.sources))
    return DirSource(name=name, path=path)


def _config(spec: Spec, base: Path | str, fragments: tuple[Path, ...]) -> KernelConfig:
    configs = {config.name: config for config in spec.configs}
    if isinstance(base, str) and base in configs:
        return _extended(configs[base], fragments, taken=configs)
    if isinstance(base, str) and not MAKE_TARGET.fullmatch(base):
        raise BadInput(
            "not a config",
            where=f"config={base}",
            hint="a config of pipeline.yaml, NAME_defconfig, or the path of a .config",
        )
    if isinstance(base, Path):
        _existing("config", base)
    stems = [base.stem if isinstance(base, Path) else base, *(path.stem for path in fragments)]
    return KernelConfig(
        name=_unused("-".join(stems), "file", configs),
        base=base,
        fragments=tuple(_existing("config", path) for path in fragments),
        required=(),
        startup_tests=None,
        modules=False,
    )


def _extended(config: KernelConfig, fragments: tuple[Path, ...], *, taken: Iterable[str]) -> KernelConfig:
    """A config of the pipeline with more fragments, which may change what the startup tests are; itself with none."""
    if not fragments:
        return config
    return replace(
        config,
        name=_unused("-".join((config.name, *(path.stem for path in fragments))), "file", taken),
        fragments=(*config.fragments, *(_existing("config", path) for path in fragments)),
        startup_tests=None,
    )


def _existing(variable: str, path: Path) -> Path:
    if not path.is_file():
        what = "not a file" if path.exists() else "no such file"
        raise BadInput(what, where=f"{variable}={path}", hint=_near(path))
    return path


def _near(path: Path) -> str:
    if path.exists() or not path.parent.is_dir():
        return ""
    return did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))


def _unused(text: str, kind: str, taken: Iterable[str]) -> str:
    """A name for files and tasks made from any text; `kind` is appended until nothing else has that name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:LONGEST].strip("-._") or kind
    names = set(taken)
    while name in names:
        name += f"-{kind}"
    return name


def _split(variable: str, typed: str | None) -> list[str]:
    names = [] if typed is None else typed.split(",")
    if "" in names:
        what = "an empty name between commas" if typed else "must not be empty"
        raise BadInput(what, where=f"{variable}={typed}")
    return names


def _path(typed: str, folder: Path) -> Path:
    return folder / os.path.expanduser(typed)
