# SPDX-License-Identifier: Apache-2.0
"""`meridian apply`, `topology export|history|rollback`, `topology check` of what a document undoes: what is sent to the node, what is
shown, exit statuses; against an admin socket that answers as it is told."""
import json, os, pathlib, unittest

import node_socket

FRAME = """version: 41
domain: example.io
name_servers: [eus-1.eastus]
regions:
  - { name: eastus, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }
"""
CONTOSO = "  - { name: contoso, incarnation: 3, replicas: [{ region: eastus }] }\n"
FABRIKAM = "  - { name: fabrikam, replicas: [{ region: eastus }] }\n"
WHAT_IF = {"object": "topology", "from": 41, "to": 42, "changes": [], "dns": [], "certificates": [], "members": [], "notes": [], "exit": 10}
ANSWER = {"rows": [{"row": "registry/contoso", "before": "name: contoso\nanonymous_pull: false\n",
                    "after": "name: contoso\nanonymous_pull: true\n"}], "nRows": 1,
          "kept": [{"row": "registry/fabrikam", "member": "replicas/eastus/drained", "inForce": "true", "file": "false",
                    "by": "operator:ada"}], "nKept": 1, "removed": [], "nRemoved": 0, "commentsLost": False}


class Apply(node_socket.Case):
    def node(self, text, *posts):
        self.answers["GET /v1/topology"] = (200, text.encode())
        self.answers["POST /v1/requests"] = list(posts)
        self.answers[f"GET /v1/operations/{node_socket.ID}"] = (200, node_socket.operation("Succeeded", to=42, later=["westeurope"]))

    def file(self, text, name="t.yaml"):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def test_what_differs_is_sent_and_nothing_else(self):
        self.node(FRAME + "registries:\n" + CONTOSO + FABRIKAM, (200, {"whatIf": WHAT_IF, "answer": ANSWER}),
                  (202, {"operation": node_socket.operation("Updating"), "answer": ANSWER}))
        # the order of rows, comments, the version and an incarnation that is not said are no difference
        path = self.file("# ours\n" + FRAME.replace("41", "7") + "registries:\n" + FABRIKAM
                         + "  - { name: contoso, anonymous_pull: true, replicas: [{ region: eastus }] }\n")
        out = self.cli("apply", path)
        first, second = self.requests()
        self.assertEqual((first["verb"], first["object"], first["whatIf"], second["whatIf"]), ("topology apply", "", True, False))
        self.assertEqual(first["arguments"], second["arguments"])
        args = first["arguments"]
        self.assertEqual({k: v for k, v in args.items() if k != "change"}, {"from": 41, "whole": True})
        self.assertIn("contoso", args["change"])
        self.assertNotIn("fabrikam", args["change"])
        self.assertIn("registry/contoso changed", out)
        self.assertIn("kept: registry/fabrikam replicas/eastus/drained: true, by a command; the file says false (the row was changed last by operator:ada)", out)
        self.assertIn("version 42 is in force; later, when they are back: westeurope", out)

    def test_a_dry_run_shows_a_difference_and_sends_no_change(self):
        self.node(FRAME + "registries:\n" + CONTOSO, (200, {"whatIf": WHAT_IF, "answer": ANSWER}))
        path = self.file(FRAME + "ttl: { global: 31s }\nregistries:\n" + CONTOSO)
        out = self.cli("apply", path, "--dry-run", status=10)
        self.assertIn("--- registry/contoso (in force)\n+++ registry/contoso (as it would be)\n name: contoso\n"
                      "-anonymous_pull: false\n+anonymous_pull: true\n", out)
        self.assertEqual([q["whatIf"] for q in self.requests()], [True])
        # a section differs: the whole frame goes, with its comments
        self.assertIn("global: 31s", self.requests()[0]["arguments"]["frame"])
        doc = json.loads(self.cli("apply", path, "--what-if", "-o", "json", status=10))
        self.assertEqual(doc["answers"][0]["nKept"], 1)

    def test_an_operation_that_stands_in_its_way(self):
        held = WHAT_IF | {"exit": 1, "error": {"code": "OperationInProgress", "message": "operation 0a (stamp drain of x) is under way",
                                               "operation": "0a"}}
        self.node(FRAME + "registries:\n" + CONTOSO, (200, {"whatIf": held, "answer": ANSWER}))
        path = self.file(FRAME + "registries:\n" + CONTOSO + FABRIKAM)
        out = self.cli("apply", path, "--dry-run", status=1)
        self.assertIn("refused: operation 0a (stamp drain of x) is under way\nafter that:\ndns: no change", out)
        self.assertIn("+anonymous_pull: true\n", out)
        for words in (["apply", path], ["topology", "rollback", "40"]):
            self.seen.clear()
            self.node(FRAME + "registries:\n" + CONTOSO, (200, {"whatIf": held, "answer": ANSWER}))
            out = self.cli(*words, status=11)
            self.assertIn("operation 0a", out + self.err)
            self.assertEqual([q["whatIf"] for q in self.requests()], [True])

    def test_nothing_to_do(self):
        text = FRAME + "registries:\n" + CONTOSO
        nothing = {"code": "NothingToDo", "message": "x", "whatIf": WHAT_IF | {"exit": 0}, "answer": ANSWER | {"rows": [], "nRows": 0}}
        self.node(text, (200, nothing))
        path = self.file(text)
        self.cli("apply", path, "--dry-run")
        out = self.cli("apply", path)
        self.assertIn("nothing to do: version 41 is in force", out)
        self.assertIn("kept: registry/fabrikam", out)

    def test_a_refusal_is_not_nothing_to_do(self):
        self.node(FRAME + "registries:\n" + CONTOSO, (200, {"whatIf": WHAT_IF, "answer": ANSWER}), node_socket.error(503, "NoMajority", "nobody is heard"))
        out = self.cli("apply", self.file(FRAME + "ttl: { global: 31s }\nregistries:\n" + CONTOSO), status=4)
        self.assertIn("nobody is heard", self.err)
        self.assertEqual(out, "")

    def test_what_goes_is_asked_first(self):
        gone = ANSWER | {"removed": ["fabrikam"], "nRemoved": 1}
        self.node(FRAME + "registries:\n" + CONTOSO + FABRIKAM, (200, {"whatIf": WHAT_IF, "answer": gone}),
                  (202, {"operation": node_socket.operation("Updating"), "answer": gone}))
        path = self.file(FRAME + "registries:\n" + CONTOSO)
        self.cli("apply", path, status=2)
        self.assertIn("1 registry goes: fabrikam.", self.err)
        self.assertEqual(len(self.requests()), 1)
        self.seen.clear()
        self.node(FRAME + "registries:\n" + CONTOSO + FABRIKAM, (200, {"whatIf": WHAT_IF, "answer": gone}),
                  (202, {"operation": node_socket.operation("Updating"), "answer": gone, "notes": ["it goes at once"]}))
        self.assertIn("note: it goes at once\n", self.cli("apply", path, "--yes", "--if-version", "41"))
        self.assertEqual([q["ifVersion"] for q in self.requests()], [41, 41])
        self.assertIn("- fabrikam", self.requests()[1]["arguments"]["change"])

    def test_conflicts_are_refused_unless_somebody_wins(self):
        self.node(FRAME + "registries:\n" + CONTOSO, node_socket.error(409, "Refused", "1 conflict: say whose word holds"))
        path = self.file(FRAME + "registries:\n" + CONTOSO + FABRIKAM)
        self.cli("apply", path, "--dry-run", status=1)
        self.assertIn("1 conflict", self.err)
        self.cli("apply", path, "--force-conflicts", "FILE", status=1)
        self.assertEqual(self.requests()[-1]["arguments"]["force"], "file")
        self.cli("apply", path, "--force-conflicts", "mine", status=2)

    def test_many_rows_go_in_parts(self):
        replicas = "replicas: [{ region: eastus }], public_access: [" + ", ".join(f"10.{i}.0.0/16" for i in range(200)) + "]"
        rows = "".join(f"  - {{ name: reg{i:05}, {replicas} }}\n" for i in range(3000))
        preview, done = (200, {"whatIf": WHAT_IF, "answer": ANSWER}), (202, {"operation": node_socket.operation("Updating"), "answer": ANSWER})
        nothing = (200, {"code": "NothingToDo", "message": "x", "answer": ANSWER})
        self.node(FRAME + "registries:\n" + CONTOSO, preview, preview, done, done, nothing)
        path = self.file(FRAME + "registries:\n" + CONTOSO + rows)
        posts, seen = self.answers["POST /v1/requests"], self.seen

        class Later(list):
            """What is in force after two parts is the document."""
            def pop(self, _):
                return self[0] if sum(1 for q in seen if q[0] == "POST") < 4 else self[1]
        self.answers["GET /v1/topology"] = Later([self.answers["GET /v1/topology"], (200, pathlib.Path(path).read_bytes())])
        self.cli("apply", path)
        self.assertIn("they go in 2 parts", self.err)
        asked = [q["arguments"] for q in self.requests()]
        self.assertEqual([q["whole"] for q in asked], [False, False, False, False, True])
        self.assertEqual(asked[0]["change"].count("- name: ") + asked[1]["change"].count("- name: "), 3000)
        self.assertNotIn("change", asked[4])
        self.assertEqual(len(posts), 1)

    def test_what_cannot_be_used_is_said(self):
        self.node(FRAME + "registries:\n" + CONTOSO)
        self.cli("apply", self.file("version: 1\ndomain: 7\n"), status=1)
        self.assertIn("cannot be used", self.err)
        self.assertEqual(self.seen, [])
        self.cli("apply", self.file("{version: 41, domain: example.io, name_servers: [eus-1.eastus], regions: [{ name: eastus, stamps: "
                                    "[{ name: eus-1, ipv4: [192.0.2.1] }] }], registries: []}\n"), status=1)
        self.assertIn("block style", self.err)

    def test_export(self):
        text = FRAME + "registries:\n" + CONTOSO
        self.node(text)
        marked = "# exported at version 41\n" + text
        self.assertEqual(self.cli("topology", "export"), marked)
        self.node("# exported at version 7\n" + text)  # came into force with a document that was applied
        self.assertEqual(self.cli("topology", "export"), marked)
        out = os.path.join(self.dir, "out.yaml")
        self.answers["GET /v1/topology"] = (200, b"old")
        self.cli("topology", "export", "--version", "40", "--out", out)
        self.assertEqual(self.seen[-1][1], "/v1/topology?version=40")
        self.assertEqual(pathlib.Path(out).read_text(), "old")
        # a file with the changes beside it
        path = self.file(text)
        self.file("version: 42\nremove: [contoso]\nregistries:\n" + FABRIKAM + "...\n", "t.yaml.changes")
        exported = self.cli("topology", "export", path)
        self.assertIn("version: 42\n", exported)
        self.assertIn("name: fabrikam", exported)
        self.assertNotIn("contoso", exported)
        self.cli("topology", "export", path, "--version", "40", status=2)

    def test_history(self):
        self.answers["GET /v1/topology/history"] = (200, {"history": [{"version": 42, "time": "2026-11-30T03:00:00Z", "by": "operator:ada",
                                                                       "what": "registry update contoso"}]})
        out = self.cli("topology", "history", "--last", "3")
        self.assertEqual(self.seen[-1][1], "/v1/topology/history?n=3")
        self.assertIn("operator:ada", out)
        self.assertEqual(self.cli("topology", "history", "--query", "[0].version", "-o", "tsv").strip(), "42")

    def test_rollback(self):
        back = {"kept": [{"row": "section/identities", "why": "keys never go back"}], "nKept": 1, "removed": ["tailspin"], "nRemoved": 1}
        preview = (200, {"whatIf": WHAT_IF, "answer": back})
        self.node("", preview, (202, {"operation": node_socket.operation("Updating"), "answer": back}))
        out = self.cli("topology", "rollback", "40", "--what-if", status=10)
        self.assertIn("kept: section/identities: keys never go back", out)
        self.node("", preview, (202, {"operation": node_socket.operation("Updating"), "answer": back}))
        self.cli("topology", "rollback", "40", status=2)
        self.assertIn("1 registry goes: tailspin.", self.err)
        self.seen.clear()
        self.node("", preview, (202, {"operation": node_socket.operation("Updating"), "answer": back}))
        out = self.cli("topology", "rollback", "40", "--yes")
        # what is done follows the version that was looked at
        self.assertEqual([q.get("ifVersion") for q in self.requests()], [None, 41])
        self.assertEqual(self.requests()[1]["arguments"], {"version": 40})
        self.assertIn("version 42 is in force", out)
        self.cli("topology", "rollback", "yesterday", status=2)

    def test_check_finds_what_a_document_undoes(self):
        path = self.file(FRAME.replace("41", "50") + "registries:\n" + CONTOSO)
        self.file("version: 42\nregistries:\n  - { name: contoso, anonymous_pull: true, replicas: [{ region: eastus }] }\n...\n",
                  "t.yaml.changes")
        self.cli("topology", "check", path, status=1)
        self.assertIn("registry contoso: version 42 made anonymous_pull true; the document, version 50, has false", self.err)
        self.cli("topology", "check", path, "--undo")


if __name__ == "__main__":
    unittest.main()
