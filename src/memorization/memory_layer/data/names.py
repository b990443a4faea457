"""Random strings that are all different: names of entities, hashes.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

from hashlib import sha256

import numpy as np

from memorization.configuration import ConfigurationError

DIGEST_LENGTH = 40  # characters: 256 bits are 43 of 62 symbols


def unique_strings(count: int, length: int, symbols: str, rng: np.random.Generator) -> np.ndarray:
    """Uniformly random strings, no two alike.

    Returns
    -------
    (count,) text of ``length`` characters.

    Raises
    ------
    ConfigurationError
        If they are more than half of those that there are.
    """
    check_strings(count, length, symbols, "strings")
    letters, found = np.array(list(symbols)), np.empty(0, f"<U{length}")
    while len(found) < count:
        drawn = letters[rng.integers(0, len(symbols), (count - len(found), length))]
        found = np.concatenate([found, drawn.view(found.dtype)[:, 0]])
        found = found[np.sort(np.unique(found, return_index=True)[1])]
    return found


def unique_digests(count: int, length: int, symbols: str, rng: np.random.Generator) -> np.ndarray:
    """SHA-256 digests of numbers that follow a random one, each cut to ``length`` symbols, no two alike.

    Of the 16 symbols of a hexadecimal digest they are its last ones.

    Returns
    -------
    (count,) text of ``length`` characters.

    Raises
    ------
    ConfigurationError
        If they are more than half of those that there are, or longer than a digest.
    """
    check_strings(count, length, symbols, "digests")
    if length > DIGEST_LENGTH:
        raise ConfigurationError(f"digests: {length} characters; allowed: 1 to {DIGEST_LENGTH}")
    number, found = int(rng.integers(2**62)), {}
    while len(found) < count:
        value, text = int.from_bytes(sha256(str(number).encode()).digest()), ""
        for _ in range(length):
            value, place = divmod(value, len(symbols))
            text = symbols[place] + text
        found.setdefault(text)
        number += 1
    return np.array(list(found))


def check_strings(count: int, length: int, symbols: str, where: str) -> None:
    """Refuse more strings than half of those that there are: beyond that drawing them takes long.

    Raises
    ------
    ConfigurationError
    """
    most = len(symbols) ** length // 2
    if count > most:
        raise ConfigurationError(
            f"{where}: {count} different ones are needed, but {length} characters of {len(symbols)} allow {most}; "
            "allowed: fewer, or longer ones"
        )
