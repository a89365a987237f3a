// SPDX-License-Identifier: Apache-2.0
// The forms of the kinds of entries; see entry_kind.h.
#include "store/entry_kind.h"

#include <string.h>

static const struct entry_form form_manifest = {
    .name = "manifest",
    .subject = SUBJECT_MANIFEST,
    .attribute = "present",
    .members = ENTRY_HAS_DIGEST | ENTRY_HAS_CONTENT,
};

static const struct entry_form form_tag = {
    .name = "tag",
    .subject = SUBJECT_TAG,
    .attribute = "value",
    .members = ENTRY_HAS_TAG | ENTRY_HAS_DIGEST,
};

static const struct entry_form form_manifest_gone = {
    .subject = SUBJECT_MANIFEST,
    .attribute = "present",
    .members = ENTRY_HAS_DIGEST | ENTRY_IS_GONE,
};

static const struct entry_form form_tag_gone = {
    .subject = SUBJECT_TAG,
    .attribute = "value",
    .members = ENTRY_HAS_TAG | ENTRY_IS_GONE,
};

static const struct entry_form form_manifest_lock = {
    .subject = SUBJECT_MANIFEST,
    .attribute = "locked",
    .members = ENTRY_HAS_DIGEST | ENTRY_IS_LOCK,
};

static const struct entry_form form_tag_lock = {
    .subject = SUBJECT_TAG,
    .attribute = "locked",
    .members = ENTRY_HAS_TAG | ENTRY_IS_LOCK,
};

static const struct entry_form form_repository_lock = {
    .subject = SUBJECT_REPOSITORY,
    .attribute = "locked",
    .members = ENTRY_IS_LOCK,
};

const struct entry_form *entry_form(enum entry_kind kind)
{
    switch (kind) {
#define FORM_OF(constant, number, ident) \
    case constant:                       \
        return &form_##ident;
        ENTRY_KINDS(FORM_OF)
#undef FORM_OF
    case ENTRY_UNKNOWN:
        break;
    }
    return NULL; // also a number of a later version
}

static bool form_named(const struct entry_form *form, const char *name)
{
    return form->name && strcmp(form->name, name) == 0;
}

enum entry_kind entry_kind_named(const char *name)
{
#define NAMED(constant, number, ident)   \
    if (form_named(&form_##ident, name)) \
        return constant;
    ENTRY_KINDS(NAMED)
#undef NAMED
    return ENTRY_UNKNOWN;
}

static bool form_about(const struct entry_form *form, enum entry_subject subject,
                       const char *attribute, bool gone)
{
    bool is_gone = form->members & ENTRY_IS_GONE;
    return form->subject == subject && is_gone == gone && strcmp(form->attribute, attribute) == 0;
}

enum entry_kind entry_kind_about(enum entry_subject subject, const char *attribute, bool gone)
{
#define ABOUT(constant, number, ident)                       \
    if (form_about(&form_##ident, subject, attribute, gone)) \
        return constant;
    ENTRY_KINDS(ABOUT)
#undef ABOUT
    return ENTRY_UNKNOWN;
}

const char *entry_subject_name(enum entry_subject subject)
{
    switch (subject) {
    case SUBJECT_MANIFEST:
        return "manifest";
    case SUBJECT_TAG:
        return "tag";
    case SUBJECT_REPOSITORY:
        return "repository";
    case SUBJECT_OTHER:
        break;
    }
    return "other";
}
