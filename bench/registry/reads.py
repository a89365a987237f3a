# SPDX-License-Identifier: Apache-2.0
"""Cases of bench.py that read: HEAD of a manifest by tag, and the token endpoint with refresh tokens, each one its own."""
import __main__ as bench
import http.client, json, os, re, ssl, threading, urllib.parse

N_TOKENS = 20000  # far more than any cache of the server's has room for


def head_by_tag(s, fx):
    return bench.ab(s, f'{s.base()}/v2/{s.repo}/manifests/latest',
                    ['-i', '-k', '-c', str(bench.args.connections), '-t', str(bench.args.seconds), '-n', '100000000', '-H',
                     bench.ACCEPT, *bench.auth(s)])


# ---- the token endpoint ----

def openssl_us():
    """What one ES256 signature costs this machine now, on the servers' core: to make, and to verify."""
    o = bench.sh('taskset', '-c', bench.args.server_cpu, 'openssl', 'speed', '-seconds', '1', 'ecdsap256')
    sign, verify = re.search(r'nistp256\)\s+\S+\s+\S+\s+([\d.]+)\s+([\d.]+)', o).groups()
    return 1e6 / float(sign), 1e6 / float(verify)


def refresh_tokens(s, n):
    """So many refresh tokens of one user, by its password. They go into a file for wrk's script."""
    path = bench.work + '/refresh-tokens'
    if os.path.exists(path):
        return path
    got, lock, n_threads = [], threading.Lock(), 4
    url = urllib.parse.urlsplit(s.token_url())

    def some():
        c, mine = s.connection(), []
        for _ in range(n // n_threads):
            c.request('GET', f'{url.path}?{url.query}&offline_token=true', headers=dict([s.basic().split(': ', 1)]))
            r = c.getresponse()
            text = r.read()
            if r.status != 200:
                raise SystemExit(f'{s.name}: a refresh token: {r.status} {text[:300]}')
            mine.append(json.loads(text)['refresh_token'])
        with lock:
            got.extend(mine)
    threads = [threading.Thread(target=some) for _ in range(n_threads)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if len(set(got)) != n:
        raise SystemExit(f'{s.name}: {len(set(got))} refresh tokens, not {n}')
    bench.write(path, '\n'.join(got) + '\n', 0o600)
    return path


SCRIPT = '''
local tokens, at = {}, 0
for line in io.lines("%s") do tokens[#tokens + 1] = line end
local head = {["Content-Type"] = "application/x-www-form-urlencoded"}
local form = "grant_type=refresh_token&client_id=bench&service=%s&scope=repository:%s:pull&refresh_token="
request = function()
  at = at %% #tokens + 1
  return wrk.format("POST", "/oauth2/token", head, form .. tokens[at])
end
'''


def by_refresh_token(s, fx):
    if not hasattr(s, 'token_url'):
        return None
    service = urllib.parse.parse_qs(urllib.parse.urlsplit(s.token_url()).query)['service'][0]
    script = bench.write(bench.work + '/refresh.lua', SCRIPT % (refresh_tokens(s, N_TOKENS), service, s.repo))
    sign_us, verify_us = openssl_us()
    r = bench.wrk(s, s.base() + '/oauth2/token', ['-s', script])
    return dict(r, sign_us=sign_us, verify_us=verify_us, above_us=r['cpu_us'] - sign_us - verify_us)


def report(results, names):
    for n in (n for n in names if n in results.get('r', {})):
        r = results['r'][n]
        print(f'{n}, a token for a refresh token of its own: {r["cpu_us"]:.0f} µs, {r["above_us"]:.0f} above openssl speed\'s '
              f'signature of {r["sign_us"]:.0f} and verification of {r["verify_us"]:.0f}')


CASES = {
    'm': ('manifest HEAD by tag', head_by_tag, ('per_s', 'requests/s'), ('cpu_us', 'CPU µs')),
    'r': ('token endpoint, 20,000 refresh tokens', by_refresh_token, ('per_s', 'tokens/s'), ('cpu_us', 'CPU µs')),
}
