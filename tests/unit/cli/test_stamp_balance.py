# SPDX-License-Identifier: Apache-2.0
"""`meridian stamp balance`: what is advised of a file of loads, in words and as JSON, and which files are refused."""
import copy, json, os, pathlib, re, subprocess, sys, tempfile, unittest

MERIDIAN = os.path.abspath(sys.argv.pop(1))
AT = 1796040000
RATES = {"requests": 10000, "throttled": 0, "failed": 10, "p99Ms": 300}


def stamp(name, **registries):
    loads = list(registries.values())
    return {"name": name, "hottest": [sum(loads)] * 2880, "rest": [0] * 1440,
            "registries": [{"name": n, "bins": [v] * 1440} for n, v in registries.items()]}


def region():
    return {"region": "eastus", "at": AT,
            "stamps": [stamp("eus-1", contoso=350, fabrikam=400), stamp("eus-2", northwind=300), stamp("eus-3", tailspin=100)]}


class Balance(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "load.json")

    def run_it(self, doc, *words, status=0, region_name="eastus"):
        with open(self.path, "wb") as f:
            f.write(doc if isinstance(doc, bytes) else json.dumps(doc).encode())
        done = subprocess.run([MERIDIAN, "stamp", "balance", "--region", region_name, "--load", self.path, *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.err = done.stderr
        return done.stdout

    def json_of(self, doc):
        return json.loads(self.run_it(doc, "-o", "json"))

    def test_a_move(self):
        out = self.run_it(region())
        self.assertRegex(out, r"(?m)^eus-1 +hot +75\.0 % +75\.0 % +75\.0 % +720 of 720 +P95 of the hottest node on both days$")
        self.assertRegex(out, r"(?m)^eus-3 +cool +10\.0 %")
        self.assertIn("With these moves its P95 would be 35.0 %, of 75.0 % now.", out)
        self.assertRegex(out, r"(?m)^1 large +2026-11-30T12:00:00Z +fabrikam +53\.3 % +eus-3 +50\.0 % +48 h$")
        self.assertIn("\n  meridian replication update fabrikam/eastus --stamp eus-3\n", out)
        self.assertIn("No release can do these steps yet", out)
        self.assertNotIn("not needed", out)
        out = self.run_it(region(), "--explain")
        self.assertRegex(out, r"(?m)^contoso +46\.6 % +notNeeded +not needed$")
        self.assertRegex(out, r"(?m)^fabrikam +53\.3 % +moves +to eus-3, whose P95 would be 50\.0 %$")
        doc = self.json_of(region())
        self.assertEqual((doc["advice"], doc["held"], doc["isolate"]), ("move", "", None))
        self.assertEqual([s["heat"] for s in doc["stamps"]], ["hot", "cool", "cool"])
        self.assertEqual(doc["stamps"][0]["days"][0], {"known": True, "p95Permille": 750, "meanPermille": 750, "maxPermille": 750, "bins": 720})
        self.assertEqual(doc["waves"], [{"kind": "large", "begins": "2026-11-30T12:00:00Z", "watchSeconds": 172800, "moves": [
            {"registry": "fabrikam", "from": "eus-1", "to": "eus-3", "sharePermille": 533, "forecastP95Permille": 500, "canary": True,
             "command": "meridian replication update fabrikam/eastus --stamp eus-3"}]}])

    def test_nothing_isolate_resize_and_held(self):
        doc = region()
        doc["stamps"][0] = stamp("eus-1", contoso=300)
        self.assertIn("No stamp is hot: nothing moves.", self.run_it(doc))
        doc = region()
        doc["stamps"][1:] = [stamp("eus-2", northwind=500), stamp("eus-3", tailspin=450)]
        out = self.run_it(doc, "--explain")
        self.assertIn("no stamp has room for fabrikam, which is 53.3 % of its load (eus-3 would come to a P95 of 85.0 % with it): give it a "
                      "stamp of its own. Nothing moves.", out)
        self.assertRegex(out, r"(?m)^contoso +46\.6 % +noRoom +no room: with it the P95 of eus-3 would be 80\.0 %$")
        self.assertNotIn("Each step", out)
        shown = self.json_of(doc)
        self.assertEqual((shown["advice"], shown["isolate"], shown["waves"]), ("isolate", "fabrikam", []))
        doc["stamps"][0] = stamp("eus-1", contoso=950)
        self.assertIn("give it larger nodes", self.run_it(doc))
        doc = region() | {"goingOn": ["drill", "freeze"]}
        self.assertIn("Nothing is advised now: a region is in a drill; it is a freeze window.", self.run_it(doc))
        doc = region() | {"moves": [{"registry": "fabrikam", "from": "eus-2", "to": "eus-1", "begun": AT - 86400 * 3, "wave": 1}]}
        out = self.run_it(doc, "--explain")
        self.assertIn("  meridian replication update contoso/eastus --stamp eus-3\n", out)
        self.assertRegex(out, r"(?m)^fabrikam +53\.3 % +rests +it moved lately, and rests until 2026-12-04T12:00:00Z$")
        doc["moves"][0]["inFlight"] = True
        self.assertIn("a move is in flight", self.run_it(doc))

    def test_missing_minutes(self):
        doc = region()
        doc["stamps"][0]["hottest"] = doc["stamps"][0]["hottest"][:1800]  # so the oldest are missing
        self.assertEqual(self.json_of(doc)["held"], "too many minutes of a stamp are missing")
        self.assertIn("minutes are missing", self.run_it(doc))
        doc = region()
        doc["stamps"][0]["hottest"] = [None if i % 6 == 0 else v for i, v in enumerate(doc["stamps"][0]["hottest"])]
        self.assertEqual(self.json_of(doc)["stamps"][0]["days"][1]["meanPermille"], 750)

    def test_a_canary(self):
        canary = {"registry": "fabrikam", "moved": AT - 900, "after": RATES, "before": RATES, "othersAfter": RATES, "othersBefore": RATES}
        self.assertIn("Canary fabrikam: it fares well, and the other 0 of its wave follow.", self.run_it(region() | {"canary": canary}))
        canary["waveSize"] = 30
        self.assertIn("the other 29 of its wave follow.", self.run_it(region() | {"canary": canary}))
        self.assertEqual(self.json_of(region() | {"canary": canary})["canary"]["follow"], 29)
        canary["after"] = RATES | {"failed": 70}
        self.assertIn("Canary fabrikam: more of its requests fail than before the move (7000 in a million requests, and 1000 were to be "
                      "expected): it goes back, and its wave is stopped.", self.run_it(region() | {"canary": canary}))
        shown = self.json_of(region() | {"canary": canary})["canary"]
        self.assertEqual((shown["state"], shown["follow"], shown["waveStopped"]), ("back", 0, True))
        canary["moved"] = AT - 899
        self.assertIn("it is judged from 2026-11-30T12:00:01Z on", self.run_it(region() | {"canary": canary}))

    def test_the_form_as_documented(self):
        text = (pathlib.Path(__file__).resolve().parents[3] / "docs/operations.md").read_text()
        doc = json.loads(re.search(r'```json\n(\{"region": "eastus".*?)```', text, re.S)[1])
        self.assertEqual(self.json_of(doc)["canary"]["state"], "good")

    def refused(self, doc, *words):
        self.assertEqual(self.run_it(doc, status=1), "")
        for word in words:
            self.assertIn(word, self.err)

    def test_hostile_values(self):
        for bad in (-1, 1001, 2**31, 2**63 - 1, -2**63, 1.5, 43.0, 1e300, "43", "NaN", True, [], {}):
            doc = region()
            doc["stamps"][1]["hottest"][7] = bad
            self.refused(doc, "load.json: stamps[1].hottest[7]: must be a whole number from 0 to 1000")
            doc = region()
            doc["stamps"][0]["registries"][1]["bins"][1439] = bad
            self.refused(doc, "stamps[0].registries[1].bins[1439]")
        for key, bad in (("name", "EUS_1"), ("name", "a" * 64), ("name", 5), ("name", None), ("hottest", "x"), ("rest", [0] * 1441),
                         ("hottest", [0] * 2881), ("registries", {}), ("wasHot", 1), ("closed", "no"), ("minutes", [{}]), ("minutes", [RATES] * 11),
                         ("minutes", [RATES | {"failed": 10001}]), ("p99WeekMs", 2**31), ("hotest", [])):
            doc = region()
            doc["stamps"][2][key] = bad
            self.refused(doc, "stamps[2]")
        self.assertIn("did you mean hottest?", self.err)
        for key, bad in (("at", -1), ("at", None), ("at", 2**53), ("at", float(AT)), ("region", "East US"), ("goingOn", ["party"]),
                         ("goingOn", ["drill", "drill"]), ("goingOn", "drill"), ("stamps", []), ("stamps", [region()["stamps"][0]] * 33), ("moves", [{}]),
                         ("moves", [{"registry": "fabrikam", "from": "a", "to": "b", "begun": AT + 1, "wave": 1}]), ("moves", [7] * 2049),
                         ("canary", {}), ("canary", 1), ("canary", {"registry": "fabrikam", "moved": AT, "waveSize": 31}), ("extra", 1)):
            self.refused(region() | {key: bad}, key)

    def test_twice_too_many_and_no_json(self):
        doc = region()
        doc["stamps"].append(copy.deepcopy(doc["stamps"][0]))
        self.refused(doc, "stamps[3]: eus-1 is there twice")
        doc = region()
        doc["stamps"][0]["registries"].append({"name": "contoso", "bins": []})
        self.refused(doc, "stamps[0].registries[2]: contoso is there twice")
        doc["stamps"][0]["registries"] = [{"name": f"registry{i}", "bins": []} for i in range(65)]
        self.refused(doc, "has 65 elements, and at most 64 are allowed")
        text = json.dumps(region())
        self.refused(text.replace("eus-1", "eus\\u0000-1", 1).encode(), "this is not JSON")
        self.refused(text.replace('"at":', '"at": 1, "at":', 1).encode(), "this is not JSON")
        self.refused(text.replace("[750,", "[NaN,", 1).encode(), "this is not JSON")
        self.refused(text.replace("[750,", "[99999999999999999999999,", 1).encode(), "this is not JSON")
        for bad in (b"", b"[]", b"\xff\xfe", text[:-1].encode(), b"[" * 100000, text.encode() + b"{}", b"null"):
            self.refused(bad, "load.json")

    def test_words(self):
        self.run_it(region(), status=1, region_name="westus")
        self.assertIn("has the loads of region eastus, not of westus", self.err)
        for words in ((), ("--region", "eastus"), ("--load", self.path), ("--region", "eastus", "--load", self.path, "more")):
            done = subprocess.run([MERIDIAN, "stamp", "balance", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 2, done.stderr)
        done = subprocess.run([MERIDIAN, "stamp", "balance", "--region", "eastus", "--load", self.path + ".none"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot be read: not found", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
