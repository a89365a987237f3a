# SPDX-License-Identifier: Apache-2.0
"""What is to be reached, row by row, from the results of one run of bench.py (--goals): each row says what was measured, the
bound, which may follow from what another server or the machine gave in the same run, and whether it holds. A row without its
case or peer is left open."""


def nginx(factor):
    return lambda r, field: factor * r['nginx'][field]


def peer(factor):
    return lambda r, field: factor * r['docker-registry'][field]


def at(n):
    return lambda r, field: n


def put_bound(r, field):  # 2.6 s where nginx's own PUT costs 1.9
    return 2.6 + max(0, r['nginx'][field] - 1.9)


def token_bound(r, field):
    return r['meridian']['sign_us'] + r['meridian']['verify_us'] + 50


def tag_bound(disk):  # two fsyncs of this disk, and half a millisecond
    return lambda r, field: 2 * disk['log_us'] / 1000 + 0.5


def rows(disk):
    """What, case, field, bound, whether more is better."""
    return [
        ('manifest GET by tag, CPU µs', 'a', 'cpu_us', at(60), False),
        ('manifest HEAD by tag, CPU µs', 'm', 'cpu_us', at(60), False),
        ('blob GET 1 GiB, CPU s: 1.02 × nginx', 'c', 'cpu_s', nginx(1.02), False),
        ('blob GET 4 KiB, CPU µs: 2 × nginx', 'd', 'cpu_us', nginx(2), False),
        ('blob PUT 1 GiB, CPU s: 2.6 + nginx\'s above 1.9', 'e', 'cpu_s', put_bound, False),
        ('200 × 1 MiB PUT by 8, on disk, per s: 3 × docker-registry', 'f on disk', 'per_s', peer(3), True),
        ('a layer pushed, on disk, ms: 0.7 × docker-registry', 'l on disk', 'push_ms', peer(0.7), False),
        ('a layer pulled, on disk, ms: 0.7 × docker-registry', 'l on disk', 'pull_ms', peer(0.7), False),
        ('a tag on one connection, on disk, ms: 2 fsyncs + 0.5', 't on disk', 'ms', tag_bound(disk) if disk else None, False),
        ('tags a commit on 16 connections, on disk', 'u on disk', 'per_commit', at(8), True),
        ('token, ES256, distinct refresh tokens, CPU µs: openssl + 50', 'r', 'cpu_us', token_bound, False),
        ('full handshake and GET /v2/, CPU µs: 1.1 × nginx', 'j', 'cpu_us', nginx(1.1), False),
        ('an idle TLS connection, KiB', 'i', 'kib', at(12), False),
        ('connections lost of 10,000 beside pulls', 'k', 'errors', at(0), False),
        ('memory with 1,000 connections and large blobs, MiB PSS', 'n', 'pss_mib', at(60), False),
    ]


CASES = 'abmcdefrjikntul'


def report(results, disk):
    print('\n| to be reached | measured | bound | |\n|---|---:|---:|---|')
    for what, case, field, bound, more in rows(disk):
        r = results.get(case, {})
        try:
            is_, must = r['meridian'][field], bound(r, field)
        except (KeyError, TypeError):
            print(f'| {what} | – | – | open |')
            continue
        good = is_ >= must if more else is_ <= must
        print(f'| {what} | {is_:.4g} | {must:.4g} | {"yes" if good else f"no: {is_ / must:.2f} of it" if must else "no"} |')
