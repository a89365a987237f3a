// SPDX-License-Identifier: Apache-2.0
// Numbers a change document; see change_number.h.
#include "control/change_number.h"

#include "base/arena.h"
#include "config/catalogue.h"
#include "config/document.h"

// Does a row name a registry that is not there?
static bool creates(const struct doc_node *root, const struct topology *t)
{
    const struct doc_node *list = doc_get(root, "registries");
    for (const struct doc_node *row = list ? list->child : NULL; row; row = row->next) {
        const struct doc_node *name = doc_get(row, "name");
        if (name && name->kind == DOC_SCALAR && !catalogue_find_name(t->catalogue, name->text))
            return true;
    }
    return false;
}

struct lacking { // what a document has yet to be given
    bool version, incarnation;
};

static struct lacking lacks(const char *text, size_t n, const struct topology *t)
{
    struct lacking l = {0};
    struct arena a;
    struct doc_node *root;
    arena_init(&a, 0);
    // of what is no mapping changer_apply says so
    if (!doc_parse(text, n, "", &a, NULL, &root) && root->kind == DOC_MAP) {
        l.version = !doc_get(root, "version");
        l.incarnation = !doc_get(root, "incarnation") && creates(root, t);
    }
    arena_done(&a);
    return l;
}

int change_number(const char *text, size_t n, uint64_t version, const struct topology *t,
                  struct buf *out, int *out_front)
{
    struct lacking l = lacks(text, n, t);
    *out_front = l.version + l.incarnation;
    if (l.version)
        buf_printf(out, "version: %llu\n", (unsigned long long)version);
    if (l.incarnation)
        buf_printf(out, "incarnation: %llu\n", (unsigned long long)version);
    buf_add(out, text, n);
    return out->err;
}
