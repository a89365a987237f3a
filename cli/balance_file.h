// SPDX-License-Identifier: Apache-2.0
// The file of `meridian stamp balance --load`: loads of a region's stamps, moves that were, and what
// goes on, as JSON. docs/operations.md has the form.
//
//   struct balance_file f;
//   if (balance_file_parse(text, n, "load.json", &f, &diag))
//       …                                        // one sentence, which names the place in the file
//   balance_decide(&f.in, plan);
//   balance_file_done(&f);
//
// It is strict: each key, number and name must be one that the form knows, nothing may be there
// twice, and all lists have limits. Bins are whole permille or null; nothing is rounded or guessed.
// Pure but for the heap; any thread.
#ifndef MERIDIAN_CLI_BALANCE_FILE_H
#define MERIDIAN_CLI_BALANCE_FILE_H

#include "base/diag.h"
#include "lifecycle/balance.h"

#define BALANCE_FILE_MAX_BYTES (32 << 20)

struct balance_file {
    char region[LOAD_NAME_SIZE];
    struct balance_stamp *stamps;
    struct balance_move *moves;
    // of those two
    struct balance_input in;
    // "": there is none to judge
    char canary_registry[LOAD_NAME_SIZE];
    struct canary canary;
    // how many registries its wave has
    size_t n_canary_wave;
};

// 0, or ERR_INVAL or ERR_NOMEM with a sentence in `diag` and nothing to release.
int balance_file_parse(const char *text, size_t n, const char *name, struct balance_file *out,
                       struct diag *diag);
void balance_file_done(struct balance_file *f);

#endif
