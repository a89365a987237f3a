// SPDX-License-Identifier: Apache-2.0
// An htpasswd file (Apache's, as docker-registry and zot read it), line by line: `name:hash`, empty
// lines and comments (#) between. bcrypt is taken as it is; every other hash is refused, with what
// it is and what to do, since none of them is slow enough for a password that somebody may steal.
//
//   struct htpasswd h = htpasswd_begin(text, n);        // writes into the text
//   struct htpasswd_line l;
//   while (htpasswd_next(&h, &l))
//       if (*l.why) complain(l.number, l.why); else add(l.name, l.hash);
//
// The names and hashes lie in the caller's text. A line's hash never stands in `why`. Pure; any
// thread.
#ifndef MERIDIAN_CLI_HTPASSWD_H
#define MERIDIAN_CLI_HTPASSWD_H

#include <stdbool.h>
#include <stddef.h>

#define HTPASSWD_MAX_BYTES (16u << 20)

struct htpasswd {
    char *at, *end;
    unsigned number;
};

struct htpasswd_line {
    // from 1
    unsigned number;
    // "" when the line has none that may be shown
    const char *name, *hash;
    // why it is refused; "": it is good
    char why[160];
};

// text[n] must be writable: it becomes the final NUL.
struct htpasswd htpasswd_begin(char *text, size_t n);
// The next line that says something; false at the end.
bool htpasswd_next(struct htpasswd *h, struct htpasswd_line *out);

#endif
