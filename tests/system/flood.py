# SPDX-License-Identifier: Apache-2.0
"""A flood of logins from many addresses, as a program of its own: flood.py ADDRESS HOST CONNECTIONS SOURCE...

Each connection is bound to one of the sources in turn and tries passwords as fast as it is answered, every third one for the
name ada. Prints `full` once somebody was refused with 429, ends when its input does, and prints how often it got which status."""
import asyncio, collections, json, ssl, sys

seen = collections.Counter()


async def attacker(number, address, host, source):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while True:
        try:
            reader, writer = await asyncio.open_connection(address, 443, ssl=context, server_hostname=host,
                                                           local_addr=(source, 0))
            attempt = 0
            while True:
                user = "ada" if number % 3 == 0 else f"user{number}-{attempt % 7}"
                attempt += 1
                body = f"grant_type=password&username={user}&password=guess{number}-{attempt}"
                writer.write((f"POST /oauth2/token HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
                              f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}").encode())
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head.split()[1])
                length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
                await reader.readexactly(length)
                if status == 429 and not seen[429]:
                    print("full", flush=True)
                seen[status] += 1
                if status == 429:
                    await asyncio.sleep(0.5)
        except (OSError, asyncio.IncompleteReadError):
            seen["broken"] += 1
            await asyncio.sleep(0.2)


async def main():
    address, host, n, *sources = sys.argv[1:]
    tasks = [asyncio.ensure_future(attacker(i, address, host, sources[i % len(sources)])) for i in range(int(n))]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    print(json.dumps(seen), flush=True)


asyncio.run(main())
