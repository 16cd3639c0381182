# SPDX-License-Identifier: Apache-2.0
"""Files below a folder, through symbolic links too, in order."""
import os
import pathlib


def below(root, matches):
    """Sorted paths of the files below `root` for which matches(path) holds."""
    found = []
    for folder, _, names in os.walk(root, followlinks=True):
        found += [path for path in (pathlib.Path(folder) / name for name in names) if matches(path)]
    return sorted(found)
