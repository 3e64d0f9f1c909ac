"""mypy and pyright over the package, the tests' imports and README's examples; stubs; the share typed.

    python .ci/check_types.py

In an environment that has deltanet with its extras cli, onnx, safetensors and test, mypy and pyright.
"""

import ast
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEAST_TYPED = 0.99  # of the public names


def readme():
    """The README's examples: each goes on where the last one ended."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def imports():
    """Every import of deltanet in the tests, each once."""
    found = set()
    for path in (ROOT / "tests").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deltanet"):
                found |= {f"from {node.module} import {alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.startswith("deltanet")]
                found |= {f"import {name}" for name in names}
    return "".join(f"{line} as name_{i}\n" for i, line in enumerate(sorted(found)))


def run(*command):
    """Whether it passes; it prints what it finds."""
    print("$", *command, flush=True)
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode == 0


def stubs():
    """The compiled modules that have one."""
    return [f"deltanet._core.{path.stem}" for path in ROOT.glob("src/deltanet/_core/*.pyi")]


def typed(folder):
    """(share of the public names whose types are known, the others), of the installed package."""
    command = ["pyright", "--verifytypes", "deltanet", "--ignoreexternal", "--outputjson"]
    # not in the checkout, whose src it would take
    found = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True
    )
    report = json.loads(found.stdout)["typeCompleteness"]
    unknown = [each["name"] for each in report["symbols"] if not each["isTypeKnown"]]
    return report["completenessScore"], unknown


def main():
    with tempfile.TemporaryDirectory() as folder:
        others = []
        for make in (readme, imports):
            others.append(str(Path(folder, f"{make.__name__}.py")))
            Path(others[-1]).write_text(make(), encoding="utf-8")
        others.append(str(ROOT / "tests" / "test_types.py"))
        passed = [
            run("mypy", "src/deltanet"),
            run("pyright", "--project", str(ROOT)),
            run("mypy", *others),
            run("pyright", *others),
            # what only the core uses is not in a stub; its classes are final by nature
            run("mypy.stubtest", "--ignore-missing-stub", "--ignore-disjoint-bases", *stubs()),
        ]
        score, unknown = typed(folder)
    print(f"{score:.2%} of the public names are typed; not: {', '.join(unknown) or 'none'}")
    sys.exit(not (all(passed) and score >= LEAST_TYPED))


if __name__ == "__main__":
    main()
