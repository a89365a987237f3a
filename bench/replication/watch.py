# SPDX-License-Identifier: Apache-2.0
"""Looks from inside a region until tags are there: watch.py HOST ADDRESS CA TOKEN REPOSITORY EVERY_MS TAG [TAG...]

Prints "first SECONDS" when the region answered anything, and "all SECONDS" when it had the last tag, both of the monotonic
clock, which all processes of a machine share. One kept connection; a region that is down is tried again."""
import http.client, socket, ssl, sys, time

host, address, ca, token, repository, every_ms, *tags = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
first = False


def connect():
    c = http.client.HTTPSConnection(host, timeout=5)
    raw = socket.create_connection((address, 443), timeout=5)
    c.sock = context.wrap_socket(raw, server_hostname=host)
    return c


def has(c, tag):
    c.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Authorization": f"Bearer {token}"})
    r = c.getresponse()
    r.read()
    return r.status


c = None
while tags:
    try:
        c = c or connect()
        status = has(c, tags[-1])
    except (OSError, http.client.HTTPException):
        c = None
        time.sleep(0.005)
        continue
    if not first:
        first = True
        print("first", time.monotonic(), flush=True)
    if status == 200:
        tags.pop()
    else:
        time.sleep(float(every_ms) / 1000)
print("all", time.monotonic(), flush=True)
