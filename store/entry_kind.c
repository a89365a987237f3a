// SPDX-License-Identifier: Apache-2.0
// The forms of the kinds of entries; see entry_kind.h.
#include "store/entry_kind.h"

#include <string.h>

static const struct entry_form form_manifest = {
    .name = "manifest",
    .members = ENTRY_HAS_CONTENT,
};

static const struct entry_form form_tag = {
    .name = "tag",
    .members = ENTRY_HAS_TAG,
};

const struct entry_form *entry_form(enum entry_kind kind)
{
    switch (kind) {
#define FORM_OF(constant, number, ident) \
    case constant:                       \
        return &form_##ident;
        ENTRY_KINDS(FORM_OF)
#undef FORM_OF
    }
    return NULL; // a number of a later version
}

enum entry_kind entry_kind_named(const char *name)
{
#define NAMED(constant, number, ident)        \
    if (strcmp(name, form_##ident.name) == 0) \
        return constant;
    ENTRY_KINDS(NAMED)
#undef NAMED
    return 0;
}
