# SPDX-License-Identifier: Apache-2.0
"""meridian as a program: help on every level, exit codes, and what it does without a region in reach."""
import base64, json, os, re, subprocess, sys, tempfile, tomllib, unittest

MERIDIAN = os.path.abspath(sys.argv.pop(1))
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TOPOLOGY = os.path.join(SOURCE, "examples", "three-regions", "topology.yaml")
GROUPS = {"registry": ["list", "show"], "repository": ["list", "show", "delete", "lock", "retention"],
          "tag": ["list", "delete", "history", "restore", "lock"], "manifest": ["list", "delete", "lock"], "replication": ["list", "status", "wait", "feed", "revoked"], "certs": ["show", "renew"],
          "user": ["list", "add", "passwd", "grant", "revoke", "remove", "import"],
          "token": ["list", "show", "create", "update", "delete", "revoke"], "token credential": ["generate", "delete"], "token refresh": ["list"],
          "scope-map": ["list", "show", "create", "update", "delete"], "config": ["check"], "client-config": ["containerd", "podman", "cri-o", "docker", "kubelet", "credentials"], "dns": ["explain", "export"],
          "health": ["show", "force"], "drill": ["start", "stop", "show", "report", "list"], "identities": ["list", "show", "retire"], "topology": ["check", "show", "compile", "diff", "change", "pin"]}
SINGLES = ["show-endpoints", "import", "usage", "collect", "login", "check-health", "init", "status"]


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.dir = self.enterContext(tempfile.TemporaryDirectory())

    def run_cli(self, *words, input=None, status=0, stderr=False):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MERIDIAN_")}
        env.update(MERIDIAN_TOPOLOGY=TOPOLOGY, HOME=self.dir)
        r = subprocess.run([MERIDIAN, *words], capture_output=True, text=True, input=input, env=env, timeout=30)
        self.assertEqual(r.returncode, status, f"{words}\n{r.stdout}{r.stderr}")
        return r.stdout + r.stderr if status or stderr else r.stdout

    def test_help_on_every_level(self):
        top = self.run_cli("--help")
        for word in [*GROUPS, *SINGLES]:
            self.assertIn(word.split()[0], top)
        for noun, verbs in GROUPS.items():
            noun = noun.split()
            text = self.run_cli(*noun, "--help")
            for verb in verbs:
                self.assertIn(verb, text)
                self.assertIn("usage: meridian", self.run_cli(*noun, verb, "--help"))
        for noun in SINGLES:
            self.assertIn("usage: meridian " + noun, self.run_cli(noun, "--help"))

    def test_usage_errors_name_the_nearest(self):
        self.assertIn("replication", self.run_cli("replicaton", status=2))
        self.assertIn("status", self.run_cli("replication", "staus", status=2))
        self.assertIn("--endpoint", self.run_cli("login", "--endpont", "x", status=2))
        self.assertIn("contoso", self.run_cli("show-endpoints", "-n", "contosso", status=1))
        self.run_cli(status=2)
        self.run_cli("show-endpoints", status=2)
        self.run_cli("show-endpoints", "-n", "contoso", "-o", "xml", status=2)
        self.run_cli("login", "-n", "contoso", "--all", "--endpoint", "eastus", status=2)
        self.run_cli("replication", "wait", "contoso", status=2)
        self.run_cli("dns", "explain", status=2)

    def test_topology(self):
        path, other = os.path.join(self.dir, "t.yaml"), os.path.join(self.dir, "t.compiled")
        with open(TOPOLOGY) as f, open(path, "w") as g:
            g.write(f.read())
        version = json.loads(self.run_cli("topology", "show", path, "-o", "json"))["version"]
        self.assertIn("good: version %d" % version, self.run_cli("topology", "check", path))
        self.assertIn("2 registries", self.run_cli("topology", "compile", path, other))
        self.assertEqual(self.run_cli("topology", "diff", path, other), "version %d -> %d\n" % (version, version))
        change = "remove: [fabrikam]\nregistries:\n  - { name: woodgrove, replicas: [{ region: eastus }] }\n"
        self.assertIn("version %d" % (version + 1), self.run_cli("topology", "change", "--topology", path, "-", input=change))
        self.assertIn("there is no registry fabrikam",
                      self.run_cli("topology", "change", "--topology", path, "-", input="remove: [fabrikam]\n", status=1))
        doc = json.loads(self.run_cli("topology", "show", path, "-o", "json"))
        self.assertEqual((doc["version"], doc["changes"], doc["registries"], doc["form"]), (version + 1, 1, 2, "document"))
        self.assertEqual(self.run_cli("topology", "diff", other, path, status=1).splitlines(),
                         ["version %d -> %d" % (version, version + 1), "- registry fabrikam", "+ registry woodgrove"])
        self.assertIn("woodgrove", self.run_cli("registry", "list", "--topology", path))
        self.run_cli("topology", "compile", path, other)  # with what has changed
        self.assertIn("woodgrove", self.run_cli("registry", "list", "--topology", other))
        with open(path + ".changes", "a") as f:
            f.write("version: 99\n...\n")
        self.assertIn("version 99 does not follow", self.run_cli("topology", "check", path, status=1))
        with open(other, "r+b") as f:
            f.seek(-3, 2)
            f.write(b"x")
        self.assertIn("does not match its digest", self.run_cli("topology", "check", other, status=1))
        self.run_cli("topology", "compile", path, status=2)

    def test_incarnations_and_policies(self):
        old, new = os.path.join(self.dir, "old.yaml"), os.path.join(self.dir, "new.yaml")

        def write(path, version, rows):
            with open(path, "w") as f:
                f.write(f"version: {version}\ndomain: example.io\nregions: [{{ name: eastus, stamps: [{{ name: s-1, ipv4: [192.0.2.1] }}] }}]\n"
                        "name_servers: [s-1.eastus]\nregistries:\n")
                f.writelines(f"  - {{ name: {name}, replicas: [{{ region: eastus }}]{more} }}\n" for name, more in rows)
        write(old, 5, [("contoso", ""), ("fabrikam", ", quota: 1GiB"), ("tailspin", ", incarnation: 3")])
        write(new, 6, [("contoso", ", quota: 1TiB, push_move: regional, repositories: [{ match: '*', immutable: v*, retention: { untagged: 7d } }]"),
                       ("fabrikam", ", quota: 1GiB"), ("tailspin", ", incarnation: 6"), ("woodgrove", "")])
        self.assertEqual(self.run_cli("topology", "diff", old, new, status=1).splitlines()[2:],
                         ["~ registry contoso: quota, where pushes move, rules of repositories", "~ registry tailspin: another registry of that name",
                          "+ registry woodgrove"])
        said = self.run_cli("topology", "check", new, "--after", old, stderr=True)
        self.assertIn("registry woodgrove is new. If there may have been another of its name before, give it `incarnation: 6`", said)
        self.assertNotIn("registry contoso is", said)
        write(new, 6, [("contoso", ""), ("fabrikam", ", quota: 1GiB"), ("tailspin", "")])
        self.assertIn("new.yaml:8: registry tailspin: its incarnation is 3, not 0", self.run_cli("topology", "check", new, "--after", old, status=1))
        change = "registries:\n  - { name: woodgrove, quota: 3KiB, replicas: [{ region: eastus }] }\n"
        self.run_cli("topology", "change", "--topology", old, "-", input=change)
        doc = json.loads(self.run_cli("registry", "show", "-n", "woodgrove", "--topology", old, "-o", "json"))
        self.assertEqual((doc["incarnation"], doc["quota"], doc["pushMove"], doc["copyAhead"], doc["repositories"]), (6, 3072, "none", "enabled", []))
        write(new, 7, [("contoso", ", repositories: [{ match: 'a/*', sparse: allowed, retention: { keep_last: 3, tags: [b*, c] } }]")])
        doc = json.loads(self.run_cli("registry", "show", "-n", "contoso", "--topology", new, "-o", "json"))
        self.assertNotIn("incarnation", doc)
        self.assertEqual(doc["repositories"], [{"match": "a/*", "quota": None, "sparse": "allowed", "immutable": [],
                                                "retention": {"keepLast": 3, "tags": ["b*", "c"]}}])

    def test_what_else_differs_between_topologies(self):
        def write(name, version, ip="192.0.2.1", registry="contoso", flow=False):
            path = os.path.join(self.dir, name)
            text = (f"version: {version}\ndomain: example.io\nregions: [{{ name: eastus, stamps: [{{ name: eus-1, ipv4: [{ip}] }}] }}]\n"
                    f"name_servers: [eus-1.eastus]\nregistries: [{{ name: {registry}, replicas: [{{ region: eastus }}] }}]\n")
            with open(path, "w") as f:
                f.write("{" + ", ".join(text.splitlines()) + "}\n" if flow else text)
            return path

        rest = "~ other than registries: the documents differ\n"
        old = write("old", 1)
        self.assertNotIn(rest, self.run_cli("topology", "diff", old, write("new", 2)))
        changed = self.run_cli("topology", "diff", old, write("new", 2, registry="fabrikam"), status=1)
        self.assertTrue(changed.endswith("- registry contoso\n+ registry fabrikam\n"))
        self.assertNotIn(rest, changed)
        self.assertIn(rest, self.run_cli("topology", "diff", old, write("new", 2, ip="192.0.2.2"), status=1))
        flow = write("flow", 1, flow=True)  # its registries are on no lines of their own
        self.assertNotIn(rest, self.run_cli("topology", "diff", flow, flow))
        self.assertIn(rest, self.run_cli("topology", "diff", flow, write("new", 2, flow=True), status=1))

    def test_show_endpoints(self):
        doc = json.loads(self.run_cli("show-endpoints", "-n", "contoso", "-o", "json"))
        self.assertEqual(doc["loginServer"], "contoso.meridian.test")
        self.assertIn({"region": "eastus", "endpoint": "contoso.eastus.geo.meridian.test"}, doc["regionalEndpoints"])
        self.assertIn({"region": "eastus", "endpoint": "contoso.eastus.data.meridian.test"}, doc["dataEndpoints"])
        table = self.run_cli("show-endpoints", "-n", "contoso").splitlines()
        self.assertEqual(table[0].split(), ["KIND", "REGION", "ENDPOINT", "ORDERS"])

    def test_lists(self):
        self.assertEqual([r["name"] for r in json.loads(self.run_cli("registry", "list", "-o", "json"))], ["contoso", "fabrikam"])
        self.assertEqual(len(json.loads(self.run_cli("replication", "list", "-r", "contoso", "-o", "json"))), 3)
        self.assertIn("westeurope", self.run_cli("registry", "show", "-n", "fabrikam"))

    def test_import_says_what_is_wrong_with_its_words(self):
        for words, said in ((("old.example",), "usage: meridian import HOST"), (("http://old.example", "contoso"), "sources speak https"),
                            (("old.example/Bad", "contoso"), "is not HOST"), (("old.example", "contoso", "--jobs", "0"), "from 1 to"),
                            (("old.example", "contoso", "--allow", "10.0.0.0/8,x"), "x is not a network"),
                            (("old.example", "contoso/Bad"), "REGISTRY/REPOSITORY")):
            self.assertIn(said, self.run_cli("import", *words, status=2))
        self.assertIn("contoso", self.run_cli("import", "old.example", "contosso", status=1))
        self.assertIn("--source-password-file", self.run_cli("import", "old.example", "contoso", "--source-username", "x", status=1))

    def test_client_config(self):
        common = ("-n", "contoso", "--region", "westeurope")
        files = {}
        for kind in ("containerd", "podman", "cri-o", "docker", "kubelet"):
            doc = json.loads(self.run_cli("client-config", kind, *common, "-o", "json", "--ca", TOPOLOGY))
            files.update({f["path"]: f["content"] for f in doc["files"]})
        name, order = "contoso.meridian.test", ["westeurope", "eastus", "southeastasia"]  # the client's first, then the operator's
        hosts = tomllib.loads(files[f"/etc/containerd/certs.d/{name}/hosts.toml"])
        self.assertEqual((hosts["server"], hosts["ca"]), (f"https://{name}", "ca.crt"))
        self.assertEqual(list(hosts["host"]), [f"https://contoso.{r}.geo.meridian.test" for r in order])
        self.assertEqual({tuple(h["capabilities"]) for h in hosts["host"].values()}, {("pull", "resolve")})
        row = tomllib.loads(files["/etc/containers/registries.conf.d/50-meridian-contoso.conf"])["registry"][0]
        self.assertEqual((row["prefix"], row["location"]), (name, name))
        self.assertEqual([m["location"] for m in row["mirror"]], [f"contoso.{r}.geo.meridian.test" for r in order])
        with open(TOPOLOGY) as f:
            ca = f.read()
        for place in ("containerd", "containers", "docker"):
            self.assertEqual(files[f"/etc/{place}/certs.d/{name}/ca.crt"], ca)
        self.assertEqual(list(json.loads(files["/etc/docker/daemon.json"])), ["max-download-attempts"])
        self.assertIn(f'- "{name}"\n      - "contoso.westeurope.geo.meridian.test"\n', files["/etc/kubernetes/credential-provider.yaml"])
        out = os.path.join(self.dir, "client")
        self.run_cli("client-config", "containerd", *common, "--out", out)
        self.assertEqual(os.listdir(f"{out}/etc/containerd/certs.d/{name}"), ["hosts.toml"])  # no authority of its own
        # settings of others are not lost
        for kind, path in (("docker", "etc/docker/daemon.json"), ("kubelet", "etc/kubernetes/credential-provider.yaml")):
            self.run_cli("client-config", kind, *common, "--out", out)
            self.run_cli("client-config", kind, *common, "--out", out)
            with open(f"{out}/{path}", "w") as f:
                f.write("of others\n")
            self.assertIn(f"{out}/{path}: is there", self.run_cli("client-config", kind, *common, "--out", out, status=1))
            with open(f"{out}/{path}") as f:
                self.assertEqual(f.read(), "of others\n")
        # where the client's region has no replica, and where regional endpoints are off
        said = self.run_cli("client-config", "podman", "-n", "fabrikam", "--region", "southeastasia", stderr=True)
        self.assertIn("has no replica in southeastasia", said)
        self.assertIn("`meridian login -n fabrikam --all`", said)
        self.assertLess(said.index("fabrikam.eastus.geo"), said.index("fabrikam.westeurope.geo"))
        path = os.path.join(self.dir, "t.yaml")
        with open(TOPOLOGY) as f, open(path, "w") as g:
            g.write(f.read().replace("name: fabrikam\n    regional_endpoints: enabled", "name: fabrikam"))
        said = self.run_cli("client-config", "containerd", "-n", "fabrikam", "--region", "eastus", "--topology", path, stderr=True)
        self.assertIn("regional endpoints are off", said)
        self.assertNotIn("[host.", said)
        self.run_cli("client-config", "containerd", "-n", "contoso", status=2)
        self.run_cli("client-config", "containerd", "--region", "eastus", status=2)
        self.run_cli("client-config", "containerd", "-n", "contoso", "--region", "mars", status=1)
        self.run_cli("client-config", "kubelet", *common, "--node-user", 'a"b', status=2)

    def test_kubelet_asks_for_credentials(self):
        password = os.path.join(self.dir, "password")
        with open(password, "w") as f:
            f.write("of the nodes\n")
        doc = json.loads(self.run_cli("client-config", "kubelet", "-n", "contoso", "--region", "eastus", "-o", "json", "--node-password-file",
                                      password))["files"][0]["content"]
        words = [a or b for a, b in re.findall(r'"([^"]*)"|([\w-]+)', re.search(r"args: \[(.*)\]", doc, re.S)[1])]
        version = "credentialprovider.kubelet.k8s.io/v1"
        ask = lambda image, kind="CredentialProviderRequest", v=version: json.dumps({"kind": kind, "apiVersion": v, "image": image})
        for host in ("contoso.meridian.test", "contoso.westeurope.geo.meridian.test"):
            got = json.loads(self.run_cli(*words, input=ask(f"{host}/team/app:1")))
            self.assertEqual((got["kind"], got["apiVersion"], got["cacheKeyType"]), ("CredentialProviderResponse", version, "Registry"))
            self.assertEqual(got["auth"], {host: {"username": "nodes", "password": "of the nodes"}})
        for image in ("other.example/team/app", "contoso.meridian.test.evil.example/app"):
            self.assertNotIn("of the nodes", self.run_cli(*words, input=ask(image), status=5))
        for bad in (ask("contoso.meridian.test/a", "Pod"), ask("contoso.meridian.test/a", v="v0"), ask("noslash"), "", "{"):
            self.run_cli(*words, input=bad, status=1)

    def test_users_of_an_htpasswd_file(self):
        path, mine = os.path.join(self.dir, "principals.yaml"), os.path.join(self.dir, "htpasswd")
        p = ("--principals", path)
        good = "$2y$05$abcdefghijklmnopqrstuuXFD9Q4dY9TzD7nLwq8mGgI2y7F2o5Wa"
        with open(mine, "w") as f:
            f.write(f"# of the old registry\nada:{good}\r\n\nbob:$apr1$salt$hashhash\nno colon\neve:{{SHA}}x\nada:{good[:-1]}b\ncara:{good}\n")
        self.run_cli("user", "import", *p, status=2)
        words = ("user", "import", "--htpasswd", mine, "--registry", "contoso", "--actions", "pull", *p)
        said = self.run_cli(*words, "--dry-run", status=1)
        self.assertIn("2 users would be taken over, 0 were there already, 4 lines refused", said)
        self.assertFalse(os.path.exists(path))
        said = self.run_cli(*words, status=1)
        self.assertIn(f"{mine}:4: bob: the hash is MD5, only bcrypt is taken over: give the user a new password", said)
        self.assertIn(f"{mine}:5: it is not of the form name:hash", said)
        self.assertIn(f"{mine}:6: eve: the hash is SHA-1 without salt", said)
        self.assertIn(f"{mine}:7: ada: the name stands in the file twice", said)
        self.assertNotIn(good, said)
        with open(path) as f:
            self.assertEqual(f.read().count(good), 2)  # as they were
        users = json.loads(self.run_cli("user", "list", "-o", "json", *p))
        self.assertEqual([(u["name"], u["enabled"], u["grants"][0]["actions"]) for u in users],
                         [("ada", True, "pull"), ("cara", True, "pull")])
        with open(mine, "w") as f:
            f.write(f"ada:{good}\ndan:{good}")
        self.assertIn("1 users taken over, 1 were there already, 0 lines refused (version 2)", self.run_cli(*words))
        with open(mine, "w") as f:
            f.write(f"ada:{good[:-1]}c\n")
        self.assertIn("another password, who stays as he is", self.run_cli(*words, status=1))
        with open(mine, "w") as f:
            f.write(f"robot:{good}\nfay:{good}\n")
        self.run_cli("token", "create", "robot", "-n", "contoso", "--scope-map", "_pull", "--repositories", "*", *p)
        self.assertIn(f"{mine}:1: robot: a named token has that name", self.run_cli(*words, status=1))
        self.assertIn("robot", self.run_cli("token", "list", *p))  # what else the file has stays

    def test_users(self):
        path = os.path.join(self.dir, "principals.yaml")
        p = ("--principals", path)
        self.run_cli("user", "add", "ada", "--registry", "contoso", "--repositories", "team/*,base", "--actions", "pull,push",
                     "--password-stdin", *p, input="correct horse\n")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path) as f:
            text = f.read()
        self.assertIn("$y$", text)
        self.assertNotIn("correct horse", text)
        listed = json.loads(self.run_cli("user", "list", "-o", "json", *p))
        self.assertEqual(listed[0]["name"], "ada")
        before = listed[0]["generation"]
        self.run_cli("user", "create", "ada", "--password-stdin", *p, input="correct horse\n", status=1)
        self.run_cli("user", "create", "bob", "--password-stdin", *p, input="short\n", status=1)
        self.assertIn("give --registry", self.run_cli("user", "add", "bob", "--password-stdin", *p, input="long enough\n", status=2))
        self.run_cli("user", "revoke", "ada", *p)
        self.assertEqual(json.loads(self.run_cli("user", "list", "-o", "json", *p))[0]["generation"], before + 1)
        self.run_cli("user", "grant", "ada", "--registry", "fabrikam", "--actions", "pull", *p)
        self.assertEqual(len(json.loads(self.run_cli("user", "list", "-o", "json", *p))[0]["grants"]), 2)
        self.assertIn("contoso", self.run_cli("user", "grant", "ada", "--registry", "contosso", *p, status=1))
        self.run_cli("user", "remove", "--yes", "nobody", *p, status=1)
        self.run_cli("user", "revoke", "ada", "--registry", "fabrikam", *p)
        self.assertEqual(len(json.loads(self.run_cli("user", "list", "-o", "json", *p))[0]["grants"]), 1)
        self.run_cli("user", "revoke", "ada", "--registry", "fabrikam", *p, status=1)
        if os.geteuid() == 0:  # root edits the daemon's file: it stays the daemon's
            os.chown(path, 65534, 65534)
            self.run_cli("user", "grant", "ada", "--registry", "fabrikam", *p)
            self.assertEqual((os.stat(path).st_uid, os.stat(path).st_gid), (65534, 65534))
        # what an option says would be done is not done, and a version that is not in force does nothing
        before = json.loads(self.run_cli("user", "list", "-o", "json", *p))
        self.assertIn("user ada is disabled", self.run_cli("user", "update", "ada", "--enabled", "false", "--what-if", *p, status=10))
        self.assertIn("is in force, not 99", self.run_cli("user", "revoke", "ada", "--if-version", "99", *p, status=11))
        self.assertEqual(json.loads(self.run_cli("user", "list", "-o", "json", *p)), before)
        self.assertIn("nothing to do", self.run_cli("user", "update", "ada", "--enabled", "true", *p))
        self.run_cli("user", "remove", "--yes", "ada", *p)
        self.assertEqual(json.loads(self.run_cli("user", "list", "-o", "json", *p)), [])

    def test_named_tokens_and_scope_maps(self):
        path = os.path.join(self.dir, "principals.yaml")
        p = ("--principals", path)

        def text():
            with open(path) as f:
                return f.read()

        def listed(*words):
            return json.loads(self.run_cli(*words, "-o", "json", *p))
        self.run_cli("user", "add", "ada", "--registry", "contoso", "--actions", "pull,push,delete", "--password-stdin", *p, input="correct horse\n")
        self.assertIn("--repositories and --actions", self.run_cli("scope-map", "create", "m", "-n", "contoso", *p, status=2))
        grant = ("--repositories", "release/*,app", "--actions", "content/read,metadata/read")
        self.run_cli("scope-map", "create", "releases", "-n", "contoso", *grant, *p)
        self.assertIn("already", self.run_cli("scope-map", "create", "releases", "-n", "contoso", *grant, *p, status=1))
        self.assertIn("contoso", self.run_cli("scope-map", "create", "x", "-n", "contosso", *grant, *p, status=1))
        self.assertIn("not an action", self.run_cli("scope-map", "create", "x", "-n", "contoso", "--repositories", "a", "--actions", "pull", *p, status=2))
        self.assertIn("the first no", self.run_cli("scope-map", "create", "_x", "-n", "contoso", *grant, *p, status=2))
        self.assertIn("ready-made", self.run_cli("scope-map", "delete", "--yes", "_pull", "-n", "contoso", *p, status=1))
        self.run_cli("scope-map", "update", "releases", "-n", "contoso", "--repositories", "logs", "--actions", "content/add", *p)
        maps = listed("scope-map", "show", "releases")
        self.assertEqual([(m["repositories"], m["actions"]) for m in maps], [("release/*,app", "content/read,metadata/read"), ("logs", "content/add")])
        self.run_cli("scope-map", "update", "releases", "-n", "contoso", *grant, "--replace", *p)
        self.assertEqual(len(listed("scope-map", "show", "releases")), 1)
        self.assertEqual([m["name"] for m in listed("scope-map", "list")],
                         ["releases", "_pull", "_push", "_upload_only", "_investigate", "_delete", "_audit"])
        # a token prints its password once, alone on stdout, and the file has a hash only
        made = self.run_cli("token", "create", "ci", "-n", "contoso", "--scope-map", "releases", "--refresh", "allowed", *p)
        self.assertRegex(made, "^mrd1_[A-Za-z0-9_-]{43}\n$")
        self.assertNotIn(made.strip(), text())
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertIn("already", self.run_cli("token", "create", "ci", "-n", "contoso", "--scope-map", "releases", *p, status=1))
        self.assertIn("a user has the name", self.run_cli("token", "create", "ada", "-n", "contoso", "--scope-map", "releases", *p, status=1))
        self.assertIn("a named token has the name", self.run_cli("user", "create", "ci", "--password-stdin", *p, input="correct horse\n", status=1))
        self.assertIn("has no scope map nothing", self.run_cli("token", "create", "x", "-n", "contoso", "--scope-map", "nothing", *p, status=2))
        self.assertIn("repositories: missing", self.run_cli("token", "create", "x", "-n", "contoso", "--scope-map", "_pull", *p, status=2))
        self.assertIn("lifetime", self.run_cli("token", "update", "ci", "--lifetime", "2h", *p, status=2))
        second = json.loads(self.run_cli("token", "credential", "generate", "ci", "--expires-in", "30d", "-o", "json", *p))
        self.assertRegex(second["password"], "^mrd2_")
        self.assertRegex(second["expires"], "Z$")
        self.assertIn("--id", self.run_cli("token", "credential", "generate", "ci", *p, status=1))
        self.assertIn("ended already", self.run_cli("token", "credential", "generate", "ci", "--id", "1", "--expires", "2020-01-01T00:00:00Z", *p, status=2))
        self.assertEqual([w["id"] for w in listed("token", "show", "ci")[0]["passwords"]], [1, 2])
        self.run_cli("token", "credential", "delete", "--yes", "ci", "--id", "1", *p)
        self.run_cli("token", "credential", "delete", "--yes", "ci", "--id", "1", *p, status=1)
        self.assertEqual([w["id"] for w in listed("token", "show", "ci")[0]["passwords"]], [2])
        self.run_cli("token", "create", "node", "-n", "contoso", "--scope-map", "_pull", "--repositories", "*", "--lifetime", "5m", *p)
        self.run_cli("token", "update", "node", "--enabled", "false", "--repositories", "team/*,app", *p)
        node = listed("token", "show", "node")[0]
        self.assertEqual((node["enabled"], node["repositories"], node["lifetime"], node["refresh"]), ("false", "team/*,app", "300s", "refused"))
        # one of the fleet has rights in regions, and nothing of a registry
        fleet = ("--admin", "admin/read,admin/drain", "--regions", "eastus")
        self.assertRegex(self.run_cli("token", "create", "watcher", *fleet, *p), "^mrd1_")
        self.assertEqual([(t["admin"], t["regions"], t["registry"]) for t in listed("token", "show", "watcher")],
                         [("admin/read,admin/drain", "eastus", "")])
        self.run_cli("token", "create", "x", "--admin", "admin/read", *p, status=2)
        self.run_cli("token", "create", "x", *fleet, "-n", "contoso", "--scope-map", "_pull", *p, status=2)
        self.assertIn("admin/write", self.run_cli("token", "create", "x", "--admin", "admin/write", "--regions", "eastus", *p, status=2))
        self.run_cli("token", "update", "watcher", "--admin", "admin/read", *p)
        self.run_cli("token", "delete", "--yes", "watcher", *p)
        self.assertIn("token ci has the scope map", self.run_cli("scope-map", "delete", "--yes", "releases", "-n", "contoso", *p, status=1))
        # what was given out
        self.run_cli("token", "revoke", "00112233445566778899aabbccddeeff", "--expires", "2020-01-01T00:00:00Z", *p)
        self.assertNotIn("revoked:", text())  # it has ended by itself
        self.run_cli("token", "revoke", "00112233445566778899aabbccddeeff", *p)
        self.assertIn("already", self.run_cli("token", "revoke", "00112233445566778899aabbccddeeff", *p))
        token = os.path.join(self.dir, "token")
        claims = base64.urlsafe_b64encode(b'{"jti":"ffeeddccbbaa99887766554433221100","exp":4102444800}').decode().rstrip("=")
        with open(token, "w") as f:
            f.write(f"e30.{claims}.c2ln\n")
        self.run_cli("token", "revoke", "--token-file", token, *p)
        self.assertIn('{id: "ffeeddccbbaa99887766554433221100", expires: "', text())
        self.assertNotIn("2100", text())  # no token counts for longer than 90 days, whatever it says
        with open(token, "w") as f:
            f.write("no token\n")
        self.run_cli("token", "revoke", "--token-file", token, *p, status=1)
        self.run_cli("token", "revoke", *p, status=2)
        # an edit of one thing leaves the others as they were
        before = text()
        self.run_cli("user", "revoke", "ada", *p)
        after = text()
        for section in ("scope_maps:", "tokens:", "revoked:"):
            self.assertIn(section, after)
        self.assertEqual(before[before.index("scope_maps:"):], after[after.index("scope_maps:"):])
        self.run_cli("token", "delete", "--yes", "ci", *p)
        self.run_cli("token", "delete", "--yes", "ci", *p, status=1)
        self.run_cli("scope-map", "delete", "--yes", "releases", "-n", "contoso", *p)
        self.assertEqual([t["name"] for t in listed("token", "list", "-n", "contoso")], ["node"])
        self.assertIn("is the node running", self.run_cli("token", "refresh", "list", "-n", "contoso", "--admin", "/nowhere.sock", status=4))

    def test_init_is_whole_and_safe_to_repeat(self):
        out = os.path.join(self.dir, "state")
        self.run_cli("init", "--topology", TOPOLOGY, "--out", out)
        self.run_cli("config", "check", os.path.join(out, "topology.yaml"))
        for region in ("eastus", "westeurope", "southeastasia"):
            for name in ("certs/region.pem", "certs/shared.pem", "certs/peer.pem", "keys/token.pem", "keys/feed.pem", "keys/url.key"):
                mode = os.stat(os.path.join(out, region, name)).st_mode & 0o777
                self.assertEqual(mode, 0o600, name)
        with open(os.path.join(out, "topology.yaml")) as f:
            first = f.read()
        self.run_cli("init", "--topology", os.path.join(out, "topology.yaml"), "--out", out)
        with open(os.path.join(out, "topology.yaml")) as f:
            self.assertEqual(f.read(), first)

    def test_config_check_reports_all_errors_with_lines(self):
        bad = os.path.join(self.dir, "bad.yaml")
        with open(TOPOLOGY) as f, open(bad, "w") as g:
            g.write(f.read().replace("hostmaster:", "hostmastr:", 1).replace("region: eastus, stamp", "region: eastsu, stamp", 1))
        text = self.run_cli("config", "check", bad, status=1)
        self.assertIn("bad.yaml:4:", text)
        self.assertIn("hostmaster", text)
        self.assertIn("eastsu", text)

    def test_checks_warn_of_more_addresses_than_fit(self):
        many = os.path.join(self.dir, "many.yaml")
        with open(os.path.join(os.path.dirname(TOPOLOGY), "..", "private-network", "topology.yaml")) as f, open(many, "w") as g:
            addresses = ", ".join(f"10.1.3.{i}" for i in range(32))
            g.write(f.read().replace("registry: 10.1.0.40", f"registry: [{addresses}]", 1))
        for words in (("topology", "check"), ("config", "check")):
            r = subprocess.run([MERIDIAN, *words, many], capture_output=True, text=True, timeout=30)
            self.assertEqual((r.returncode, r.stderr.count("warning: ")), (0, 1), r.stderr)
            self.assertIn("many.yaml: warning: private endpoint contoso-office: 32 IPv4 addresses", r.stderr)

    def test_nobody_there(self):
        self.assertIn("--admin", self.run_cli("status", "--admin", os.path.join(self.dir, "none.sock"), status=4))


if __name__ == "__main__":
    unittest.main(verbosity=2)
