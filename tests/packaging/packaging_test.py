#!/usr/bin/env python3
"""Unit, container and manifest: what they say is run, and each option they name exists.

usage: packaging_test.py LOTSE REPOSITORY [unittest arguments]
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

try:
    import yaml
except ImportError:
    yaml = None

LOTSE, REPOSITORY = sys.argv[1], pathlib.Path(sys.argv[2])
PACKAGING = REPOSITORY / "packaging"
KEY = "key-of-the-packaging-test"


def unit():
    """The unit's settings: lists of values by name."""
    settings = {}
    for line in (PACKAGING / "lotse.service").read_text().splitlines():
        if line and line[0] not in "#[":
            name, value = line.split("=", 1)
            settings.setdefault(name, []).append(value)
    return settings


def status(url, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, ConnectionError):
        return None


def within(seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


class Packaging(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "keys").write_text(KEY + "\n")

    def serve(self, arguments, environment):
        """Runs the program as it is told to, on a free port; checks probes, keys and SIGTERM."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("LOTSE_SERVE_")}
        process = subprocess.Popen(
            [LOTSE, "serve", *arguments],
            env={**inherited, **environment, "LOTSE_SERVE_PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        try:
            banner = process.stdout.readline()
            match = re.search(r"://0\.0\.0\.0:(\d+)", banner)
            self.assertIsNotNone(match, banner + ("" if banner else process.stderr.read()))
            url = f"http://127.0.0.1:{match[1]}"
            for probe in ["/health/live", "/health/ready"]:
                self.assertTrue(within(20, lambda: status(url + probe) == 200), probe)
            self.assertEqual(status(url + "/v1/models"), 401)
            self.assertEqual(status(url + "/v1/models", KEY), 200)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(20), 0)
        finally:
            process.kill()
            process.communicate()

    def test_what_the_unit_runs(self):
        settings = unit()
        environment = {}
        for line in (PACKAGING / "serve.env").read_text().splitlines():
            if line and not line.startswith("#"):
                name, value = line.split("=", 1)
                environment[name] = value
        for pairs in settings["Environment"]:
            for pair in shlex.split(pairs.replace("%d", str(self.folder))):
                name, value = pair.split("=", 1)
                environment[name] = value
        environment["HOME"] = str(self.folder)
        self.assertEqual(settings["LoadCredential"], ["keys:/etc/lotse/keys"])
        (command,) = settings["ExecStart"]
        words = command.replace("${LOTSE_MODEL}", environment.pop("LOTSE_MODEL")).split()
        self.assertEqual(words[:2], ["/usr/bin/lotse", "serve"])
        words = [w.replace("lotse-nano", str(REPOSITORY / "models/lotse-nano")) for w in words]
        self.serve(words[2:], environment)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "not run: systemd-analyze is not installed")
    def test_the_unit_is_valid(self):
        text = (PACKAGING / "lotse.service").read_text().replace("/usr/bin/lotse", "/bin/true")
        copy = self.folder / "lotse.service"
        copy.write_text(text)
        run = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
        if "Failed to" in run.stderr and "lotse.service" not in run.stderr:
            self.skipTest("not run: " + run.stderr.strip().splitlines()[-1])
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    @unittest.skipUnless(yaml, "not run: PyYAML is not installed")
    def test_what_the_manifest_runs(self):
        deployment, service = yaml.safe_load_all((PACKAGING / "kubernetes/lotse.yaml").read_text())
        self.assertEqual((deployment["kind"], service["kind"]), ("Deployment", "Service"))
        pod = deployment["spec"]["template"]
        labels = pod["metadata"]["labels"].items()
        self.assertLessEqual(deployment["spec"]["selector"]["matchLabels"].items(), labels)
        self.assertLessEqual(service["spec"]["selector"].items(), labels)
        self.assertTrue(pod["spec"]["securityContext"]["runAsNonRoot"])
        self.assertGreaterEqual(pod["spec"]["terminationGracePeriodSeconds"], 30)
        (container,) = pod["spec"]["containers"]
        environment = {e["name"]: e["value"] for e in container["env"]}
        (port,) = container["ports"]
        self.assertEqual(str(port["containerPort"]), environment["LOTSE_SERVE_PORT"])
        self.assertEqual(service["spec"]["ports"][0]["targetPort"], port["name"])
        probes = {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
        for kind, path in probes.items():
            self.assertEqual(container[f"{kind}Probe"]["httpGet"], {"path": path, "port": port["name"]})
        volumes = {v["name"] for v in pod["spec"]["volumes"]}
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        self.assertEqual(volumes, set(mounts))
        arguments = [a.replace(mounts["keys"], str(self.folder)) for a in container["args"]]
        self.assertIn(str(self.folder / "keys"), arguments)
        arguments[0] = str(REPOSITORY / "models" / arguments[0])
        environment["HOME"] = str(self.folder)
        self.serve(arguments, environment)

    def test_the_container(self):
        lines = (PACKAGING / "Containerfile").read_text().replace("\\\n", " ").splitlines()
        last = lambda word: [line for line in lines if line.startswith(word + " ")][-1]
        self.assertNotIn(last("USER").split()[1], ["0", "root"])
        environment = dict(pair.split("=") for pair in last("ENV").split()[1:])
        environment["HOME"] = str(self.folder)
        entry, command = (json.loads(last(word).split(" ", 1)[1]) for word in ["ENTRYPOINT", "CMD"])
        self.assertEqual(entry, ["/usr/bin/lotse", "serve"])
        arguments = [a.replace("/run/secrets", str(self.folder)) for a in command]
        arguments[0] = str(REPOSITORY / "models" / arguments[0])
        self.serve(arguments, environment)
        for source in re.findall(r"^RUN .*make (.*)$", "\n".join(lines), re.M):
            makefile = (REPOSITORY / "Makefile").read_text()
            for target in source.split():
                self.assertRegex(makefile, rf"(?m)^{target}:")

    def test_every_option_that_is_named_exists(self):
        help_text = subprocess.run([LOTSE, "serve", "--help"], capture_output=True, text=True).stdout
        for path in PACKAGING.rglob("*"):
            if path.is_file():
                for name in re.findall(r"LOTSE_SERVE_([A-Z_]+)", path.read_text()):
                    if name != "OPTION_NAME":
                        self.assertIn("--" + name.lower().replace("_", "-"), help_text, path)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=1)
