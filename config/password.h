// SPDX-License-Identifier: Apache-2.0
// Password hashes as they stand in principals.yaml: crypt(5), yescrypt when made here, bcrypt
// accepted too. Both calls are slow on purpose; run them on bounded workers.
#ifndef MERIDIAN_CONFIG_PASSWORD_H
#define MERIDIAN_CONFIG_PASSWORD_H

#include <stdbool.h>

#define PASSWORD_HASH_SIZE 384
#define PASSWORD_MAX_BYTES 512

bool password_hash_ok(const char *hash); // "$y$…", "$2a$…", "$2b$…", "$2y$…"
// yescrypt, salt from the system
int password_hash(const char *password, char out[PASSWORD_HASH_SIZE]);
// 0 or ERR_AUTH; ERR_INVAL for a hash not ok
int password_check(const char *password, const char *hash);

// Passwords of named tokens, as they are made here: "mrd1_" or "mrd2_", by the one of the token's
// two that it is, and 256 random bits. So a check needs one hash whichever it is, and tools that look
// for secrets in code can know it.
#define TOKEN_PASSWORD_SIZE 56
int token_password_make(unsigned id, char out[TOKEN_PASSWORD_SIZE]);
unsigned token_password_id(const char *password); // 1, 2; 0: not made here

#endif
