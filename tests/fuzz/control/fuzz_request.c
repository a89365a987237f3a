// SPDX-License-Identifier: Apache-2.0
// Any bytes as an operator's request, from afar and at the admin socket: refused with one sentence,
// or taken, and then it can be written and read again. The corpus has one that the key below
// signed.
#include "base/bytes.h"
#include "control/request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1800000000000

static void must(bool holds)
{
    if (!holds)
        abort();
}

static const char *key_of(const void *ctx, const char *name, bool *out_revoked)
{
    (void)ctx;
    *out_revoked = !strcmp(name, "bob");
    if (strcmp(name, "ada") != 0 && !*out_revoked)
        return NULL;
    return "MCowBQYDK2VwAyEAmQybS6Ddd403l1VPf4Zguea7cN9J6wDTnG1RAtmjv1A=";
}

static void judge(struct bytes body, bool bare)
{
    struct control_signers who = {.fleet = "example.io", .key_of = key_of, .bare = bare};
    struct control_request *q = NULL, *again = NULL;
    struct diag d;
    diag_init(&d);
    int rc = control_request_take(body, &who, NOW, &d, &q);
    must((rc == 0) == (q != NULL) && (rc == 0) == (diag_count(&d) == 0) && diag_count(&d) <= 1);
    diag_done(&d);
    if (!q)
        return;
    must(bare ? true : q->operator!= NULL);
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    q->operator= NULL; // written as a bare one
    who.bare = true;
    must(!control_request_format(q, &text));
    must(!control_request_take(bytes_of(text.p, text.n), &who, NOW, NULL, &again));
    must(!strcmp(again->verb, q->verb) && !strcmp(again->nonce, q->nonce));
    must(json_equal(again->arguments, q->arguments));
    control_request_free(again);
    control_request_free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(bytes_of(data, size), false);
    judge(bytes_of(data, size), true);
    return 0;
}
