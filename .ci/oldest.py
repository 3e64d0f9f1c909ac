"""The requirements of pyproject.toml at the oldest versions that they allow, one a line, `>=` as `==`.

python .ci/oldest.py build         of the build
python .ci/oldest.py all test      of the package, and of these extras
"""

import sys
import tomllib
from pathlib import Path


def requirements(name):
    """Those of the build, or of an extra, which may name further extras of the package."""
    if name == "build":
        return pyproject["build-system"]["requires"]
    found = []
    for line in project["optional-dependencies"][name]:
        if line.startswith(f"{project['name']}["):
            extras = line[line.index("[") + 1 : line.index("]")].split(",")
            found += [other for extra in extras for other in requirements(extra)]
        else:
            found.append(line)
    return found


pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
project = pyproject["project"]
names = sys.argv[1:]
lines = [line for name in names for line in requirements(name)]
if names != ["build"]:
    lines = project["dependencies"] + lines
for line in dict.fromkeys(lines):
    name, oldest = line.split(">=")  # each says the oldest, and nothing else
    print(f"{name}=={oldest}")
