#!/usr/bin/env python3
"""The page's pure functions (parsers_test.js) under node. Without node it ends with exit code 77."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import not_run

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = """import {run} from "./parsers_test.js";
const {count, failures} = await run();
for (const failure of failures) console.log(failure);
console.log(`${count - failures.length} of ${count} passed`);
process.exit(failures.length > 0 ? 1 : 0);
"""


def main():
    node = shutil.which("node")
    if node is None:
        return not_run.report("web_parsers", "no node here")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for script in (ROOT / "web").glob("*.js"):
            shutil.copy(script, folder)
        test = (ROOT / "tests/web/parsers_test.js").read_text()
        (folder / "parsers_test.js").write_text(test.replace('from "/', 'from "./'))
        (folder / "run.js").write_text(RUN)
        (folder / "package.json").write_text('{"type": "module"}')
        return subprocess.run([node, "run.js"], cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
