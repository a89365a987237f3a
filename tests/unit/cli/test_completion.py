# SPDX-License-Identifier: Apache-2.0
"""Completion as a shell asks for it: candidates by themselves, and through the script in a real bash; zsh and fish are asked only
whether they can read theirs, where they are installed."""
import os, shutil, subprocess, sys, tempfile, unittest

MERIDIAN = os.path.abspath(sys.argv.pop(1))
TOPOLOGY = """version: 3
domain: example.io
regions:
  - { name: eastus, peer: "192.0.2.1:8443", stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }
  - { name: westus, peer: "192.0.2.2:8443", stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }
name_servers: [eus-1.eastus]
registries:
  - { name: contoso, replicas: [{ region: eastus }] }
  - { name: fabrikam, replicas: [{ region: westus }] }
views:
  - { name: corp, sources: [10.4.0.0/16], pools: [{ name: corp-pool, subnet: 10.4.0.0/27 }, { name: more, subnet: 10.4.1.0/27 }] }
  - { name: lab, sources: [10.5.0.0/16] }
"""


class Completion(unittest.TestCase):
    def setUp(self):
        self.dir = self.enterContext(tempfile.TemporaryDirectory())
        self.topology = os.path.join(self.dir, "topology.yaml")
        with open(self.topology, "w") as f:
            f.write(TOPOLOGY)
        os.symlink(MERIDIAN, os.path.join(self.dir, "meridian"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("MERIDIAN_")}
        self.env.update(MERIDIAN_TOPOLOGY=self.topology, PATH=f"{self.dir}:{os.environ['PATH']}", HOME=self.dir)

    def offered(self, line):
        """What is offered at the end of this line."""
        r = subprocess.run([MERIDIAN, "__complete", *line.split(" ")[1:]], capture_output=True, text=True, env=self.env, timeout=30)
        self.assertEqual((r.returncode, r.stderr), (0, ""), line)
        return sorted(row.split("\t")[0] for row in r.stdout.splitlines())

    def in_bash(self, line):
        """The same through the script, in a bash."""
        script = ('source <(meridian completion bash); read -ra COMP_WORDS <<<"$1"; [[ "$1" == *" " ]] && COMP_WORDS+=("")\n'
                  'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="$1"; COMP_POINT=${#1}\n'
                  '$(complete -p meridian | sed -E "s/.*-F ([^ ]+).*/\\1/") meridian "${COMP_WORDS[COMP_CWORD]}" ""\n'
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        r = subprocess.run(["bash", "--norc", "-c", script, "bash", line], capture_output=True, text=True, env=self.env, cwd=self.dir, timeout=30)
        self.assertEqual((r.returncode, r.stderr), (0, ""), line)
        return sorted(row for row in r.stdout.splitlines() if row)

    WANTED = {
        "meridian regis": ["registry"],
        "meridian registry ": ["create", "delete", "list", "show", "update"],
        "meridian registry sh": ["show"],
        "meridian registry show ": ["contoso", "fabrikam"],
        "meridian registry show con": ["contoso"],
        "meridian registry show -n f": ["fabrikam"],
        "meridian replication list -r c": ["contoso"],
        "meridian replication create contoso --region w": ["westus"],
        "meridian tag list f": ["fabrikam/"],
        "meridian health force ": ["eastus", "westus"],
        "meridian health force eastus ": ["auto", "down", "up"],
        "meridian registry update contoso --regional-endpoints e": ["enabled"],
        "meridian registry list -o j": ["json", "jsonc"],
        "meridian registry update contoso --regional": ["--regional-endpoints"],
        "meridian token credential ": ["delete", "generate"],
        "meridian completion ": ["bash", "fish", "zsh"],
        "meridian help tok": ["token"],
        "meridian private-": ["private-endpoint", "private-endpoint-connection"],
        "meridian private-endpoint ": ["create", "delete", "export-zone", "list", "show"],
        "meridian private-endpoint create pe --view ": ["corp", "lab"],
        "meridian private-endpoint create pe --view corp --pool c": ["corp-pool"],
        "meridian private-endpoint create pe --answered-by b": ["balancer"],
        "meridian private-endpoint-connection approve pe -r f": ["fabrikam"],
        "meridian nothing ": [],
    }

    def test_candidates(self):
        for line, wanted in self.WANTED.items():
            with self.subTest(line=line):
                self.assertEqual(self.offered(line), wanted)

    def test_in_bash(self):
        for line, wanted in self.WANTED.items():
            with self.subTest(line=line):
                self.assertEqual(self.in_bash(line), wanted)
        self.assertIn("topology.yaml", self.in_bash("meridian registry list --topology top"))
        self.assertEqual(self.in_bash("meridian registry list --topology " + self.topology + " -o ts"), ["tsv"])

    def test_a_value_after_an_equals_sign(self):
        self.assertEqual(self.offered("meridian registry list --output = y"), ["yaml"])  # as bash cuts it
        self.assertEqual(self.offered("meridian registry list --output ="), ["json", "jsonc", "table", "tsv", "yaml"])

    def test_every_command_and_option_is_offered(self):
        import json
        doc = json.loads(subprocess.run([MERIDIAN, "help", "-o", "json"], capture_output=True, text=True, env=self.env).stdout)
        for c in doc["commands"]:
            *above, last = c["command"].split()
            self.assertIn(last, self.offered(" ".join(["meridian", *above, last])))
        for c in doc["commands"][::7]:
            if not c["group"]:
                self.assertEqual(self.offered(f"meridian {c['command']} --"), sorted(f"--{o['name']}" for o in c["options"]))

    def test_without_a_topology_nothing_is_said(self):
        self.env["MERIDIAN_TOPOLOGY"] = "/nonexistent"
        self.assertEqual(self.offered("meridian registry show "), [])

    def test_scripts_can_be_read(self):
        for shell, check in {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}.items():
            script = os.path.join(self.dir, shell)
            with open(script, "w") as f:
                subprocess.run([MERIDIAN, "completion", shell], stdout=f, check=True, env=self.env)
            if shutil.which(shell):
                r = subprocess.run([*check, script], capture_output=True, text=True, env=self.env)
                self.assertEqual((r.returncode, r.stderr), (0, ""), shell)


if __name__ == "__main__":
    unittest.main(verbosity=1)
