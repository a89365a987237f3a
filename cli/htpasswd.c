// SPDX-License-Identifier: Apache-2.0
// Lines of an htpasswd file; see htpasswd.h.
#include "cli/htpasswd.h"

#include "base/mem.h"
#include "config/principals.h"

#include <stdio.h>
#include <string.h>

#define BCRYPT_CHARS 60

struct htpasswd htpasswd_begin(char *text, size_t n)
{
    text[n] = 0;
    return (struct htpasswd){.at = text, .end = text + n};
}

// Cuts the next line off, without blanks around it. NULL at the end.
static char *line_cut(struct htpasswd *h)
{
    if (h->at >= h->end)
        return NULL;
    char *line = h->at, *stop = memchr(line, '\n', (size_t)(h->end - line));
    if (!stop)
        stop = h->end;
    h->at = stop + 1;
    h->number++;
    while (stop > line && strchr(" \t\r", stop[-1]))
        stop--;
    *stop = 0;
    return line + strspn(line, " \t");
}

// $2y$10$ and 53 characters of salt and hash.
static bool bcrypt_ok(const char *s)
{
    static const char letters[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if (strlen(s) != BCRYPT_CHARS || s[0] != '$' || s[1] != '2' || !strchr("aby", s[2]) ||
        s[3] != '$' || s[6] != '$')
        return false;
    if (s[4] < '0' || s[4] > '3' || s[5] < '0' || s[5] > '9')
        return false;
    return strspn(s + 7, letters) == BCRYPT_CHARS - 7;
}

static const char *hash_kind(const char *hash)
{
    static const struct {
        const char *prefix, *what;
    } kinds[] = {{"$apr1$", "MD5"},     {"$1$", "MD5"},       {"{SHA}", "SHA-1 without salt"},
                 {"$5$", "SHA-256"},    {"$6$", "SHA-512"},   {"$2", "bcrypt that is damaged"},
                 {"$argon2", "argon2"}, {"$7$", "scrypt"},    {"{SSHA}", "SHA-1"},
                 {"$y$", "yescrypt"},   {"{PLAIN}", "clear"}, {"$", "of an unknown kind"}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (!strncmp(hash, kinds[i].prefix, strlen(kinds[i].prefix)))
            return kinds[i].what;
    return "DES crypt or a password in the clear";
}

static void line_judge(struct htpasswd_line *l, bool whole)
{
    if (!whole)
        snprintf(l->why, sizeof l->why, "it is not of the form name:hash");
    else if (!principal_name_ok(l->name)) {
        l->name = "";
        snprintf(l->why, sizeof l->why,
                 "the name is not 1 to %d printable ASCII characters without blanks",
                 PRINCIPAL_NAME_MAX);
    } else if (!bcrypt_ok(l->hash))
        snprintf(l->why, sizeof l->why,
                 "the hash is %s, only bcrypt is taken over: give the user a new password",
                 hash_kind(l->hash));
}

bool htpasswd_next(struct htpasswd *h, struct htpasswd_line *out)
{
    char *line = line_cut(h);
    while (line && (!*line || *line == '#'))
        line = line_cut(h);
    if (!line)
        return false;
    struct htpasswd_line l = {.number = h->number, .name = "", .hash = ""};
    char *colon = strchr(line, ':');
    if (colon) {
        *colon = 0;
        l.name = line;
        l.hash = colon + 1;
    }
    line_judge(&l, colon != NULL);
    *out = l;
    return true;
}
