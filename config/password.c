// SPDX-License-Identifier: Apache-2.0
// Password hashes over libcrypt; see password.h.
#include "config/password.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

#include "base/digest.h"

#include <assert.h>
#include <crypt.h>
#include <stdio.h>
#include <string.h>

bool password_hash_ok(const char *hash)
{
    static const char *const prefixes[] = {"$y$", "$2a$", "$2b$", "$2y$"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (strncmp(hash, prefixes[i], strlen(prefixes[i])) == 0)
            return strlen(hash) > 20 && strlen(hash) < PASSWORD_HASH_SIZE;
    return false;
}

// crypt_r into `out`; wipes its scratch memory, which has held the password.
static int run_crypt(const char *password, const char *setting, char out[PASSWORD_HASH_SIZE])
{
    if (strlen(password) > PASSWORD_MAX_BYTES)
        return ERR_TOOBIG;
    struct crypt_data *cd = mem_zalloc(sizeof *cd);
    if (!cd)
        return ERR_NOMEM;
    const char *h = crypt_r(password, setting, cd);
    int rc = ERR_CRYPTO;
    if (h && h[0] != '*' && strlen(h) < PASSWORD_HASH_SIZE)
        rc = 0;
    if (!rc)
        snprintf(out, PASSWORD_HASH_SIZE, "%s", h);
    explicit_bzero(cd, sizeof *cd);
    free(cd);
    return rc;
}

int password_hash(const char *password, char out[PASSWORD_HASH_SIZE])
{
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof salt))
        return ERR_CRYPTO;
    return run_crypt(password, salt, out);
}

int password_check(const char *password, const char *hash)
{
    char got[PASSWORD_HASH_SIZE];
    if (!password_hash_ok(hash))
        return ERR_INVAL;
    int rc = run_crypt(password, hash, got);
    if (rc == ERR_NOMEM)
        return rc;
    if (!rc && secret_equal(got, strlen(got), hash, strlen(hash)))
        return 0;
    return ERR_AUTH;
}

#define MADE "mrd"
#define SECRET_BYTES 32

int token_password_make(unsigned id, char out[TOKEN_PASSWORD_SIZE])
{
    uint8_t secret[SECRET_BYTES];
    assert(id == 1 || id == 2);
    int rc = random_bytes(secret, sizeof secret);
    if (rc)
        return rc;
    size_t n = (size_t)snprintf(out, TOKEN_PASSWORD_SIZE, MADE "%u_", id);
    b64url_format(secret, sizeof secret, out + n);
    explicit_bzero(secret, sizeof secret);
    return 0;
}

unsigned token_password_id(const char *password)
{
    size_t n = strlen(MADE);
    if (strncmp(password, MADE, n) != 0 || (password[n] != '1' && password[n] != '2'))
        return 0;
    if (password[n + 1] != '_')
        return 0;
    return (unsigned)(password[n] - '0');
}
