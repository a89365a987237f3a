# SPDX-License-Identifier: Apache-2.0
"""Walks the table of commands, as `meridian help -o json` prints it: at every command help with its own options and two
examples that it takes, and an unknown word, an unknown option and a bad number refused with exit status 2."""
import json, os, re, shlex, subprocess, sys, tempfile, unittest
from concurrent.futures import ThreadPoolExecutor

MERIDIAN = os.path.abspath(sys.argv.pop(1))
# What every command takes, and what some share: help shows them below a command's own options.
ALWAYS = {"output", "query", "help"}


def run(*words):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MERIDIAN_")}
    env.update(MERIDIAN_TOPOLOGY="/nonexistent/topology.yaml", MERIDIAN_ADMIN="/nonexistent/admin.sock", HOME="/nonexistent")
    r = subprocess.run([MERIDIAN, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env, timeout=60)
    return r.returncode, r.stdout, r.stderr


class Table(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        status, out, err = run("help", "-o", "json")
        assert status == 0, err
        cls.doc = json.loads(out)
        cls.commands = [c for c in cls.doc["commands"] if not c["group"]]
        cls.by_path = {c["command"]: c for c in cls.doc["commands"]}

    def everywhere(self, calls):
        """[(command, words)]: the outcome of each, run side by side."""
        with ThreadPoolExecutor(4) as pool:
            outcomes = pool.map(lambda c: run(*c[0]["command"].split(), *c[1]), calls)
        return [(c["command"], words, *outcome) for (c, words), outcome in zip(calls, outcomes)]

    def assert_refused(self, calls, said):
        for command, words, status, out, err in self.everywhere(calls):
            with self.subTest(command=command, words=words):
                self.assertEqual(status, 2, out + err)
                self.assertEqual(out, "")
                self.assertIn(said, err)
                self.assertNotIn("://", err.replace("https://10.0.0.4:8444", ""))

    def test_there_are_commands(self):
        self.assertGreater(len(self.commands), 70)
        self.assertEqual(len(self.by_path), len(self.doc["commands"]), "two commands of one name")

    def test_an_extra_word_is_refused(self):
        self.assert_refused([(c, ["1"] * (c["maxWords"] + 1)) for c in self.commands if c["maxWords"] is not None], "word too many")

    def test_a_missing_word_is_refused(self):
        self.assert_refused([(c, ["1"] * (c["minWords"] - 1)) for c in self.commands if c["minWords"]], "a word is missing")

    def test_an_unknown_option_is_refused(self):
        self.assert_refused([(c, ["--no-such-option"]) for c in self.commands], "is not an option")
        self.assert_refused([(c, ["-Z"]) for c in self.commands], "is not an option")

    def test_a_bad_number_is_refused(self):
        calls = []
        for c in self.commands:
            for o in c["options"]:
                if o.get("value") in ("N", "PORT", "SECONDS"):
                    self.assertEqual(o["kind"], "number", f"{c['command']} --{o['name']}")
                if o["kind"] == "number":
                    calls += [(c, [f"--{o['name']}", bad]) for bad in ("abc", "12x", "", "99999999999999999999")]
        self.assertGreater(len(calls), 30)
        self.assert_refused(calls, "it is a number from")

    def test_a_word_that_is_no_choice_is_refused(self):
        calls = [(c, [f"--{o['name']}", "no-such-word"]) for c in self.commands for o in c["options"]
                 if o.get("choices") and not o.get("bare")]
        self.assert_refused(calls, "it is one of")

    def test_help_shows_what_a_command_takes_and_nothing_else(self):
        for command, _, status, out, err in self.everywhere([(c, ["--help"]) for c in self.commands]):
            with self.subTest(command=command):
                c = self.by_path[command]
                self.assertEqual((status, err), (0, ""))
                self.assertTrue(out.startswith(f"usage: meridian {command}"))
                shown = {w[2:] for line in out.split("\nExamples:")[0].splitlines() if line.startswith("  ")
                         for w in line.split()[:2] if w.startswith("--")}
                self.assertEqual(shown, {o["name"] for o in c["options"]})
                for example in c["examples"]:
                    self.assertIn(example, out)

    def test_two_examples_that_the_command_takes(self):
        for c in self.commands:
            with self.subTest(command=c["command"]):
                self.assertEqual(len(c["examples"]), 2)
                for example in c["examples"]:
                    self.takes(c, example)

    def takes(self, c, example):
        words = shlex.split(example.split("> ")[0].replace("source <(", "").replace(")", "")) if "completion" in example else shlex.split(example)
        path = c["command"].split()
        self.assertEqual(words[:1 + len(path)], ["meridian", *path])
        names = {f"--{o['name']}": o for o in c["options"]} | {f"-{o['letter']}": o for o in c["options"] if "letter" in o}
        n, rest = 0, words[1 + len(path):]
        while rest:
            word = rest.pop(0)
            if not word.startswith("-") or word == "-":
                n += 1
                continue
            self.assertIn(word, names, example)
            if word == "--query":
                status, _, err = run("version", "--query", rest[0])
                self.assertEqual(status, 0, f"{example}: {err}")
            o = names[word]
            if o["kind"] != "flag" and not (o.get("bare") and (not rest or rest[0] not in o["choices"].split("|"))):
                rest.pop(0)
        self.assertGreaterEqual(n, c["minWords"], example)
        self.assertLessEqual(n, 99 if c["maxWords"] is None else c["maxWords"], example)

    def test_options_stand_before_or_after(self):
        for words in (["-o", "tsv", "version"], ["version", "-o", "tsv"], ["version", "-otsv"], ["version", "--output=tsv"]):
            status, out, _ = run(*words)
            self.assertEqual((status, len(out.splitlines()), out.startswith("meridian")), (0, 1, False), words)
        status, _, err = run("--registry", "contoso", "replication", "list")
        self.assertEqual(status, 1, err)  # taken: the topology is what is missing
        self.assertIn("/nonexistent/topology.yaml", err)
        status, _, err = run("replication", "-r", "contoso", "list")
        self.assertEqual(status, 1, err)
        self.assertEqual(run("--no-such", "registry", "list")[0], 2)

    def test_what_takes_something_away_asks(self):
        away = [c for c in self.commands if c["takesAway"]]
        self.assertGreater(len(away), 8)
        self.assertLessEqual({"stamp drain", "registry delete", "replication delete", "name release", "region remove", "operation cancel"},
                             {c["command"] for c in away})
        for command, _, status, out, err in self.everywhere([(c, ["x"] * c["minWords"]) for c in away]):
            with self.subTest(command=command):
                self.assertEqual((status, out), (2, ""), err)
                self.assertIn("--yes", err)

    def test_cures_name_commands_that_are_there(self):
        """Those of `explain pull`: what mends a pull is typed as it stands there."""
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../cli/pull_judge.c")) as f:
            text = re.sub(r'"\s*\n\s*"', "", f.read())
        named = re.findall(r"`meridian ([^`]*)`", text)
        self.assertGreater(len(named), 15)
        for words in map(str.split, named):
            path = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in self.by_path), None)
            with self.subTest(words=words):
                self.assertTrue(path and not self.by_path[path]["group"])
                options = {f"--{o['name']}" for o in self.by_path[path]["options"]} | {f"-{o.get('letter')}" for o in self.by_path[path]["options"]}
                self.assertEqual([w for w in words if w.startswith("-") and w not in options], [])

    def test_every_level_names_the_nearest(self):
        for c in self.doc["commands"]:
            *above, last = c["command"].split()
            status, _, err = run(*above, last + "x")
            with self.subTest(command=c["command"]):
                if above and not self.by_path[" ".join(above)]["group"]:
                    continue
                self.assertEqual(status, 2, err)
                self.assertIn("did you mean", err)

    def test_exit_statuses_are_one_table(self):
        statuses = [row["status"] for row in self.doc["exitStatus"]]
        self.assertEqual(statuses, list(range(len(statuses))))
        self.assertIn(", 10 would change", run("--help")[1])

    def test_the_manual_page_has_all_of_it(self):
        status, page, err = run("--manual")
        self.assertEqual((status, err), (0, ""))
        plain = page.replace("\\-", "-")
        for c in self.commands:
            self.assertIn(f'.It Cm "{c["command"]}"', plain)
            for o in c["options"]:
                self.assertIn(f"--{o['name']}", plain.replace("Fl -", "--"))
        self.assertEqual([int(line.split()[1]) for line in page.split(".Sh EXIT STATUS")[1].splitlines() if line.startswith(".It ")],
                         [row["status"] for row in self.doc["exitStatus"]])
        for i, line in enumerate(page.splitlines()):
            self.assertFalse(line.startswith("'"), f"line {i + 1}: {line}")


class Formats(unittest.TestCase):
    DOC = """version: 3
domain: example.io
regions:
  - { name: eastus, peer: "192.0.2.1:8443", stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }
  - { name: westus, peer: "192.0.2.2:8443", stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }
name_servers: [eus-1.eastus]
registries:
  - { name: contoso, replicas: [{ region: eastus }, { region: westus }] }
  - { name: fabrikam, replicas: [{ region: westus }] }
"""

    def setUp(self):
        self.path = self.enterContext(tempfile.NamedTemporaryFile("w", suffix=".yaml"))
        self.path.write(self.DOC)
        self.path.flush()

    def cli(self, *words, status=0):
        code, out, err = run(*words, "--topology", self.path.name)
        self.assertEqual(code, status, out + err)
        return out if status == 0 else err

    def test_every_format(self):
        shown = ["registry", "list"]
        rows = json.loads(self.cli(*shown, "-o", "json"))
        self.assertEqual([r["name"] for r in rows], ["contoso", "fabrikam"])
        self.assertEqual(json.loads(self.cli(*shown, "-o", "jsonc")), rows)  # no colours where there is no terminal
        self.assertEqual(self.cli(*shown, "-o", "yaml", "--query", "[].{name: name, count: length(replicas || `[]`), more: [{a: 'true', b: 'x: y'}]}"),
                         "".join(f"- name: {n}\n  count: 0\n  more:\n  - a: \"true\"\n    b: \"x: y\"\n" for n in ("contoso", "fabrikam")))
        tsv = self.cli(*shown, "-o", "tsv").splitlines()
        self.assertEqual([line.split("\t")[0] for line in tsv], ["contoso", "fabrikam"])
        self.assertIn("-o xml", self.cli(*shown, "-o", "xml", status=2).replace("--output", "-o"))

    def test_queries(self):
        shown = ["registry", "list", "-o", "tsv", "--query"]
        self.assertEqual(self.cli(*shown, "[0].name"), "contoso\n")
        self.assertEqual(self.cli(*shown, "[].name"), "contoso\nfabrikam\n")
        self.assertEqual(self.cli(*shown, "[?name=='fabrikam'] | [0].loginServer"), "fabrikam.example.io\n")
        self.assertEqual(self.cli(*shown, "[].[name, loginServer]"), "contoso\tcontoso.example.io\nfabrikam\tfabrikam.example.io\n")
        table = self.cli("registry", "list", "-o", "table", "--query", "[].{Registry: name, Host: loginServer}").splitlines()
        self.assertEqual([line.split() for line in table[:2]], [["REGISTRY", "HOST"], ["contoso", "contoso.example.io"]])
        self.assertIn("at character", self.cli("registry", "list", "--query", "[0", status=2))

    def test_what_is_done_is_told_in_every_format(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        done = json.loads(self.cli("init", "--out", folder, "-o", "json"))
        self.assertLess({"writes", "made"}, {row["action"] for row in done})
        self.assertEqual(done[-1], {"action": "made", "directory": folder, "regions": 2, "newIdentities": done[-1]["newIdentities"]})
        made = json.loads(self.cli("dns", "keys", "generate", "--dir", folder, "-o", "json"))
        self.assertEqual((len(made), list(made[0])), (4, ["id"]))
        self.assertEqual(self.cli("config", "check", self.path.name, "-o", "tsv", "--query", "[].version"), "3\n")
        self.assertEqual(json.loads(self.cli("topology", "pin", "-o", "json"))["file"], self.path.name)
        with open(os.path.join(folder, "pw"), "w") as f:
            f.write("a long password")
        principals = os.path.join(folder, "principals.yaml")
        said = json.loads(self.cli("user", "create", "ada", "--password-file", f.name, "--principals", principals, "-o", "json"))
        self.assertEqual((said["file"], said["version"]), (principals, 2))

    def test_a_watch_shows_what_changes(self):
        p = subprocess.Popen([MERIDIAN, "certs", "show", "--watch", "--interval", "1", "--admin", "/nonexistent/x"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = p.communicate(timeout=20)
        self.assertEqual((p.returncode, out), (4, ""), err)  # nobody there at the first look


if __name__ == "__main__":
    unittest.main(verbosity=1)
