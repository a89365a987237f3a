# SPDX-License-Identifier: Apache-2.0
"""An issuer of identities (OpenID Connect) as a CI system runs one: signs tokens with RS256, serves its documents over HTTPS, and
rotates its keys, waits, or lies on demand. And a lab whose machines know its name."""
import base64, http.server, json, ssl, subprocess, threading, time, urllib.parse

from lab import CLIENT, Lab

NAMES = ("issuer.example", "slow.example", "liar.example")
PORT = 9443


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class IssuerLab(Lab):
    """/etc/hosts leads to the issuer; the guard of every node lets it be called."""

    def __init__(self, *more, **words):
        super().__init__(*more, node_extra=words.pop("node_extra", "") + f"outbound: {{ allow: [{CLIENT}] }}\n", **words)

    def _files(self):
        path = f"{self.dir}/issuer-hosts"
        with open(path, "w") as f:
            f.write(f"127.0.0.1 localhost\n{CLIENT} {' '.join(NAMES)}\n")
        subprocess.run(["mount", "--bind", path, "/etc/hosts"], check=True)
        super()._files()


class ForeignIssuer:
    """`asked` lists the requests; `released` lets slow.example answer."""

    def __init__(self, lab):
        self.lab, self.keys, self.asked, self.released = lab, {}, [], threading.Event()
        self.certificate = f"{lab.dir}/issuer.crt"
        lab.check("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                  "-subj", "/CN=issuer", "-addext", "subjectAltName=" + ",".join(f"DNS:{n}" for n in NAMES),
                  "-keyout", f"{lab.dir}/issuer.key", "-out", self.certificate)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            do_GET = lambda self: outer.answer(self)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, f"{lab.dir}/issuer.key")
        self.server = http.server.ThreadingHTTPServer((CLIENT, PORT), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def url(self, name):
        return f"https://{name}:{PORT}"

    def answer(self, h):
        name = h.headers["Host"].split(":")[0]
        self.asked.append((name, h.path))
        if name == "slow.example":
            self.released.wait(30)
        keys = {"keys": [self.jwk(kid) for kid in self.keys]}
        document = {"issuer": self.url(name), "jwks_uri": self.url(name) + "/keys"}
        if name == "liar.example":
            document["jwks_uri"] = "https://169.254.169.254/latest/meta-data/"
        body = json.dumps(document if h.path == "/.well-known/openid-configuration" else keys).encode()
        h.send_response(200)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    def rotate(self, kid):
        """From now on it has this key alone."""
        path = f"{self.lab.dir}/issuer-{kid}.pem"
        self.lab.check("openssl", "genrsa", "-out", path, "2048")
        modulus = self.lab.check("openssl", "rsa", "-in", path, "-modulus", "-noout").strip().split("=")[1]
        self.keys = {kid: (path, bytes.fromhex(modulus))}

    def jwk(self, kid):
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(self.keys[kid][1]), "e": "AQAB"}

    def token(self, name, audience, **claims):
        kid, (path, _) = next(iter(self.keys.items()))
        now = int(time.time())
        said = {"iss": self.url(name), "aud": audience, "iat": now, "nbf": now, "exp": now + 300, **claims}
        text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": kid, "typ": "JWT"}, said))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", path], input=text.encode(), check=True,
                                   capture_output=True).stdout
        return f"{text}.{b64(signature)}"


def exchange(lab, host, token, region, service, timeout=15):
    """(status, reply) of POST /oauth2/exchange."""
    form = urllib.parse.urlencode({"grant_type": "access_token", "service": service, "access_token": token})
    status, _, body = lab.request("POST", host, "/oauth2/exchange", region, {"Content-Type": "application/x-www-form-urlencoded"},
                                  form, timeout)
    return status, json.loads(body)
