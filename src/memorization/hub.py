"""Files of Hugging Face's hub, each by the commit that it is of: what a name alone means may change."""

import re
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")


def pinned(revision: str) -> str:
    """The revision, if it names a commit.

    Raises
    ------
    ValueError
        If it is no 40 hexadecimal digits: a branch or a tag may move.
    """
    if not COMMIT.fullmatch(revision):
        raise ValueError(f"revision: {revision!r} is not allowed; allowed: a commit, 40 hexadecimal digits")
    return revision


def split_name(name: str) -> tuple[str, str]:
    """What the hub has under ``name@commit``: the name and the commit.

    Raises
    ------
    ValueError
        If there is no commit behind the name.
    """
    repository, _, revision = name.partition("@")
    return repository, pinned(revision)


def hub_file(name: str, file: str) -> Path:
    """A file of ``name@commit``, from the hub or from what it has left in its cache (``HF_HOME``).

    Raises
    ------
    ValueError
        If the commit is missing, or the hub cannot give the file; one line.
    """
    from huggingface_hub import hf_hub_download

    repository, revision = split_name(name)
    try:
        return Path(hf_hub_download(repository, file, revision=pinned(revision)))
    except Exception as error:  # the library raises many kinds
        raise ValueError(f"{name}: the hub gives no {file} ({' '.join(str(error).split())[:200]})") from error
