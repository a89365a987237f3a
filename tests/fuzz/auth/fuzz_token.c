// SPDX-License-Identifier: Apache-2.0
// The token verifier, with one fixed topology and key (its private half is gone): the corpus holds
// tokens that key signed. Whatever comes is refused, or is a token whose grants hold valid names
// only. With the signature in the way a fuzzer gets little past it, so the input is also fed as a
// payload that was signed: to the same judge of claims through a key of this process.
#include "auth/token_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOW_MS 1800000000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char topology_text[] =
    "version: 1\ndomain: meridian.test\nhostmaster: hostmaster@meridian.test\nregions:\n"
    "  - {name: eastus, stamps: [{name: eus-1, ipv4: [127.10.0.1]}], peer: \"127.10.0.1:8443\"}\n"
    "name_servers: [eus-1.eastus]\nregistries:\n  - name: contoso\n    replicas: [{region: "
    "eastus}]\n"
    "identities:\n  eastus:\n    token_keys:\n"
    "      - {id: eastus-token-5501a623, key: "
    "\"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbawrOGx6fTOrMgtLxxTJILNGMtI9ruZElWpetMeof5LlHqohY7yKy2kD"
    "e6qRGn/"
    "XHLLPgA9NCEy5dt9ZJchxPg==\"}\n"
    "      - {id: %s, key: \"%s\"}\n";

static struct topology *topology;
static struct region_keys *keys;

static void setup(void)
{
    char dir[] = "fuzz-token-XXXXXX";
    if (!mkdtemp(dir) || region_keys_create(dir, "eastus", NULL) ||
        region_keys_open(dir, "eastus", NULL, &keys))
        abort();
    dir_remove_tree(dir);
    AUTO_FREE char *text =
        mem_printf(topology_text, region_keys_token_id(keys), region_keys_token_spki(keys));
    struct diag d;
    diag_init(&d);
    if (topology_parse(text, strlen(text), "fuzz.yaml", &d, &topology)) {
        diag_print(&d, stderr);
        abort();
    }
    diag_done(&d);
}

static void judge(const char *token)
{
    struct arena a;
    struct access acc;
    struct claims claims;
    arena_init(&a, 1 << 20);
    const struct registry *r = topology_registry(topology, "contoso");
    if (!token_verify_access(topology, r, token, NOW_MS, &a, &acc)) {
        if (acc.n_grants > SCOPE_MAX_COUNT || (acc.anonymous && *acc.principal))
            abort();
        if (!acc.anonymous && !principal_subject_ok(acc.principal))
            abort();
        for (size_t i = 0; i < acc.n_grants; i++)
            if (strcmp(acc.grants[i].repository, "*") &&
                !repository_name_ok(acc.grants[i].repository, strlen(acc.grants[i].repository)))
                abort();
        if (!token_verify(topology, r, token, TOKEN_REFRESH, NOW_MS, &a, &claims))
            abort(); // both kinds at once
    }
    arena_done(&a);
}

static void judge_signed(const uint8_t *payload, size_t n)
{
    if (n > TOKEN_MAX_BYTES / 2)
        return;
    AUTO_FREE char *header =
        mem_printf("{\"alg\":\"ES256\",\"kid\":\"%s\"}", region_keys_token_id(keys));
    char token[TOKEN_MAX_BYTES * 2];
    uint8_t sig[64];
    size_t at = b64url_format(header, strlen(header), token);
    token[at++] = '.';
    at += b64url_format(payload, n, token + at);
    if (region_keys_sign_token(keys, token, at, sig))
        abort();
    token[at++] = '.';
    b64url_format(sig, sizeof sig, token + at);
    judge(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!topology)
        setup();
    AUTO_FREE char *text = mem_strndup((const char *)data, size);
    if (text)
        judge(text);
    judge_signed(data, size);
    return 0;
}
