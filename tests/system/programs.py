# SPDX-License-Identifier: Apache-2.0
"""A case with a folder of its own and programs that end with it: what the tests around a single resolver share."""
import os, shutil, subprocess, tempfile, unittest

from lab import MERIDIAN


class Programs(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="meridian-test.")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.children = []
        self.addCleanup(self.stop_all)

    def run_tool(self, *words, check=True, **more):
        p = subprocess.run(words, capture_output=True, text=True, timeout=120, **more)
        if check:
            self.assertEqual(p.returncode, 0, f"{words}: {p.stdout[-3000:]}{p.stderr[-3000:]}")
        return p.stdout

    def prepare_resolver(self, topology, *listen):
        """What a resolver in eastus needs, below self.dir: meridiand.yaml, topology.yaml and all they name."""
        with open(f"{self.dir}/given.yaml", "w") as f:
            f.write(topology)
        self.run_tool(MERIDIAN, "init", "--topology", f"{self.dir}/given.yaml", "--out", self.dir)
        with open(f"{self.dir}/principals.yaml", "w") as f:
            f.write("version: 1\n")
        os.chmod(f"{self.dir}/principals.yaml", 0o600)
        addresses = ", ".join(f'"{a}"' for a in listen)
        with open(f"{self.dir}/meridiand.yaml", "w") as f:
            f.write(f"region: eastus\nstamp: eus-1\nroles: [resolver]\ndata_dir: {self.dir}/eastus\ntopology: {self.dir}/topology.yaml\n"
                    f"principals: {self.dir}/principals.yaml\nca_file: {self.dir}/ca/ca.pem\nlisten: {{ dns: [{addresses}] }}\n"
                    "workers: { resolver: 1 }\nusers: { daemon: root, edge: root }\n")

    def start(self, log, *words):
        with open(log, "w") as f:
            self.children.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT))
        return self.children[-1]

    def stop_all(self):
        for c in reversed(self.children):
            c.terminate()
            try:
                c.wait(15)
            except subprocess.TimeoutExpired:
                c.kill()
                c.wait()
        self.children = []
